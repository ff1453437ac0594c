"""Written videos play everywhere, with their colors, or are told of."""

import os
import resource

import av
import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.media import videos
from hg_jax.media.video_writer import VideoWriter


def picture(height=60, width=80):
  """Four saturated colors."""
  made = np.zeros((height, width, 3), np.uint8)
  made[:, : width // 2] = 200, 30, 60
  made[: height // 2, width // 2 :] = 20, 180, 90
  made[height // 2 :, width // 2 :] = 40, 80, 220
  return made


def write(path, pictures, rate=10.0):
  writer = VideoWriter(path, rate)
  for number, frame in enumerate(pictures):
    writer.add(frame, number / rate)
  writer.close()
  return path


def read(path):
  with videos.Video(path) as video:
    return list(video)


@pytest.mark.parametrize('size', [(60, 80), (61, 83), (1, 1280)])
def test_writer_keeps_colors_and_pads_odd_sizes(size, tmp_path):
  frames = read(write(tmp_path / 'clip.mp4', 5 * [picture(*size)]))
  assert len(frames) == 5
  shown = frames[4][1]
  height, width = (side + side % 2 for side in size)
  assert shown.shape == (height, width, 3)
  # But at the borders, for colors have half of the resolution.
  inner = np.s_[: height // 2 - 4, : width // 2 - 4]
  if size[0] > 1:
    difference = shown[inner].astype(int) - picture(*size)[inner]
    assert np.abs(difference).max() <= 4
  np.testing.assert_allclose(shown[-1].astype(int), shown[-2], atol=4)


def test_written_form_is_what_browsers_play(tmp_path):
  path = write(tmp_path / 'clip.mp4', 5 * [picture()])
  data = path.read_bytes()
  assert data.index(b'moov') < data.index(b'mdat')
  with av.open(str(path)) as file:
    codec = file.streams.video[0].codec_context
    assert (codec.name, codec.pix_fmt) == ('h264', 'yuv420p')
    assert (codec.colorspace, codec.color_range) == (1, 1)  # BT.709, limited


@pytest.mark.parametrize('rate', [0.1, 12.5, 29.97003, 66.667, 211.222, 1000.0])
def test_writer_takes_any_rate(rate, tmp_path):
  path = write(tmp_path / 'clip.mp4', 30 * [picture()], rate)
  with videos.Video(path) as video:
    assert video.rate == pytest.approx(rate, rel=0.01)
    times = [time for time, _ in video]
  np.testing.assert_allclose(times, np.arange(30) / rate, atol=1e-4)


def test_writer_keeps_times(tmp_path):
  times = [0, 0.1, 0.5, 0.5, 7]
  writer = VideoWriter(tmp_path / 'clip.mp4', 25)
  for time in times:
    writer.add(picture(), time)
  writer.close()
  written = [time for time, _ in read(tmp_path / 'clip.mp4')]
  np.testing.assert_allclose(written, times, atol=1e-3)


def test_writer_scales_to_the_first_size(tmp_path):
  path = write(tmp_path / 'clip.mp4', [picture(), picture(30, 40)])
  (_, first), (_, second) = read(path)
  assert first.shape == second.shape == (60, 80, 3)
  assert np.abs(first.astype(int) - second).mean() < 4


@pytest.mark.parametrize('name', [b'\xff\xfe.mp4', 'é 1:2 %03d.mp4'.encode()])
def test_writer_takes_any_name(name, tmp_path):
  path = tmp_path / os.fsdecode(name)
  assert len(read(write(path, 5 * [picture()]))) == 5
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('kept', [0, 0.3, 0.6, 0.97, 0.999])
def test_writer_tells_of_a_full_disk(kept, tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, (12, 60, 80, 3), np.uint8)
  path = write(tmp_path / 'clip.mp4', noise)
  size = path.stat().st_size
  path.unlink()
  sizes = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (int(kept * size), sizes[1]))
  try:
    with pytest.raises(UserError, match='clip.mp4 cannot be written: File too'):
      write(path, noise)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, sizes)
  assert not list(tmp_path.iterdir())


def test_writer_names_a_folder_it_cannot_write(tmp_path):
  writer = VideoWriter(tmp_path / 'missing' / 'clip.mp4', 10)
  with pytest.raises(UserError, match='clip.mp4 cannot be written: No such'):
    writer.add(picture(), 0)


def test_discarded_video_leaves_no_file(tmp_path):
  writer = VideoWriter(tmp_path / 'clip.mp4', 10)
  writer.add(picture(), 0)
  writer.discard()
  assert not list(tmp_path.iterdir())
