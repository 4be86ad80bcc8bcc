# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test starts from. Names may be given to several things of a kind, as on the real server."""

from __future__ import annotations

from typing import Any

from .create import add_drives, new_vm
from .images import make_image
from .placement import allocate, make_nic, make_volume
from .rows import view
from .snapshot_groups import take_group
from .snapshots import take
from .state import GIB, WITHOUT_HOST, Cloud, Row
from .tags import add_tags, values


class Seeding:
    """The part of the server that puts things into the state. Every row is live: what changes, changes in it."""

    state: Cloud

    def add_zone(self, name: str, **fields: Any) -> Row:
        return self._add("Zone", name, **{"state": "Enabled", "type": "zstack", "isDefault": False, **fields})

    def add_cluster(self, name: str, zone: str = "zone-1", **fields: Any) -> Row:
        about = {
            "zoneUuid": self._uuid("Zone", zone),
            "hypervisorType": "KVM",
            "type": "zstack",
            "architecture": "x86_64",
        }
        return self._add("Cluster", name, **{"state": "Enabled", **about, **fields})

    def add_host(self, name: str, cluster: str = "cluster-1", memory: int = 256 * GIB, **fields: Any) -> Row:
        where = self.state.named("Cluster", cluster)
        about = {
            "zoneUuid": where["zoneUuid"], "clusterUuid": where["uuid"], "hypervisorType": "KVM", "state": "Enabled",
            "status": "Connected", "managementIp": f"192.0.2.{10 + len(self.state.table('Host'))}", "cpuNum": 16,
            "cpuSockets": 2, "totalCpuCapacity": 160, "availableCpuCapacity": 160, "totalMemoryCapacity": memory,
            "availableMemoryCapacity": memory, "architecture": "x86_64",
        }  # fmt: skip
        return self._add("Host", name, **{**about, **fields})

    def add_primary_storage(self, name: str, size: int = 1024 * 1024 * GIB, kind: str = "NFS", **fields: Any) -> Row:
        """Attached to every cluster there is."""
        about = {
            "zoneUuid": next(iter(self.state.table("Zone"))), "url": f"192.0.2.2:/{name}", "type": kind,
            "state": "Enabled", "status": "Connected", "mountPath": f"/opt/{name}", "totalCapacity": size,
            "availableCapacity": size, "totalPhysicalCapacity": size, "availablePhysicalCapacity": size,
            "attachedClusterUuids": list(self.state.table("Cluster")),
        }  # fmt: skip
        return self._add("PrimaryStorage", name, **{**about, **fields})

    def add_backup_storage(self, name: str, size: int = 1024 * GIB, **fields: Any) -> Row:
        about = {
            "url": f"192.0.2.3:/{name}",
            "type": "ImageStoreBackupStorage",
            "state": "Enabled",
            "status": "Connected",
        }
        return self._add("BackupStorage", name, totalCapacity=size, availableCapacity=size, **{**about, **fields})

    def add_image(self, name: str, size: int = GIB, media: str = "RootVolumeTemplate", **fields: Any) -> Row:
        """media: RootVolumeTemplate, ISO or DataVolumeTemplate."""
        return make_image(self.state, name, size, media, **fields)

    def add_l3_network(self, name: str, net: str = "198.51.100", **fields: Any) -> Row:
        """net: the first three bytes of its addresses .10 to .250."""
        pool: Row = {"startIp": f"{net}.10", "endIp": f"{net}.250", "netmask": "255.255.255.0", "gateway": f"{net}.1"}
        pool.update(uuid=self.state.new_uuid(), name=f"{name}-range", networkCidr=f"{net}.0/24", ipVersion=4)
        l2 = self._add("L2Network", f"l2-of-{name}", type="L2NoVlanNetwork", physicalInterface="eth0")
        about = {
            "zoneUuid": next(iter(self.state.table("Zone"))), "l2NetworkUuid": l2["uuid"], "type": "L3BasicNetwork",
            "state": "Enabled", "system": False, "category": "Private", "ipVersion": 4, "enableIPAM": True,
            "dns": [], "ipRanges": [pool], "networkServices": [], "hostRoute": [],
        }  # fmt: skip
        return self._add("L3Network", name, **{**about, **fields})

    def add_instance_offering(self, name: str, cpu: int = 1, memory: int = GIB, **fields: Any) -> Row:
        about = {"type": "UserVm", "state": "Enabled", "sortKey": 0, "cpuSpeed": 0, "reservedMemorySize": 0}
        return self._add("InstanceOffering", name, cpuNum=cpu, memorySize=memory, **{**about, **fields})

    def add_disk_offering(self, name: str, size: int = 10 * GIB, **fields: Any) -> Row:
        about = {"type": "DefaultDiskOfferingType", "state": "Enabled", "sortKey": 0}
        return self._add("DiskOffering", name, diskSize=size, **{**about, **fields})

    def add_vm(
        self,
        name: str,
        state: str = "Running",
        *,
        cpu: int = 1,
        memory: int = GIB,
        image: str = "image-1",
        root_size: int = 10 * GIB,
        disks: tuple[int, ...] = (),
        networks: tuple[str, ...] = ("net-1",),
        host: str | None = None,
        storage: str | None = None,
        tags: tuple[str, ...] = (),
        user_tags: tuple[str, ...] = (),
        **fields: Any,
    ) -> Row:
        """A VM that has been there for long, in any state. disks: sizes of its data volumes; others by name."""
        cloud = self.state
        with cloud.lock:
            made = self.state.named("Image", image)
            vm = new_vm(cloud, name, cpuNum=cpu, memorySize=memory, imageUuid=made["uuid"], **fields)
            where = storage and self._uuid("PrimaryStorage", storage)
            root = make_volume(cloud, f"ROOT-for-{name}", root_size, "Root", vm, where, rootImageUuid=made["uuid"])
            vm["rootVolumeUuid"] = root["uuid"]
            for number, size in enumerate(disks, 1):
                make_volume(cloud, f"DATA-{number}-for-{name}", size, "Data", vm, where)
            for network in networks:
                l3 = cloud.named("L3Network", network)
                make_nic(cloud, vm, l3)
                vm["defaultL3NetworkUuid"] = vm["defaultL3NetworkUuid"] or l3["uuid"]
            add_drives(cloud, vm, list(tags), None)
            add_tags(cloud, "VmInstanceVO", vm["uuid"], tags, user_tags)
            vm["_ha"] = next((words[0] for words in values(tags, "ha")), None)
            on = cloud.named("Host", host) if host else allocate(cloud, vm)
            vm.update(clusterUuid=on["clusterUuid"], zoneUuid=on["zoneUuid"])
            vm["lastHostUuid" if state in WITHOUT_HOST else "hostUuid"] = on["uuid"]
            cloud.set_state(vm, state)
        return vm

    def add_volume(self, name: str, size: int = GIB, vm: str | None = None, **fields: Any) -> Row:
        """A data volume, attached to the VM or free."""
        with self.state.lock:
            return make_volume(self.state, name, size, "Data", self.state.vm_row(vm) if vm else None, **fields)

    def add_snapshot(self, vm: str, name: str, description: str | None = None) -> Row:
        """A snapshot of the root volume alone."""
        with self.state.lock:
            root = self.state.row("Volume", self.state.vm_row(vm)["rootVolumeUuid"])
            return take(self.state, root, name, description)

    def add_snapshot_group(self, vm: str, name: str, description: str | None = None, memory: bool = False) -> Row:
        """A snapshot of the whole VM."""
        with self.state.lock:
            return take_group(self.state, self.state.vm_row(vm), name, description, memory)

    def add_tag(self, vm: str, tag: str, *, system: bool = True) -> Row:
        with self.state.lock:
            lists: tuple[list[str], list[str]] = ([tag], []) if system else ([], [tag])
            return add_tags(self.state, "VmInstanceVO", self.state.vm_row(vm)["uuid"], *lists)[0]

    def set_config(self, category: str, name: str, value: str) -> None:
        """A global setting, such as vm numa (hot plug), vm deletionPolicy, vm uniqueVmName."""
        (row,) = self.state.rows("GlobalConfig", category=category, name=name)
        row["value"] = value

    def get(self, kind: str, who: str) -> dict[str, Any]:
        """The inventory of a thing as it is now, by uuid or by a name that only one has; kind as in "Volume"."""
        with self.state.lock:
            self.state.clock.settle()
            return view(self.state, kind, self.state.named(kind, who))

    def _uuid(self, kind: str, who: str) -> str:
        return self.state.named(kind, who)["uuid"]

    def _add(self, kind: str, name: str, **fields: Any) -> Row:
        with self.state.lock:
            return self.state.add(kind, name=name, description=fields.pop("description", None), **fields)


