"""Prepared people: crops of the images in TFRecords, and reading them back.

A record is a row of `dataset.People` and a JPEG of the square about the
person, wide enough for every augmentation, with the map from the image to
that crop. A split's JPEGs fit in memory (about 1 GB for all of MPII), so
training never touches the disk again.
"""

import collections
import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from hg_jax import affine, images
from hg_jax.command import UserError
from hg_jax.dataset import People

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crops:
  """The prepared people of a split, in memory.

  Attributes:
    people: the P rows.
    encoded: a JPEG per person.
    image_to_crop: f64[P, 3, 3], px of the image to px of the decoded JPEG.
    margin: the crop's side over the person's.
  """

  people: People
  encoded: list[bytes]
  image_to_crop: np.ndarray
  margin: float

  def __len__(self) -> int:
    return len(self.people)


class PersonCrops(tfds.core.GeneratorBasedBuilder):
  """The tensorflow-datasets builder behind `python -m hg_jax.prepare`."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    *,
    splits: dict[str, People],
    source: dict[str, str | int | float],
    progress: Callable[[], None],
    skip_unreadable: bool,
    **kwargs,
  ):
    """Prepares to write `splits`.

    Args:
      splits: people by split; all their images exist.
      source: 'images', their folder; 'annotations', their file; 'size', the
        side of the largest crop to store, px; 'margin', the stored square's
        side over the person's.
      progress: called once after each image.
      skip_unreadable: leave the people of broken images out, and list them
        in `unreadable`, rather than stop.
      **kwargs: tensorflow-datasets' own, such as `data_dir`.
    """
    self._splits = splits
    self._source = source
    self._progress = progress
    self._skip_unreadable = skip_unreadable
    self.unreadable: list[str] = []
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    joints = next(iter(self._splits.values())).joints.shape[1]
    return self.dataset_info_from_configs(
      description='Crops of annotated people.',
      features=tfds.features.FeaturesDict(
        {
          'crop': tfds.features.Image(encoding_format='jpeg'),
          'image_to_crop': tfds.features.Tensor(shape=(3, 3), dtype=np.float64),
          'row': np.int64,
          'image': tfds.features.Text(),
          'center': tfds.features.Tensor(shape=(2,), dtype=np.float32),
          'side': np.float32,
          'joints': tfds.features.Tensor(shape=(joints, 2), dtype=np.float32),
          'labeled': tfds.features.Tensor(shape=(joints,), dtype=np.bool_),
          'visible': tfds.features.Tensor(shape=(joints,), dtype=np.bool_),
          'head_size': np.float32,
          'image_index': np.int32,
          'person_index': np.int32,
        }
      ),
      metadata=tfds.core.MetadataDict(self._source),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    return {
      split: self._generate_examples(people)
      for split, people in self._splits.items()
    }

  def _generate_examples(self, people: People) -> Iterator:
    by_image = collections.defaultdict(list)
    for row, image in enumerate(people.image):
      by_image[image].append(row)
    # OpenCV works outside Python's lock, so threads use every core.
    with ThreadPool() as pool:
      work = pool.imap(
        lambda item: self._crops_of_image(people, *item), by_image.items()
      )
      for rows, crops in work:
        for row, (jpeg, image_to_crop) in zip(rows, crops, strict=False):
          yield row, _example(people, row, jpeg, image_to_crop)
        self._progress()

  def _crops_of_image(self, people: People, image: str, rows: list[int]):
    try:
      picture = images.read(Path(self._source['images']) / image)
    except UserError as error:
      if not self._skip_unreadable:
        raise
      self.unreadable.append(str(error))
      return rows, []
    crops = [
      cut(
        picture,
        people.center[row],
        people.side[row] * self._source['margin'],
        self._source['size'],
      )
      for row in rows
    ]
    return rows, [(_encode(crop), map_) for crop, map_ in crops]


def cut(
  picture: np.ndarray,  # u8[H, W, 3]
  center: np.ndarray,  # f[2] px
  side: float,  # px
  size: int,  # px
) -> tuple[np.ndarray, np.ndarray]:  # u8[S, S, 3], f64[3, 3]
  """Cuts a square out of an image and shrinks it by averaging areas.

  The square is widened to whole pixels, so nothing is interpolated; it is
  black outside the image and is never enlarged: S <= size.

  Returns:
    The crop and the map from the image to it.
  """
  left, top = np.floor(np.asarray(center, np.float64) - side / 2).astype(int)
  right, bottom = np.ceil(np.asarray(center, np.float64) + side / 2).astype(int)
  width = max(right - left, bottom - top, 1)
  inside = picture[
    max(top, 0) : max(top + width, 0), max(left, 0) : max(left + width, 0)
  ]
  square = np.zeros((width, width, 3), np.uint8)
  row, column = max(-top, 0), max(-left, 0)
  square[row : row + inside.shape[0], column : column + inside.shape[1]] = (
    inside
  )
  image_to_crop = affine.translate([-left, -top])
  if width > size:
    square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
    image_to_crop = image_to_crop @ affine.scale(size / width)
  return square, image_to_crop


def _encode(crop: np.ndarray) -> bytes:
  _, jpeg = cv2.imencode('.jpg', crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
  return jpeg.tobytes()


def _example(people: People, row: int, jpeg: bytes, image_to_crop: np.ndarray):
  columns = {
    field.name: getattr(people, field.name)[row]
    for field in dataclasses.fields(people)
  }
  return columns | {
    'crop': io.BytesIO(jpeg),
    'image_to_crop': image_to_crop,
    'row': row,
  }


def write(
  splits: dict[str, People],
  source: dict[str, str | int | float],
  data_dir: Path,
  *,
  skip_unreadable: bool,
) -> list[str]:
  """Writes the records of `splits`; shows its progress.

  Args:
    splits: people by split; all their images exist.
    source: 'images' (folder), 'annotations', 'size' and 'margin', as
      `PersonCrops` has them; kept for `require_source`.
    data_dir: where to write. What an interrupted call left there goes.
    skip_unreadable: leave out the people of broken images.

  Returns:
    A line on each image left out.

  Raises:
    UserError: an image is broken and not to be skipped, or the disk refuses.
  """
  folder = data_dir / PersonCrops.name
  for remains in folder.glob('*incomplete*'):
    shutil.rmtree(remains)
  tfds.disable_progress_bar()
  total = sum(len(np.unique(people.image)) for people in splits.values())
  with tqdm(total=total, unit='image', desc='Preparing') as bar:
    builder = PersonCrops(
      splits=splits,
      source=source,
      progress=bar.update,
      skip_unreadable=skip_unreadable,
      data_dir=data_dir,
    )
    try:
      # It would print that it downloads, which it does not.
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=folder / 'downloads')
    except OSError as error:
      raise UserError(f'{data_dir} cannot be written: {error}.') from error
  return builder.unreadable


def require_source(data_dir: Path, source: dict) -> None:
  """Raises UserError if the records there were made from something else."""
  made_of = tfds.builder_from_directory(prepared(data_dir)).info.metadata
  for name, value in source.items():
    if made_of[name] != value:
      raise UserError(
        f'{data_dir} was prepared with --{name}={made_of[name]}, not {value}; '
        'give another --data_dir, or delete it.'
      )


def prepared(data_dir: Path) -> Path | None:
  """The folder of a complete set of records under `data_dir`, if any."""
  folder = data_dir / PersonCrops.name / str(PersonCrops.VERSION)
  return folder if (folder / 'dataset_info.json').exists() else None


def read(data_dir: Path, split: str) -> Crops:
  """Reads a split, in the order of the annotations, into memory.

  Raises:
    UserError: nothing was prepared there, or not this split.
  """
  folder = prepared(data_dir)
  if folder is None:
    raise UserError(
      f'{data_dir} holds no prepared people; run `python -m hg_jax.prepare '
      f'--images=DIR --annotations=FILE --data_dir={data_dir}`.'
    )
  builder = tfds.builder_from_directory(folder)
  if split not in builder.info.splits:
    raise UserError(
      f'{data_dir} has no split {split!r}; it has '
      f'{", ".join(builder.info.splits)}.'
    )
  dataset = builder.as_dataset(
    split=split,
    decoders={'crop': tfds.decode.SkipDecoding()},
    # One reader keeps the order over several shards.
    read_config=tfds.ReadConfig(interleave_cycle_length=1),
  )
  # In batches: an example at a time costs ten times as much.
  batches = [
    {name: value.numpy() for name, value in batch.items()}
    for batch in dataset.batch(256)
  ]
  columns = {
    name: np.concatenate([batch[name] for batch in batches])
    for name in batches[0]
  }
  people = People(
    **{
      field.name: columns[field.name]
      for field in dataclasses.fields(People)
      if field.name != 'image'
    },
    image=np.array([name.decode() for name in columns['image']]),
  )
  order = np.argsort(columns['row'], kind='stable')
  return Crops(
    people=people[order],
    encoded=[columns['crop'][row] for row in order],
    image_to_crop=columns['image_to_crop'][order],
    margin=builder.info.metadata['margin'],
  )
