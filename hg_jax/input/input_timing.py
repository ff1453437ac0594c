"""Times making training batches on one core, in stages and as a whole.

Times are processor times of this process, so other processes on the core do
not count.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hg_jax.annotations.people import People
from hg_jax.base import affine
from hg_jax.base.config import Augment, Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.base.timing import spread, take_turns
from hg_jax.input import augmentation, examples, records
from hg_jax.input import crops as cropping
from hg_jax.input.records import Crops

PEOPLE = 64  # crops of noise
STAGES = ('draw', 'decode', 'warp', 'color', 'heatmaps')


def measure_input(
  config: Config, data_dir: str | None, rounds: int, *, batches: int = 12
) -> dict:
  """Times making the training batches of a config on one core."""
  crops = (
    records.read(Path(data_dir), 'train') if data_dir else noise_crops(PEOPLE)
  )
  use_one_core()
  # Imported now, because TensorFlow's threads stay on the core they start on.
  from hg_jax.input import input_pipeline

  config.steps = batches + 1

  def whole() -> float:
    return time_batches(
      input_pipeline.train_batches(crops, config, start=0, threads=1)
    )

  def stages() -> np.ndarray:
    steps = range(1, batches + 1)
    return sum(time_stages(crops, config, step) for step in steps)

  def decoding() -> float:
    return time_decoding(crops, config)

  wall, core = time.perf_counter(), time.process_time()
  seconds = take_turns(
    {'stages': stages, 'decode alone': decoding, 'whole': whole}, rounds
  )
  core_share = (time.process_time() - core) / (time.perf_counter() - wall)
  count = batches * config.batch_size
  ms = {n: 1e3 * np.median(s, axis=0) / count for n, s in seconds.items()}
  ratios = np.divide(seconds['decode alone'], seconds['whole']).tolist()
  return {
    'people': len(crops),
    'data': data_dir or 'noise',
    'jpeg_bytes': round(float(np.mean([len(jpeg) for jpeg in crops.encoded]))),
    'crop_size': crops.size,
    'image_size': config.data.image_size,
    'batch_size': config.batch_size,
    'rounds': rounds,
    'core_share': core_share,
    'stage_ms': dict(zip(STAGES, ms['stages'].tolist(), strict=True))
    # The rest: memory for the batch, and the threads and queues of tf.data.
    | {'batching': float(ms['whole'] - ms['stages'].sum())},
    'whole_ms': float(ms['whole']),
    'decode_alone_ms': float(ms['decode alone']),
    'images_per_second': 1e3 / float(ms['whole']),
    'of_decode_alone': spread(ratios),
  }


def use_one_core() -> None:
  """Keeps this process, and the threads it starts from now on, on one core."""
  if not hasattr(os, 'sched_setaffinity'):
    raise UserError('--what=input needs Linux, to keep itself on one core.')
  os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  cv2.setNumThreads(1)


def time_stages(
  crops: Crops, config: Config, step: int
) -> np.ndarray:  # f64[len(STAGES)] s
  """Times each stage of `input_pipeline.train_batch`."""
  from hg_jax.input import input_pipeline

  size = config.data.image_size
  seconds = dict.fromkeys(STAGES, 0.0)
  last = time.thread_time()

  def lap(stage: str) -> None:
    nonlocal last
    now = time.thread_time()
    seconds[stage] += now - last
    last = now

  first = step * config.batch_size
  drawn = examples.training(crops, config, first=first, count=config.batch_size)
  lap('draw')
  inputs = np.empty((config.batch_size, size, size, 3), np.uint8)
  for i, row in enumerate(drawn.row):
    crop = crops.decode(row)
    lap('decode')
    crop = cropping.warp(crop, drawn.crop_to_input[i], size)
    lap('warp')
    cv2.transform(crop, drawn.color[i], dst=inputs[i])
    lap('color')
  input_pipeline.render_targets(drawn, config)
  lap('heatmaps')
  return np.array(list(seconds.values()))


def time_decoding(crops: Crops, config: Config) -> float:  # s
  """Times decoding the crops of steps 1 .. config.steps - 1."""
  rows = augmentation.rows(
    len(crops),
    seed=config.seed,
    first=config.batch_size,
    count=config.batch_size * (config.steps - 1),
  )
  before = time.process_time()
  for row in rows:
    crops.decode(row)
  return time.process_time() - before


def time_batches(batches: Iterator) -> float:  # s
  """Times all batches but the first, over all threads."""
  next(batches)
  before = time.process_time()
  for _ in batches:
    pass
  return time.process_time() - before


def noise_crops(people: int, *, size: int = 448, joints: int = 16) -> Crops:
  """Draws crops of noise, with the size of MPII's in px and in bytes."""
  rng = np.random.default_rng(0)
  encoded = []
  for _ in range(people):
    picture = np.full((size, size, 3), 128, np.float32)
    for octave in range(1, 9):
      noise = rng.normal(0, 3, (2**octave, 2**octave, 3)).astype(np.float32)
      picture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    encoded.append(cv2.imencode('.jpg', picture)[1])
  margin = augmentation.margin(Augment())
  center = np.full((people, 2), size / 2, np.float32)
  places = rng.uniform(0.3, 0.7, (people, joints, 2)) * size
  side = np.full(people, size / margin, np.float32)
  everywhere = np.ones((people, joints), bool)
  return Crops(
    skeleton=Skeleton(
      joints=tuple(f'joint {k}' for k in range(joints)),
      flip=tuple(range(joints)),
      groups={},
      limbs=(),
    ),
    people=People(
      image=np.array([f'noise {number}' for number in range(people)]),
      center=center,
      side=side,
      joints=places.astype(np.float32),
      labeled=everywhere,
      known=everywhere,
      visible=everywhere,
      reference=side / 10,
      image_index=np.arange(people, dtype=np.int32),
      person_index=np.zeros(people, np.int32),
    ),
    encoded=encoded,
    image_to_crop=affine.scale(np.ones(people)),
    margin=margin,
    size=size,
  )
