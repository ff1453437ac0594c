#!/usr/bin/env bash
# Trains the report's baseline and its four variants, and two runs that part
# what the report changes together; then compares them. All see the same number
# of people. The same command goes on where it stopped. Further flags go to
# every run:
#
#   launch/experiments.sh [--scale=small|full] [--seeds=3] [--config.x=y ...]
#
# full   3.2 million people each, as the report's code has it at batch 16
# small  one stack of 48 features at 64 px (the larger resolution: 128 px) and
#        160,000 people each, for two CPU cores; three seeds
set -euo pipefail
cd "$(dirname "$0")/.."
scale=full seeds=1 people=3200000
flags=()
for argument in "$@"; do
  case "$argument" in
    --scale=full) ;;
    --scale=small) scale=small seeds=3 people=160000 ;;
    --scale=*) echo "error: $argument; give --scale=small or full" >&2; exit 2 ;;
    --seeds=*) seeds=${argument#*=} ;;
    *) flags+=("$argument") ;;
  esac
done
small=(--config.model.stacks=1 --config.model.features=48
  --config.log_every=500 --config.checkpoint_every=2500)
runs=()
for config in rmsprop8 rmsprop8_res384 rmsprop16 rmsprop16_halves adam8 \
  adam8_slow adam16; do
  batch=16
  [[ $config == *8 || $config == *8_* ]] && batch=8
  steps=$((people / batch))
  settings=(--config.steps=$steps
    "--config.optimizer.drop_steps=($((steps / 2)),)"
    --config.evaluate_every=$((steps / 20)))
  if [[ $scale == small ]]; then
    settings+=("${small[@]}" --config.data.image_size=64)
    if [[ $config == *res384 ]]; then
      settings+=(--config.data.image_size=128 --config.data.sigma=2.0
        --config.data.dir=data/mpii)
    fi
  fi
  for ((seed = 0; seed < seeds; seed++)); do
    run=runs/$scale/$config/seed$seed
    python -m hg_jax.main --config="configs/$config.py" --workdir="$run" \
      --config.seed=$seed "${settings[@]}" "${flags[@]}"
    runs+=("$run")
  done
done
python -m hg_jax.compare "${runs[@]}" --output="runs/$scale/comparison" \
  --published
