#!/usr/bin/env bash
# Trains on every GPU of this machine; the same command resumes.
#
#   launch/train_local.sh adam16 [--config.batch_size=32 ...]
set -euo pipefail
cd "$(dirname "$0")/.."
config=${1:?give the name of a file under configs/, such as adam16}
shift
exec python -m hg_jax.main --config="configs/$config.py" "$@"
