"""Times the parts of training on this machine.

  python -m hg_jax.benchmark --what=input [--data_dir=data/mpii] [--json]
  python -m hg_jax.benchmark --what=step --config=configs/adam16.py [--json]

`step`: the train step of a config, on all devices here.
`input`: making training batches on one core, by stage and whole, beside
decoding the same crops alone. Rounds of the two alternate, so that a busy
machine slows both; the medians over the rounds are reported.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from absl import flags
from tqdm import trange

from hg_jax.base import affine
from hg_jax.base.command import define_config, given_config, run
from hg_jax.base.config import Augment, Config
from hg_jax.base.errors import UserError
from hg_jax.base.skeleton import Skeleton
from hg_jax.data import augmentation, examples, images, records
from hg_jax.data.people import People
from hg_jax.data.records import Crops

FLAGS = flags.FLAGS

_JOINTS = 16  # of a person made of noise
_STAGES = ('draw', 'decode', 'warp', 'color', 'heatmaps')


def define_flags() -> None:
  flags.DEFINE_enum('what', 'input', ['input', 'step'], 'What to time.')
  flags.DEFINE_string(
    'data_dir', None, 'Prepared people; none: photographs made of noise.'
  )
  define_config('Of --what=step: a file under configs/.')
  flags.DEFINE_integer(
    'joints', 16, 'Of --what=step: how many the network finds.', lower_bound=1
  )
  flags.DEFINE_integer('rounds', 5, 'How often to repeat.', lower_bound=1)
  flags.DEFINE_bool('json', False, 'Print JSON instead of a table.')


def main(argv: list[str]) -> None:
  if argv:
    raise UserError(f'unexpected argument {argv[0]!r}.')
  if FLAGS.what == 'step':
    from hg_jax.training import step_timing  # which starts the devices

    config = given_config()
    if config is None:
      raise UserError('--what=step needs --config=configs/NAME.py.')
    result = step_timing.measure_step(config, FLAGS.rounds, joints=FLAGS.joints)
    table = step_timing.step_table
  else:
    result, table = measure_input(FLAGS.data_dir, FLAGS.rounds), input_table
  result = {'machine': machine(), **result}
  print(json.dumps(result, indent=2) if FLAGS.json else table(result))


def machine() -> dict[str, str | int]:
  """What the numbers depend on."""
  model = platform.processor() or platform.machine()
  if (info := Path('/proc/cpuinfo')).exists():
    lines = info.read_text().splitlines()
    names = [s.split(':')[1].strip() for s in lines if s.startswith('model na')]
    model = names[0] if names else model
  return {
    'processor': model,
    'cores': os.cpu_count(),
    'system': platform.platform(),
    'python': platform.python_version(),
    'opencv': cv2.__version__,
    'numpy': np.__version__,
  }


def measure_input(
  data_dir: str | None, rounds: int, *, batch_size: int = 16, batches: int = 12
) -> dict:
  """Times the input pipeline on one core.

  Times are those that the core spent on this process: on a core that is
  shared they say what one of our own would do; 'core_share' is what we got.
  """
  crops = (
    records.read(Path(data_dir), 'train')
    if data_dir
    else noise_crops(people=64)
  )
  use_one_core()
  # Only now: TensorFlow's threads stay on the core they are started on.
  from hg_jax.data import input_pipeline

  config = Config(batch_size=batch_size, steps=batches + 1)
  whole = input_pipeline.train_batches
  _time_batches(whole(crops, config, start=0, threads=1))  # warms up
  stages, wholes, alone = [], [], []
  wall, core = time.perf_counter(), time.process_time()
  for _ in trange(rounds, desc='Timing', unit='round'):
    seconds = [_stages(crops, config, step) for step in range(1, batches + 1)]
    stages.append(np.sum(seconds, axis=0))
    alone.append(_decode_alone(crops, config))
    wholes.append(_time_batches(whole(crops, config, start=0, threads=1)))
  core_share = (time.process_time() - core) / (time.perf_counter() - wall)
  images = batches * batch_size
  stage_ms = (1e3 * np.median(stages, axis=0) / images).tolist()
  whole_ms = 1e3 * float(np.median(wholes)) / images
  return {
    'what': 'input',
    'people': len(crops),
    'data': data_dir or 'noise',
    'jpeg_bytes': round(float(np.mean([len(jpeg) for jpeg in crops.encoded]))),
    'crop_size': crops.size,
    'rounds': rounds,
    'images_per_round': images,
    'core_share': core_share,
    'stage_ms': dict(zip(_STAGES, stage_ms, strict=True))
    # Memory for the batch, and tf.data's threads and queues.
    | {'batching': whole_ms - sum(stage_ms)},
    'whole_ms': whole_ms,
    'decode_alone_ms': 1e3 * float(np.median(alone)) / images,
    'images_per_second_per_core': 1e3 / whole_ms,
    'of_decode_alone': float(np.median(np.divide(alone, wholes))),
  }


def use_one_core() -> None:
  """Keeps this process, and the threads it starts from now on, on a core."""
  if not hasattr(os, 'sched_setaffinity'):
    raise UserError('--what=input needs Linux: it ties itself to one core.')
  os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  cv2.setNumThreads(1)


def _stages(
  crops: Crops, config: Config, step: int
) -> np.ndarray:  # f64[len(_STAGES)] s
  """What `input_pipeline.train_batch` does, with a clock between its parts."""
  from hg_jax.data import input_pipeline

  size = config.data.image_size
  seconds = dict.fromkeys(_STAGES, 0.0)
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
    crop = images.warp(crop, drawn.crop_to_input[i], size)
    lap('warp')
    cv2.transform(crop, drawn.color[i], dst=inputs[i])
    lap('color')
  input_pipeline.render_targets(drawn, config)
  lap('heatmaps')
  return np.array(list(seconds.values()))


def _decode_alone(crops: Crops, config: Config) -> float:  # s
  """Decodes the crops of steps 1 .. config.steps - 1."""
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


def _time_batches(batches: Iterator) -> float:  # s
  """The time that all batches but the first take, of all threads."""
  next(batches)
  before = time.process_time()
  for _ in batches:
    pass
  return time.process_time() - before


def noise_crops(people: int, size: int = 448) -> Crops:
  """Crops of MPII's size in px and bytes, of noise with a photograph's."""
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
  joints = rng.uniform(0.3, 0.7, (people, _JOINTS, 2)) * size
  side = np.full(people, size / margin, np.float32)
  everywhere = np.ones(joints.shape[:2], bool)
  return Crops(
    skeleton=Skeleton(
      joints=tuple(f'joint {k}' for k in range(_JOINTS)),
      flip=tuple(range(_JOINTS)),
      groups={},
      limbs=(),
    ),
    people=People(
      image=np.array([f'noise {number}' for number in range(people)]),
      center=center,
      side=side,
      joints=joints.astype(np.float32),
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


def input_table(result: dict) -> str:
  """The result of `measure_input` for people."""
  machine_ = result['machine']
  rates = result['stage_ms'] | {
    'whole': result['whole_ms'],
    'decode alone': result['decode_alone_ms'],
  }
  whole = result['whole_ms']
  return '\n'.join(
    [
      f'{machine_["processor"]}, {machine_["cores"]} cores; one of them, of '
      f'which {100 * result["core_share"]:.0f} % was ours; '
      f'OpenCV {machine_["opencv"]}',
      f'{result["people"]} people of {result["data"]}: '
      f'{result["crop_size"]} px, {result["jpeg_bytes"] / 1000:.1f} kB each; '
      f'medians of {result["rounds"]} rounds of {result["images_per_round"]} '
      'images',
      f'{"":<14}{"ms/image":>10}{"images/s":>10}{"of whole":>10}',
      *(
        f'{name:<14}{ms:>10.3f}{1e3 / ms:>10.0f}{100 * ms / whole:>8.0f} %'
        for name, ms in rates.items()
      ),
      f'{result["images_per_second_per_core"]:.0f} images/s per core, '
      f'{result["of_decode_alone"]:.2f} of decoding alone',
    ]
  )


if __name__ == '__main__':
  define_flags()
  run(main)
