import json
import resource
import signal

import pytest
import tensorflow as tf
from tensorboardX.proto.event_pb2 import Event

from hg_jax.run import writer


def read_events(folder):
  """TensorBoard's scalars, (step, value), and where a run began, (step,)."""
  events = [
    Event.FromString(record)
    for path in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
  ]
  return [
    (event.step, pytest.approx(event.summary.value[0].simple_value))
    if event.summary.value
    else (event.step,)
    for event in events
    if not event.file_version
  ]


def test_metrics_writer_drops_what_a_resumed_run_repeats(tmp_path):
  first = writer.MetricsWriter(tmp_path, step=0, steps=10, log_every=2)
  for step in (2, 4, 6):
    first.metrics(step, 'train', {'loss': step / 10})
  first.close()
  second = writer.MetricsWriter(tmp_path, step=4, steps=10, log_every=2)
  second.metrics(6, 'train', {'loss': 0.7})
  second.close()
  expected = [(2, 0.2), (4, 0.4), (6, 0.7)]
  records = writer.read_metrics(tmp_path / 'metrics.jsonl')
  assert [(r['step'], r['loss']) for r in records] == expected
  assert read_events(tmp_path / 'tensorboard') == [
    *((1,), (2, 0.2), (4, 0.4), (6, 0.6)),
    *((5,), (6, 0.7)),  # TensorBoard hides what it read from step 5 on.
  ]


@pytest.mark.parametrize('text', [None, '', '{"step"'])
@pytest.mark.parametrize(('step', 'warned'), [(0, 0), (1, 0), (2, 1)])
def test_metrics_writer_says_that_records_are_gone(
  tmp_path, text, step, warned, capsys
):
  if text is not None:
    (tmp_path / 'metrics.jsonl').write_text(text)
  writer.MetricsWriter(tmp_path, step=step, steps=10, log_every=2).close()
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == warned
  assert all(f'{tmp_path / "metrics.jsonl"} has no' in line for line in lines)


def test_metrics_writer_raises_once_when_the_disk_is_full(tmp_path):
  # The limit on a file's size stands in for a full disk.
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  full = writer.MetricsWriter(tmp_path, step=0, steps=10, log_every=2)
  full.metrics(1, 'train', {'loss': 0.5})
  try:
    for name in ('metrics.jsonl', 'events'):
      (file,) = tmp_path.rglob(f'{name}*')
      size = file.stat().st_size if name == 'events' else 5
      resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
      with pytest.raises(OSError, match='too large'):
        full.metrics(2, 'train', {'loss': 0.4})
    full.close()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize(
  'damage',
  [
    b'{"step": 2, "ki',
    b'[]',
    b'{"kind": "train"}',
    b'{"kind": "train", "step": "2"}',
    b'{"kind": "train", "step": Infinity}',
    b'{"kind": "train", "step": 2, "loss": "0.5"}',
    b'{"step": 2}',
    b'[' * 100_000,
    b'\xff\xfe',
  ],
)
def test_read_metrics_leaves_out_damaged_lines(tmp_path, damage, capsys):
  path = tmp_path / 'metrics.jsonl'
  whole = [{'step': step, 'kind': 'train'} for step in (1, 3)]
  lines = [json.dumps(record).encode() for record in whole]
  path.write_bytes(b'\n'.join([lines[0], damage, lines[1], b'{"step"']))
  assert writer.read_metrics(path) == whole
  warning = capsys.readouterr().err
  assert f'line 2 of {path} is damaged' in warning
  assert warning.count('\n') == 1
