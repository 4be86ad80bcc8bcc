# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VMs beside their snapshots, as the public documents of 2021 describe them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .routes import SCOPE, Call, handles, paged
from .snapshots import check_idle, named
from .state import GIB, ApiError, Platform, Vm

_FILTERS = "filter_name filter_uuid filter_fuzzy filter_state filter_agent filter_action filter_zone"
_MOST_MEMORY = 256 * GIB


def refused(message: str, message_cn: str, desc: str = "") -> ApiError:
    return ApiError(20812, message, message_cn, desc)


def check_state(vm: Vm, *states: str, agent: bool = False) -> None:
    check_idle(vm)
    if vm.state not in states:
        raise refused("virtual machine state is not allowed", "虚拟机状态不允许", f"{vm.name} is {vm.state}")
    if agent and vm.ga_state != "connected":
        raise refused("agent is not connected", "Agent未连接", vm.name)


# -- reading ----------------------------------------------------------------------------------------------------------


def _common(vm: Vm) -> dict[str, Any]:
    return {
        "tenant": vm.tenant, "uuid": vm.uuid, "name": vm.name, "type": "GUS", "state": vm.state,
        "ga_state": vm.ga_state, "action": vm.action, "machine_uuid": vm.host if not vm.is_off else "",
        "cluster_uuid": vm.cluster, "deleted_time": vm.deleted, "interface_ips": [], "attr": None,
        "has_passthrough_disk": any(disk.passthrough for disk in vm.disks),
    }  # fmt: skip


def listed(vm: Vm) -> dict[str, Any]:
    usage = {"cpu": {"logical": vm.config["cpu_current"]}, "mem": {"logical": vm.config["mem_size"]}}
    return {**_common(vm), "statistic": usage}


def inspected(vm: Vm) -> dict[str, Any]:
    disks = [
        {
            "disk_target_device": disk.device, "disk_target_bus": disk.bus,
            ("disk_source_passthrough" if disk.passthrough else "disk_vsd_source"): {
                "volume_uuid": disk.volume, "disk_capacity": disk.capacity, "pool_uuid": "pool", "pool_name": "main",
            },
        }
        for disk in vm.disks
    ]  # fmt: skip
    return {
        **_common(vm), **vm.config, "cpu_current": str(vm.config["cpu_current"]), "compute_name": "", "disks": disks,
        "interfaces": vm.interfaces, "parent_uuid": vm.parent_uuid, "migrate_dest": "", "os_loader_path": "BIOS",
        "vnc_password": "HUSH-VNC", "spice_password": "HUSH-SPICE",
    }  # fmt: skip


@handles("GET", "compute/list", f"cluster_uuid tenant include_trash_vm page_number:int page_num:int page_size:int "
         f"{_FILTERS}")  # fmt: skip
def list_vms(call: Call) -> Any:
    params, rows = call.params, []
    for vm in [*call.platform.vms.values()]:
        vm.look()
        wanted = params.get("cluster_uuid") in (None, "", vm.cluster) and params.get("tenant") in (None, "", vm.tenant)
        named_so = params.get("filter_name", "") in vm.name and params.get("filter_uuid", "") in vm.uuid
        if wanted and named_so and (not vm.deleted or call.flag("include_trash_vm")):
            rows.append(listed(vm))
    page, total = paged(call, rows)
    ranges = [
        {"cluster_uuid": uuid, "cluster_name": name, "result": call.entry.envelope("", call.entry.broken.get(uuid))}
        for uuid, name in call.platform.clusters.items()
        if params.get("cluster_uuid") in (None, "", uuid)
    ]
    page = [row for row in page if row["cluster_uuid"] not in call.entry.broken]
    return {"domains": page, "total_count": total, "each_range_list_state": ranges, "object_group_counts": {}}


@handles("GET", "compute/inspect", "cluster_uuid* tenant* compute_uuid* include_trash_vm")
def inspect(call: Call) -> Any:
    call.vm.look()
    return inspected(call.vm)


