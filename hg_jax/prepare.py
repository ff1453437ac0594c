"""Makes training records from images and annotations.

python -m hg_jax.prepare --images=DIR --annotations=FILE --data_dir=OUT
"""

import contextlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from hg_jax.annotations import coco, forms, image_files, squares
from hg_jax.annotations.people import People, Squares
from hg_jax.base import files as files_lib
from hg_jax.base.command import run
from hg_jax.base.config import Augment
from hg_jax.base.errors import UserError, system_errors
from hg_jax.base.skeleton import Skeleton
from hg_jax.drawn import synthetic
from hg_jax.input import augmentation, person_crops, photo_records, records
from hg_jax.input.crops import crop_size
from hg_jax.pictures import figures
from hg_jax.pictures.crops import annotated_crop

FLAGS = flags.FLAGS

# Enough for the largest input, and more than any augmentation reaches.
_MOST_SIZE, _MOST_MARGIN = 8192, 32


def define_flags() -> None:
  flags.DEFINE_string('images', None, 'Folder of the images.')
  text = (
    'COCO keypoints JSON of anything; joints.mat of LSP or LSP-extended; or '
    'of MPII mpii_human_pose_v1_u12_1.mat, mpii_annotations.json[.gz], or the '
    'folder of train.h5 and valid.h5, or train.json and valid.json.'
  )
  flags.DEFINE_string('annotations', None, text)
  text = 'A second file of annotations, to validate on.'
  flags.DEFINE_string('validation', None, text)
  text = (
    'Share of the images to validate on. The default is '
    f'{forms.VALIDATION_SHARE:g} where the annotations have no split.'
  )
  flags.DEFINE_float('validation_share', None, text)
  text = 'Category of a COCO file; needed if several have keypoints.'
  flags.DEFINE_string('category', None, text)
  text = (
    'Joints of a COCO file that change places in a mirror, a:b,c:d; by '
    'default the names say them.'
  )
  flags.DEFINE_list('flip_pairs', None, text)
  text = (
    "Unit of a COCO file's errors: the longer side of the box, or the torso."
  )
  flags.DEFINE_enum('metric', None, coco.METRICS, text)
  text = 'Where to write; what --config.data.dir reads.'
  flags.DEFINE_string('data_dir', 'data/mpii', text)
  text = 'Side of the stored crops, px: inputs of 256 px need 448, 384 px 672.'
  flags.DEFINE_integer('size', 448, text)
  text = (
    'Longer side of the stored whole photos, px, from which a finder of people '
    'learns; 0 stores none.'
  )
  flags.DEFINE_integer('photo_size', 512, text, lower_bound=0)
  text = (
    "Side of the stored square over the person's; the default is what the "
    'default augmentation reaches.'
  )
  margin = round(augmentation.margin(Augment()), 4)
  flags.DEFINE_float('margin', margin, text)
  text = 'Leave out the people whose image is missing.'
  flags.DEFINE_bool('allow_missing', False, text)
  text = 'Leave out the people of broken images, and of images of a wrong size.'
  flags.DEFINE_bool('skip_unreadable', False, text)


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  for name in ('images', 'annotations'):
    if not FLAGS[name].value:
      raise UserError(f'--{name} is missing; see --help.')
  names = ('validation_share', 'category', 'flip_pairs', 'metric', 'size')
  names += ('photo_size', 'margin', 'allow_missing', 'skip_unreadable')
  prepare(
    images=Path(FLAGS.images),
    annotations=Path(FLAGS.annotations),
    data_dir=Path(FLAGS.data_dir),
    validation=Path(FLAGS.validation).resolve() if FLAGS.validation else None,
    **{name: FLAGS[name].value for name in names},
  )


