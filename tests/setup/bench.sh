#!/usr/bin/env bash
# Run the benchmark. Arguments go to benchmarks/run.py.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
alone "$0" "$@"

ensure_programs "${QEMU[@]}"
ensure_test_venv
ensure_tree
say "Running the benchmark"
cd "$ROOT"
PATH=$VENV/bin:$PATH PYTHONPATH=$TREE "$VENV/bin/python" -m benchmarks.run "$@"
