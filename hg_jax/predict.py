"""Finds people's joints in photos and videos.

  python -m hg_jax.predict SOURCE... --output=DIR [--workdir=RUN]
      [--box=x,y,w,h | --boxes=FILE] [--format=json] [--draw=none] ...

A SOURCE is an image, a video, a folder of them, a pattern such as
'a/**/*.jpg', @list.txt or - (a list on standard input), a camera's number or
URL. Without --workdir the network that comes with the package looks. Without
boxes everybody is found; in a video people are followed from frame to frame.

predictions.jsonl   a line per image or frame: its people, their boxes, joints
                    in px of the image and scores; --format adds another form
NAME_overlay.jpg    the people of an image; NAME_overlay.mp4 those of a video
NAME_heatmaps.png   with --heatmaps: one sheet for each person of an image

Stopped, the same command goes on. Files that cannot be read are named at the
end, and the exit status is 1.
"""

import sys
from pathlib import Path

import cv2
from absl import flags
from tqdm import tqdm

from hg_jax.annotations.boxes import Boxes, read_boxes
from hg_jax.base.command import cache_compilations, run
from hg_jax.base.errors import UserError
from hg_jax.media import sources, videos
from hg_jax.media.sources import Source
from hg_jax.prediction import pipeline, tracking
from hg_jax.prediction.finder import MIN_SCORE, Search
from hg_jax.prediction.frames import Settings
from hg_jax.prediction.prediction_lines import FORMS, PredictionLines, convert
from hg_jax.prediction.predictor import Predictor
from hg_jax.run import bundle
from hg_jax.run.signals import SignalWatch, exit_status

FLAGS = flags.FLAGS

_DRAWN = 1000  # photos, about, of a larger set


def define_flags() -> None:
  flags.DEFINE_string(
    'workdir',
    bundle.BOX,
    "The folder of a run, trained or written by convert; 'box': the network "
    'that comes with the package.',
  )
  flags.DEFINE_alias('weights', 'workdir')
  flags.DEFINE_string(
    'checkpoint', 'best', "Of the run: 'best', 'latest' or a step."
  )
  flags.DEFINE_string('output', None, 'The folder to write to.')
  flags.DEFINE_bool('overwrite', False, 'Begin anew there.')
  flags.DEFINE_bool('recursive', False, 'Look into the folders of folders.')
  flags.DEFINE_list(
    'box', None, 'x,y,width,height of the person in every image, px.'
  )
  flags.DEFINE_string(
    'boxes',
    None,
    'A JSON file, {"photo.jpg": [[x, y, width, height], ...], ...}, COCO '
    "detections, or, for a video, MOT's text.",
  )
  flags.DEFINE_string(
    'finder',
    'auto',
    "The folder of a run that finds people, or 'none': a photo is one person. "
    'By default the finder that comes with the package, where the joints are '
    "people's.",
  )
  flags.DEFINE_integer(
    'people', None, 'Find so many at most, the surest.', lower_bound=1
  )
  flags.DEFINE_float(
    'min_score', MIN_SCORE, 'Leave out people, and detections, below it.'
  )
  _define_flags_of_drawing()
  flags.DEFINE_bool(
    'flip_test', True, 'Average with the mirrored image; takes twice as long.'
  )
  flags.DEFINE_bool(
    'track', True, 'In videos, let boxes follow the joints that are found.'
  )
  flags.DEFINE_bool(
    'smooth', False, 'In videos, smooth the joints of tracks (One-Euro).'
  )
  flags.DEFINE_integer(
    'batch_size',
    8,
    'People that the network takes at a time.',
    lower_bound=1,
    upper_bound=1024,
  )


def _define_flags_of_drawing() -> None:
  flags.DEFINE_enum('format', 'jsonl', list(FORMS), 'What to write, too.')
  flags.DEFINE_enum(
    'draw', 'jpg', ['jpg', 'png', 'none'], 'What to draw overlays as.'
  )
  flags.DEFINE_integer(
    'draw_every',
    None,
    f'Draw one of so many photos; by default about {_DRAWN:,} in all.',
    lower_bound=1,
  )
  flags.DEFINE_bool('heatmaps', False, 'Draw the heatmaps of images, too.')
  flags.DEFINE_float(
    'threshold', tracking.SEEN, 'The least score of a joint that is drawn.'
  )
  flags.DEFINE_bool('scores', False, 'Write scores into overlays.')


