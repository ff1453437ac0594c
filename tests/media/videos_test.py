"""Frames, their times and their turn, whatever the container says."""

import base64
import io
import os
import socket
import struct
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from hg_jax.base.errors import UserError
from hg_jax.media import videos

WIDTH, HEIGHT = 80, 64


def picture(frame, height=HEIGHT, width=WIDTH):
  """Red left, green top right, blue below it; brighter from frame to frame."""
  made = np.zeros((height, width, 3), np.uint8)
  made[:, : width // 2, 0] = 120 + frame
  made[: height // 2, width // 2 :, 1] = 120 + frame
  made[height // 2 :, width // 2 :, 2] = 120 + frame
  return made


def write(
  path,
  *,
  codec='mpeg4',
  pictures=None,
  times=None,  # s
  sound=0,  # s
  options=None,  # the codec's
  header_first=False,  # in MP4
):
  """Writes `picture`s ten times a second, with silence if asked."""
  pictures = [picture(i) for i in range(20)] if pictures is None else pictures
  times = np.arange(len(pictures)) / 10 if times is None else times
  flags = {'movflags': 'faststart'} if header_first else {}
  with av.open(f'file:{path}', 'w', options=flags) as file:
    video = file.add_stream(codec, rate=10, options=options or {})
    video.height, video.width = pictures[0].shape[:2]
    video.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
    if codec == 'libx264':
      video.codec_context.time_base = Fraction(1, 1000)
    audio = file.add_stream('mp3', rate=48_000) if sound else None
    for frame, at in zip(pictures, times, strict=True):
      frame = av.VideoFrame.from_ndarray(frame, format='rgb24')
      frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
      file.mux(video.encode(frame))
    for start in range(0, sound * 48_000, 1152):
      silence = np.zeros((2, 1152), np.float32)
      silence = av.AudioFrame.from_ndarray(silence, 'fltp', 'stereo')
      silence.sample_rate, silence.pts = 48_000, start
      silence.time_base = Fraction(1, 48_000)
      file.mux(audio.encode(silence))
    for stream in file.streams:
      file.mux(stream.encode(None))
  return path


def patch(path, box, offset, form, *values):
  """Overwrites numbers in the first box of this type."""
  data = bytearray(path.read_bytes())
  at = data.index(box) + 4  # after the type
  struct.pack_into(form, data, at + offset, *values)
  path.write_bytes(data)


def cut(path, share):
  data = path.read_bytes()
  path.write_bytes(data[: round(share * len(data))])
  return path


def read(path):
  with videos.Video(path) as video:
    return list(video)


def read_with_problem(source):
  """The frames that come before a problem, and its words."""
  frames = []
  with videos.Video(source) as video, pytest.raises(UserError) as problem:
    frames.extend(iter(video))  # keeps what came before the error
  return frames, str(problem.value)


KINDS = {
  '.mp4': 'libsvtav1',
  '.m4v': 'mpeg4',
  '.mov': 'libx264',
  '.mkv': 'mjpeg',
  '.webm': 'libvpx',
  '.avi': 'mpeg4',
  '.flv': 'flv',
  '.ts': 'libx264',
  '.wmv': 'wmv2',
}


@pytest.mark.parametrize('suffix', KINDS)
def test_video_yields_frames_at_their_times(suffix, tmp_path):
  frames = read(write(tmp_path / f'clip{suffix}', codec=KINDS[suffix]))
  assert len(frames) == 20
  times = [time for time, _ in frames]
  np.testing.assert_allclose(times, np.arange(20) / 10, atol=1e-3)
  for number in (3, 19):
    difference = frames[number][1].astype(int) - picture(number)
    assert np.abs(difference).mean() < 4


def test_video_promises_its_frames_and_rate(tmp_path):
  with videos.Video(write(tmp_path / 'clip.mp4')) as video:
    assert (video.frames, video.rate) == (20, 10)


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.ts'])
@pytest.mark.parametrize(
  'times',
  [[0, 0.1, 0.2, 0.5, 0.8, 1.1], [0, 120, 240], np.arange(9) / 66.667],
  ids=['variable', 'slides', 'odd rate'],
)
def test_video_times_are_those_of_the_stream(times, suffix, tmp_path):
  pictures = [picture(i) for i in range(len(times))]
  path = tmp_path / f'clip{suffix}'
  write(path, codec='libx264', pictures=pictures, times=times)
  read_times = [time for time, _ in read(path)]
  np.testing.assert_allclose(read_times, times, atol=1e-3)


def test_video_times_start_where_the_file_does(tmp_path):
  # The clock of a transport stream starts anywhere; sound starts first here.
  path = write(
    tmp_path / 'clip.ts', codec='mpeg2video', times=0.5 + np.arange(20) / 10
  )
  assert read(path)[0][0] == 0
  path = write(tmp_path / 'clip.mkv', times=0.5 + np.arange(20) / 10, sound=3)
  assert read(path)[0][0] == pytest.approx(0.5, abs=0.03)


def test_video_times_increase_where_recordings_were_joined(tmp_path):
  path = write(tmp_path / 'clip.ts', codec='libx264')
  path.write_bytes(2 * path.read_bytes())
  times = [time for time, _ in read(path)]
  np.testing.assert_allclose(times, np.arange(40) / 10, atol=1e-3)


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
  path = write(tmp_path / 'plain.mp4', pictures=[picture(0), picture(1)])
  plain = read(path)[1][1]
  a, b, c, d = (int(value * 2**16) for value in matrix)
  patch(path, b'tkhd', 40, '>iiiii', a, b, 0, c, d)
  np.testing.assert_array_equal(read(path)[1][1], shown(plain))


@pytest.mark.parametrize(('matrix', 'shown'), SHOWN[:8])
def test_matroska_is_turned_and_mirrored_as_it_says(matrix, shown, tmp_path):
  path = write(tmp_path / 'plain.mp4', pictures=[picture(0), picture(1)])
  plain = read(path)[1][1]
  a, b, c, d = (int(value * 2**16) for value in matrix)
  patch(path, b'tkhd', 40, '>iiiii', a, b, 0, c, d)
  # As `ffmpeg -c copy` does.
  turned = tmp_path / 'turned.mkv'
  with av.open(str(path)) as source, av.open(str(turned), 'w') as target:
    stream = target.add_stream_from_template(source.streams.video[0])
    for packet in source.demux():
      if packet.size:
        packet.stream = stream
        target.mux(packet)
  np.testing.assert_array_equal(read(turned)[1][1], shown(plain))


def test_video_trimmed_by_an_edit_list_is_whole(tmp_path):
  pictures = [picture(i) for i in range(40)]
  path = write(tmp_path / 'clip.mp4', pictures=pictures)
  # The edit and the track show the second second of four.
  data = path.read_bytes()
  at = data.index(b'elst') + 4
  duration, start = struct.unpack_from('>Ii', data, at + 8)
  patch(path, b'elst', 8, '>Ii', duration // 4, start + 10_240)
  patch(path, b'tkhd', 20, '>I', duration // 4)
  frames = read(path)
  assert frames[0][0] == 0 and 9 <= len(frames) <= 11
  assert np.abs(frames[0][1].astype(int) - picture(10)).mean() < 2


def test_video_changes_its_size(tmp_path):
  first = write(tmp_path / 'a.ts', codec='libx264')
  second = write(
    tmp_path / 'b.ts',
    codec='libx264',
    pictures=[picture(i, 32, 48) for i in range(5)],
    times=2 + np.arange(5) / 10,
  )
  first.write_bytes(first.read_bytes() + second.read_bytes())
  sizes = [frame.shape[:2] for _, frame in read(first)]
  assert sizes == 20 * [(64, 80)] + 5 * [(32, 48)]


def test_interlaced_video_is_deinterlaced(tmp_path):
  # A white bar moves 4 px from field to field.
  pictures = []
  for left in range(0, 56, 8):
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[::2, left : left + 20] = frame[1::2, left + 4 : left + 24] = 255
    pictures.append(frame)
  options = {'x264-params': 'tff=1', 'crf': '1'}
  plain = write(tmp_path / 'a.mp4', codec='libx264', pictures=pictures)
  path = tmp_path / 'b.mp4'
  write(path, codec='libx264', pictures=pictures, options=options)
  combs = [
    np.abs(np.diff(frames[3][1].astype(int), axis=0)).mean()
    for frames in (read(plain), read(path))
  ]
  assert combs[0] > 20 and combs[1] < 2
  times = [time for time, _ in read(path)]
  np.testing.assert_allclose(times, np.arange(7) / 10, atol=1e-3)


# MPEG-2: two interlaced frames of 32 x 32 px, all gray.
INTERLACED = """
AAABswIAIBP//+AYAAABtRSCAAEAAAAAAbgACABAAAABAAAP//gAAAG1j//zgAAAAAEBEy0pSItKUpER
AAABAhMtKUiLSlKREAAAAQAAV//7gAAAAbWBH/OAAAAAAQESbmwAAAECEm5s
"""


def test_interlaced_mpeg2_is_read(tmp_path):
  path = tmp_path / 'clip.mpg'
  path.write_bytes(base64.b64decode(INTERLACED))
  (_, first), (time, _) = read(path)
  assert (first == 128).all() and time == pytest.approx(1 / 25)


@pytest.mark.parametrize('suffix', sorted(set(KINDS) - {'.ts', '.wmv'}))
def test_video_cut_short_is_named_after_its_frames(suffix, tmp_path):
  path = tmp_path / f'cut{suffix}'
  noise = np.random.default_rng(0).integers(0, 255, (20, 64, 80, 3), np.uint8)
  header_first = suffix in ('.mp4', '.mov')
  write(
    path, codec=KINDS[suffix], pictures=list(noise), header_first=header_first
  )
  cut(path, 0.8)
  if suffix == '.m4v':  # Its header was at the end.
    with pytest.raises(UserError, match='cut.m4v is cut short'):
      videos.Video(path)
    return
  frames, problem = read_with_problem(path)
  assert 1 <= len(frames) < 20
  assert f'cut{suffix} is cut short: {len(frames)} frames' in problem


def test_flv_cut_between_packets_is_named(tmp_path):
  pictures = [picture(i % 99) for i in range(60)]
  path = write(tmp_path / 'clip.flv', codec='flv', pictures=pictures, sound=7)
  assert len(read(path)) == 60
  whole = path.read_bytes()
  for share in np.linspace(0.3, 0.6, 7):
    path.write_bytes(whole[: round(share * len(whole))])
    assert 'clip.flv is cut short' in read_with_problem(path)[1]


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.flv', '.avi'])
def test_video_is_whole_though_its_sound_goes_on(suffix, tmp_path):
  path = write(tmp_path / f'clip{suffix}', codec=KINDS[suffix], sound=9)
  assert len(read(path)) == 20


def test_damaged_frames_are_told(tmp_path):
  pictures = [picture(i) for i in range(60)]
  path = write(
    tmp_path / 'clip.mp4', codec='libx264', pictures=pictures, header_first=True
  )
  data = bytearray(path.read_bytes())
  middle = (data.index(b'mdat') + len(data)) // 2
  data[middle : middle + 40] = bytes(range(100, 140))
  path.write_bytes(data)
  frames, problem = read_with_problem(path)
  assert len(frames) > 30
  assert 'clip.mp4 is damaged' in problem


def test_video_of_an_unknown_codec_is_named(tmp_path):
  path = write(tmp_path / 'clip.avi', codec='mjpeg')
  path.write_bytes(path.read_bytes().replace(b'MJPG', b'xyzw'))
  with pytest.raises(UserError, match='clip.avi .* a codec that FFmpeg lacks'):
    read(path)


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(99)])
def test_file_that_is_not_a_video_is_named(content, tmp_path):
  (tmp_path / 'clip.mp4').write_bytes(content)
  with pytest.raises(UserError, match='clip.mp4 is not a video that'):
    videos.Video(tmp_path / 'clip.mp4')


def test_sound_with_a_cover_is_not_a_video(tmp_path):
  path, cover = tmp_path / 'song.mp4', io.BytesIO()
  Image.fromarray(picture(0)).save(cover, 'JPEG')
  with av.open(str(path), 'w') as file:
    audio = file.add_stream('aac', rate=48_000)
    front = file.add_stream('mjpeg', rate=1)
    front.height, front.width, front.pix_fmt = HEIGHT, WIDTH, 'yuvj420p'
    front.disposition = av.stream.Disposition.attached_pic
    file.start_encoding()
    packet = av.Packet(cover.getvalue())
    packet.stream, packet.pts, packet.dts = front, 0, 0
    file.mux(packet)
    silence = np.zeros((2, 1024), np.float32)
    silence = av.AudioFrame.from_ndarray(silence, 'fltp', 'stereo')
    silence.sample_rate = 48_000
    file.mux(audio.encode(silence) + audio.encode(None))
  with pytest.raises(UserError, match='song.mp4 has no video'):
    videos.Video(path)


def test_title_that_is_not_utf8_is_no_obstacle(tmp_path):
  path = tmp_path / 'clip.mkv'
  with av.open(str(path), 'w') as file:
    file.metadata['title'] = 'TITLE'
    video = file.add_stream('mpeg4', rate=10)
    video.height, video.width, video.pix_fmt = HEIGHT, WIDTH, 'yuv420p'
    frame = av.VideoFrame.from_ndarray(picture(0), format='rgb24')
    file.mux(video.encode(frame) + video.encode(None))
  path.write_bytes(path.read_bytes().replace(b'TITLE', b'\xe9t\xe9 1'))
  assert len(read(path)) == 1


def test_video_from_a_pipe_is_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / 'clip.mp4')
  with pytest.raises(UserError, match='clip.mp4 is not a file'):
    videos.Video(tmp_path / 'clip.mp4')


def test_video_is_known_by_its_suffix(tmp_path):
  for name in 'a.MTS b.3gp c.flv d.MOV e.webm'.split():
    assert videos.is_video(tmp_path / name)
  assert not videos.is_video(tmp_path / 'a.jpg')


@pytest.mark.parametrize('name', [b'\xff\xfe.mp4', 'é 1:2 %03d.mp4'.encode()])
def test_video_of_any_name_is_read(name, tmp_path):
  folder = tmp_path / os.fsdecode(b'\xfa')
  folder.mkdir()
  path = folder / os.fsdecode(name)
  write(tmp_path / 'plain.mp4').rename(path)
  assert len(read(path)) == 20


@pytest.mark.parametrize('sent', [0, 0.8])
def test_url_that_hangs_is_named(sent, tmp_path, monkeypatch):
  monkeypatch.setattr(videos, 'TIMEOUT', 1.0)
  pictures = [picture(i) for i in range(100)]
  path = write(tmp_path / 'clip.ts', codec='mpeg2video', pictures=pictures)
  data = path.read_bytes()
  with socket.create_server(('localhost', 0)) as server:
    url = f'http://localhost:{server.getsockname()[1]}/clip.ts'
    kept = []

    def serve():
      connection, _ = server.accept()
      kept.append(connection)
      connection.recv(9999)
      if sent:
        connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n')
        connection.sendall(data[: round(sent * len(data))])

    threading.Thread(target=serve).start()
    started = time.monotonic()
    if sent:
      frames, problem = read_with_problem(url)
      assert len(frames) > 50
      assert f'{url} broke off after {len(frames)} frames: nothing' in problem
    else:
      with pytest.raises(UserError, match='cannot be reached.*nothing came'):
        videos.Video(url)
    assert time.monotonic() - started < 20
    kept[0].close()


@pytest.mark.parametrize(
  ('source', 'complaint'),
  [
    ('97', 'there is no camera 97'),
    ('http://localhost:9/a.mp4', 'http://localhost:9/a.mp4 cannot be reached'),
  ],
)
def test_streams_that_are_not_there_are_named(source, complaint):
  with pytest.raises(UserError, match=complaint):
    videos.Video(source)


def test_video_left_early_leaves_no_threads(tmp_path):
  path = write(tmp_path / 'clip.mp4')
  for _ in range(30):
    with videos.Video(path) as video:
      next(iter(video))
  assert len(os.listdir('/proc/self/task')) < 100


def test_opencv_and_pyav_decode_in_one_process(tmp_path):
  path = write(tmp_path / 'clip.avi', codec='mjpeg')
  capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
  for _, ours in read(path):
    _, theirs = capture.read()
    np.testing.assert_allclose(ours[..., ::-1], theirs, atol=8)
