#!/usr/bin/env bash
# The modules, and beside that the playbook lifecycle.yml, on test servers for the HTTP manager of QEMU VMs, one of each
# dialect, that live as long as this.

# shellcheck source=tests/integration/servers.sh
source "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute/tests/integration/servers.sh"

for dialect in documented voidvm; do
  serve qemu_api --dialect "$dialect"
  take qemu_api url ANYVIRT_URL

  ansible-playbook anyvirt.compute.lifecycle -e backend=qemu_api -e "@$collection/playbooks/vars/qemu_api.yml" "$@"
  ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml -e "dialect=$dialect" "$@"
done
