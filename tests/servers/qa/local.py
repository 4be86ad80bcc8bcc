# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VMs that really run: QEMU processes of the collection's own local backend. Their noVNC is simulated all the same."""

from __future__ import annotations

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import process
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Error
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import normalised
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import (
    VM,
    Op,
    Plan,
    Step,
    plan_create,
    plan_delete,
    plan_settings,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline

from .documented import Machines, Row
from .world import ApiError, World

SECONDS = 60.0


class LocalMachines(Machines):
    """state_dir: where the local backend keeps them; it may be empty."""

    def __init__(self, world: World, state_dir: str) -> None:
        super().__init__(world)
        self.backend = QemuBackend({"state_dir": state_dir})

    def make(self, vm: Row) -> None:
        disks = {"disks": [{"size": f"{vm['diskSize']}GiB"}], "nics": [{"network": "user"}]}
        self._carry_out(plan_create(vm["name"], normalised({**self._settings(vm), **disks})))

    def start(self, vm: Row) -> int:
        """The VNC port is only written down: the real VM has a socket of its own."""
        noted = super().start(vm)
        self._carry_out(plan_settings(self._found(vm), normalised(self._settings(vm))))
        self._carry_out(self._power(vm, Op.START))
        pid = process.pid_of(self.backend.store.vm_dir(vm["name"]))
        assert pid is not None
        self.world.processes[pid] = self.world.processes.pop(noted)
        return pid

    def stop(self, vm: Row) -> None:
        self._carry_out(self._power(vm, Op.STOP))
        super().stop(vm)

    def remove(self, vm: Row) -> None:
        self._carry_out(plan_delete(self._found(vm), force=False, purge=False))

    def runs(self, vm: Row) -> bool:
        return process.is_alive(self.backend.store.vm_dir(vm["name"]))

    @staticmethod
    def _settings(vm: Row) -> dict[str, object]:
        return {"memory": str(vm["memory"]), "cores": vm["cpuCores"], "cpu_type": "qemu64"}

    def _found(self, vm: Row) -> VM:
        found = self.backend.find(Identity(name=vm["name"]), ("config", "pending"))
        assert found is not None
        return found

    def _power(self, vm: Row, op: Op) -> Plan:
        found = self._found(vm)
        return Plan(found, found, (), (Step(op, found),))

    def _carry_out(self, plan: Plan) -> None:
        if not plan.changed:
            return
        deadline = Deadline(SECONDS)
        try:
            self.backend.check(plan)
            with self.backend.exclusive(plan, deadline):
                for step in plan.steps:
                    self.backend.perform(step, deadline).require_success()
        except Error as error:
            raise ApiError(500, "INTERNAL_SERVER_ERROR", str(error)) from error
