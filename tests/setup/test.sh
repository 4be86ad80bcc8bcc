#!/usr/bin/env bash
# Run the stages named as arguments, or all of them, in this order: lint unit sanity sanity-newest qemu integration.
# They run in a copy of the checkout, for ansible-test accepts no other place than a real ansible_collections tree.
# TARGETS="vm vm_power" narrows the integration stage, PYTEST_ADDOPTS reaches pytest.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
alone "$0" "$@"
COPY=$RUN/copy/ansible_collections/anyvirt/compute
STAGES=("$@")
[ $# -gt 0 ] || STAGES=(lint unit sanity sanity-newest qemu integration)
SUMMARY=()

copy_checkout() {
  local file
  rm -rf "$RUN/copy"
  mkdir -p "$COPY"
  git -C "$ROOT" ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
      # A file deleted but still in the index is none.
      [ ! -e "$ROOT/$file" ] || printf '%s\0' "$file"
    done | tar -C "$ROOT" --null -T - -c | tar -C "$COPY" -x
}

stage_lint() {
  ruff check --no-cache --quiet .
  ruff format --no-cache --quiet --check .
  yamllint --strict .
  MYPYPATH=$RUN/copy mypy --cache-dir "$RUN/mypy" -p ansible_collections.anyvirt.compute.plugins
  ansible-lint --offline -q
  antsibull-changelog lint
  antsibull-docs lint-collection-docs --plugin-docs .
}

stage_unit() {
  ensure_novnc
  pytest -q -n 2 tests/unit
}

stage_sanity() {
  ensure_sanity_environments
  ansible_test sanity
}

stage_sanity_newest() {
  local python VENV
  python=$(find_python 3.13 3.12) || {
    say "Left out: the newest ansible-core needs Python 3.12 or later, and there is none"
    return
  }
  ensure_venv newest "$python" "$ROOT/tests/setup/ansible-core-newest.txt"
  stage_sanity
}

stage_qemu() {
  ensure_guest
  ensure_novnc
  ANYVIRT_TEST_GUEST=$GUEST pytest -q -n 2 --dist loadfile tests/integration/qemu
}

stage_integration() {
  local -a targets
  read -ra targets <<<"${TARGETS:-}"
  ensure_guest
  ensure_novnc
  sed -e "s|@GUEST@|$GUEST|" -e "s|@NOVNC@|$NOVNC|" -e "s|@STATE_DIR@|$RUN/integration|" \
    tests/integration/integration_config.yml.template >tests/integration/integration_config.yml
  ansible_test integration "${targets[@]}"
}

# Run ansible-test of the environment $VENV. It works below $HOME, and hands no variable but HOME to pip.
ansible_test() { # COMMAND ARGUMENT...
  local command=$1 python
  shift
  python=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  mkdir -p "$WORK/home/.config"
  if [ -d "${XDG_CONFIG_HOME:-$HOME/.config}/pip" ]; then
    ln -sfn "${XDG_CONFIG_HOME:-$HOME/.config}/pip" "$WORK/home/.config/pip"
  fi
  HOME=$WORK/home PATH=$VENV/bin:$PATH ansible-test "$command" --local --python "$python" "$@"
}

# ansible-test makes an environment for nearly every sanity test, and says much about it.
ensure_sanity_environments() {
  local ready=$VENV/sanity
  [ ! -e "$ready" ] || return 0
  say "Making the environments of the sanity tests for $(basename "$VENV")"
  HOME=$WORK/home "$VENV/bin/python" "$ROOT/tests/setup/get_pip.py"
  quietly "$RUN/log/sanity" ansible_test sanity --prime-venvs
  touch "$ready"
}

summary() {
  local status=$?
  [ -z "${STAGE:-}" ] || SUMMARY+=("$(printf '%-14s FAILED after %4d s' "$STAGE" $((SECONDS - BEGIN)))")
  printf '\n'
  [ ${#SUMMARY[@]} -eq 0 ] || printf '%s\n' "${SUMMARY[@]}"
  exit "$status"
}

for STAGE in "${STAGES[@]}"; do
  declare -F "stage_${STAGE//-/_}" >/dev/null || die "There is no stage $STAGE"
done
STAGE=
BEGIN=$SECONDS
PROGRAMS=("${QEMU[@]}" ssh-keygen:openssh-client) # ansible-test integration calls ssh-keygen in any case
[ "${STAGES[*]}" != lint ] || PROGRAMS=()
ensure_programs git:git "${PROGRAMS[@]}"
ensure_test_venv
ensure_tree
copy_checkout
SUMMARY+=("$(printf '%-14s ok           %4d s' set-up $((SECONDS - BEGIN)))")
export PATH=$VENV/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$RUN/copy
cd "$COPY"

trap summary EXIT
for STAGE in "${STAGES[@]}"; do
  say "Stage $STAGE"
  BEGIN=$SECONDS
  "stage_${STAGE//-/_}"
  SUMMARY+=("$(printf '%-14s ok           %4d s' "$STAGE" $((SECONDS - BEGIN)))")
done
STAGE=
