"""Writes prepared people: crops of the images in TFRecords, and an index.

A record is a row of `people.People` and a JPEG of the square around the
person, wide enough for every augmentation, with the map from the image to
that crop. tensorflow-datasets reads them anywhere; training reads them by
their index, in `records`, without TensorFlow.
"""

import collections
import contextlib
import dataclasses
import io
import shutil
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from hg_jax.annotations.people import People
from hg_jax.base import array_files
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.input import crops as cropping
from hg_jax.input import records
from hg_jax.media import images

JPEG_QUALITY = 95

# A TFRecord is a length and its checksum, a payload, and its checksum.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4
# Of the metadata.
_NOT_FLAGS = {'skeleton', 'content'}


class PersonCrops(tfds.core.GeneratorBasedBuilder):
  """The tensorflow-datasets builder behind `python -m hg_jax.prepare`."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    *,
    splits: dict[str, People],
    skeleton: Skeleton,
    source: dict[str, str | int | float],
    files: dict[str, Path],
    sizes: dict[str, tuple[float, float]],
    progress: Callable[[], None],
    skip_unreadable: bool,
    **kwargs,
  ):
    """Takes what `write` takes; `progress` is called after each image."""
    self._splits = splits
    self._skeleton = skeleton
    self._source = source
    self._files = files
    self._sizes = sizes
    self._progress = progress
    self._skip_unreadable = skip_unreadable
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    joints = len(self._skeleton.joints)
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
          'known': tfds.features.Tensor(shape=(joints,), dtype=np.bool_),
          'visible': tfds.features.Tensor(shape=(joints,), dtype=np.bool_),
          'reference': np.float32,
          'image_index': np.int32,
          'person_index': np.int32,
        }
      ),
      metadata=tfds.core.MetadataDict(
        self._source | {'skeleton': self._skeleton.to_json()}
      ),
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
    # OpenCV releases Python's lock, so threads use every core.
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
      picture = _read(self._files[image], self._sizes.get(image))
    except UserError:
      if not self._skip_unreadable:
        raise
      return rows, []
    crops = [
      cropping.cut(
        picture,
        people.center[row],
        people.side[row] * self._source['margin'],
        self._source['size'],
      )
      for row in rows
    ]
    return rows, [(_encode(crop), map_) for crop, map_ in crops]


def _read(
  path: Path, size: tuple[float, float] | None
) -> np.ndarray:  # u8[H, W, 3] RGB
  """Reads an annotated image, and refuses one of another width or height."""
  picture = images.read(path)
  height, width = picture.shape[:2]
  if size and size != (width, height):
    raise UserError(
      f'{path} has {width} x {height} px, and its annotations are of '
      f'{size[0]:g} x {size[1]:g}; give the images that were annotated, '
      'photos with an EXIF orientation turned as they were then.'
    )
  return picture


def _encode(crop: np.ndarray) -> bytes:
  _, jpeg = cv2.imencode(
    '.jpg',
    cv2.cvtColor(crop, cv2.COLOR_RGB2BGR),
    [
      cv2.IMWRITE_JPEG_QUALITY,
      JPEG_QUALITY,
      # Every pixel keeps its color, for a quarter more bytes. With one color
      # for four, as is usual, PCKh@0.5 of a network of 39 fell by 0.5 on 1,044
      # of MPII's people; with this by 0.1.
      cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
      cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ],
  )
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
  skeleton: Skeleton,
  source: dict[str, str | int | float],
  data_dir: Path,
  *,
  files: dict[str, Path],
  sizes: dict[str, tuple[float, float]],
  skip_unreadable: bool,
) -> list[str]:
  """Writes the records of `splits`; deletes those of an interrupted call.

  Args:
    splits: people by split; all their images exist.
    skeleton: of their joints.
    source: 'images', their folder; 'annotations', their file; 'size', the
      largest side of a crop, px; 'margin', its square over the person's.
    data_dir: where to write.
    files: the file of each image, by its name in the annotations.
    sizes: the width and height, px, of images whose annotations give them.
    skip_unreadable: leave out the people of broken images.

  Returns:
    A line on each image that is left out.

  Raises:
    UserError: an image is broken and not to be skipped, or the disk is full.
  """
  folder = data_dir / records.FOLDER
  for leftover in folder.parent.glob('*incomplete*'):
    shutil.rmtree(leftover)
  if folder.exists():  # Only the index or the report may be missing.
    require_source(data_dir, source)
  tfds.disable_progress_bar()
  total = sum(len(np.unique(people.image)) for people in splits.values())
  with tqdm(total=total, unit='image', desc='Preparing') as bar:
    builder = PersonCrops(
      splits=splits,
      skeleton=skeleton,
      source=source,
      files=files,
      sizes=sizes,
      progress=bar.update,
      skip_unreadable=skip_unreadable,
      data_dir=data_dir,
    )
    try:
      # It prints that it downloads, but nothing is downloaded.
      with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=folder.parent / 'downloads')
      _write_index(builder, folder)
    except (OSError, RuntimeError) as error:
      # tensorflow_datasets wraps TensorFlow's errors.
      system = isinstance(error.__cause__, tf.errors.OpError)
      if not system and not isinstance(error, OSError):
        raise
      reason = error.__cause__.message if system else error
      raise UserError(f'{data_dir} cannot be written: {reason}.') from error
  return _left_out(splits, folder, files, sizes)


def _left_out(
  splits: dict[str, People],
  folder: Path,
  files: dict[str, Path],
  sizes: dict[str, tuple[float, float]],
) -> list[str]:
  """Returns a line on each image without records, and why it has none."""
  present = set(array_files.read_npz(folder / records.INDEX)['image'])
  lines = []
  for image in {str(i): None for p in splits.values() for i in p.image}:
    if image in present:
      continue
    try:
      _read(files[image], sizes.get(image))
      lines.append(f'{files[image]} could not be read when it was prepared.')
    except UserError as error:
      lines.append(str(error))
  return lines


def _write_index(builder: PersonCrops, folder: Path) -> None:
  """Writes the columns of all splits, and where their JPEGs lie."""
  rows = []
  for split, info in builder.info.splits.items():
    for path in info.filepaths:
      rows += _index_of_file(builder.info.features, Path(path), split)
  columns = {
    name: np.concatenate([row[name] for row in rows]) for name in rows[0]
  }
  # The index marks the records as complete, so it is written last and whole.
  unfinished = folder / f'unfinished_{records.INDEX}'
  np.savez(unfinished, **columns)
  unfinished.rename(folder / records.INDEX)


def _index_of_file(
  features: tfds.features.FeaturesDict, path: Path, split: str
) -> list[dict[str, np.ndarray]]:
  """Reads the columns of a file of records in batches of rows."""
  parsed = tf.data.TFRecordDataset(str(path)).map(
    lambda payload: (
      payload,
      features.deserialize_example(
        payload, decoders={'crop': tfds.decode.SkipDecoding()}
      ),
    )
  )
  batches, position = [], 0
  for payloads, columns in parsed.batch(256).as_numpy_iterator():
    jpegs, spans = columns.pop('crop'), []
    for payload, jpeg in zip(payloads, jpegs, strict=True):
      start = position + _HEADER_BYTES + payload.index(jpeg)
      spans.append((start, start + len(jpeg)))
      position += _HEADER_BYTES + len(payload) + _FOOTER_BYTES
    columns |= {
      'image': np.array([image.decode() for image in columns['image']]),
      'split': np.full(len(jpegs), split),
      'shard': np.full(len(jpegs), path.name),
      'span': np.array(spans, np.int64),
      'crc32': np.array([zlib.crc32(jpeg) for jpeg in jpegs], np.int64),
    }
    batches.append(columns)
  return batches


def require_source(data_dir: Path, source: dict) -> None:
  """Raises UserError if the records were made with other settings."""
  metadata = records.source(data_dir)
  before, now = metadata.pop('content', None), source.get('content')
  if None not in (before, now) and before != now:
    raise UserError(
      f'{data_dir} was prepared when {source["annotations"]} had other '
      'contents; give another --data_dir, or delete it.'
    )
  for name in sorted((metadata.keys() | source.keys()) - _NOT_FLAGS):
    if metadata.get(name) != source.get(name):
      raise UserError(
        f'{data_dir} was prepared with --{name}={metadata.get(name)}, not '
        f'{source.get(name)}; give another --data_dir, or delete it.'
      )
