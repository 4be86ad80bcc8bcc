# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The address by which Ansible reaches a VM."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Union

from ..module_utils._errors import InvalidRequest
from ..module_utils._plan import VM

CONTAINER_BRIDGES = (
    *("docker*", "br-*", "veth*", "virbr*", "lxcbr*", "lxdbr*", "podman*", "cni*"),
    *("flannel*", "cali*", "cilium*", "kube-*", "tunl*", "vxlan.*", "weave*", "nerdctl*"),
)
"""Interfaces of guests that lead to containers and VMs inside them."""

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
_LETTERS_OF_ADDRESSES = frozenset("0123456789abcdefABCDEF.:")
_VERSIONS = {"any": (4, 6), "ipv4": (4,), "ipv6": (6,)}


@dataclass(frozen=True)
class AddressPolicy:
    """Which of a VM's addresses is its ``ansible_host``.

    :param sources: where to look, the first that tells a fitting one wins.
    :param versions: of IP.
    :param interfaces: patterns of names in the guest; none means all but those of containers.
    :param networks: an address must be in one of them; none means any.
    """

    sources: tuple[str, ...]
    versions: tuple[int, ...]
    interfaces: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, options: Mapping[str, Any], facts: list[str]) -> AddressPolicy:
        """
        :param options: as ``_options.ADDRESS`` has them.
        :raises InvalidRequest: a network is none.
        """
        known = [name for name, fact in (("agent", "agent"), ("cloud_init", "config")) if fact in facts]
        try:
            networks = tuple(ipaddress.ip_network(text) for text in options["networks"] or ())
        except ValueError as error:
            raise InvalidRequest(f"host_address: networks: {error}.", advice="Such as 192.0.2.0/24.") from error
        return cls(
            tuple(options["sources"] or (*known, "name")),
            _VERSIONS[options["family"]],
            tuple(options["interfaces"] or ()),
            networks,
        )

    def address_of(self, vm: VM) -> str | None:
        """
        :param vm: with ``agent`` and ``cloud_init`` as far as they are known.
        """
        for source in self.sources:
            found = [text for text in _TOLD[source](vm, self) if self._fits(text)]
            if found:
                return min(found, key=lambda text: ":" in text)
        return None

    def _fits(self, text: str) -> bool:
        address = _ip_address(text)
        if address is None:
            return not self.networks and text.lower().partition(".")[0] != "localhost"  # a name
        if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
            return False
        return address.version in self.versions and (
            not self.networks or any(address in network for network in self.networks)
        )

    def has_interface(self, name: str) -> bool:
        if self.interfaces:
            return any(fnmatchcase(name, pattern) for pattern in self.interfaces)
        return name != "lo" and not any(fnmatchcase(name, pattern) for pattern in CONTAINER_BRIDGES)


def _ip_address(text: str) -> Address | None:
    """None for a name. Most names are told by a letter, which costs less than to try."""
    if not _LETTERS_OF_ADDRESSES.issuperset(text):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _by_agent(vm: VM, policy: AddressPolicy) -> Iterator[str]:
    for interface in (vm.get("agent") or {}).get("interfaces") or ():
        if policy.has_interface(interface["name"]):
            for one in interface.get("ip-addresses") or ():
                yield one["ip-address"]


def _by_cloud_init(vm: VM, policy: AddressPolicy) -> Iterator[str]:
    """Only those given as addresses: what DHCP gave is not known."""
    for entry in ((vm.get("cloud_init") or {}).get("ip_config") or {}).values():
        for word in ("ip", "ip6"):
            address, mark, _length = str(entry.get(word) or "").partition("/")
            if mark:
                yield address


def _by_name(vm: VM, policy: AddressPolicy) -> Iterator[str]:
    if vm.get("name"):
        yield vm["name"]


_TOLD: Mapping[str, Callable[[VM, AddressPolicy], Iterator[str]]] = {
    "agent": _by_agent,
    "cloud_init": _by_cloud_init,
    "name": _by_name,
}