# -- power ------------------------------------------------------------------------------------------------------------


def _shut_down(platform: Platform, vm: Vm) -> None:
    if not vm.hangs:
        vm.after(platform.polls, lambda: platform.stop(vm) if vm.state == "running" else None)


def _set_state(platform: Platform, vm: Vm, state: str) -> None:
    vm.state = state


def _reset(platform: Platform, vm: Vm) -> None:
    vm.boots += 1


POWER: dict[str, tuple[tuple[str, ...], bool, Callable[[Platform, Vm], None]]] = {
    "start": (("shutoff", "shutdown"), False, Platform.start),
    "shutdown": (("running",), True, _shut_down),
    "shutoff": (("running", "paused", "blocked", "crashed"), False, lambda platform, vm: platform.stop(vm)),
    "reset": (("running",), False, _reset),
    "suspend": (("running",), False, partial(_set_state, state="paused")),
    "resume": (("paused",), False, partial(_set_state, state="running")),
}
"""For each word the states in which it may be said, whether the guest's agent must hear it, and what it does."""


def _power(call: Call, word: str) -> Any:
    states, agent, act = POWER[word]
    check_state(call.vm, *states, agent=agent)
    act(call.platform, call.vm)
    return {}


def _power_of_many(call: Call, word: str) -> Any:
    results = []
    for one in call.params["vms"]:
        try:
            if one.get("compute_uuid") in call.platform.failing_vms:
                raise ApiError(20926, "host do not satisfy cpu bloat limitation", "主机不满足CPU超分配限制")
            _power(Call(call.platform, call.entry, one, call.user), word)
            results.append(call.entry.envelope(one))
        except ApiError as error:
            results.append(call.entry.envelope(one, error))
    return call.entry.batch(results[::-1])


for _word in POWER:
    handles("POST", f"compute/{_word}", f"{SCOPE} cloud_init:bool is_repair:bool")(partial(_power, word=_word))
    handles("POST", f"compute/batch_{_word}", "vms:list* cluster_uuid vm_type cloud_init:bool is_repair:bool")(
        partial(_power_of_many, word=_word)
    )


# -- settings ---------------------------------------------------------------------------------------------------------


