"""COCO's average precision: by hand, and as pycocotools' own run has it."""

import json
import math

import numpy as np
import pytest

from hg_jax.base.errors import UserError
from hg_jax.metrics import oks

pytest.importorskip('pycocotools')
SIGMAS = (0.05, 0.1)
AREA = 64.0**2  # px^2


def truth_of(people, **changes):
  """A COCO file of people in images of their own, two joints each."""
  return {
    'images': [
      {'id': f'id {n}', 'file_name': f'{n}.jpg'} for n in range(people)
    ],
    'categories': [{'id': 7}],
    'annotations': [
      {
        'image_id': f'id {n}',
        'category_id': 7,
        'keypoints': [10, 20, 2, 40, 60, 1],
        'bbox': [0, 0, 64, 64],
        'area': AREA,
        **changes,
      }
      for n in range(people)
    ],
  }


def predictions_of(truth, shifts):
  """A result per person, the first joint off by px."""
  joints = np.array([[10, 20], [40, 60]], np.float32) + np.zeros(
    (len(shifts), 2, 2), np.float32
  )
  joints[:, 0, 0] += np.array(shifts, np.float32)
  return [
    {
      'image_id': truth['images'][n]['id'],
      'category_id': 7,
      'keypoints': np.insert(points, 2, 1, axis=1).ravel().tolist(),
      'score': 1.0,
    }
    for n, points in enumerate(joints)
  ]


def shift_for(similarity, sigma=SIGMAS[0]):
  """The error at which a joint's similarity is this; the formula inverted."""
  return 2 * sigma * math.sqrt(-2 * AREA * math.log(similarity))


def average_precision(truth, results, **options):
  return oks.average_precision(
    truth, results, category=7, sigmas=SIGMAS, **options
  )


def test_oks_of_perfect_predictions_is_one():
  truth = truth_of(3)
  found = average_precision(truth, predictions_of(truth, [0, 0, 0]))
  assert (found['AP'], found['AP50'], found['AR'], found['AP_medium']) == (
    (1,) * 4
  )
  assert found['AP_large'] is None  # nobody is larger than 96^2 px


def test_oks_of_a_shifted_joint_by_hand():
  # One joint has 0.24, the other 1: 0.62, over 0.5, 0.55 and 0.6 of the ten
  # thresholds.
  truth = truth_of(3)
  shift = shift_for(0.24)
  found = average_precision(truth, predictions_of(truth, [shift] * 3))
  assert (found['AP'], found['AR']) == (0.3, 0.3)
  assert (found['AP50'], found['AP75']) == (1, 0)


def test_oks_on_both_sides_of_a_threshold():
  # 0.5 + 0.5 x 0.5 = 0.75 +- 0.005.
  truth = truth_of(2)
  for similarity, expected in ((0.51, 1), (0.49, 0)):
    shift = shift_for(similarity)
    found = average_precision(truth, predictions_of(truth, [shift] * 2))
    assert found['AP75'] == expected


def test_oks_fills_in_box_and_area():
  # The extent of the joints is 30 x 40 px, its 0.53 the area.
  truth = truth_of(2)
  for person in truth['annotations']:
    del person['bbox'], person['area']
  area = 0.53 * 30 * 40
  shift = 0.1 * math.sqrt(-2 * area * math.log(0.51))
  found = average_precision(truth, predictions_of(truth, [shift] * 2))
  assert found['AP75'] == 1
  shift = 0.1 * math.sqrt(-2 * area * math.log(0.49))
  found = average_precision(truth, predictions_of(truth, [shift] * 2))
  assert found['AP75'] == 0


def test_oks_counts_people_that_were_not_found():
  truth = truth_of(4)
  results = predictions_of(truth, [0, 0])
  assert average_precision(truth, results)['AR'] == 0.5
  images = {'id 0', 'id 1'}
  assert average_precision(truth, results, images=images)['AR'] == 1
  assert average_precision(truth, [])['AP'] == 0


@pytest.mark.parametrize(
  'change, message',
  [
    ({'image_id': 3}, 'result 0 is of image 3, which'),
    ({'keypoints': [1, 2, 1]}, 'result 0 must have 6 numbers'),
  ],
)
def test_oks_refuses_results_of_other_annotations_in_one_line(change, message):
  truth = truth_of(1)
  results = [predictions_of(truth, [0])[0] | change]
  with pytest.raises(UserError, match=message) as error:
    average_precision(truth, results)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'change',
  [
    {'area': None},
    {'area': 0},
    {'bbox': None},
    {'iscrowd': None},
    {'num_keypoints': 0},
  ],
)
def test_oks_fills_in_what_labeling_tools_leave_out(change):
  truth = truth_of(2, **change)
  assert average_precision(truth, predictions_of(truth, [0, 0]))['AP'] == 1


def test_oks_names_the_mistake_of_annotations_that_cannot_be_used():
  truth = truth_of(1, area='large')
  with pytest.raises(UserError, match='pycocotools cannot use .*Error'):
    average_precision(truth, predictions_of(truth, [0]))


def test_oks_equals_pycocotools_on_coco(mpii_data, tmp_path):
  from pycocotools.coco import COCO
  from pycocotools.cocoeval import COCOeval

  path = mpii_data.parent / 'coco' / 'person_keypoints.json'
  if not path.exists():
    pytest.skip('no shared/data/coco beside the repository')
  truth = json.loads(path.read_text())
  sigmas = np.random.default_rng(0).uniform(0.02, 0.1, 17)
  results = noisy_results(truth)
  (tmp_path / 'results.json').write_text(json.dumps(results))
  coco = COCO(path)
  evaluation = COCOeval(
    coco, coco.loadRes(str(tmp_path / 'results.json')), 'keypoints'
  )
  evaluation.params.kpt_oks_sigmas = sigmas
  evaluation.evaluate()
  evaluation.accumulate()
  evaluation.summarize()
  found = oks.average_precision(truth, results, category=1, sigmas=sigmas)
  assert 0.1 < found['AP'] < 0.9
  np.testing.assert_allclose(
    list(found.values()), evaluation.stats, rtol=0, atol=5e-5
  )


def noisy_results(truth):
  """Labeled joints moved by a twentieth of the box, with random scores."""
  rng = np.random.default_rng(0)
  results = []
  for person in truth['annotations']:
    if not person['num_keypoints']:
      continue
    points = np.reshape(person['keypoints'], (-1, 3)).astype(float)
    points[:, :2] += rng.normal(0, 0.05, (17, 2)) * person['bbox'][2:]
    results.append(
      {
        'image_id': person['image_id'],
        'category_id': 1,
        'keypoints': points.ravel().tolist(),
        'score': rng.random(),
      }
    )
  return results
