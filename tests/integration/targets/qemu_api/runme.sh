#!/usr/bin/env bash
# The modules, and beside that the playbook lifecycle.yml, on test servers for the HTTP manager of QEMU VMs, one of each
# dialect, that live as long as this.

set -eu

collection=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; kill $(jobs -p)' EXIT

for dialect in documented voidvm; do
  (
    cd "$collection"
    TMPDIR=$scratch exec python -m tests.servers.qemu_api --dialect "$dialect" --port 0 >"$scratch/$dialect"
  ) &
  until grep -q '^ca_path:' "$scratch/$dialect" 2>/dev/null; do
    kill -0 $!
    sleep 0.1
  done
  ANYVIRT_URL=$(sed -n 's/^url: *//p' "$scratch/$dialect")
  export ANYVIRT_URL

  ansible-playbook anyvirt.compute.lifecycle -e backend=qemu_api -e "@$collection/playbooks/vars/qemu_api.yml" "$@"
  ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml -e "dialect=$dialect" "$@"
done
