import gzip
import json
from typing import Annotated

import msgspec
import pytest

from hg_jax.base import typed_json
from hg_jax.base.errors import UserError


class Point(msgspec.Struct):
  x: float
  y: Annotated[int, msgspec.Meta(ge=1)] = 1


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('[{"x": 1}, {"x": "a"}]', r'a.json: \[1\].x: expected a number, not text'),
    ('[{"x": 1, "y": 0}]', r'\[0\].y: expected a whole number of at least 1'),
    ('[{}]', r'\[0\]: expected an object with x'),
    ('{}', 'a.json: expected a list, not an object'),
    ('[{"x": 1}', 'a.json is not JSON: .*line 1 column 10'),
    ('[' * 100_000, 'is not JSON|not a list'),
  ],
)
def test_decode_names_the_place_and_what_it_expected(text, words):
  with pytest.raises(UserError, match=words):
    typed_json.decode(text.encode(), list[Point], 'a.json')


@pytest.mark.parametrize('text', ['[{"x": "1.5"}]', '[{"x": 1.5, "z": NaN}]'])
def test_decode_takes_numbers_as_text_and_nan_as_python_writes_it(text):
  assert typed_json.decode(text.encode(), list[Point]) == [Point(1.5)]


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('compress', [gzip.compress, bytes])
def test_read_returns_utf8(encoding, compress, tmp_path):
  path = tmp_path / 'a.json'
  path.write_bytes(compress('{"é": 1}'.encode(encoding)))
  assert json.loads(typed_json.read(path).decode()) == {'é': 1}