def prepare(
  *,
  images: Path,
  annotations: Path,
  data_dir: Path,
  size: int = 448,
  photo_size: int = 512,
  margin: float = augmentation.margin(Augment()),
  allow_missing: bool = False,
  skip_unreadable: bool = False,
  **settings,
) -> None:
  """Writes the records, a report and a contact sheet under `data_dir`.

  The arguments are the command's flags; `settings` are those of `forms.load`.

  Raises:
    UserError: bad input, or `data_dir` holds other records or is in use.
  """
  if not (64 <= size <= _MOST_SIZE and 1 <= margin <= _MOST_MARGIN):
    raise UserError(
      f'--size={size} --margin={margin}: they must be from 64 to {_MOST_SIZE}, '
      f'and from 1 to {_MOST_MARGIN}.'
    )
  if not images.is_dir():
    raise UserError(f'{images} is not a folder; give --images=DIR.')
  source = {
    'images': str(images.resolve()),
    'annotations': str(annotations.resolve()),
    'size': size,
    'margin': margin,
    **{name: str(v) for name, v in settings.items() if v is not None},
    'content': _content(annotations, settings.get('validation')),
  }
  sheet = data_dir / 'contact_sheet.png'  # the last thing written
  if records.prepared(data_dir) and sheet.exists():
    person_crops.require_source(data_dir, source)
    print(f'{data_dir} is prepared already; delete it to start over.')
    return
  found = forms.load(annotations, **settings)
  splits, files, missing = _present(found.splits, images, allow_missing)
  with _only_writer(data_dir, flag='--data_dir'):
    unreadable = person_crops.write(
      splits,
      found.skeleton,
      source,
      data_dir,
      files=files,
      sizes=found.sizes,
      skip_unreadable=skip_unreadable,
    )
    if photo_size:
      category = settings.get('category')
      everyone = squares.everyone(annotations, found.splits, category=category)
      _write_photos(data_dir, splits, everyone, files, photo_size)
    lines = [*_report(splits, found.skeleton), *found.notes]
    report = '\n'.join([*lines, *missing, *unreadable])
    files_lib.write(data_dir / 'report.txt', report + '\n')
    figures.write(sheet, _contact_sheet(data_dir, next(iter(splits))))
  print(f'{report}\nLook at {sheet} before you train.')


def _write_photos(
  data_dir: Path,
  splits: dict[str, People],
  everyone: Squares,
  files: dict[str, Path],
  size: int,
) -> None:
  """Writes the whole photos of each split, with everybody in them."""
  images = {s: set(people.image.tolist()) for s, people in splits.items()}
  total = sum(map(len, images.values()))
  with tqdm(total=total, unit='photo', desc='Shrinking photos') as bar:
    for split, names in images.items():
      photo_records.write(
        data_dir,
        split,
        everyone.of(names),
        files,
        size=size,
        progress=bar.update,
      )


def _content(*paths: Path | None) -> str | None:
  """Returns a checksum of files and folders; None if one does not exist."""
  crc = 0
  for path in filter(None, paths):
    if not path.exists():
      return None
    for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
      if file.is_file():  # `forms.load` refuses others.
        with files_lib.open_to_read(file) as opened:
          while part := opened.read(2**20):
            crc = zlib.crc32(part, crc)
  return f'{crc:08x}'


def prepare_synthetic(
  data_dir: Path, people: int, *, image_size: int = 256
) -> None:
  """Draws and prepares people under `data_dir`, unless it holds some.

  Warns if it holds another number of people.

  Args:
    data_dir: the folder.
    people: how many to draw.
    image_size: px, of the network's inputs.

  Raises:
    UserError: another process draws there, or the folder cannot be written.
  """
  if records.prepared(data_dir):
    found = sum(records.counts(data_dir).values())
    if found != people:
      print(
        f'warning: {data_dir} holds {found:,} people, who are used; to draw '
        f'the {people:,} of config.data.synthetic_people, give another '
        '--config.data.dir.',
        file=sys.stderr,
      )
    return
  drawn = data_dir / 'drawn'
  # Another process must not draw a picture again while this one reads it.
  with _only_writer(drawn, flag='--config.data.dir'):
    prepare(
      images=drawn / 'images',
      annotations=synthetic.draw(drawn, people, seed=0),
      data_dir=data_dir,
      size=crop_size(image_size),
    )


