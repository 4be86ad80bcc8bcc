# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CreateVmInstance is sent for the settings of a new VM."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..._fields import MIB, natural
from . import userdata
from .names import Names
from .settings import HA_LEVELS, boot_mode, boot_words, in_bytes


def body_of_create(settings: Mapping[str, Any], uuid: str, name: str, names: Names) -> dict[str, Any]:
    """The body of CreateVmInstance.

    :raises NotFound, Ambiguous: what a name stands for.
    """
    native = settings.get("native", {})
    more = dict(native.get("create", {}))
    tags = _system_tags(settings, names) + list(more.pop("systemTags", ()))
    params: dict[str, Any] = {"name": name, "resourceUuid": uuid, "description": settings.get("description") or None}
    params["strategy"] = native.get("strategy", "CreateStopped")
    if native.get("instanceOffering"):
        params["instanceOfferingUuid"] = names.uuid("instanceOffering", native["instanceOffering"])
    else:
        params.update(cpuNum=settings.get("cores", 1), memorySize=settings.get("memory", 512) * MIB)
    params.update(_disks_of_create(settings, names), **_nics_of_create(settings, names))
    for key, kind in (("clusterUuid", "cluster"), ("zoneUuid", "zone")):
        params[key] = names.uuid(kind, native[kind]) if native.get(kind) else None
    params["hostUuid"] = names.uuid("node", settings["node"]) if settings.get("node") else None
    params.update({key: native[key] for key in ("platform", "guestOsType", "architecture") if key in native})
    params.update(more)
    body: dict[str, Any] = {"params": {key: value for key, value in params.items() if value is not None}}
    return {
        **body,
        **{key: value for key, value in (("systemTags", tags), ("userTags", settings.get("tags"))) if value},
    }


def _disks_of_create(settings: Mapping[str, Any], names: Names) -> dict[str, Any]:
    root, *data = (settings["disks"][slot] for slot in sorted(settings["disks"], key=natural))
    params: dict[str, Any] = {"rootDiskSize": in_bytes(root)}
    if root.get("storage"):
        params["primaryStorageUuidForRootVolume"] = names.uuid("storage", root["storage"])
    if root.get("source"):
        params["imageUuid"] = names.image(root["source"])
    else:
        # an empty disk: the server wants to know for what
        params.update(platform="Linux", guestOsType="Linux", architecture="x86_64")
    if data:
        params["dataDiskSizes"] = [in_bytes(disk) for disk in data]
    return params


def _nics_of_create(settings: Mapping[str, Any], names: Names) -> dict[str, Any]:
    nics = settings.get("nics") or {}
    cards = [nics[slot] for slot in sorted(nics, key=natural)]
    if not cards:
        return {}
    uuids = [names.uuid("network", card["network"]) for card in cards]
    about = []
    for uuid, card in zip(uuids, cards):
        told = {"mac": (card.get("mac") or "").lower(), "driverType": card.get("model")}
        told["state"] = None if card.get("connected", True) else "disable"
        about.append({"l3NetworkUuid": uuid, **{key: value for key, value in told.items() if value}})
    # JSON within JSON is what the server takes here
    return {"l3NetworkUuids": uuids, "defaultL3NetworkUuid": uuids[0], "vmNicParams": json.dumps(about)}


def _system_tags(settings: Mapping[str, Any], names: Names) -> list[str]:
    tags = []
    if settings.get("firmware"):
        tags.append(f"bootMode::{boot_mode(settings['firmware'])}")
    if settings.get("boot_order"):
        tags.append(f"bootOrder::{','.join(boot_words(settings['boot_order']))}")
    level = settings.get("native", {}).get("ha", HA_LEVELS[0])
    if level != HA_LEVELS[0]:
        tags.append(f"ha::{level}")
    cloud_init = dict(settings.get("cloud_init") or {})
    for slot, config in cloud_init.pop("ip_config", {}).items():
        network = names.uuid("network", settings["nics"][slot]["network"])
        tags.append(f"staticIp::{network}::{config['ip'].partition('/')[0]}")
    if cloud_init:
        tags.append(userdata.tag_of(cloud_init))
    if settings.get("cdrom"):
        image = settings["cdrom"].get("image")
        tags.append(f"cdroms::{names.image(image, ('ISO',)) if image else 'Empty'}::None::None")
    storages = data_storages(settings.get("disks") or {})
    if storages:
        tags.append(f"primaryStorageUuidForDataVolume::{names.uuid('storage', storages[0])}")
    return tags


def data_storages(disks: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """The storages that are named for disks beside the root volume."""
    return sorted({disk["storage"] for slot, disk in disks.items() if slot != "virtio0" and disk.get("storage")})
