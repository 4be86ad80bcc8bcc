# shellcheck shell=bash
# To be sourced by a target: test servers that live as long as the target does, and a folder that goes with it.

set -eu

collection=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/anyvirt/compute
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; kill $(jobs -p)' EXIT

# Begin a test server, and wait until it has told where it is, in $scratch/SERVER.
serve() { # SERVER ARGUMENT...
  local server=$1
  rm -f "$scratch/$server"
  shift
  (
    cd "$collection"
    TMPDIR=$scratch exec python -m "tests.servers.$server" --port 0 "$@" >"$scratch/$server"
  ) &
  until grep -q '^ca_path:' "$scratch/$server" 2>/dev/null; do
    kill -0 $!
    sleep 0.1
  done
}

# What a server told, as a variable of the environment.
take() { # SERVER WORD VARIABLE
  local value
  value=$(sed -n "s/^$2: *//p" "$scratch/$1" | tr ' ' ',')
  export "$3=$value"
}
