#!/usr/bin/env bash
# Run playbooks/demo.yml twice, then take away what it made, twice: every second pass must change nothing.
# With the argument "absent" only take away, as `make clean` does.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
alone "$0" "$@"
STATE=$RUN/demo

pass() { # HEADLINE ARGUMENT...
  local headline=$1
  shift
  printf '\n'
  say "$headline"
  rm -f "$RUN/log/demo"
  (cd "$ROOT" && ANSIBLE_LOG_PATH=$RUN/log/demo ansible-playbook playbooks/demo.yml \
    -e "guest=$GUEST" -e "state_dir=$STATE" "$@") ||
    die "The demo failed. What it made is in $STATE; \`make clean\` removes it."
}

unchanged() {
  local recap
  recap=$(grep -E 'ok=[0-9]+ +changed=[0-9]+' "$RUN/log/demo") || die "The play recap is missing"
  ! grep -qvE 'changed=0 ' <<<"$recap" || die "The second pass should have changed nothing"
}

ensure_programs "${QEMU[@]}"
ensure_run_venv
ensure_tree
ensure_guest
PATH=$VENV/bin:$PATH
mkdir -p "$RUN/log"

if [ "${1:-}" = absent ]; then
  pass "Demo: remove what is left" -e demo_state=absent
  exit
fi
pass "Demo, first pass: a virtual machine's life on plain QEMU"
pass "Demo, second pass: the same playbook changes nothing"
unchanged
pass "Demo, third pass: revert, power off, remove" -e demo_state=absent
pass "Demo, fourth pass: there is nothing left to remove" -e demo_state=absent
unchanged
say "Done. Both second passes reported changed=0."
