# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""System tags, which are options by another name, and the tags of users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .contract import facts
from .errors import bad_argument, missing
from .routes import Call, handles
from .rows import inventory, view
from .state import Cloud, Row

_VOLUME_TAGS = {"volumeProvisioningStrategy", "capability", "localStorage", "volume"}
_KNOWN = {
    "VmInstanceVO": {pattern.partition("::")[0] for pattern in facts()["system_tags_vm"]} | _VOLUME_TAGS,
    "VolumeVO": _VOLUME_TAGS,
}


def check_tags(kind: str, tags: Iterable[str]) -> None:
    """Refuse what no pattern of system tags fits."""
    for tag in tags:
        if "::" not in tag or tag.partition("::")[0] not in _KNOWN.get(kind, {tag.partition("::")[0]}):
            raise bad_argument(f"no system tag matches[{tag}] for resourceType[{kind}]")


def values(tags: Iterable[str], name: str) -> list[list[str]]:
    """What stands behind the name in the tags that have it: values("staticIp") of staticIp::<l3>::<ip>."""
    return [tag.split("::")[1:] for tag in tags if tag.partition("::")[0] == name]


def system_tags(cloud: Cloud, uuid: str) -> list[str]:
    return [row["tag"] for row in cloud.rows("SystemTag", resourceUuid=uuid)]


def add_tags(cloud: Cloud, kind: str, uuid: str, tags: Iterable[str], user_tags: Iterable[str] = ()) -> list[Row]:
    """Tags of a resource; kind as VmInstanceVO. A tag that is there already stays the same."""
    rows = []
    for table, texts in (("SystemTag", tags), ("UserTag", user_tags)):
        for text in texts:
            known = cloud.rows(table, resourceUuid=uuid, tag=text)
            row = known[0] if known else cloud.add(table, resourceUuid=uuid, resourceType=kind, tag=text)
            row["type"] = table[:-3]
            if table == "SystemTag":
                row["inherent"] = False
            rows.append(row)
    return rows


def replace_tag(cloud: Cloud, uuid: str, name: str, value: str | None, kind: str = "VmInstanceVO") -> None:
    """The one tag of that name; None takes it away."""
    for row in cloud.rows("SystemTag", resourceUuid=uuid):
        if row["tag"].partition("::")[0] == name:
            cloud.remove("SystemTag", row["uuid"])
    if value is not None:
        add_tags(cloud, kind, uuid, [f"{name}::{value}"])


def _resource(call: Call) -> str:
    uuid = call.params.get("resourceUuid", "")
    if not any(uuid in table for table in call.cloud.tables.values()):
        raise missing("Resource", uuid)
    return uuid


@handles("CreateSystemTag")
def create_system_tag(call: Call) -> dict[str, Any]:
    check_tags(call.params["resourceType"], [call.params["tag"]])
    (row,) = add_tags(call.cloud, call.params["resourceType"], _resource(call), [call.params["tag"]])
    return inventory(call.cloud, "SystemTag", row)


@handles("CreateSystemTags")
def create_system_tags(call: Call) -> dict[str, Any]:
    check_tags(call.params["resourceType"], call.params["tags"])
    rows = add_tags(call.cloud, call.params["resourceType"], _resource(call), call.params["tags"])
    return {"inventories": [view(call.cloud, "SystemTag", row) for row in rows]}


@handles("UpdateSystemTag")
def update_system_tag(call: Call) -> dict[str, Any]:
    row = call.row("SystemTag")
    check_tags(row["resourceType"], [call.params["tag"]])
    if row["tag"].partition("::")[0] != call.params["tag"].partition("::")[0]:
        raise bad_argument("the new tag must fit the pattern of the old one")
    row["tag"] = call.params["tag"]
    call.cloud.touch(row)
    return inventory(call.cloud, "SystemTag", row)


@handles("CreateUserTag")
def create_user_tag(call: Call) -> dict[str, Any]:
    (row,) = add_tags(call.cloud, call.params["resourceType"], _resource(call), [], [call.params["tag"]])
    return inventory(call.cloud, "UserTag", row)


@handles("DeleteTag")
def delete_tag(call: Call) -> dict[str, Any]:
    for kind in ("SystemTag", "UserTag", "Tag"):
        call.cloud.table(kind).pop(call.params["uuid"], None)
    return {}


# -- patterns that users made -----------------------------------------------------------------------------------------


@handles("CreateTag")
def create_tag(call: Call) -> dict[str, Any]:
    row = call.cloud.add("Tag", **call.given("name", "value", "description", "color", "type"))
    row.setdefault("type", "simple")
    return inventory(call.cloud, "Tag", row)


@handles("AttachTagToResources")
def attach_tag(call: Call) -> dict[str, Any]:
    cloud, tag, results = call.cloud, call.row("Tag", "tagUuid"), []
    for uuid in call.params["resourceUuids"]:
        if uuid not in cloud.table("VmInstance"):
            results.append({"success": False, "error": missing("Resource", uuid).row()})
            continue
        (row,) = add_tags(cloud, "VmInstanceVO", uuid, [], [tag["value"]])
        row["tagPatternUuid"] = tag["uuid"]
        results.append({"inventory": view(cloud, "UserTag", row), "success": True})
    return {"results": results}


@handles("DetachTagFromResources")
def detach_tag(call: Call) -> dict[str, Any]:
    cloud = call.cloud
    for uuid in call.params["resourceUuids"]:
        for row in cloud.rows("UserTag", resourceUuid=uuid, tagPatternUuid=call.params["tagUuid"]):
            cloud.remove("UserTag", row["uuid"])
    return {}
