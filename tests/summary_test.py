from hg_jax import summary
from hg_jax.base.config import Config, Model


def test_the_summary_adds_up_and_needs_no_data():
  config = Config(model=Model(stacks=2, features=16), accumulate_steps=4)
  config.data.dir = 'nowhere'
  lines = summary.describe(config, joints=16).splitlines()
  counts = {
    line[:30].strip(): int(line[30:].replace(',', ''))
    for line in lines[1 : lines.index('')]
  }
  parts = [n for name, n in counts.items() if name.startswith('of which')]
  assert sum(parts) == counts['stack0']
  assert counts['total'] == (
    counts['stem'] + counts['stack0'] + counts['stack1']
  )
  # Batches that four parts cannot share are not shown.
  shown = [line for line in lines if 'people a device' in line]
  assert [int(line.split()[1]) for line in shown] == [4, 8, 16, 32, 64]
