"""Finds people's joints in photos and videos.

  python -m hg_jax.predict PATH... --workdir=RUN --output=DIR
      [--box=x,y,w,h | --boxes=FILE] [--heatmaps]

A PATH is an image, a video, a folder of them or a pattern such as 'a/*.jpg'.
Without a box the whole image is one person.

predictions.json    every person: image, box, joints in px of the image
NAME_overlay.png    the people of an image; NAME_overlay.mp4 those of a video
NAME_heatmaps.png   with --heatmaps: one sheet for each person of an image

Files that cannot be read are named at the end, and the exit status is 1.
"""

import dataclasses
import glob
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from absl import flags
from tqdm import tqdm

from hg_jax.base import affine, files
from hg_jax.base.command import cache_compilations, run
from hg_jax.base.errors import UserError
from hg_jax.data import images, videos
from hg_jax.data.boxes import Box, Boxes, boxes_of, read_boxes
from hg_jax.evaluation.inference import Predictor
from hg_jax.pictures.album import Album

FLAGS = flags.FLAGS

_BATCH = 8  # people at a time


def define_flags() -> None:
  flags.DEFINE_string(
    'workdir', None, 'The folder of a run, trained or written by convert.'
  )
  flags.DEFINE_alias('weights', 'workdir')
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )
  flags.DEFINE_string('output', None, 'The folder to write to.')
  flags.DEFINE_list(
    'box', None, 'x,y,width,height of the person in every image, px.'
  )
  flags.DEFINE_string(
    'boxes',
    None,
    'A JSON file, {"photo.jpg": [[x, y, width, height], ...], ...}; a video '
    'has one list for all its frames, a file without one is one person.',
  )
  flags.DEFINE_bool('heatmaps', False, 'Draw the heatmaps of images, too.')
  flags.DEFINE_bool(
    'flip_test', True, 'Average with the mirrored image; takes twice as long.'
  )


def main(argv: list[str]) -> int:
  if not argv or not FLAGS.output:
    raise UserError(
      'say what to look at and where to write: '
      'python -m hg_jax.predict PATH... --workdir=RUN --output=DIR'
    )
  if not FLAGS.workdir:
    raise UserError(
      'there are no weights in the package: give --workdir=RUN, a run that '
      '`python -m hg_jax.main` trained or `python -m hg_jax.convert '
      'checkpoint.pt --output=RUN` made of the PyTorch weights.'
    )
  _silence()
  cache_compilations()
  boxes = read_boxes(FLAGS.box, FLAGS.boxes)
  paths = find(argv)
  predictor = Predictor.from_workdir(
    FLAGS.workdir, which=FLAGS.checkpoint, flip_test=FLAGS.flip_test
  )
  problems = predict(
    predictor, paths, boxes, Path(FLAGS.output), sheets=FLAGS.heatmaps
  )
  for problem in problems:
    print(f'error: {problem}', file=sys.stderr)
  return int(bool(problems))


def _silence() -> None:
  """What the decoders say of broken files; we name these ourselves."""
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
  os.environ['OPENCV_FFMPEG_LOGLEVEL'] = '-8'  # AV_LOG_QUIET


def find(patterns: list[str]) -> list[Path]:
  """The files of paths, folders and patterns, each once, in order.

  Raises:
    UserError: a folder holds no images or videos, or a pattern fits nothing.
  """
  paths = {}
  for pattern in patterns:
    path = Path(pattern)
    if path.is_dir():
      found = [p for p in sorted(path.iterdir()) if _is_picture(p)]
      if not found:
        raise UserError(f'{path} holds no images or videos.')
    elif not path.exists() and glob.has_magic(pattern):
      found = [Path(p) for p in sorted(glob.glob(pattern))]
      if not found:
        raise UserError(f'nothing is called {pattern}.')
    else:
      found = [path]
    paths |= dict.fromkeys(found)
  return list(paths)


def _is_picture(path: Path) -> bool:
  return path.suffix.lower() in images.SUFFIXES or videos.is_video(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Frame:
  """An image, or a frame of a video, and its people."""

  path: Path
  number: int | None  # of a video's frame, from 0
  picture: np.ndarray  # u8[height, width, 3] RGB
  boxes: list[Box]
  seen: list[np.ndarray]  # P of u8[S, S, 3]
  input_to_image: np.ndarray  # f64[P, 3, 3]


def predict(
  predictor: Predictor,
  paths: list[Path],
  boxes: Boxes | Box | None,
  output: Path,
  *,
  sheets: bool,
) -> list[str]:
  """Predicts and writes; returns a line on each file that could not be read.

  Args:
    predictor: the network.
    paths: of images and videos.
    boxes: one for all images, or those of each; without, the whole image.
    output: the folder to write to.
    sheets: draw the heatmaps of images.

  Raises:
    UserError: boxes are of no file, or `output` cannot be written.
  """
  if isinstance(boxes, dict):
    names = {str(path) for path in paths} | {path.name for path in paths}
    if unknown := sorted(boxes.keys() - names):
      raise UserError(f'there are boxes for {unknown[0]}, but no such file.')
  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f'{output} cannot be written: {error.strerror}.') from error
  problems = []
  frames = _frames(predictor, paths, boxes, problems)
  records = []
  bar = tqdm(total=_count(paths, boxes), unit=' people', desc='Predicting')
  written = output / 'predictions.json'
  try:
    with Album(output, predictor.skeleton) as album, bar:
      for frame, joints, scores, maps in _batched(predictor, frames):
        album.add(frame.path, frame.number, frame.picture, joints, scores)
        if sheets and frame.number is None:
          album.add_sheets(frame.path, frame.seen, maps)
        records += _records(frame, joints, scores, predictor.skeleton.joints)
        bar.update(len(joints))
  finally:
    # Also of what was found before an interruption.
    try:
      files.write(written, json.dumps(records, indent=1) + '\n')
    except OSError as error:
      raise UserError(
        f'{written} cannot be written: {error.strerror}.'
      ) from error
    print(
      f'Wrote {written} of {len(records)} people, and their pictures beside.'
    )
  return problems


