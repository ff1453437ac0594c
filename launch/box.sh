#!/usr/bin/env bash
# Scores the network in the box on MPII's people, beside published predictions
# of them, and on those of LSP-extended that it did not train on:
#
#   launch/box.sh ANNOTATIONS PREDICTIONS...
#
# data/mpii and data/lspet are as hg_jax/weights/person128/README.md prepares
# them of ANNOTATIONS; the PREDICTIONS are others', of MPII's 2,958. Where
# data/coco is there, prepared of COCO's people, it is scored on whole photos as
# MPII's is: nothing is given but the photos. Writes results/box/.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# == 0)); then
  echo 'error: name the file of annotations' >&2; exit 2
fi
annotations=$1; shift
results=results/box
mkdir -p "$results"

evaluate() {
  python -m hg_jax.main --mode=evaluate --workdir=box --output="runs/box/$1" \
    "${@:2}"
}
score() {
  python -m hg_jax.score --json --annotations="$annotations" "$@"
}

evaluate mpii --config.data.dir=data/mpii
evaluate mpii_without_flip --config.data.dir=data/mpii \
  --config.evaluate.flip_test=False
evaluate lspet --config.data.dir=data/lspet
whole_photos() {
  python -m hg_jax.main --mode=evaluate --workdir=box --whole_photos \
    --output="runs/box/$1" --config.data.dir="data/$1" --split="$2"
  cp "runs/box/$1/whole_photos.json" "$results/whole_photos_$1.json"
}
whole_photos mpii valid
if [[ -d data/coco ]]; then
  whole_photos coco valid
fi
score --common runs/box/mpii/predictions.h5 "$@" >"$results/mpii.json"
score runs/box/mpii_without_flip/predictions.h5 \
  >"$results/mpii_without_flip.json"
cp runs/box/lspet/results.json "$results/lspet.json"
python launch/results.py
