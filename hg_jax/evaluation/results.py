"""What results.json holds: the scores of a network on a split."""

import json
import subprocess
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Required, TypedDict

import numpy as np

from hg_jax.annotations.people import People
from hg_jax.base.skeleton import Skeleton
from hg_jax.metrics import pck, pcp
from hg_jax.metrics.pck import Metric

# Percent by the name of a total, a group or a joint; None: nothing is labeled.
Percents = dict[str, float | None]
# Of `pack_hits`.
Hits = dict[str, str | list[str]]
_FINE = ('at_0.1', 'at_0.05')  # the finer thresholds of the metrics

# Fields of a metric whose finer threshold is another one are left out.
Stack = TypedDict(
  'Stack',
  {'loss': float | None, 'totals': Required[Percents]}
  | {f'totals_{fine}': Percents for fine in _FINE},
  total=False,
)
Scores = TypedDict(
  'Scores',
  {
    'people': Required[int],
    'people_id': str,
    'unscored': int,  # people without a joint that counts
    'loss': float | None,
    'skill': float | None,
    'metric': str,
    'totals': Required[Percents],
    'groups': Required[Percents],
    'joints': Percents,
    'auc': float | None,
    'curve': list[float | None],
    'pcp': float | None,
    'standard_error': Percents,  # of the totals, over people
    'hits': Hits,
    'stacks': Required[list[Stack]],
  }
  | {
    f'{kind}_{part}': Percents
    for kind in ('totals', 'groups')
    for part in (*_FINE, 'visible', 'occluded')
  },
  total=False,
)


class Results(Scores, total=False):
  """The contents of results.json.

  Evaluation writes every field, but for those that have no value: `pcp` is of
  torso lengths, `oks` of COCO's people, `without_averaging` of runs that
  average their weights. Older files lack more. `Metric.summarize` explains
  the scores.
  """

  commit: str | None
  step: Required[int]
  split: Required[str]
  flip_test: bool
  oks: dict[str, float | None]
  oks_missing: str  # the reason why there is no `oks`
  without_averaging: Scores


def summarize(
  people: People,
  skeleton: Skeleton,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
  counts: pck.Counts,
) -> Scores:
  """Returns the scores of predictions of P people.

  These are the scores of `Metric.summarize`, the number of people, the
  standard errors and, for torso lengths, the PCP.
  """
  metric = pck.create_metric(skeleton)
  scores = {
    'people': len(people),
    'unscored': int((~people.scored().any(axis=1)).sum()),
    **metric.summarize(counts),
    'standard_error': pck.standard_errors(influences(people, metric, joints)),
  }
  if metric.kind == 'pck_torso':
    limbs = skeleton.limbs
    scores['pcp'] = pcp.pcp(joints, people.joints, people.labeled, limbs)
  return scores


def count(
  people: People,
  metric: Metric,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
) -> pck.Counts:
  """Counts the correct joints of predictions of P people."""
  return pck.count(
    joints,
    people.joints,
    people.labeled,
    people.visible,
    people.reference,
    thresholds=metric.thresholds,
  )


def influences(
  people: People,
  metric: Metric,
  joints: np.ndarray,  # f32[P, K, 2] px of the images
) -> dict[str, np.ndarray]:  # f64[P], points
  """Returns each person's influence on each total, for standard errors."""
  correct = metric.correct(joints, people.joints, people.reference)
  return metric.influences(correct, people.scored())


def people_id(
  image: np.ndarray,  # str[P]
  image_index: np.ndarray,  # i32[P]
  person_index: np.ndarray,  # i32[P]
) -> str:
  """Returns a checksum of the people, whatever their order."""
  columns = (x.tolist() for x in (image, image_index, person_index))
  people = sorted(zip(*columns, strict=True))
  return f'{zlib.crc32(json.dumps(people).encode()):08x}'


def pack_hits(
  people: People,
  correct: dict[str, np.ndarray],  # bool[P, K] by 'below' and 'within'
) -> Hits:
  """Returns which joints are correct and which are scored, as text.

  People are in the order of their names and indices.
  """
  order = np.lexsort((people.person_index, people.image_index, people.image))
  arrays = correct | {'scored': people.scored()}
  # The arrays are much alike, so they are compressed together.
  packed = b''.join(np.packbits(x[order]).tobytes() for x in arrays.values())
  text = b64encode(zlib.compress(packed, 9)).decode()
  return {'names': list(arrays), 'zlib': text}


def unpack_hits(
  results: Results, skeleton: Skeleton
) -> dict[str, np.ndarray]:  # bool[P, K] by 'below', 'within' and 'scored'
  """Returns the arrays that `pack_hits` packed.

  Raises:
    LookupError, ValueError, zlib.error: the hits are damaged.
  """
  shape, hits = (results['people'], len(skeleton.joints)), results['hits']
  if 'zlib' in hits:
    names, packed = hits['names'], zlib.decompress(b64decode(hits['zlib']))
  else:  # Older files have the text of each array.
    names, packed = list(hits), b''.join(map(b64decode, hits.values()))
  rows = np.frombuffer(packed, np.uint8).reshape(len(names), -1)
  bits = np.unpackbits(rows, axis=1)[:, : shape[0] * shape[1]].astype(bool)
  arrays = dict(zip(names, bits.reshape(-1, *shape), strict=True))
  return {name: arrays[name] for name in ('below', 'within', 'scored')}


def commit() -> str | None:
  """The commit of this code, with a + if it was changed; None if unknown."""
  command = ['git', 'describe', '--always', '--exclude=*', '--dirty=+']
  folder = Path(__file__).parents[2]
  if not (folder / '.git').exists():
    return None
  try:
    done = subprocess.run(
      command, cwd=folder, capture_output=True, text=True, check=True
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()
