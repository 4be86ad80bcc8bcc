#!/usr/bin/env bash
# The playbook lifecycle.yml from end to end.

set -eux

state_dir=$(mktemp -d)
trap 'rm -rf "$state_dir"' EXIT
ansible-playbook anyvirt.compute.lifecycle -e "{connection_options: {state_dir: $state_dir}}" "$@"
