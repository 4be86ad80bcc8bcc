# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vms
short_description: VMs of any backend as hosts
version_added: 0.1.0
author:
  - anyvirt.compute contributors (@anyvirt)
description:
  - Lists the VMs of a backend as hosts, in groups by node, state, pool, tag, type and backend.
  - Reads a file whose name ends in C(vms.yml) or C(vms.yaml).
  - With O(backend=proxmox) one request tells of any number of nodes, VMs and pools. What it tells of states and names
    may be some seconds old, and a VM that was just made may have no name yet.
  - Secrets are not told by any backend, and so are in no variable.
options:
  plugin:
    description:
      - The name of this plugin.
    type: str
    required: true
    choices:
      - anyvirt.compute.vms
  types:
    description:
      - What is listed. Containers are those of O(backend=proxmox). No facts are gathered of them.
    type: list
    elements: str
    choices:
      - vm
      - container
    default:
      - vm
  templates:
    description:
      - Whether templates are listed too.
    type: bool
    default: false
  nodes:
    description:
      - Whether the nodes of the cluster are hosts too, with their addresses, in the group C(vm_nodes). It costs one
        more request.
      - A node that has the name of a VM gets C(_node) after it.
    type: bool
    default: false
  select:
    description:
      - Only VMs that fit all of these. They are looked at before facts are gathered, and cost nothing.
    type: dict
    suboptions:
      name:
        description:
          - A pattern for the name, with C(*) and C(?).
        type: str
      tags:
        description:
          - Tags that the VM must have, all of them.
        type: list
        elements: str
      pool:
        description:
          - The pool that the VM is in.
        type: str
      node:
        description:
          - The node that the VM is on.
        type: str
      status:
        description:
          - The power state.
        type: str
        choices:
          - running
          - stopped
          - paused
          - suspended
          - unknown
      template:
        description:
          - Whether it is a template. With V(true) only templates are listed.
        type: bool
  filters:
    description:
      - Only VMs for which all these Jinja expressions are true. They see the variables C(vm_*).
      - One that needs no facts is looked at before facts are gathered. One that needs them lets pass a VM whose facts
        cannot be told. One that cannot be evaluated for some VM is an error, for to leave the VM out would hide it.
    type: list
    elements: str
    default: []
  facts:
    description:
      - What to ask of each VM beside. Nothing by default.
      - V(config) are all settings, such as C(vm_disks), C(vm_nics) and C(vm_cloud_init), in the words of the options of
        M(anyvirt.compute.vm). V(snapshots) is C(vm_snapshots). Each costs a request per VM.
      - V(agent) is what the guest agent tells, C(vm_agent) and C(vm_addresses). Only running VMs are asked. With
        V(config) too, only those that have an agent are asked.
      - What cannot be told of a VM is in its C(vm_facts_error). It is listed all the same.
    type: list
    elements: str
    choices:
      - config
      - agent
      - snapshots
    default: []
  max_parallel:
    description:
      - How many VMs are asked for facts at once. With O(backend=proxmox) at most 16.
    type: int
    default: 16
  max_parallel_per_node:
    description:
      - How many of them on one node.
    type: int
    default: 4
  hostname:
    description:
      - The name of a VM's host.
      - With V(name) it is the name of the VM, with V(name_id) this and the id, such as C(web1_101). Anything else is a
        Jinja expression that sees the variables C(vm_*).
      - Where several VMs would get the same name, each of them gets its id behind it. So does one with a name that
        Ansible has a meaning for, such as C(all) or C(localhost). A VM without a name is C(vm-) and its id. Where the
        expression gives nothing, it is as with V(name).
    type: str
    default: name
  group_prefix:
    description:
      - What the names of the groups by node, state, pool, tag, type and backend begin with.
    type: str
    default: vm_
  host_address:
    description:
      - Which address of a VM is C(ansible_host). An expression C(ansible_host) in O(compose) goes before it.
      - Loopback and link-local addresses are never taken.
    type: dict
    suboptions:
      sources:
        description:
          - Where to look for it, in this order. V(agent) needs O(facts=agent). V(cloud_init) are the addresses that
            cloud-init sets, and needs O(facts=config). V(name) is the name of the VM.
          - By default all of them, as far as their facts are gathered.
        type: list
        elements: str
        choices:
          - agent
          - cloud_init
          - name
      family:
        description:
          - The family of IP addresses. With V(any) IPv4 goes before IPv6.
        type: str
        choices:
          - any
          - ipv4
          - ipv6
        default: any
      interfaces:
        description:
          - Patterns for the names of interfaces in the guest, such as C(eth*). By default all but those that lead to
            containers, such as C(docker0).
        type: list
        elements: str
      networks:
        description:
          - Networks, such as C(192.0.2.0/24). The address must be in one of them.
        type: list
        elements: str
  host_address_by_group:
    description:
      - Other policies for some groups, each with the suboptions of O(host_address). The first group that a host is in
        counts. If it tells no address, that of O(host_address) stays.
    type: dict
    default: {}
  stale_ok:
    description:
      - For how many seconds a cached inventory is used, with a warning, when no answer comes from the API. It needs
        O(cache).
    type: int
    default: 0
  stop_on_error:
    description:
      - Whether Ansible ends, with exit status 1, when the VMs cannot be told.
      - With V(false) Ansible goes on without them, as it does with any source that fails. A play for them then does
        nothing.
    type: bool
    default: true
