import pytest

from hg_jax.base.config import Config, Data
from hg_jax.data import records
from hg_jax.training import messages


@pytest.mark.parametrize(
  ('image_size', 'advice'),
  [
    (256, None),
    (64, 'without aliasing, from smaller ones; prepare with --size=112'),
    (384, 'inputs are blurred; prepare with --size=672'),
  ],
)
def test_crops_that_do_not_suit_the_inputs_are_told(
  prepared, image_size, advice
):
  crops = records.read(prepared, 'train')
  config = Config(data=Data(image_size=image_size))
  told = messages.about_size(crops, config)
  assert (told is None) == (advice is None)
  assert advice is None or advice in told
