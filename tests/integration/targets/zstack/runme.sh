#!/usr/bin/env bash
# Every module, and beside that the playbook lifecycle.yml, on a test server for ZStack that lives as long as this.

set -eu

collection=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; kill $(jobs -p)' EXIT

(
  cd "$collection"
  TMPDIR=$scratch exec python -m tests.servers.zstack --hosts 3 --vms 0 --port 0 --task-seconds 0.1 --hot-plug >"$scratch/told"
) &
until grep -q '^ca_path:' "$scratch/told" 2>/dev/null; do
  kill -0 $!
  sleep 0.1
done

told() { sed -n "s/^$1: *//p" "$scratch/told"; }
ANYVIRT_URL=$(told url)
ANYVIRT_USERNAME=$(told account)
ANYVIRT_PASSWORD=$(told password)
export ANYVIRT_URL ANYVIRT_USERNAME ANYVIRT_PASSWORD

ansible-playbook anyvirt.compute.lifecycle -e backend=zstack -e "@$collection/playbooks/vars/zstack.yml" "$@" \
  >"$scratch/lifecycle" 2>&1 &
ANSIBLE_ROLES_PATH=.. ansible-playbook steps.yml "$@"
wait $! || failed=$?
cat "$scratch/lifecycle"
exit "${failed:-0}"
