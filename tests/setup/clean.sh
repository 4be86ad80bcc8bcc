#!/usr/bin/env bash
# Remove all that the other scripts made, virtual machines of an interrupted demo first.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if compgen -G "$RUN/demo/vms/*" >/dev/null; then
  "$ROOT/tests/setup/demo.sh" absent
fi
# Deleting under a running virtual machine, or under somebody's tests, would lose what it holds.
# shellcheck disable=SC2062 # -f - is not a pattern
if users=$(printf '%s/' "$WORK" | grep -lsF -f - /proc/[0-9]*/cmdline); then
  die "Still in use by the processes $(tr -dc '0-9\n' <<<"$users" | paste -sd ' '); stop them first: $WORK"
fi
say "Removing $WORK"
rm -rf "$WORK"
