"""Evaluates a finder and writes its numbers."""

import json
from pathlib import Path

from hg_jax.base import files
from hg_jax.base.config import Config
from hg_jax.evaluation import evaluate_people, inference
from hg_jax.evaluation import results as results_lib
from hg_jax.evaluation.evaluate_people import PeopleEvaluator
from hg_jax.input import photo_examples
from hg_jax.model import hourglass
from hg_jax.run import processes


def evaluate_run(
  workdir: Path, config: Config, *, which: str, split: str, output: Path
) -> None:
  """Evaluates a checkpoint of a finder; prints a line, writes results.json.

  Args:
    workdir: the run's folder.
    config: the run's config.
    which: 'best', 'latest' or a step.
    split: of the prepared photos.
    output: the folder for results.json.

  Raises:
    UserError: the checkpoint or the split does not exist.
  """
  if not processes.is_first_process():
    return  # One process does it all: there is little to do.
  photos = photo_examples.read(config, split)
  model = hourglass.create_model(config, joints=2)
  step, variables = inference.load_variables(workdir, config, which)
  results = PeopleEvaluator(model, config, photos).run(variables)
  scores = results.summary()
  summary = {
    'commit': results_lib.commit(),
    'step': step,
    'split': split,
    'photos': len(photos),
    'people': results.counts.people,
    **{name: round(value, 4) for name, value in scores.items()},
  }
  print(f'{workdir}, step {step}: {evaluate_people.describe(scores)}')
  output.mkdir(parents=True, exist_ok=True)
  files.write(output / 'results.json', json.dumps(summary, indent=2) + '\n')
  print(f'Wrote {output / "results.json"}')
