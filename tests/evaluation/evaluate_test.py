import dataclasses
import functools

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hg_jax.annotations.mpii import SKELETON
from hg_jax.annotations.people import People
from hg_jax.base import affine
from hg_jax.base.config import Config, Data, Evaluate, Model
from hg_jax.base.errors import UserError
from hg_jax.evaluation import evaluate, inference
from hg_jax.input import input_pipeline
from hg_jax.input.records import Crops
from hg_jax.metrics import pck
from hg_jax.model import heatmaps, hourglass

pytestmark = pytest.mark.usefixtures('shallow')

METRIC = pck.create_metric(SKELETON)
SIZE = 64
NUM_PEOPLE = 30  # not a multiple of the batches below


def make_config(**settings) -> Config:
  return Config(
    model=Model(stacks=2, features=8),
    data=Data(image_size=SIZE),
    evaluate=Evaluate(**settings),
  )


@pytest.fixture(scope='module')
def crops() -> Crops:
  """People whose crops tell their row: the gray of the left half is 8 x row.

  The right half is a little lighter, which tells a mirrored crop.
  """
  rng = np.random.default_rng(0)
  head_size = rng.uniform(20, 60, NUM_PEOPLE).astype(np.float32)
  center = rng.uniform(200, 600, (NUM_PEOPLE, 2)).astype(np.float32)
  offset = rng.uniform(-3, 3, (NUM_PEOPLE, 16, 2)) * head_size[:, None, None]
  labeled = rng.uniform(size=(NUM_PEOPLE, 16)) < 0.9
  encoded = []
  for row in range(NUM_PEOPLE):
    gray = np.full((SIZE, SIZE, 3), 8 * row, np.uint8)
    gray[:, SIZE // 2 :] += 4
    encoded.append(cv2.imencode('.jpg', gray)[1])
  return Crops(
    skeleton=SKELETON,
    people=People(
      image=np.array([f'{row}.jpg' for row in range(NUM_PEOPLE)]),
      center=center,
      side=10 * head_size,
      joints=(center[:, None] + offset).astype(np.float32),
      labeled=labeled,
      known=np.ones_like(labeled),
      visible=labeled & (rng.uniform(size=labeled.shape) < 0.8),
      reference=head_size,
      image_index=np.arange(NUM_PEOPLE, dtype=np.int32),
      person_index=np.zeros(NUM_PEOPLE, np.int32),
    ),
    encoded=encoded,
    image_to_crop=affine.image_to_crop(center, 10 * head_size, SIZE),
    margin=1.0,
    size=SIZE,
  )


class Oracle(nn.Module):
  """Knows the heatmaps of everyone, f32[P, H, H, K], and sees who it is."""

  stacks: int = 2

  @nn.compact
  def __call__(self, image, *, train):
    del train
    known = self.variable('params', 'heatmaps', lambda: None).value
    left, right = image[:, 32, 16, 0], image[:, 32, 48, 0]
    upright = known[jnp.minimum(left, right) + 2 >> 3]
    mirrored = heatmaps.mirror(upright, SKELETON.flip)
    is_upright = (left < right)[:, None, None, None]
    answer = jnp.where(is_upright, upright, mirrored)
    return jnp.stack([answer] * self.stacks, axis=1)


def heatmaps_of(crops: Crops, *, shift: float) -> dict:
  """The oracle's weights: targets moved right by `shift` heads."""
  people = crops.people
  image_to_heatmap = affine.image_to_crop(people.center, people.side, SIZE // 4)
  moved = people.joints + [shift, 0] * people.reference[:, None, None]
  return {
    'params': {
      'heatmaps': heatmaps.render(
        affine.apply(moved, image_to_heatmap),
        people.labeled,
        size=SIZE // 4,
        sigma=1.0,
      )
    }
  }


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('shift, expected', [(0.0, 100.0), (1.0, 0.0)])
def test_evaluator_scores_an_oracle_100_or_0(crops, flip_test, shift, expected):
  # A pixel of a 16 px heatmap is 0.625 heads wide: its middle is never more
  # than 0.45 heads from the joint, nor within 0.5 of one a head away.
  config = make_config(batch_size=8, flip_test=flip_test)
  evaluator = evaluate.Evaluator(Oracle(), config, crops)
  results = evaluator.run(heatmaps_of(crops, shift=shift))
  for counts in results.counts:
    assert counts.labeled.sum() == crops.people.labeled.sum()
    for name, value in METRIC.at(METRIC.totals, counts).items():
      assert value == expected, name


def test_evaluator_gives_an_oracle_full_skill(crops):
  config = make_config(batch_size=8, flip_test=False)
  evaluator = evaluate.Evaluator(Oracle(), config, crops)
  results = evaluator.run(heatmaps_of(crops, shift=0.0))
  np.testing.assert_array_equal(results.loss, 0)
  assert results.summary()['skill'] == 1
  # Each drawn joint has a sum of squares of pi (SPEC 2.6), less the little
  # that a border cuts off; there are 16 x 16 x 16 values.
  expected = crops.people.labeled.sum() / NUM_PEOPLE * np.pi / 16**3
  np.testing.assert_allclose(results.zero_loss, expected, rtol=0.01)


def test_results_are_in_px_of_the_image(crops):
  config = make_config(batch_size=8, flip_test=True)
  evaluator = evaluate.Evaluator(Oracle(), config, crops)
  results = evaluator.run(heatmaps_of(crops, shift=0.0))
  people = crops.people
  error = np.linalg.norm(results.joints - people.joints, axis=-1)
  # Half the diagonal of a heatmap pixel, of which a side has 16.
  limit = people.side[:, None] / 16 * 0.5**0.5 * 1.001
  assert (error < limit)[people.labeled].all()
  np.testing.assert_array_equal(results.score, people.labeled.astype(float))


@functools.cache
def network():
  model = hourglass.create_model(make_config(), joints=16)
  variables = hourglass.create_variables(model, seed=0, image_size=SIZE)
  return model, variables


def test_evaluator_ignores_batch_size_and_devices(crops):
  model, variables = network()

  def run(batch_size):
    config = make_config(batch_size=batch_size, flip_test=True)
    return evaluate.Evaluator(model, config, crops).run(variables)

  assert jax.local_device_count() == 4
  one, other = run(4), run(32)
  np.testing.assert_allclose(one.joints, other.joints, atol=1e-3)
  np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
  for a, b in zip(one.counts, other.counts, strict=True):
    jax.tree.map(np.testing.assert_array_equal, a, b)

  # All on one device, in one batch without padding.
  config = make_config(batch_size=NUM_PEOPLE, flip_test=True)
  batch = next(input_pipeline.evaluation_batches(crops, config, NUM_PEOPLE))
  step = jax.jit(
    functools.partial(
      evaluate.evaluate_batch,
      model,
      flip=SKELETON.flip,
      decoding='quarter',
      thresholds=METRIC.thresholds,
    )
  )
  counts, _, joints, _ = step(variables, batch)
  np.testing.assert_allclose(one.joints, joints, atol=1e-3)
  for a, b in zip(one.counts, counts, strict=True):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_evaluator_with_resident_data_compiles_once(crops):
  config = make_config(batch_size=8, flip_test=False)
  config.data.resident = True
  evaluator = evaluate.Evaluator(Oracle(), config, crops)
  variables = heatmaps_of(crops, shift=0.0)
  compilations = []

  def count(event: str, seconds: float, **_) -> None:
    if event == '/jax/core/compile/backend_compile_duration':
      compilations.append(seconds)

  evaluator.run(variables)
  jax.monitoring.register_event_duration_secs_listener(count)
  try:
    evaluator.run(variables)
  finally:
    jax.monitoring.unregister_event_duration_listener(count)
  assert not compilations


def test_infer_with_flip_test_is_symmetric(crops):
  # By symmetry, mirroring the picture mirrors the result of the flip test.
  model, variables = network()
  image = np.random.default_rng(0).integers(
    0, 256, (2, SIZE, SIZE, 3), np.uint8
  )
  infer = jax.jit(functools.partial(inference.infer, model, flip=SKELETON.flip))
  _, answer = infer(variables, image)
  _, mirrored = infer(variables, image[:, :, ::-1])
  np.testing.assert_allclose(
    heatmaps.mirror(mirrored, SKELETON.flip), answer, atol=1e-6
  )


@pytest.mark.parametrize('at_once', [1, 2, 4, 100])
def test_infer_in_parts_equals_infer_at_once(monkeypatch, at_once):
  model, variables = network()
  image = np.random.default_rng(0).integers(
    0, 256, (6, SIZE, SIZE, 3), np.uint8
  )
  monkeypatch.setattr(inference, '_at_once', lambda *_: at_once)
  found = inference.infer(model, variables, image, flip=SKELETON.flip)
  one, other = (
    model.apply(variables, image, train=False)
    for image in (image, image[:, :, ::-1])
  )
  wanted = one, (one + heatmaps.mirror(other, SKELETON.flip)) / 2
  for answer, expected in zip(found, wanted, strict=True):
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_people_who_cannot_be_scored_are_refused(crops):
  evaluate.require_scored(crops)
  people = dataclasses.replace(
    crops.people, reference=np.zeros(NUM_PEOPLE, np.float32)
  )
  with pytest.raises(UserError, match='none of the 30 validation people'):
    evaluate.require_scored(dataclasses.replace(crops, people=people))
