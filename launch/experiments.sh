#!/usr/bin/env bash
# The report's five runs, one after the other, then their comparison. Begins
# where it stopped when it is started again. Further flags go to every run:
#
#   launch/experiments.sh [--config.steps=100000 ...]
set -euo pipefail
cd "$(dirname "$0")/.."
runs=()
for config in rmsprop8 rmsprop8_res384 rmsprop16 adam8 adam16; do
  launch/train_local.sh "$config" "$@"
  runs+=("runs/$config")
done
python -m hg_jax.compare "${runs[@]}" --output=runs/comparison --published
