#!/usr/bin/env bash
# The modules on a test server for VSD that lives as long as this. It has vm0, which is stopped, and vm1, which runs.

# shellcheck source=tests/integration/servers.sh
source "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute/tests/integration/servers.sh"

serve vsd --vms 2 --polls 1
take vsd url ANYVIRT_URL
take vsd username ANYVIRT_USERNAME
take vsd password ANYVIRT_PASSWORD

ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml -e "requests=$scratch/vsd" "$@"