seealso:
  - module: anyvirt.compute.vm_info
extends_documentation_fragment:
  - anyvirt.compute.connection.inventory
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
"""

EXAMPLES = r"""
---
# All VMs of a cluster of Proxmox VE, by one request. The secret of the token is in the environment variable
# ANYVIRT_TOKEN_SECRET.
plugin: anyvirt.compute.vms
backend: proxmox
url:
  - https://pve1.example.com:8006
  - https://pve2.example.com:8006
token_id: ansible@pve!inventory

---
# The VMs that QEMU runs on this host
plugin: anyvirt.compute.vms
backend: qemu

---
# Running web servers, by the addresses that their guest agents tell
plugin: anyvirt.compute.vms
backend: proxmox
url: https://pve1.example.com:8006
token_id: ansible@pve!inventory
token_secret: "{{ lookup('ansible.builtin.env', 'PVE_SECRET') }}"
select:
  tags:
    - web
  status: running
facts:
  - config
  - agent
host_address:
  family: ipv4
  networks:
    - 192.0.2.0/24
host_address_by_group:
  vm_tag_dmz:
    sources:
      - cloud_init

---
# Groups and variables of one's own, and a cache that also serves while the cluster does not answer
plugin: anyvirt.compute.vms
backend: proxmox
url: https://pve1.example.com:8006
token_id: ansible@pve!inventory
filters:
  - vm_memory >= 1024
  - "'no-ansible' not in vm_tags"
keyed_groups:
  - key: vm_pool
    prefix: pool
    default_value: none
  - key: vm_tags
    prefix: ""
    separator: ""
groups:
  large: vm_memory > 16384
compose:
  ansible_user: "'debian' if 'debian' in vm_tags else 'root'"
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-vms
cache_timeout: 600
stale_ok: 86400
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ansible.errors import AnsibleError, AnsibleOptionsError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group, to_safe_group_name
from ansible.inventory.host import Host
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable, get_cache_plugin

from ..module_utils._backends.connect import connect
from ..module_utils._errors import Error, InvalidRequest, TransportError
from ..module_utils._plan import VM
from ..plugin_utils import _expressions, _hosts
from ..plugin_utils._host_address import AddressPolicy
from ..plugin_utils._listing import gather_facts, is_wanted, lacks_facts
from ..plugin_utils._options import SPEC, check_names, checked

_ASKED = (
    *("backend", "state_dir", "url", "username", "token_id", "transport"),
    *("access_key_id", "login_type", "project", "dialect"),
    *("types", "templates", "nodes", "select", "filters", "facts"),
)
"""The options that decide what a listing holds; with others what is cached is of no use."""