def main(argv: list[str]) -> int:
  if not argv or not FLAGS.output:
    raise UserError(
      'say what to look at and where to write: '
      'python -m hg_jax.predict SOURCE... --output=DIR'
    )
  _silence()
  cache_compilations()
  output = Path(FLAGS.output)
  boxes = read_boxes(FLAGS.box, FLAGS.boxes, min_score=FLAGS.min_score)
  found = sources.find(argv, output=output, recursive=FLAGS.recursive)
  boxes.require_use(found)
  if FLAGS.workdir == bundle.BOX:
    folder = bundle.folder_of(bundle.BOX)
    print(f'Looks with the network in the box, {folder.name} ({folder}).')
  predictor = Predictor(
    FLAGS.workdir,
    which=FLAGS.checkpoint,
    finder=FLAGS.finder,
    flip_test=FLAGS.flip_test,
    batch_size=FLAGS.batch_size,
  )
  predictions = PredictionLines(
    output,
    _what_lines_depend_on(predictor, boxes),
    predictor.skeleton,
    overwrite=FLAGS.overwrite,
  )
  return predict(
    predictor,
    found,
    boxes,
    _settings(found, predictor),
    predictions,
    form=FLAGS.format,
  )


def _silence() -> None:
  """Silences OpenCV about broken files; we name these ourselves."""
  cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _settings(found: list[Source], predictor: Predictor) -> Settings:
  photos = sum(not videos.is_video(source) for source in found)
  return Settings(
    draw=FLAGS.draw,
    draw_every=FLAGS.draw_every or max(round(photos / _DRAWN), 1),
    heatmaps=FLAGS.heatmaps,
    threshold=FLAGS.threshold,
    write_scores=FLAGS.scores,
    search=Search(
      finder=predictor.finder, min_score=FLAGS.min_score, most=FLAGS.people
    ),
    track=FLAGS.track,
    smooth=FLAGS.smooth,
    # A single photo is done sooner by a program of its own.
    batch_size=1 if len(found) == 1 == photos else FLAGS.batch_size,
  )


def _what_lines_depend_on(predictor: Predictor, boxes: Boxes) -> dict:
  return {
    'workdir': str(bundle.folder_of(FLAGS.workdir).resolve()),
    'step': predictor.step,
    'flip_test': FLAGS.flip_test,
    'box': FLAGS.box,
    'boxes': FLAGS.boxes and f'{FLAGS.boxes} ({boxes.crc32:08x})',
    'min_score': FLAGS.min_score,
    'finder': FLAGS.finder,
    'people': FLAGS.people,
    'track': FLAGS.track,
    'smooth': FLAGS.smooth,
  }


def predict(
  predictor: Predictor,
  found: list[Source],
  boxes: Boxes,
  settings: Settings,
  predictions: PredictionLines,
  *,
  form: str = 'jsonl',
) -> int:
  """Predicts and writes what is not done yet; returns the exit status.

  Raises:
    UserError: a file cannot be written.
  """
  if settings.draw_every > 1 and settings.draw != 'none':
    print(f'Draws every {settings.draw_every}th photo (--draw_every=1: all).')
  problems, people = {}, 0
  total, done = _count(found, predictions)
  for source in found:
    if problem := predictions.problem(source):
      problems[source] = problem
  bar = tqdm(total=total, initial=done, unit='image', desc='Predicting')
  frames = pipeline.run(predictor, found, boxes, settings, predictions)
  with SignalWatch('stopping after this image') as signals, bar:
    try:
      for frame in frames:
        if frame.problem:
          problems.setdefault(frame.source, frame.problem)
        if frame.is_end:
          if frame.is_drawn:  # Else the same command draws it anew.
            problem = problems.get(frame.source)
            predictions.finish_video(frame.source, problem)
          continue
        if not frame.problem and not frame.recorded:
          predictions.write(frame.record(settings))
          people += len(frame.found)
        bar.update()
        if signals.signal:
          break
    finally:
      frames.close()
      predictions.close()
  for problem in problems.values():
    print(f'error: {problem}', file=sys.stderr)
  had = f', which had {done} of these images already' if done else ''
  print(f'Wrote {people} people to {predictions.path}{had}.')
  if signals.signal:
    print('The same command goes on from here.')
    return exit_status(signals.signal)
  if form != 'jsonl':
    print(f'Wrote {convert(predictions.path, form, predictor.skeleton)}.')
  return int(bool(problems))


def _count(
  found: list[Source], predictions: PredictionLines
) -> tuple[int | None, int]:
  """How many images and frames there are, if known, and how many are done."""
  total, done = 0, 0
  for source in found:
    is_video = videos.is_video(source)
    frames = 1
    if is_video:
      if isinstance(source, str):
        return None, 0
      try:
        with videos.Video(source) as video:
          frames = video.frames or 0
      except UserError:
        frames = 0
    total += frames
    done += frames if predictions.done(source, video=is_video) else 0
  return total, done


if __name__ == '__main__':
  define_flags()
  run(main)
