# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The snapshots of the open-source server: inside the disk of a VM that it started by itself, and a list beside."""

from __future__ import annotations

import re
from typing import Any

from .voidvm import Row, VoidVm, refusal
from .world import now

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_UNKNOWN_VM = "虚拟机未运行或不存在"


class Snapshots:
    """savevm and loadvm through the monitor. The list outlives the VM, and so a new VM of that name has it too."""

    def __init__(self, server: VoidVm) -> None:
        self.server = server
        self.count = 0

    def _rows(self, vm: str) -> list[Row]:
        return self.server.snapshots.get(vm, [])

    def _find(self, vm: str, name: object, what: str) -> Row:
        self._require_monitor(vm, what)
        found = next((row for row in self._rows(vm) if row["name"] == name), None)
        if found is None:
            raise refusal(500, f"{what}: 快照不存在")
        return found

    def _require_monitor(self, vm: object, what: str) -> None:
        if vm not in self.server.started_here:
            raise refusal(500, f"{what}: {_UNKNOWN_VM}")

    def _saved(self, vm: str) -> dict[str, Any]:
        """What the disk really holds."""
        folder = self.server.folders.get(vm) or {}
        return folder.setdefault("saved", {})

    def create(self, body: Row) -> Row:
        vm, name = body.get("vmName"), body.get("snapshotName")
        if not vm or not name:
            raise refusal(400, "虚拟机名称和快照名称不能为空")
        if not _NAME.fullmatch(str(name)):
            raise refusal(400, "快照名称只能包含字母、数字、下划线和连字符")
        self._require_monitor(vm, "创建快照失败")
        if any(row["name"] == name for row in self._rows(vm)):
            raise refusal(500, "创建快照失败: 快照名称已存在")
        self.count += 1
        self._saved(vm)[name] = dict(self.server.folders[vm]["config"])
        row = {
            "id": f"snapshot_{self.count}", "name": name, "vmName": vm, "description": body.get("description") or "",
            "createTime": now(), "status": "active", "size": 196616, "metadata": {"vmState": "running"},
        }  # fmt: skip
        self.server.snapshots.setdefault(vm, []).append(row)
        return {"success": True, "message": "快照创建成功", "data": row}

    def load(self, body: Row) -> Row:
        vm, name = body.get("vmName"), body.get("snapshotName")
        if not vm or not name:
            raise refusal(400, "虚拟机名称和快照名称不能为空")
        row = self._find(vm, name, "加载快照失败")
        if name not in self._saved(vm):
            raise refusal(500, f"加载快照失败: Device 'ide0-hd0' does not have the requested snapshot '{name}'")
        row["lastLoadTime"] = now()
        return {"success": True, "message": "快照加载成功", "data": {"snapshotName": name, "success": True}}

    def list(self, vm: str, query: dict[str, str]) -> Row:
        """page and limit are texts, and so the end of a page is their concatenation."""
        page, limit = query.get("page", "1"), query.get("limit", "20")
        start = (int(page) - 1) * int(limit)
        order, key = query.get("order", "desc"), query.get("sortBy", "createTime")
        rows = sorted(self._rows(vm), key=lambda row: str(row.get(key)), reverse=order == "desc")
        end = int(f"{start}{limit}") if "limit" in query else start + 20
        paging = {"total": len(rows), "page": page, "limit": limit, "totalPages": -(-len(rows) // int(limit))}
        return {"success": True, "data": {"snapshots": rows[start:end], "pagination": paging}}

    def get(self, vm: str, name: str) -> Row:
        found = next((row for row in self._rows(vm) if row["name"] == name), None)
        if found is None:
            raise refusal(500, "快照不存在")
        return {"success": True, "data": found}

    def delete(self, vm: str, name: str) -> Row:
        row = self._find(vm, name, "删除快照失败")
        self._rows(vm).remove(row)
        self._saved(vm).pop(name, None)
        return {"success": True, "message": "快照删除成功"}

    def rename(self, vm: str, name: str, body: Row) -> Row:
        """The real one loads the snapshot and saves it anew: what the VM did since is lost."""
        new = body.get("newName")
        if not new or not _NAME.fullmatch(str(new)):
            raise refusal(400, "新名称格式无效")
        row = self._find(vm, name, "重命名快照失败")
        if any(one["name"] == new and one is not row for one in self._rows(vm)):
            raise refusal(500, "重命名快照失败: 新快照名称已存在")
        self._saved(vm)[new] = self._saved(vm).pop(name, None)
        row |= {"name": new, "description": body.get("description", row["description"]), "updateTime": now()}
        return {"success": True, "message": "快照重命名成功", "data": row}
