"""Photos are read as viewers show them, and inputs are cut where people are."""

import contextlib
import os
import struct
import tracemalloc
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax.base import affine, config
from hg_jax.base.errors import UserError
from hg_jax.input import augmentation
from hg_jax.input import crops as cropping
from hg_jax.media import images

SIZE = 64


def smooth_noise(height, width, seed=0):
  noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3))
  blurred = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 3)
  low, high = blurred.min(), blurred.max()
  return np.uint8(255 * (blurred - low) / (high - low))


def input_of(picture, center, side, size):
  """The input of one person, and the map from the image to it."""
  inputs, maps = cropping.inputs_of(picture, [center], [side], size)
  return inputs[0], maps[0]


def disk(height, width, center, radius):
  """A white disk on black, about (x, y) in continuous coordinates."""
  y, x = np.mgrid[:height, :width] + 0.5
  inside = np.hypot(x - center[0], y - center[1]) < radius
  return np.repeat(np.uint8(255 * inside)[..., None], 3, axis=-1)


def centroid(picture):
  weights = picture[..., 0].astype(float)
  y, x = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
  return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize(
  ('center', 'side'),
  [
    ((210.3, 150.8), 50.0),  # enlarged
    ((230.0, 160.0), 130.7),  # cut and shrunk
    ((150.0, 250.0), 801.3),  # beyond the image
    ((190.5, 120.0), 3000.0),  # shrunk in the image first
  ],
)
def test_input_map_finds_a_disk_in_the_input(center, side):
  spot = np.array([205.0, 148.0])
  radius = max(side / 12, 4)
  picture = disk(900, 700, spot, radius)
  seen, image_to_input = input_of(picture, center, side, SIZE)
  assert seen.shape == (SIZE, SIZE, 3) and seen.dtype == np.uint8
  # Its share of the image, which the disk may leave.
  expected = affine.apply(centroid(picture)[None], image_to_input)[0]
  np.testing.assert_allclose(centroid(seen), expected, atol=0.1)


@pytest.mark.parametrize('side', [512, 4096])
def test_input_averages_a_fine_pattern(side):
  y, x = np.mgrid[:side, :side]
  board = np.repeat(np.uint8(255 * ((x + y) % 2))[..., None], 3, axis=-1)
  seen, _ = input_of(board, (side / 2, side / 2), side, SIZE)
  inner = seen[4:-4, 4:-4].astype(int)
  assert np.abs(inner - 127).max() <= 1


@pytest.mark.parametrize(
  ('center', 'side'),
  [((600.4, 650.9), 700.2), ((311.5, -83.2), 2345.6)],  # shrunk once, twice
)
def test_input_equals_that_of_a_prepared_crop(center, side):
  # As `prepare` cuts by default; only the JPEG is missing.
  margin = round(augmentation.margin(config.Augment()), 4)
  picture = smooth_noise(1400, 1200)
  crop, image_to_crop = cropping.cut(picture, center, margin * side, 448)
  crop = crop[..., ::-1]  # as cv2.imdecode returns it
  seen, image_to_input = input_of(picture, center, side, 256)
  prepared = cropping.warp(
    crop, np.linalg.inv(image_to_crop) @ image_to_input, 256
  )
  np.testing.assert_array_equal(seen, prepared)


@pytest.mark.parametrize('side', [40.3, 100.9, 400.2, 2345.6])
def test_glance_shows_the_image_where_its_map_says(side):
  # Levels grow along x and y by 1 a pixel, as in `cut`'s own test.
  y, x = np.mgrid[:200, :240]
  picture = np.stack([x, y, np.full_like(x, 255)], -1).astype(np.uint8)
  center = np.array([120.3, 90.8])
  glance, image_to_glance = cropping.glance_at(picture, center, side, SIZE)
  _, image_to_input = input_of(picture, center, side, SIZE)
  rows, columns = np.mgrid[:SIZE, :SIZE]
  middles = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
  at = affine.apply(middles, np.linalg.inv(image_to_glance))
  at = at.reshape(SIZE, SIZE, 2)
  pixel = side / SIZE  # of the glance, px of the image
  inside = ((at > pixel) & (at < np.array([240, 200]) - pixel)).all(-1)
  outside = ((at < -pixel) | (at > np.array([240, 200]) + pixel)).any(-1)
  assert inside.any() and outside.any() == (side > 200)
  np.testing.assert_allclose(
    glance[inside][:, :2], at[inside] - 0.5, atol=0.51 + (pixel < 1)
  )
  assert (glance[inside][:, 2] == 255).all() and not glance[outside].any()
  # The input's place, but that the square is of whole pixels.
  corners = center + np.array([[-side / 2], [side / 2]])
  np.testing.assert_allclose(
    affine.apply(corners, image_to_glance),
    affine.apply(corners, image_to_input),
    atol=max(2 / pixel, 0.5),
  )


