"""Frames, their times and their turn, whatever the container says."""

import base64
import os
import resource
import struct
import types

import av
import cv2
import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.media import videos

WIDTH, HEIGHT = 80, 60


def picture(frame):
  """Red left, green top right, blue below it; brighter from frame to frame."""
  made = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
  made[:, : WIDTH // 2, 0] = 120 + frame
  made[: HEIGHT // 2, WIDTH // 2 :, 1] = 120 + frame
  made[HEIGHT // 2 :, WIDTH // 2 :, 2] = 120 + frame
  return made


def write(path, *, frames=20, codec='mp4v', rate=10):
  writer = cv2.VideoWriter(
    str(path), cv2.VideoWriter_fourcc(*codec), rate, (WIDTH, HEIGHT)
  )
  for frame in range(frames):
    writer.write(picture(frame)[..., ::-1])
  writer.release()
  return path


def patch(path, box, offset, form, *values):
  """Overwrites numbers in the first box of this type."""
  data = bytearray(path.read_bytes())
  at = data.index(box) + 4  # after the type
  struct.pack_into(form, data, at + offset, *values)
  path.write_bytes(data)


def read(path):
  with videos.Video(path) as video:
    return list(video)


def test_video_yields_frames_at_their_times(tmp_path):
  frames = read(write(tmp_path / 'clip.mp4'))
  assert len(frames) == 20
  np.testing.assert_allclose([t for t, _ in frames], np.arange(20) / 10)
  assert np.abs(frames[3][1].astype(int) - picture(3)).mean() < 8


def test_video_times_follow_a_variable_rate(tmp_path):
  path = write(tmp_path / 'clip.mp4', frames=6)
  # One entry of stts: six frames of one duration. Make it two entries, in the
  # place of the box and of the next one's first bytes, which move.
  data = path.read_bytes()
  at = data.index(b'stts') - 4
  size, _, _, count, frames, step = struct.unpack_from('>I4sIIII', data, at)
  assert (size, count, frames) == (24, 1, 6)
  new = struct.pack('>I4sIIIIII', 32, b'stts', 0, 2, 2, step, 4, 3 * step)
  data = data[:at] + new + data[at + size :]
  for box in (b'moov', b'trak', b'mdia', b'minf', b'stbl'):
    where = data.index(box) - 4
    (old,) = struct.unpack_from('>I', data, where)
    data = data[:where] + struct.pack('>I', old + 8) + data[where + 4 :]
  # The edit list would end the video as before.
  path.write_bytes(data.replace(b'edts', b'free'))
  assert data.index(b'mdat') < at, 'the frames have not moved'
  times = [time for time, _ in read(path)]
  np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.5, 0.8, 1.1], atol=1e-3)


SHOWN = [
  ((1, 0, 0, 1), lambda p: p),
  ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
  ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
  ((0, -1, 1, 0), np.rot90),
  ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
  ((1, 0, 0, -1), lambda p: p[::-1]),
  ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
  ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
  # By some angle: as by the nearest quarter.
  ((0.8, 0.6, -0.6, 0.8), lambda p: p),
  ((-0.6, 0.8, 0.8, 0.6), lambda p: p.transpose(1, 0, 2)),
]


@pytest.mark.parametrize(('matrix', 'shown'), SHOWN)
def test_video_is_turned_and_mirrored_as_it_says(matrix, shown, tmp_path):
  plain = read(write(tmp_path / 'plain.mp4', frames=2))[0][1]
  path = write(tmp_path / 'turned.mp4', frames=2)
  a, b, c, d = (int(value * 2**16) for value in matrix)
  patch(path, b'tkhd', 40, '>iiiii', a, b, 0, c, d)
  np.testing.assert_array_equal(read(path)[0][1], shown(plain))


# Yaw and roll, which ffmpeg writes for the first eight of `SHOWN`, and shows
# as these.
POSES = [(0, 0), (0, -90), (0, 180), (0, 90), (180, 0), (180, 180)]
POSES += [(180, 90), (180, -90)]


@pytest.mark.parametrize(
  ('pose', 'shown'),
  [(pose, shown) for pose, (_, shown) in zip(POSES, SHOWN, strict=False)],
)
@pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
def test_matroska_is_turned_and_mirrored_as_it_says(
  pose, shown, suffix, tmp_path
):
  codec = 'MJPG' if suffix == '.mkv' else 'VP80'
  path = write(tmp_path / f'plain{suffix}', codec=codec, frames=2)
  plain = read(path)[0][1]
  yaw, roll = (struct.pack('>d', angle) for angle in pose)
  projection = b'\x76\x73\x88' + yaw + b'\x76\x75\x88' + roll
  projection = b'\x76\x70' + bytes([0x80 | len(projection)]) + projection
  turned = path.with_stem('turned')
  turned.write_bytes(
    added(path.read_bytes(), ('18538067', '1654ae6b', 'ae', 'e0'), projection)
  )
  np.testing.assert_array_equal(read(turned)[0][1], shown(plain))


def added(elements: bytes, path: tuple[str, ...], element: bytes) -> bytes:
  """Elements of Matroska with one more in the first at `path`."""
  if not path:
    return elements + element
  at = 0
  while at < len(elements):
    name_ends = at + 9 - elements[at].bit_length()
    begins = name_ends + 9 - elements[name_ends].bit_length()
    bits = 7 * (begins - name_ends)
    size = int.from_bytes(elements[name_ends:begins], 'big') % (1 << bits)
    if size == (1 << bits) - 1:  # unknown
      size = len(elements) - begins
    if elements[at:name_ends].hex() == path[0]:
      inner = added(elements[begins : begins + size], path[1:], element)
      length = (1 << 56 | len(inner)).to_bytes(8, 'big')
      return elements[:name_ends] + length + inner + elements[begins + size :]
    at = begins + size
  raise AssertionError(f'no element {path[0]}')


def test_video_trimmed_by_an_edit_list_is_whole(tmp_path):
  path = write(tmp_path / 'clip.mp4', frames=40)
  # The edit and the track show the second second of four.
  data = path.read_bytes()
  at = data.index(b'elst') + 4
  duration, start = struct.unpack_from('>Ii', data, at + 8)
  patch(path, b'elst', 8, '>Ii', duration // 4, start + 10_240)
  patch(path, b'tkhd', 20, '>I', duration // 4)
  assert 5 <= len(read(path)) < 25


def test_video_cut_short_is_named_after_its_frames(tmp_path):
  path = write(tmp_path / 'cut.avi', codec='MJPG')
  data = path.read_bytes()
  path.write_bytes(data[: 2 * len(data) // 3])
  frames = []
  with videos.Video(path) as video, pytest.raises(UserError, match='cut short'):
    frames.extend(iter(video))
  # `extend` keeps what came before the error.
  assert 5 <= len(frames) < 20


def test_video_of_an_unknown_codec_is_named(tmp_path):
  path = write(tmp_path / 'clip.avi', codec='MJPG')
  path.write_bytes(path.read_bytes().replace(b'MJPG', b'xyzw'))
  with pytest.raises(UserError, match='clip.avi has a video of a codec'):
    read(path)


def test_video_from_a_pipe_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / 'clip.mp4')
  with pytest.raises(UserError, match='clip.mp4 is not a file'):
    videos.Video(tmp_path / 'clip.mp4')


def test_video_is_known_by_its_suffix(tmp_path):
  for name in 'a.MTS b.3gp c.flv d.MOV e.webm'.split():
    assert videos.is_video(tmp_path / name)
  assert not videos.is_video(tmp_path / 'a.jpg')


@pytest.mark.parametrize('name', [b'\xff\xfe.mp4', 'é 1:2 %03d.mp4'.encode()])
def test_video_of_any_name_is_read_and_written(name, tmp_path):
  folder = tmp_path / os.fsdecode(b'\xfa')
  folder.mkdir()
  plain = write(tmp_path / 'plain.mp4')
  path = folder / os.fsdecode(name)
  plain.rename(path)
  assert len(read(path)) == 20
  target = path.with_name(f'{path.stem}_overlay.mp4')
  writer = videos.Writer(target, 10)
  for frame in range(5):
    writer.add(picture(frame))
  writer.close()
  assert {p.name for p in folder.iterdir()} == {path.name, target.name}
  assert len(read(target)) == 5


@pytest.mark.parametrize('rate', [12.5, 29.97003, 66.667, 211.222, 1000.0])
def test_writer_takes_any_rate(rate, tmp_path):
  path = tmp_path / 'clip.mp4'
  writer = videos.Writer(path, rate)
  for frame in range(30):
    writer.add(picture(frame))
  writer.close()
  with videos.Video(path) as video:
    assert video.rate == pytest.approx(rate, rel=0.01)
    assert len(list(video)) == 30


def test_writer_keeps_the_times_of_frames(tmp_path):
  times = [0, 0.1, 0.25, 0.9, 121.0]
  writer = videos.Writer(tmp_path / 'clip.mp4', 10)
  for frame, time in enumerate(times):
    writer.add(picture(frame), time)
  writer.close()
  found = [time for time, _ in read(tmp_path / 'clip.mp4')]
  np.testing.assert_allclose(found, times, atol=1e-4)


def test_writer_keeps_colors_and_pads_odd_sizes(tmp_path):
  writer = videos.Writer(tmp_path / 'clip.mp4', 10)
  writer.add(picture(9)[1:, 1:])
  writer.close()
  ((_, shown),) = read(tmp_path / 'clip.mp4')
  assert shown.shape == (HEIGHT, WIDTH, 3)
  for x, y in ((10, 10), (60, 10), (60, 50)):
    assert np.abs(shown[y, x].astype(int) - picture(9)[y, x]).max() <= 3


@pytest.mark.parametrize('kept', [0.3, 0.6, 0.97])
def test_writer_says_when_the_disk_is_full(kept, tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, (12, 60, 80, 3), np.uint8)
  sizes = resource.getrlimit(resource.RLIMIT_FSIZE)

  def attempt():
    writer = videos.Writer(tmp_path / 'clip.mp4', 10)
    for frame in noise:
      writer.add(frame)
    writer.close()
    return (tmp_path / 'clip.mp4').stat().st_size

  limit = int(kept * attempt())
  (tmp_path / 'clip.mp4').unlink()
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, sizes[1]))
  try:
    with pytest.raises(UserError, match='is the disk full'):
      attempt()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, sizes)
  assert not list(tmp_path.iterdir())


def test_writer_names_a_folder_it_cannot_write(tmp_path):
  writer = videos.Writer(tmp_path / 'missing' / 'clip.mp4', 10)
  with pytest.raises(UserError, match='clip.mp4 cannot be written'):
    writer.add(picture(0))


# MPEG-2: two interlaced frames of 32 x 32 px, all gray.
INTERLACED = """
AAABswIAIBP//+AYAAABtRSCAAEAAAAAAbgACABAAAABAAAP//gAAAG1j//zgAAAAAEBEy0pSItKUpER
AAABAhMtKUiLSlKREAAAAQAAV//7gAAAAbWBH/OAAAAAAQESbmwAAAECEm5s
"""


def test_interlaced_video_is_deinterlaced(tmp_path):
  path = tmp_path / 'clip.mpg'
  path.write_bytes(base64.b64decode(INTERLACED))
  frames = read(path)
  assert [frame.shape for _, frame in frames] == [(32, 32, 3)] * 2
  assert all(np.ptp(frame) == 0 for _, frame in frames)


def test_interlaced_rows_are_joined(tmp_path):
  """Fields of a bar that moves show no comb after bwdif."""
  path = tmp_path / 'bar.mpg'
  with av.open(str(path), 'w') as container:
    flags = {'flags': '+ildct+ilme', 'q': '2'}
    stream = container.add_stream('mpeg2video', rate=25, options=flags)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
    for number in range(8):
      made = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
      for field in (0, 1):
        left = 8 * number + 4 * field
        made[field::2, left : left + 8] = 255
      frame = av.VideoFrame.from_ndarray(made).reformat(format='yuv420p')
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  _, frame = read(path)[4]
  combs = np.abs(np.diff(frame[..., 0].astype(int), axis=0)).max()
  assert combs < 100


def test_video_whose_picture_stays_is_whole(tmp_path):
  path = tmp_path / 'still.avi'
  form = cv2.VideoWriter_fourcc(*'MJPG')
  writer = cv2.VideoWriter(str(path), form, 10, (WIDTH, HEIGHT))
  for _ in range(8):
    writer.write(picture(3)[..., ::-1])
  writer.release()
  frames = read(path)
  np.testing.assert_array_equal(frames[0][1], frames[7][1])
  assert len(frames) == 8


@pytest.mark.parametrize(
  ('said', 'expected'),
  [
    ([0, 0.1, 0.25, 0.9], [0, 0.1, 0.25, 0.9]),
    ([None, None, None], [0, 0.1, 0.2]),
    # The clock starts again, as where broadcasts were joined.
    ([0, 0.1, 0.2, 0, 0.1, 0.15], [0, 0.1, 0.2, 0.3, 0.4, 0.45]),
    ([-0.1, -0.1, 0, 0.1], [0, 0.1, 0.2, 0.3]),
    ([7.2, 7.3, 7.3], [0, 0.1, 0.2]),
  ],
)
def test_times_rise_from_0(said, expected):
  frames = [types.SimpleNamespace(time=time) for time in said]
  times = [time for time, _ in videos._rising(iter(frames), 10)]
  np.testing.assert_allclose(times, expected, atol=1e-9)


@pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
def test_matroska_is_whole_though_its_sound_goes_on(suffix, tmp_path):
  codec = 'MJPG' if suffix == '.mkv' else 'VP80'
  path = write(tmp_path / f'clip{suffix}', codec=codec)
  data = bytearray(path.read_bytes())
  # How long the file takes, in ms, sound and all.
  struct.pack_into('>d', data, data.index(b'\x44\x89\x88') + 3, 20_000.0)
  path.write_bytes(data)
  assert len(read(path)) == 20
  path.write_bytes(data[:-20])
  with pytest.raises(UserError, match=f'clip{suffix} is cut short'):
    read(path)


def test_matroska_is_turned_as_its_first_video_says(tmp_path):
  path = write(tmp_path / 'clip.mkv', codec='MJPG', frames=2)
  plain = read(path)[0][1]
  roll = b'\x76\x75\x88' + struct.pack('>d', 90)
  other = b'\x83\x81\x02' + b'\xe0\x8e\x76\x70\x8b' + roll  # of sound, say
  track = b'\xae' + bytes([0x80 | len(other)]) + other
  tracks = ('18538067', '1654ae6b')
  path.write_bytes(added(path.read_bytes(), tracks, track))
  np.testing.assert_array_equal(read(path)[0][1], plain)


def test_flv_is_whole_though_its_sound_goes_on(tmp_path):
  path = write(tmp_path / 'clip.flv', codec='FLV1')
  data = path.read_bytes()
  # How long the file takes, s, sound and all.
  at = data.index(b'duration') + 9
  path.write_bytes(data[:at] + struct.pack('>d', 20) + data[at + 8 :])
  assert len(read(path)) == 20


def test_mp4_cut_before_its_header_is_cut_short(tmp_path):
  path = write(tmp_path / 'clip.mp4')
  data = path.read_bytes()
  assert data.index(b'mdat') < data.index(b'moov')
  path.write_bytes(data[: data.index(b'moov') - 99])
  with pytest.raises(UserError, match='clip.mp4 is cut short'):
    videos.Video(path)


def test_mp4_of_sound_has_no_video(tmp_path):
  path = write(tmp_path / 'song.mp4')
  path.write_bytes(path.read_bytes().replace(b'vide', b'soun'))
  with pytest.raises(UserError, match='song.mp4 has no video'):
    videos.Video(path)