@handles(
    "POST", "compute/vcpu/set", f"{SCOPE} cpu_current:int cpu_max:int cpu_sockets:int cpu_socket_cores:int"
)  # fmt: skip
def set_cpus(call: Call) -> Any:
    vm, given = call.vm, {name: value for name, value in call.params.items() if name.startswith("cpu_")}
    check_idle(vm)
    old = vm.config
    sockets = given.get("cpu_sockets", old["cpu_sockets"])
    cores = given.get("cpu_socket_cores", given.get("cpu_max", 0) // sockets or old["cpu_socket_cores"])
    most, current = sockets * cores, given.get("cpu_current", old["cpu_current"])
    if given.get("cpu_max", most) != most or current > most:
        raise refused("cpu settings conflict", "CPU设置冲突")
    changed = (sockets, cores) != (old["cpu_sockets"], old["cpu_socket_cores"])
    if not vm.is_off and (changed or current < old["cpu_current"]):
        raise refused("virtual machine must be shut off", "虚拟机必须关机", vm.state)
    vm.config = {**old, "cpu_sockets": sockets, "cpu_socket_cores": cores, "cpu_max_count": most,
                 "cpu_current": current}  # fmt: skip
    return {}


@handles("POST", "compute/vmemory/set", f"{SCOPE} vmemory:int* mem_max:int")
def set_memory(call: Call) -> Any:
    vm, size = call.vm, call.params["vmemory"]
    check_idle(vm)
    if not 0 < size <= _MOST_MEMORY or (not vm.is_off and size < vm.config["mem_size"]):
        raise refused("memory size is not allowed", "内存大小不允许", str(size))
    vm.config = {**vm.config, "mem_size": size}
    return {}


@handles("POST", "compute/meta/set", f"{SCOPE} meta:dict baseline object_group os")
def set_meta(call: Call) -> Any:
    name = call.params.get("meta", {}).get("compute_name")
    if name is not None:
        call.vm.name = name
    return {}


# -- copies, moves, the end -------------------------------------------------------------------------------------------


@handles(
    "POST", "compute/clone", f"{SCOPE} clone_name* clone_num:int link:bool snapshot component_cache:bool disks:list "
    "zone object_group migrate_namespace"
)  # fmt: skip
def clone(call: Call) -> Any:
    platform, source, name = call.platform, call.vm, call.params["clone_name"]
    check_idle(source)
    wanted = call.params.get("snapshot")
    snapshot = named(source, wanted) if wanted else None
    source.action = "cloning"

    def made() -> None:
        source.action = "noaction"
        if name not in call.entry.lost_clones:
            platform.copy_of(source, name, snapshot)

    source.after(platform.polls, made)
    answer = {"tenant": "", "vm_uuid": source.uuid, "index": 0, "clone_name": name}
    return call.entry.batch([call.entry.envelope(answer)])


@handles("POST", "compute/clone/progress", SCOPE, write=False)
def progress(call: Call) -> Any:
    if call.vm.action != "cloning":
        raise ApiError(22102, "virtual machine is not cloning", "虚拟机未在克隆")
    return {"progress": 50}


@handles("POST", "compute/migrate", f"{SCOPE} destination*")
def migrate(call: Call) -> Any:
    vm, target = call.vm, call.params["destination"]
    check_state(vm, "running")
    if target not in call.platform.hosts:
        raise refused("host not exists", "主机不存在", target)
    vm.action = "migrating"

    def arrived() -> None:
        vm.action = "noaction"
        if not call.entry.fails_migrations:
            vm.host = target

    vm.after(call.platform.polls, arrived)
    return {"compute_name": vm.name}


@handles("POST", "compute/delete", f"{SCOPE} real_delete:bool is_delete_volumes:bool")
def delete(call: Call) -> Any:
    vm = call.vm
    check_state(vm, "shutoff", "shutdown", "crashed", "nostate")
    if call.flag("real_delete") and call.user in call.platform.admins:
        del call.platform.vms[vm.uuid]
    else:
        vm.deleted = call.platform.tick()
    return {}


@handles("GET", "trash/list", "cluster_uuid* tenant filter_object_name filter_object_type:int page_num:int "
         "page_number:int page_size:int start:int end:int")  # fmt: skip
def trash(call: Call) -> Any:
    rows = [
        {"name": vm.name, "uuid": vm.uuid, "type": 2, "namespace_uuid": "", "delete_time": vm.deleted * 10**9}
        for vm in [*call.platform.vms.values()]
        if vm.deleted and vm.cluster == call.params["cluster_uuid"]
    ]
    page, total = paged(call, rows)
    return {"list": page, "total_count": total}


@handles("GET", "host/list/overview", "cluster_uuid* filter_host_name filter_zone_uuid filter_healthy_only "
         "filter_service_type* page_num:int page_number:int page_size:int")  # fmt: skip
def hosts(call: Call) -> Any:
    rows = [{"node": {"host_uuid": uuid, "host_name": name}} for uuid, name in call.platform.hosts.items()]
    page, total = paged(call, rows)
    return {"list": page, "total_count": total}


@handles("GET", "cluster/list", "filter_name filter_uuid page_num:int page_number:int page_size:int")
def clusters(call: Call) -> Any:
    rows = [{"cluster_uuid": uuid, "cluster_name": name} for uuid, name in call.platform.clusters.items()]
    page, total = paged(call, [row for row in rows if call.params.get("filter_name", "") in row["cluster_name"]])
    return {"list": page, "total_count": total}