_CONFIG = {
    ("vm", "numa"): "false",
    ("vm", "deletionPolicy"): "Delay",
    ("vm", "uniqueVmName"): "false",
    ("volume", "deletionPolicy"): "Delay",
    ("identity", "session.timeout"): "7200",
}


def basics(server: Seeding, hosts: int) -> None:
    """What every cloud has; see the top of ../zstack.py."""
    for (category, name), value in _CONFIG.items():
        server.state.add("GlobalConfig", category=category, name=name, value=value, defaultValue=value)
    server.state.add("ManagementNode", hostName="192.0.2.1")
    server.add_zone("zone-1", isDefault=True)
    server.add_cluster("cluster-1")
    for number in range(1, hosts + 1):
        server.add_host(f"host-{number}")
    for name in ("ps-1", "ps-2"):
        server.add_primary_storage(name)
    server.add_backup_storage("bs-1")
    server.add_l3_network("net-1")
    server.add_l3_network("net-2", "203.0.113")
    server.add_image("image-1")
    server.add_image("iso-1", media="ISO")
    server.add_instance_offering("offering-1")
    server.add_disk_offering("disk-1")


def example(server: Seeding, count: int) -> None:
    for number in range(count):
        state = "Running" if number % 2 == 0 else "Stopped"
        server.add_vm(f"vm{number:03d}", state, cpu=2, user_tags=("demo",))