def _frames(
  predictor: Predictor,
  paths: list[Path],
  boxes: Boxes | Box | None,
  problems: list[str],
) -> Iterator[_Frame]:
  """Every image and frame that can be read; adds the others to `problems`."""
  for path in paths:
    try:
      for number, picture in _pictures_of(path):
        height, width = picture.shape[:2]
        people = boxes_of(path, boxes)
        if people is None:
          people = [(0.0, 0.0, float(width), float(height))]
        looks = [predictor.look(picture, box) for box in people]
        yield _Frame(
          path=path,
          number=number,
          picture=picture,
          boxes=people,
          seen=[seen for seen, _ in looks],
          input_to_image=np.array([map_ for _, map_ in looks]),
        )
    except UserError as error:
      message = str(error)
      named = message.startswith(str(path))
      problems.append(message if named else f'{path}: {message}')


def _count(paths: list[Path], boxes: Boxes | Box | None) -> int | None:
  """How many people there are to predict; None with videos."""
  if any(map(videos.is_video, paths)):
    return None
  people = [boxes_of(path, boxes) for path in paths]
  return sum(1 if boxes is None else len(boxes) for boxes in people)


def _pictures_of(path: Path) -> Iterator[tuple[int | None, np.ndarray]]:
  """The image, or the frames of the video with their numbers, in RGB."""
  if videos.is_video(path):
    yield from enumerate(videos.read(path))
  else:
    yield None, images.read_upright(path)


def _batched(
  predictor: Predictor, frames: Iterator[_Frame]
) -> Iterator[tuple[_Frame, np.ndarray, np.ndarray, np.ndarray]]:
  """Predicts _BATCH people at a time, so one program serves all.

  A single person has one of its own, which is done sooner.

  Yields:
    Every frame, its people's joints, f32[P, K, 2] px of the image, scores,
    f32[P, K], and heatmaps, f32[P, H, H, K].
  """
  waiting, people, first = [], 0, True
  for frame in frames:
    waiting.append(frame)
    people += len(frame.boxes)
    if max(people, len(waiting)) >= _BATCH:
      yield from _predict_frames(predictor, waiting, _BATCH)
      waiting, people, first = [], 0, False
  size = 1 if first and people == 1 else _BATCH
  yield from _predict_frames(predictor, waiting, size)


def _predict_frames(
  predictor: Predictor, frames: list[_Frame], size: int
) -> Iterator[tuple[_Frame, np.ndarray, np.ndarray, np.ndarray]]:
  """Predicts the people of frames, `size` at a time; yields as `_batched`."""
  seen = [person for frame in frames for person in frame.seen]
  parts = []
  for start in range(0, len(seen), size):
    part = seen[start : start + size]
    padded = part + part[-1:] * (size - len(part))
    parts.append(predictor.people(np.array(padded)))
  columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
  for frame in frames:
    count = len(frame.boxes)
    if not count:
      yield frame, *_nobody(len(predictor.skeleton.joints))
      continue
    joints, scores, maps = (column[:count] for column in columns)
    columns = [column[count:] for column in columns]
    yield frame, affine.apply(joints, frame.input_to_image), scores, maps


def _nobody(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  return np.zeros((0, count, 2)), np.zeros((0, count)), np.zeros((0, 0, 0, 0))


def _records(
  frame: _Frame,
  joints: np.ndarray,
  scores: np.ndarray,
  names: tuple[str, ...],
) -> list[dict]:
  """What predictions.json says of a frame's people."""
  number = {} if frame.number is None else {'frame': frame.number}
  return [
    {
      'image': str(frame.path),
      **number,
      'box': list(box),
      'joints': {
        name: {
          'x': round(float(x), 2),
          'y': round(float(y), 2),
          'score': round(float(score), 4),
        }
        for name, (x, y), score in zip(
          names, joints[person], scores[person], strict=True
        )
      },
    }
    for person, box in enumerate(frame.boxes)
  ]


if __name__ == '__main__':
  define_flags()
  run(main)
