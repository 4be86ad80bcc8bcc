#!/usr/bin/env bash
# Every module, and beside that the playbook lifecycle.yml, on a test server for ZStack that lives as long as this.

# shellcheck source=tests/integration/servers.sh
source "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute/tests/integration/servers.sh"

serve zstack --hosts 3 --vms 0 --task-seconds 0.1 --hot-plug
take zstack url ANYVIRT_URL
take zstack account ANYVIRT_USERNAME
take zstack password ANYVIRT_PASSWORD

ansible-playbook anyvirt.compute.lifecycle -e backend=zstack -e "@$collection/playbooks/vars/zstack.yml" "$@" \
  >"$scratch/lifecycle" 2>&1 &
ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml "$@"
wait $! || failed=$?
cat "$scratch/lifecycle"
exit "${failed:-0}"