@contextlib.contextmanager
def _only_writer(folder: Path, *, flag: str) -> Iterator[None]:
  """Creates and locks a folder, so that no other process writes into it."""
  with system_errors(folder):
    folder.mkdir(parents=True, exist_ok=True)
  with files_lib.locked(folder, flag=flag):
    yield


def _present(
  splits: dict[str, People], folder: Path, allow_missing: bool
) -> tuple[dict[str, People], dict[str, Path], list[str]]:
  """Selects the people whose images exist, each image in one split only.

  Returns:
    The people, the file of each image, and lines on who is left out.
  """
  names = sorted({str(i) for people in splits.values() for i in people.image})
  files = image_files.find(names, folder)
  missing = [name for name in names if name not in files]
  if missing and not allow_missing:
    raise UserError(
      f'{len(missing)} annotated images are not in {folder}, such as '
      f'{", ".join(missing[:3])}; --allow_missing prepares the rest.'
    )
  if not files:
    raise UserError(
      f'none of the annotated images is in {folder}, such as {missing[0]}.'
    )
  kept, absent, shared = {}, 0, 0
  taken = set()  # The files of validation images, then also of test images.
  for split in sorted(splits, key=['valid', 'test', 'train'].index):
    of_people = [files.get(str(name)) for name in splits[split].image]
    exists = np.array([file is not None for file in of_people])
    free = np.array([file not in taken for file in of_people])
    absent += int((~exists).sum())
    shared += int((exists & ~free).sum())
    taken |= set(of_people) - {None}
    if (exists & free).any():
      kept[split] = splits[split][exists & free]
  lines = []
  if missing:
    lines.append(f'Left out: {absent} people of {len(missing)} missing images.')
  if shared:
    lines.append(f'Left out: {shared} people in images of another split.')
  if 'train' not in kept:
    lines.append('There are no people to train on, only to evaluate.')
  return {s: kept[s] for s in splits if s in kept}, files, lines


def _report(splits: dict[str, People], skeleton: Skeleton) -> list[str]:
  """Lists counts to compare with the published ones, SPEC 2.1 and 2.2."""
  lines = ['split     people  images   labeled   visible']
  for split, people in splits.items():
    lines.append(
      f'{split:<8}{len(people):>8}{len(np.unique(people.image)):>8}'
      f'{people.labeled.sum():>10}{people.visible.sum():>10}'
    )
  header = ''.join(f'{split:>20}' for split in splits)
  lines += ['', f'{"labeled / visible":<18}{header}']
  for joint, name in enumerate(skeleton.joints):
    counts = ''.join(
      f'{people.labeled[:, joint].sum():>11}{people.visible[:, joint].sum():>9}'
      for people in splits.values()
    )
    lines.append(f'{name:<18}{counts}')
  lines.append('')
  for split, people in splits.items():
    if unmeasured := int((people.reference <= 0).sum()):
      lines.append(
        f'{split}: {unmeasured} people are not scored: the unit of '
        f'{skeleton.metric} has no size or is not labeled.'
      )
  if skeleton.metric == 'pckh':
    measured = [people[people.reference > 0] for people in splits.values()]
    ratio = np.concatenate([p.side / p.reference for p in measured])
    wrong = int((np.abs(ratio - 10) > 0.1).sum())
    found = f'NOT so for {wrong} people' if wrong else f'holds for {len(ratio)}'
    lines.append(f'Crop side = 10 head sizes: {found}.')
  return lines


def _contact_sheet(data_dir: Path, split: str, count: int = 24) -> np.ndarray:
  """Draws people from the whole split, with their joints."""
  crops = records.read(data_dir, split)
  rows = np.linspace(0, len(crops) - 1, min(count, len(crops))).astype(int)
  pictures = [annotated_crop(crops, row, 256) for row in rows]
  return figures.sheet(pictures, columns=6)


if __name__ == '__main__':
  define_flags()
  run(main)
