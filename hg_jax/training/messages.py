"""What a run says: how it begins, what it scores, and why it ended."""

import jax

from hg_jax.base.config import Config
from hg_jax.base.skeleton import Skeleton
from hg_jax.data import examples, images
from hg_jax.data.records import Crops
from hg_jax.run import checkpoint
from hg_jax.training import cost, health


def begun(config: Config, train: int, valid: int, start: int) -> str:
  """Of what size the run is: so many people, and the step it stands at."""
  begin = f'resuming at step {start}' if start else 'starting'
  if config.init_from and not start:
    begin += f' from the weights of {config.init_from}'
  return (
    f'{begin}: {config.model.stacks} stacks, {train} training and {valid} '
    f'validation people, batch {config.batch_size} on '
    f'{jax.device_count()} {jax.devices()[0].platform} devices, '
    f'{config.steps * config.batch_size / train:.1f} epochs'
  )


def about_size(crops: Crops, config: Config) -> str | None:
  """Advice on crops that are much larger than the inputs, or smaller."""
  size = config.data.image_size
  suits = images.crop_size(size)
  if crops.size > 1.5 * suits:
    why = 'inputs are made faster, and without aliasing, from smaller ones'
  elif crops.size < 0.75 * suits:
    why = 'inputs are blurred'
  else:
    return None
  return (
    f'the prepared crops are of {crops.size} px, for inputs of {size} px: '
    f'{why}; prepare with --size={suits}.'
  )


def scored(step: int, scores: dict[str, float]) -> str:
  """What a validation found (`evaluate.Results.summary`)."""
  return (
    f'step {step}  validation loss {scores["loss"]:.3e}  skill '
    f'{scores["skill"]:.3f}  PCKh@0.5 {scores["all_joints"]:.2f} (all '
    f'joints) {scores["standard"]:.2f} (standard)'
  )


def not_finite(
  error: health.NotFinite,
  config: Config,
  crops: Crops,
  checkpoints: checkpoint.Checkpoints | None,
) -> str:
  """Whose batch it was, and where to go on from."""
  shown = examples.training(
    crops,
    config,
    first=(error.step - 1) * config.batch_size,
    count=config.batch_size,
  )
  people = crops.people[shown.row]
  names = ', '.join(
    f'{image} ({person})'
    for image, person in zip(people.image, people.person_index, strict=True)
  )
  kept = 'the first process says from where to go on'
  if checkpoints:
    last = checkpoints.latest()
    kept = (
      f'the last good checkpoint is of step {last}'
      if last
      else 'there is no checkpoint yet'
    )
  return (
    f'step {error.step}: {error.what}; {kept}. Nothing was saved since. Try '
    'a lower config.optimizer.learning_rate in another --workdir, with '
    f'--config.init_from. The batch (image and person): {names}'
  )


def out_of_memory(config: Config, skeleton: Skeleton) -> str:
  """Which lever to pull, and the batch that would fit without."""
  devices = jax.device_count()
  text = (
    f'the devices have too little memory for config.batch_size='
    f'{config.batch_size} ({config.batch_size // devices} people a device). '
  )
  stats = jax.local_devices()[0].memory_stats()
  if stats:
    limit, joints = stats['bytes_limit'], len(skeleton.joints)
    fits = cost.largest_batch(config, limit, joints=joints)
    text += f'About {devices * fits} would fit. '
  levers = {
    '--config.model.scan=True --config.model.remat=True': config.model.remat,
    '--config.model.dtype=bfloat16': config.model.dtype == 'bfloat16',
    f'--config.accumulate_steps={2 * config.accumulate_steps}': False,
  }
  unused = [lever for lever, used in levers.items() if not used]
  return text + f'To keep the batch: {", or ".join(unused)}.'
