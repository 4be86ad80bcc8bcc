#!/usr/bin/env bash
# Every module, and beside that the playbook lifecycle.yml, on a test server for Proxmox VE that lives as long as this.

# shellcheck source=tests/integration/servers.sh
source "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute/tests/integration/servers.sh"

serve proxmox --nodes 3 --vms 0 --task-seconds 0.1
take proxmox url ANYVIRT_URL
take proxmox token_id ANYVIRT_TOKEN_ID
take proxmox token_secret ANYVIRT_TOKEN_SECRET
take proxmox ca_path ANYVIRT_CA_PATH

ansible-playbook anyvirt.compute.lifecycle -e backend=proxmox -e "@$collection/playbooks/vars/proxmox.yml" "$@" \
  >"$scratch/lifecycle" 2>&1 &
ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml "$@"
wait $! || failed=$?
cat "$scratch/lifecycle"
exit "${failed:-0}"
