"""Heatmaps are drawn where they lie, in one color scale."""

import numpy as np

from hg_jax.base.skeleton import Skeleton
from hg_jax.pictures import figures, heatmap_sheets

SKELETON = Skeleton(joints=('hand', 'head'), flip=(0, 1), groups={}, limbs=())
CROP = np.full((256, 256, 3), 90, np.uint8)


def panels(heatmaps):
  """The two panels of a sheet, without margins and titles."""
  page = heatmap_sheets.joint_sheet(CROP, heatmaps, SKELETON, 'somebody')
  # Margins of 8 px, the title's 44 px, and a panel's 28 px.
  assert page.shape == (44 + 8 + 284 + 8, 8 + 2 * 264, 3)
  return [page[80:336, left : left + 256] for left in (8, 272)]


def peaks(*values):
  heatmaps = np.zeros((64, 64, 2), np.float32)
  for joint, value in enumerate(values):
    heatmaps[10, 20 + 20 * joint, joint] = value
  return heatmaps


def test_heatmap_pixel_covers_four_crop_pixels(monkeypatch):
  monkeypatch.setattr(figures, 'ring', lambda *_, **__: None)
  cold, _ = panels(peaks())
  hot, _ = panels(peaks(1))
  expected = np.zeros((256, 256), bool)
  expected[40:44, 80:84] = True
  np.testing.assert_array_equal((hot != cold).any(axis=-1), expected)


def test_ring_lies_about_the_decoded_joint(monkeypatch):
  hot, _ = panels(peaks(1))
  monkeypatch.setattr(figures, 'ring', lambda *_, **__: None)
  plain, _ = panels(peaks(1))
  rows, columns = np.nonzero((hot != plain).any(axis=-1))
  # The peak at row 10, column 20 is the heatmap's (20.5, 10.5): crop px x 4.
  assert abs((rows.min() + rows.max() + 1) / 2 - 42) <= 0.5
  assert abs((columns.min() + columns.max() + 1) / 2 - 82) <= 0.5


def test_panels_share_a_color_scale():
  hot, warm = panels(peaks(1, 0.5))
  alone, _ = panels(peaks(1))
  _, as_hot = panels(peaks(0, 0.5))
  np.testing.assert_array_equal(hot, alone)
  # Half as hot is drawn so beside a peak of 1, and as a peak by itself.
  assert (warm[40:44, 160:164] != as_hot[40:44, 160:164]).any()


def test_sheets_leave_the_crop_as_it_was():
  heatmap_sheets.joint_sheet(CROP, peaks(1, 1), SKELETON)
  assert (CROP == 90).all()


def test_stack_sheet_has_a_panel_per_stack():
  heatmaps = np.zeros((8, 64, 64, 2), np.float32)
  page = heatmap_sheets.stack_sheet(CROP, heatmaps, 1, SKELETON)
  # Two rows of four panels of 256 px, their titles 28 px, the page's 44 px.
  assert page.shape == (44 + 2 * (256 + 28 + 8) + 8, 4 * (256 + 8) + 8, 3)
