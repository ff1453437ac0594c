#!/usr/bin/env bash
# Trains the report's baseline and its four variants, and two runs that part
# what the report changes together; then compares them. All see the same number
# of people. Further flags go to every run:
#
#   launch/experiments.sh [--scale=small|full] [--seeds=1] [--people=3200000]
#     [--lanes=1] [--rate=1] [--config.x=y ...]
#
# full   3.2 million people each, as the report's code has it at batch 16
# small  one stack of 32 features at 64 px and 64,000 people each, for two CPU
#        cores: --seeds=3 --lanes=2 --rate=4. Heatmaps have wide peaks (sigma),
#        as small networks hardly learn narrow ones. People are prepared twice,
#        with --size=112 --data_dir=data/mpii112, and for the larger resolution,
#        128 px, with --size=224 --data_dir=data/mpii224.
#
# --rate multiplies the learning rate of every config. --lanes runs train at a
# time, several on a core of their own each: a small network on one core is
# more than half as fast as on two. Seed 0 of all configs comes first, then 1.
# Each run is in runs/SCALE/CONFIG_seedN, what it prints in its log.txt.
#
# Ctrl-C or SIGTERM saves and ends the runs in progress, and the same command
# goes on; what is finished is not run again. A run that fails ends all.
set -euo pipefail
cd "$(dirname "$0")/.."
scale=full
flags=()
for argument in "$@"; do
  case "$argument" in
    --scale=full | --scale=small) scale=${argument#*=} ;;
    --scale=*) echo "error: $argument; give --scale=small or full" >&2; exit 2 ;;
    --seeds=* | --people=* | --lanes=*)
      if [[ ! ${argument#*=} =~ ^[1-9][0-9]*$ ]]; then
        echo "error: $argument; give a whole number above 0" >&2; exit 2
      fi
      declare "${argument:2}" ;;
    --rate=*)
      if [[ ! ${argument#*=} =~ ^[0-9]*\.?[0-9]+$ ]]; then
        echo "error: $argument; give a number such as 0.5" >&2; exit 2
      fi
      rate=${argument#*=} ;;
    *) flags+=("$argument") ;;
  esac
done
if [[ $scale == small ]]; then
  : "${seeds:=3}" "${people:=64000}" "${lanes:=2}" "${rate:=4}"
else
  : "${seeds:=1}" "${people:=3200000}" "${lanes:=1}" "${rate:=1}"
fi
root=runs/$scale
configs=(rmsprop8 rmsprop8_res384 rmsprop16 rmsprop16_halves adam8 adam8_slow
  adam16)

# The name, batch size and learning rate of each config, a line each.
table=$(python - "$rate" "${configs[@]}" <<'PYTHON'
import sys
from hg_jax.base import config_files
for name in sys.argv[2:]:
  config = config_files.load(name)
  rate = round(config.optimizer.learning_rate * float(sys.argv[1]), 12)
  print(name, config.batch_size, rate)
PYTHON
)
# The cores that these processes may use, if each run is to have one.
cores=()
if ((lanes > 1)) && command -v taskset >/dev/null; then
  cores=($(python -c 'import os; print(*sorted(os.sched_getaffinity(0)))'))
  if ((${#cores[@]} < lanes)); then
    cores=()
  fi
fi

# Sets `command` to what trains a config for `steps` in the folder `run`.
command_of() {
  local config=$1 batch=$2 learning_rate=$3 seed=$4
  steps=$((people / batch))
  run=$root/${config}_seed$seed
  command=(python -m hg_jax.main --config="configs/$config.py"
    --workdir="$run" --config.seed="$seed" --config.steps="$steps"
    --config.optimizer.learning_rate="$learning_rate"
    "--config.optimizer.drop_steps=($((steps / 2)),)"
    --config.evaluate_every=$(((steps + 9) / 10)))
  if [[ $scale == small ]]; then
    command+=(--config.model.stacks=1 --config.model.features=32
      --config.log_every=500 --config.checkpoint_every=2500
      --config.evaluate.figures=0)
    if [[ $config == *res384 ]]; then
      # Twice the side and twice the sigma is the same peak.
      command+=(--config.data.image_size=128 --config.data.sigma=4.0
        --config.data.dir=data/mpii224)
    else
      command+=(--config.data.image_size=64 --config.data.sigma=2.0
        --config.data.dir=data/mpii112)
    fi
  fi
  command+=(${flags[@]+"${flags[@]}"})
}

# Whether `run` was trained and scored by this very command.
is_finished() {
  [[ -e $run/results.json && -e $run/metrics.jsonl && -e $run/command.txt &&
    $(<"$run/command.txt") == "${command[*]}" ]] || return 1
  local last
  last=$(tail -n 1 "$run/metrics.jsonl" |
    sed -n 's/^{"step": \([0-9]*\),.*/\1/p')
  [[ -n $last ]] && ((last >= steps))
}

say() { echo "$(date +%T) $*"; }

# Of the run in each lane: its process, if any, and its folder.
pids=() folders=()

# Asks the runs in progress to save and end, and waits until they have.
stop_all() {
  local lane
  for lane in "${!pids[@]}"; do
    kill -TERM "${pids[lane]}" 2>/dev/null || true
  done
  for lane in "${!pids[@]}"; do
    while kill -0 "${pids[lane]}" 2>/dev/null; do
      sleep 0.5
    done
    say "stopped ${folders[lane]}"
  done
}

# A second signal gets here once more, which stops the runs at once.
trap 'stop_all; exit 130' INT
trap 'stop_all; exit 143' TERM
trap 'stop_all; exit 129' HUP

begin_in() {
  local lane=$1 pinned=()
  if ((${#cores[@]})); then
    pinned=(taskset -c "${cores[lane]}")
  fi
  mkdir -p "$run"
  echo "${command[*]}" >"$run/command.txt"
  ${pinned[@]+"${pinned[@]}"} "${command[@]}" >>"$run/log.txt" 2>&1 &
  pids[lane]=$! folders[lane]=$run
  say "began $run${pinned[*]+ on core ${cores[lane]:-}}"
}

# Sets `free` to a lane without a run, once there is one, or to none.
find_free_lane() {
  local lane status
  free=
  for ((lane = 0; lane < lanes; lane++)); do
    if [[ -n ${pids[lane]:-} ]]; then
      if kill -0 "${pids[lane]}" 2>/dev/null; then
        continue
      fi
      status=0
      wait "${pids[lane]}" || status=$?
      unset "pids[lane]"
      if ((status)); then
        say "failed ${folders[lane]}, with status $status:" >&2
        tail -n 20 "${folders[lane]}/log.txt" >&2
        stop_all
        exit 1
      fi
      say "ended ${folders[lane]}"
    fi
    free=$lane
  done
}

runs=()
first=
for ((seed = 0; seed < seeds; seed++)); do
  while read -r config batch learning_rate <&3; do
    command_of "$config" "$batch" "$learning_rate" "$seed"
    runs+=("$run")
    if is_finished; then
      say "$run is finished"
      continue
    fi
    find_free_lane
    # The first run may have people to draw, which the others share: it has
    # them when its settings are saved.
    while [[ -z $free || (-n $first && ! -e $first/config.json) ]]; do
      sleep 1
      find_free_lane
    done
    begin_in "$free"
    : "${first:=$run}"
  done 3<<<"$table"
done
while ((${#pids[@]})); do
  sleep 1
  find_free_lane
done
published=()
if [[ $scale == full ]]; then
  published=(--published)
fi
python -m hg_jax.compare "${runs[@]}" --output="$root/comparison" \
  --save="$root/results" ${published[@]+"${published[@]}"}