def _set_address(host: Host, vm: VM, policy: AddressPolicy) -> None:
    address = policy.address_of(vm)
    if address:
        host.vars["ansible_host"] = _expressions.as_data(address)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "anyvirt.compute.vms"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("vms.yml", "vms.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """
        :raises SystemExit: the VMs cannot be told. Ansible itself goes on without a source that fails, and ends with
            status 0: a playbook for all web servers would do nothing, and say that it is done.
        """
        super().parse(inventory, loader, path, cache)
        try:
            given = self._read_config_data(path)
        except AnsibleOptionsError as error:  # any other error means that the file is not for this plugin
            self._stop(path, error)
        try:
            self._fill(inventory, self._listing(self._checked(given), path, cache))
        except (Error, AnsibleError) as error:
            if not self.get_option("stop_on_error"):
                raise AnsibleParserError(str(error)) from error
            self._stop(path, error)

    def _stop(self, path: str, error: Exception) -> NoReturn:
        self.display.error(f"{path}: {error}", wrap_text=False)
        raise SystemExit(1) from error

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        aliases = [alias for one in SPEC.values() for alias in one.get("aliases", ())]
        check_names(given, [*self._options, *aliases])
        self.options = checked({name: self._templated(self.get_option(name)) for name in SPEC})
        self.groups: dict[str, Group] = {}
        self.use_extra_vars = self.get_option("use_extra_vars")
        facts = self.options["facts"]
        self.policy = AddressPolicy.of(self.options["host_address"], facts)
        by_group = self.options["host_address_by_group"]
        self.policies = {group: AddressPolicy.of(policy, facts) for group, policy in by_group.items()}
        _expressions.compile_once(self.templar)
        return self.options

    def _templated(self, value: Any) -> Any:
        """Such as a lookup of a secret; expressions have no braces and stay as they are."""
        return self.templar.template(value) if self.templar.is_template(value) else value

    # --- what there is

    def _listing(self, options: Mapping[str, Any], path: str, may_read: bool) -> Mapping[str, Any]:
        """``vms`` and ``nodes`` as they are now, or were when they were cached."""
        asked = {name: options[name] for name in _ASKED}
        key, kept = self.get_cache_key(path), None
        if self.get_option("cache"):
            self._cache = self._open_cache()
            kept = self._cache.get(key)
            kept = kept if kept and kept["asked"] == asked else None
        lifetime = self.get_option("cache_timeout")
        if kept and may_read and (not lifetime or time.time() - kept["time"] <= lifetime):
            return kept
        try:
            listing = {"asked": asked, "time": time.time(), **self._ask(options)}
        except TransportError as error:
            return self._stale(kept, error)
        if self.get_option("cache"):
            self._cache[key] = listing
        return listing

    def _open_cache(self) -> Any:
        """What is cached is kept for as long as it may be of use, and its age is looked at here."""
        lifetime, stale_ok = self.get_option("cache_timeout"), self.options["stale_ok"]
        options = {"_uri": self.get_option("cache_connection"), "_prefix": self.get_option("cache_prefix")}
        options["_timeout"] = lifetime and max(lifetime, stale_ok)
        return get_cache_plugin(
            self.get_option("cache_plugin"), **{name: value for name, value in options.items() if value is not None}
        )

    def _stale(self, kept: Mapping[str, Any] | None, error: TransportError) -> Mapping[str, Any]:
        if kept is None or time.time() - kept["time"] > self.options["stale_ok"]:
            raise error
        age = time.time() - kept["time"]
        self.display.warning(f"The VMs are told as they were {age:.0f} s ago, from the cache: {error}")
        return kept

    def _ask(self, options: Mapping[str, Any]) -> dict[str, Any]:
        backend = connect(options)
        try:
            late = [one for one in options["filters"] if any(name in one for name in _hosts.FACT_VARIABLES)]
            early = [one for one in options["filters"] if one not in late]
            vms = [vm for vm in backend.overview() if is_wanted(vm, options) and self._passes(vm, early)]
            if options["facts"]:
                gather_facts(backend, vms, options)
                vms = [vm for vm in vms if lacks_facts(vm) or self._passes(vm, late)]
            elif late:
                raise InvalidRequest(
                    f"filters: '{late[0]}' is about facts, and there are none without the option facts."
                )
            self._tell_failures(vms)
            nodes = dict(backend.node_addresses()) if options["nodes"] else {}
        finally:
            backend.close()
        return {"vms": vms, "nodes": nodes}

    def _passes(self, vm: VM, filters: Iterable[str]) -> bool:
        """
        :raises InvalidRequest: a filter cannot be evaluated: to leave out a VM for that would hide it.
        """
        variables = _hosts.variables_of(vm) if filters else {}
        for expression in filters:
            try:
                if not boolean(self._compose(expression, variables)):
                    return False
            except (AnsibleError, TypeError) as error:
                raise InvalidRequest(f"filters: '{expression}' of VM {_hosts.plain_name(vm)}: {error}") from error
        return True

    def _tell_failures(self, vms: Sequence[VM]) -> None:
        failed = [vm for vm in vms if "facts_error" in vm]
        if failed:
            self.display.warning(
                f"{len(failed)} of {len(vms)} VMs lack facts, see their vm_facts_error. The first,"
                f" {_hosts.plain_name(failed[0])}: {failed[0]['facts_error']}"
            )

    # --- hosts

    def _fill(self, inventory: InventoryData, listing: Mapping[str, Any]) -> None:
        vms = _hosts.in_order(listing["vms"])
        names = _hosts.host_names(vms, self._name_of)
        for name, vm in zip(names, vms):
            self._add_host(inventory, name, vm)
        taken = set(names)
        for node, address in sorted(listing["nodes"].items()):
            name = inventory.add_host(f"{node}_node" if node in taken else node)
            self._add_to_groups(inventory, inventory.hosts[name], ["nodes"])
            if address:
                inventory.set_variable(name, "ansible_host", _expressions.as_data(address))

    def _name_of(self, vm: VM) -> str:
        builtin = {"name": _hosts.plain_name, "name_id": _hosts.name_with_id}
        hostname = self.options["hostname"]
        if hostname in builtin:
            return builtin[hostname](vm)
        found = self._compose(hostname, _hosts.variables_of(vm))
        return _hosts.plain_name(vm) if found in (None, "") else str(found)

    def _add_host(self, inventory: InventoryData, name: str, vm: VM) -> None:
        inventory.add_host(name)
        host = inventory.hosts[name]
        # set_variable checks each name anew, and these are known to be good
        host.vars.update(_expressions.as_data(_hosts.variables_of(vm)))
        _set_address(host, vm, self.policy)
        self._add_to_groups(inventory, host, _hosts.groups_of(vm))
        self._add_constructed(host)
        if self.policies and "ansible_host" not in (self.get_option("compose") or {}):
            of_host = {group.name for group in host.groups}
            policy = next((policy for group, policy in self.policies.items() if group in of_host), None)
            if policy:
                _set_address(host, vm, policy)

    def _add_constructed(self, host: Host) -> None:
        compose, groups, keyed = (self.get_option(name) for name in ("compose", "groups", "keyed_groups"))
        if not (compose or groups or keyed):
            return
        strict, variables = self.get_option("strict"), host.get_vars()
        self._set_composite_vars(compose, variables, host.name, strict=strict)
        variables.update(host.vars)
        self._add_host_to_composed_groups(groups, variables, host.name, strict=strict, fetch_hostvars=False)
        self._add_host_to_keyed_groups(keyed, variables, host.name, strict=strict, fetch_hostvars=False)

    def _add_to_groups(self, inventory: InventoryData, host: Host, groups: Iterable[str]) -> None:
        for words in groups:
            if words not in self.groups:
                name = to_safe_group_name(f"{self.options['group_prefix']}{words}", force=True, silent=True)
                self.groups[words] = inventory.groups[inventory.add_group(name)]
            self.groups[words].add_host(host)

    def _compose(self, template: Any, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """A plain path is looked up: that costs a hundredth of what Jinja does."""
        if isinstance(template, str) and not self.use_extra_vars:
            if _expressions.is_path(template):
                try:
                    return _expressions.look_up(template, variables)
                except _expressions.Missing:
                    pass
            names = _expressions.names_in(template)
            if names is not None:
                variables = {name: variables[name] for name in names if name in variables}
        return super()._compose(template, variables, *args, **kwargs)
