# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows as inventories: with their parts, without what is null, and with the numbers that a generic map makes."""

from __future__ import annotations

import copy
from typing import Any

from .state import Cloud, Row

# The parts of a row: field, kind of the parts, the part's field that names the row.
PARTS = {
    "VmInstance": (
        ("vmNics", "VmNic", "vmInstanceUuid"),
        ("allVolumes", "Volume", "vmInstanceUuid"),
        ("vmCdRoms", "VmCdRom", "vmInstanceUuid"),
    ),
}
# Rows that a row names: the word for the other row, its kind, the field with its uuid.
REFERENCES = {
    "cluster": ("Cluster", "clusterUuid"),
    "host": ("Host", "hostUuid"),
    "zone": ("Zone", "zoneUuid"),
    "image": ("Image", "imageUuid"),
    "instanceOffering": ("InstanceOffering", "instanceOfferingUuid"),
    "diskOffering": ("DiskOffering", "diskOfferingUuid"),
    "rootVolume": ("Volume", "rootVolumeUuid"),
    "primaryStorage": ("PrimaryStorage", "primaryStorageUuid"),
    "vmInstance": ("VmInstance", "vmInstanceUuid"),
    "l3Network": ("L3Network", "l3NetworkUuid"),
    "l2Network": ("L2Network", "l2NetworkUuid"),
    "volume": ("Volume", "volumeUuid"),
    "tree": ("VolumeSnapshotTree", "treeUuid"),
}


def parts(cloud: Cloud, kind: str, row: Row, name: str) -> list[Row] | None:
    """The rows that a name stands for in a row; None when the name means nothing there."""
    for field, part, key in PARTS.get(kind, ()):
        if name == field:
            return cloud.rows(part, **{key: row["uuid"]})
    if name in REFERENCES:
        other, field = REFERENCES[name]
        found = cloud.table(other).get(row.get(field) or "")
        return [found] if found else []
    inside = row.get(name)
    return inside if isinstance(inside, list) and all(isinstance(item, dict) for item in inside) else None


def part_kind(kind: str, name: str) -> str:
    """What the rows of a name are."""
    for field, part, _key in PARTS.get(kind, ()):
        if name == field:
            return part
    return REFERENCES[name][0] if name in REFERENCES else ""


def views(cloud: Cloud, kind: str, rows: list[Row]) -> list[dict[str, Any]]:
    """The inventories of many rows; their parts are looked up once."""
    owned: dict[tuple[str, str], list[Row]] = {}
    for _field, part, key in PARTS.get(kind, ()):
        for other in cloud.table(part).values():
            owned.setdefault((part, other.get(key) or ""), []).append(other)
    return [view(cloud, kind, row, owned) for row in rows]


def view(cloud: Cloud, kind: str, row: Row, owned: dict[tuple[str, str], list[Row]] | None = None) -> dict[str, Any]:
    """The inventory of a row. owned: the parts of all rows, by their kind and the uuid of their row."""
    known = {key: value for key, value in row.items() if value is not None and not key.startswith("_")}
    result = {key: copy.deepcopy(value) if isinstance(value, list) else value for key, value in known.items()}
    for field, part, key in PARTS.get(kind, ()):
        found = cloud.rows(part, **{key: row["uuid"]}) if owned is None else owned.get((part, row["uuid"]), [])
        result[field] = [view(cloud, part, other) for other in sorted(found, key=lambda other: other["deviceId"] or 0)]
    if kind == "VolumeSnapshotTree":
        result["tree"] = _leaf(cloud, row)
    return result


def _leaf(cloud: Cloud, tree: Row) -> dict[str, Any]:
    """The snapshots of a tree, each with its children."""

    def leaf(snapshot: Row) -> dict[str, Any]:
        children = [other for other in members if other.get("parentUuid") == snapshot["uuid"]]
        return {
            "inventory": view(cloud, "VolumeSnapshot", snapshot),
            **({"parentUuid": snapshot["parentUuid"]} if snapshot.get("parentUuid") else {}),
            "children": [leaf(child) for child in children],
        }

    members = cloud.rows("VolumeSnapshot", treeUuid=tree["uuid"])
    roots = [leaf(snapshot) for snapshot in members if not snapshot.get("parentUuid")]
    return roots[0] if roots else {}


def inventory(cloud: Cloud, kind: str, row: Row) -> dict[str, Any]:
    """What most calls answer."""
    return {"inventory": view(cloud, kind, row)}


def mapped(value: Any) -> Any:
    """A value that went through a generic map: every number became a float."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, dict):
        return {key: mapped(item) for key, item in value.items()}
    return [mapped(item) for item in value] if isinstance(value, list) else value
