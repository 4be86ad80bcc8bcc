#!/usr/bin/env bash
# The playbook lifecycle.yml from end to end: on plain QEMU, where it makes its VM, and beside that on a test server for
# VSD, where the VM is a clone of vm0, and after that one that was there.

# shellcheck source=tests/integration/servers.sh
source "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute/tests/integration/servers.sh"

serve vsd --vms 3 --polls 1
take vsd url ANYVIRT_URL
take vsd username ANYVIRT_USERNAME
take vsd password ANYVIRT_PASSWORD

ask() { ansible localhost -m anyvirt.compute.vm_info -a "backend=vsd $1"; }
live() { ansible-playbook anyvirt.compute.lifecycle -e backend=vsd -e "@$collection/playbooks/vars/vsd.yml" "$@"; }
refuse() { # VARIABLES WORDS
  if live -e "$1" >"$scratch/refused"; then return 1; fi
  grep -F "$2" "$scratch/refused"
}

on_vsd() {
  ask gather=config,snapshots >"$scratch/before"
  refuse '{vm: {name: vm0}}' 'There is already: vm0'
  refuse '{existing: true, vm: {name: vm1}}' 'vm1, which is running'
  refuse '{without: [clone]}' 'Give existing: true'
  live "$@"
  ask gather=config,snapshots | diff "$scratch/before" -
  live -e '{existing: true, vm: {name: vm2}}' "$@"
  ask name=vm2 | grep '"memory": 2048'
}

on_vsd "$@" >"$scratch/lifecycle" 2>&1 &
ansible-playbook anyvirt.compute.lifecycle -e "{connection_options: {state_dir: $scratch/vms}}" "$@"
wait $! || failed=$?
cat "$scratch/lifecycle"
exit "${failed:-0}"
