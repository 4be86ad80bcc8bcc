# shellcheck shell=bash
# What the other scripts here share: paths, a clean environment, Python, virtual environments, QEMU, the guest.
# To be sourced. Everything generated goes below $WORK; nothing is written into the checkout.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
WORK=${ANYVIRT_WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/anyvirt.compute}
# Checkouts share virtual environments and the guest, but not their runs.
RUN=$WORK/run/$(printf %s "$ROOT" | sha256sum | cut -c1-8)
TREE=$RUN/tree
GUEST=$WORK/guest
NOVNC=$WORK/novnc

say() { printf '== %s\n' "$*"; }

die() {
  printf '!! %s\n' "$*" >&2
  exit 1
}

case $WORK in
  *[[:space:]]*) die "The work directory must not contain white space: $WORK (set ANYVIRT_WORK)" ;;
  "$ROOT" | "$ROOT"/*) die "The work directory must lie outside the checkout: $WORK (set ANYVIRT_WORK)" ;;
  /*) ;;
  *) die "ANYVIRT_WORK must be an absolute path: $WORK" ;;
esac

# The caller's settings of Ansible and of this collection must not take part, nor a switch that makes every
# tool compile itself anew on each start.
for name in ${!ANSIBLE_@} ${!ANYVIRT_@} ${!PROXMOX_@} ${!ZSTACK_@}; do
  unset "$name"
done
unset name PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV
export ANYVIRT_WORK=$WORK
export LC_ALL=C.UTF-8
export ANSIBLE_CONFIG=$ROOT/tests/setup/ansible.cfg
export ANSIBLE_HOME=$WORK/ansible ANSIBLE_REMOTE_TMP=$WORK/ansible/tmp
export ANSIBLE_COLLECTIONS_PATH=$TREE ANSIBLE_COLLECTIONS_SCAN_SYS_PATH=False

# Start the calling script again as the only one of its kind in this checkout. The lock is held by flock alone (-o):
# a virtual machine that outlives the run must not inherit it.
alone() { # SCRIPT ARGUMENT...
  local lock
  lock=$RUN/$(basename "$1").lock
  [ "${ALONE:-}" != "$lock" ] || return 0
  mkdir -p "$RUN"
  flock -n "$lock" true || say "Waiting for another $(basename "$1") of this checkout to end"
  ALONE=$lock exec flock -o "$lock" "$@"
}

# Run a command quietly; show what it said only when it fails.
quietly() { # LOG COMMAND...
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    die "Failed: $*"
  }
}

# The first interpreter of these versions, in order of preference. The question put to each candidate leaves out
# pyenv's shims of versions that are not in use, and turns the other shims and virtual environments into real files.
find_python() { # VERSION...
  local version candidate
  for version; do
    while read -r candidate; do
      "$candidate" - "$version" 2>/dev/null <<'PYTHON' && return
import sys
if "%d.%d" % sys.version_info[:2] != sys.argv[1]:
    sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))
PYTHON
    done < <(
      type -aP "python$version" python3
      compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version"
    )
  done
  return 1
}

# What the qemu backend runs, and the Debian packages it is in.
# shellcheck disable=SC2034 # used by the scripts that source this one
QEMU=(
  qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils genisoimage:genisoimage "/usr/share/OVMF/OVMF_CODE*.fd:ovmf"
)

# Set PYTHON, and install what is missing: venv for Python, and these programs or files.
ensure_programs() { # PROGRAM:PACKAGE...
  local pair
  local -a missing=()
  PYTHON=$(find_python 3.11 3.12 3.13) || die "Python 3.11, 3.12 or 3.13 is needed; Debian 12 and Ubuntu 24.04 have it as python3"
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    missing+=("$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
  for pair; do
    type -P "${pair%:*}" >/dev/null || compgen -G "${pair%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

apt_install() { # PACKAGE...
  local -a as_root=(env DEBIAN_FRONTEND=noninteractive)
  type -P apt-get >/dev/null ||
    die "Missing here, and there is no apt-get to install it with. In Debian's names: $*"
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null ||
      die "Missing: $*. Type this, then try again: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    as_root=(sudo -n "${as_root[@]}")
  fi
  say "Installing with apt-get: $*"
  quietly "$RUN/log/apt" "${as_root[@]}" apt-get update -q
  quietly "$RUN/log/apt" "${as_root[@]}" apt-get install -q -y --no-install-recommends "$@"
}

# Set VENV to a virtual environment with these requirements, made once for each Python and state of the files.
ensure_venv() { # NAME PYTHON REQUIREMENT-FILE...
  local name=$1 python=$2 version key file
  local -a wanted=()
  shift 2
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  key=$({ echo "$python" && cat "$@"; } | sha256sum | cut -c1-12)
  VENV=$WORK/venv/$name-$version-$key
  [ ! -e "$VENV/ready" ] || [ ! -x "$VENV/bin/python" ] || return 0
  for file; do
    wanted+=(-r "$file")
  done
  mkdir -p "$WORK/venv"
  (
    flock 9
    [ ! -e "$VENV/ready" ] || [ ! -x "$VENV/bin/python" ] || exit 0
    say "Making the virtual environment $(basename "$VENV")"
    rm -rf "$VENV"
    quietly "$RUN/log/venv-$name" "$python" -m venv "$VENV"
    quietly "$RUN/log/venv-$name" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "${wanted[@]}"
    touch "$VENV/ready"
  ) 9>"$VENV.lock"
}

# What a user of the collection has: ansible-core and the requirements of the modules.
ensure_run_venv() {
  ensure_venv run "$PYTHON" "$ROOT/tests/setup/ansible-core.txt" "$ROOT/requirements.txt"
}

# ansible-core and all the tools of the tests.
ensure_test_venv() {
  ensure_venv test "$PYTHON" "$ROOT/tests/setup/ansible-core.txt" "$ROOT/requirements.txt" \
    "$ROOT/tests/requirements.txt" "$ROOT/tests/lint-requirements.txt"
}

# The checkout under the path that Ansible looks for.
ensure_tree() {
  mkdir -p "$TREE/ansible_collections/anyvirt"
  ln -sfn "$ROOT" "$TREE/ansible_collections/anyvirt/compute"
}

# The kernel and initrd that the demo's and the tests' virtual machines boot.
ensure_guest() {
  mkdir -p "$GUEST"
  flock "$GUEST.lock" "$PYTHON" -B "$ROOT/tests/guest/build.py" --output "$GUEST"
}

# The pages that show the consoles of the tests' virtual machines.
ensure_novnc() {
  "$PYTHON" -B "$ROOT/tests/setup/novnc.py" --output "$NOVNC"
}