def test_input_of_a_panorama_is_shrunk_first():
  seen, image_to_input = input_of(
    np.full((10, 20_000, 3), 255, np.uint8), (10_000, 5), 25_000, 256
  )
  # 256 / 25,000 px of 10 px: a tenth of a row, white over 0.8 of the width.
  assert seen.sum(axis=0)[..., 0][40:-40] == pytest.approx(26, abs=4)
  assert seen[:, :24].max() == 0


@pytest.mark.parametrize('suffix', ['png', 'tif', 'avif'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_read_upright_applies_the_orientation(orientation, suffix, tmp_path):
  # AVIF loses some color.
  same = partial(np.testing.assert_allclose, atol=25 * (suffix == 'avif'))
  picture = smooth_noise(40, 60)
  # EXIF: how the stored pixels must be turned to be upright.
  stored = {
    1: picture,
    2: picture[:, ::-1],
    3: picture[::-1, ::-1],
    4: picture[::-1],
    5: picture.transpose(1, 0, 2),
    6: picture.transpose(1, 0, 2)[::-1],
    7: picture.transpose(1, 0, 2)[::-1, ::-1],
    8: picture.transpose(1, 0, 2)[:, ::-1],
  }[orientation]
  photo = Image.fromarray(np.ascontiguousarray(stored))
  exif = photo.getexif()
  exif[0x0112] = orientation
  path = tmp_path / f'photo.{suffix}'
  photo.save(path, exif=exif, **({'quality': 99} if suffix == 'avif' else {}))
  same(images.read_upright(path).astype(int), picture)
  # Annotations are of the pixels as stored.
  same(images.read(path).astype(int), stored)


def test_read_upright_converts_cmyk(tmp_path):
  picture = smooth_noise(40, 60)
  photo = Image.fromarray(picture).convert('CMYK')
  photo.save(tmp_path / 'photo.jpg', quality=98)
  read = images.read_upright(tmp_path / 'photo.jpg')
  assert np.abs(read.astype(int) - picture).max() < 8


def test_read_upright_names_a_broken_photo(tmp_path):
  path = tmp_path / 'photo.jpg'
  with pytest.raises(UserError, match='photo.jpg cannot be read: No such'):
    images.read_upright(path)
  path.write_text('not a photo')
  with pytest.raises(UserError, match='photo.jpg is not an image'):
    images.read_upright(path)
  encoded = cv2.imencode('.jpg', smooth_noise(40, 60))[1].tobytes()
  path.write_bytes(encoded[:-9])
  with pytest.raises(UserError, match='photo.jpg is truncated'):
    images.read_upright(path)


@pytest.mark.parametrize(
  'suffix', 'avif bmp gif jp2 jpg png ppm tif webp'.split()
)
def test_read_refuses_half_a_file(suffix, tmp_path):
  path = tmp_path / f'photo.{suffix}'
  Image.fromarray(smooth_noise(90, 120)).save(path)
  images.read(path)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  with pytest.raises(UserError, match=f'photo.{suffix} is '):
    images.read(path)


@pytest.mark.parametrize('progressive', [False, True])
def test_read_ends_at_the_end_of_a_motion_photo(progressive, tmp_path):
  # The clip after the photo has markers of its own, and no end.
  path, whole = tmp_path / 'photo.jpg', tmp_path / 'whole.jpg'
  photo = Image.fromarray(smooth_noise(40, 60))
  photo.save(whole, progressive=progressive)
  clip = b'\x00\x00\x00\x18ftypmp42' + b'\xff\xd8\xff\xda' + bytes(999)
  path.write_bytes(whole.read_bytes() + clip)
  np.testing.assert_array_equal(images.read(path), images.read(whole))


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
@pytest.mark.parametrize('channels', [1, 3])
def test_read_scales_the_bits_used_of_16(suffix, bits, channels, tmp_path):
  picture = smooth_noise(40, 60)[..., :channels]
  picture[0, 0] = 255
  path = tmp_path / f'photo.{suffix}'
  cv2.imwrite(str(path), picture[..., ::-1].astype(np.uint16) << (bits - 8))
  expected = np.broadcast_to(picture, (40, 60, 3))
  np.testing.assert_array_equal(images.read(path), expected)


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_read_turns_16_bits_of_tiff_as_it_turns_8(orientation, tmp_path):
  picture = smooth_noise(40, 60)
  paths = tmp_path / '8.tif', tmp_path / '16.tif'
  cv2.imwrite(str(paths[0]), picture)
  cv2.imwrite(str(paths[1]), picture.astype(np.uint16) * 257)
  for path in paths:
    data = bytearray(path.read_bytes())
    _set_orientation(data, orientation)
    path.write_bytes(data)
  for read in (images.read, images.read_upright):
    np.testing.assert_array_equal(read(paths[0]), read(paths[1]))
  assert images.read(paths[0]).shape == (40, 60, 3)


def _set_orientation(data, orientation):
  """Puts the tag in place of the resolution's unit, which means nothing."""
  (at,) = struct.unpack_from('<I', data, 4)
  (count,) = struct.unpack_from('<H', data, at)
  for entry in range(at + 2, at + 2 + 12 * count, 12):
    if struct.unpack_from('<H', data, entry)[0] in (0x0112, 0x0128):
      struct.pack_into('<HHIHH', data, entry, 0x0112, 3, 1, orientation, 0)


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_read_refuses_32_bits(dtype, tmp_path):
  Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / 'depth.tif')
  with pytest.raises(UserError, match='depth.tif has 32 bits a channel; save'):
    images.read_upright(tmp_path / 'depth.tif')


def test_read_refuses_too_many_pixels_before_decoding(tmp_path):
  path = tmp_path / 'photo.png'
  Image.new('1', (12_000, 12_000)).save(path)
  tracemalloc.start()
  with pytest.raises(UserError, match='photo.png has more than 125 megapixels'):
    images.read(path)
  assert tracemalloc.get_traced_memory()[1] < 10e6
  tracemalloc.stop()


def test_read_survives_any_damage_to_avif(tmp_path):
  path = tmp_path / 'photo.avif'
  Image.fromarray(smooth_noise(40, 60)).save(path)
  whole, random = path.read_bytes(), np.random.default_rng(0)
  for _ in range(300):
    damaged = bytearray(whole)
    for place in random.integers(0, len(whole), 3):
      damaged[place] = random.integers(256)
    path.write_bytes(damaged)
    with contextlib.suppress(UserError):
      assert images.read(path).dtype == np.uint8


def test_read_refuses_files_that_are_too_large(tmp_path, monkeypatch):
  monkeypatch.setattr(images, '_MAX_BYTES', 1000)
  path = tmp_path / 'large.jpg'
  path.write_bytes(bytes(1001))
  with pytest.raises(UserError, match='large.jpg has more than .* GB'):
    images.read(path)


def test_read_takes_a_pipe_with_a_photo(tmp_path):
  photo = tmp_path / 'photo.png'
  Image.fromarray(smooth_noise(40, 60)).save(photo)
  source, sink = os.pipe()
  os.write(sink, photo.read_bytes())
  os.close(sink)
  read = images.read(Path(f'/dev/fd/{source}'))  # as a shell's <(...)
  os.close(source)
  np.testing.assert_array_equal(read, images.read(photo))


def test_read_names_the_package_for_heic(tmp_path):
  path = tmp_path / 'photo.jpg'  # as some phones name it
  path.write_bytes(b'\x00\x00\x00\x18ftypheic' + bytes(100))
  with pytest.raises(UserError, match='photo.jpg is .*HEIC|is damaged'):
    images.read(path)


@pytest.mark.parametrize(
  ('beginning', 'complaint'),
  [
    (b'\0\0\0\x18ftyphevc', 'HEIC photo|is damaged'),
    (b'\0\0\0\x18ftypisom', 'is a video'),
    (b'\0\0\0\x18ftypM4A ', 'is not an image'),
    (b'\0\0\0\x18ftypcrx ', 'is not an image'),
  ],
)
def test_read_describes_files_that_are_not_images(
  beginning, complaint, tmp_path
):
  path = tmp_path / 'photo.jpg'
  path.write_bytes(beginning + bytes(200))
  with pytest.raises(UserError, match=f'photo.jpg .*({complaint})'):
    images.read(path)


@pytest.mark.parametrize('bits', [12, 16])
def test_read_takes_16_bits_in_portable_formats(bits, tmp_path):
  picture = smooth_noise(40, 60)[..., :1]
  deep = (picture.astype(int) * (2**bits - 1) // 255).astype('>u2')
  path = tmp_path / 'photo.pgm'
  path.write_bytes(b'P5 60 40 %d\n' % (2**bits - 1) + deep.tobytes())
  np.testing.assert_allclose(
    images.read(path).astype(int), np.repeat(picture, 3, 2), atol=1
  )


def _tiff(pixels, *, photometric, planar=1):
  """A TIFF file of u16[H, W, C], its strip the array as it is."""
  channels = pixels.shape[2]
  data = pixels.transpose(2, 0, 1) if planar == 2 else pixels
  size, parts = data.nbytes, channels if planar == 2 else 1
  entries, extra, after = [], b'', 8 + 2 + 12 * 10 + 4
  for tag, values in {
    256: [pixels.shape[1]],
    257: [pixels.shape[0]],
    258: [16] * channels,
    259: [1],
    262: [photometric],
    273: [after + 999 + i * size // parts for i in range(parts)],
    277: [channels],
    278: [pixels.shape[0]],
    279: [size // parts] * parts,
    284: [planar],
  }.items():
    packed = struct.pack(f'<{len(values)}I', *values)
    if len(values) > 1:
      packed, extra = struct.pack('<I', after + len(extra)), extra + packed
    entries.append(struct.pack('<HHI', tag, 4, len(values)) + packed)
  head = struct.pack('<2sHIH', b'II', 42, 8, len(entries)) + b''.join(entries)
  return head + bytes(4) + extra.ljust(999, b'\0') + data.tobytes()


def test_read_takes_tiff_whose_white_is_zero(tmp_path):
  picture = smooth_noise(40, 60)[..., :1]
  path = tmp_path / 'scan.tif'
  deep = 65535 - picture.astype(np.uint16) * 257
  path.write_bytes(_tiff(deep, photometric=0))
  np.testing.assert_array_equal(images.read(path), np.repeat(picture, 3, 2))


def test_read_refuses_16_bit_colors_in_planes(tmp_path):
  deep = smooth_noise(40, 60).astype(np.uint16) * 257
  path = tmp_path / 'scan.tif'
  path.write_bytes(_tiff(deep, photometric=2))
  np.testing.assert_array_equal(images.read(path), deep >> 8)
  path.write_bytes(_tiff(deep, photometric=2, planar=2))
  with pytest.raises(UserError, match='scan.tif has 16 bits .* save it with 8'):
    images.read(path)


def test_read_takes_16_bits_of_cmyk(tmp_path):
  # Ink everywhere is black, nowhere white.
  deep = np.zeros((8, 8, 4), np.uint16)
  deep[:4] = 65535
  path = tmp_path / 'print.tif'
  path.write_bytes(_tiff(deep, photometric=5))
  read = images.read(path)
  assert read[:4].max() == 0
  assert read[4:].min() == 255


@pytest.mark.parametrize('chunk', [b'eXIf', b'zTXt'])
def test_read_ignores_damaged_or_long_metadata(chunk, tmp_path):
  plain, path = tmp_path / 'plain.png', tmp_path / 'photo.png'
  Image.fromarray(smooth_noise(40, 60)).save(plain)
  notes = b'junk'  # EXIF data that are damaged, or a long text
  if chunk == b'zTXt':
    notes = b'parameters\0\0' + zlib.compress(bytes(65 for _ in range(2**21)))
  crc = zlib.crc32(chunk + notes)
  notes = struct.pack('>I', len(notes)) + chunk + notes + struct.pack('>I', crc)
  data = plain.read_bytes()
  path.write_bytes(data[:33] + notes + data[33:])
  np.testing.assert_array_equal(images.read_upright(path), images.read(plain))
