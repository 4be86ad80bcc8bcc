#!/usr/bin/env bash
# Run the benchmark. Arguments go to benchmarks/run.py; with "peer" among them, the collection to compare with is fetched.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
alone "$0" "$@"

ensure_programs "${QEMU[@]}"
ensure_test_venv
ensure_tree
case " $* " in *" peer "*)
  [ -d "$WORK/peer/ansible_collections" ] || "$VENV/bin/pip" install --quiet --no-deps --target "$WORK/peer" "ansible~=12.0"
  ANSIBLE_COLLECTIONS_PATH=$TREE:$WORK/peer
  export ANSIBLE_COLLECTIONS_PATH
  ;;
esac
say "Running the benchmark"
cd "$ROOT"
PATH=$VENV/bin:$PATH PYTHONPATH=$TREE "$VENV/bin/python" -m benchmarks.run "$@"
