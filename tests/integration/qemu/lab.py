# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small harness: the modules' own ``main()`` on a state directory, processes that can be killed, and the guest."""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.connect import connect
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import process
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.machine import Machine

MODULES = "ansible_collections.anyvirt.compute.plugins.modules"


class Failed(Exception):
    """A module ended with a failure."""

    def __init__(self, result):
        super().__init__(result["msg"])
        self.result = result

    @property
    def kind(self):
        return self.result.get("kind")


class Lab:
    """One state directory, and what the modules do in it."""

    def __init__(self, state_dir):
        self.state_dir = Path(state_dir)
        self.backend = connect({"backend": "qemu", "state_dir": str(state_dir)})

    # --- modules

    def run(self, module, **options):
        """A module's result; Failed where it failed."""
        main = importlib.import_module(f"{MODULES}.{module}").main
        said = io.StringIO()
        # in a module's own process there are none before it
        warnings._global_warnings.clear()
        arguments = {"state_dir": str(self.state_dir), **options}
        with patch_module_args(arguments), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main()
        result = json.loads(said.getvalue())
        result["warnings"] = [_text(warning) for warning in result.get("warnings", ())]
        if result.get("failed"):
            raise Failed(result)
        return result

    def check(self, module, **options):
        """What the module says in check mode."""
        return self.run(module, **options, _ansible_check_mode=True)

    def twice(self, module, **options):
        """The result of a run that changes something; checks what check mode said before, and a second run after."""
        predicted = self.check(module, **options)
        result = self.run(module, **options)
        assert predicted["changed"] and result["changed"], (predicted, result)
        assert predicted["vm"].get("state") == result["vm"].get("state")
        assert predicted.get("pending") == result.get("pending")
        second = self.run(module, **options)
        assert not second["changed"], second["diff"]
        return result

    def begin(self, module, prepare=lambda: None, **options):
        """The same in a process of its own, which may be killed.

        :param prepare: is called in that process first.
        """
        return Run(lambda: prepare() or self.run(module, **options))

    def info(self, name, *gather):
        found = self.run("vm_info", name=name, gather=list(gather))["vms"]
        return found[0] if found else None

    def state(self, name):
        vm = self.info(name)
        return vm["state"] if vm else "absent"

    def snapshots(self, name):
        return {one["name"]: one for one in self.run("vm_snapshot_info", name=name)["snapshots"]}

    def boot(self, name, guest, **options):
        """A new VM whose guest answers."""
        return self.run("vm", name=name, state="started", wait_for={"agent": True, "timeout": 120}, **guest, **options)

    def wait_agent(self, name):
        self.run("vm_power", name=name, state="started", wait_for={"agent": True, "timeout": 120})

    def remove(self, *names):
        for name in names:
            self.run("vm", name=name, state="absent", force=True)

    def clear(self):
        """End and remove all VMs, linked clones before their bases."""
        for _turn in range(5):
            for name in self.backend.store.names():
                with contextlib.suppress(Failed):
                    self.remove(name)
        left = self.backend.store.names()
        assert not left, f"VMs could not be removed: {left}"
        assert not qemu_pids(self.state_dir)

    # --- behind the modules

    def record(self, name):
        return self.backend.store.load(name)

    def machine(self, name):
        return Machine(self.backend.store, self.record(name))

    def folder(self, name):
        return self.state_dir / "vms" / name

    def disk(self, name, slot="virtio0"):
        return self.folder(name) / self.record(name).files[slot]

    def pid(self, name):
        return process.pid_of(str(self.folder(name)))

    def qmp(self, name, command, **arguments):
        with self.machine(name).info_monitor() as monitor:
            return monitor.command(command.replace("_", "-"), arguments)

    def find(self, name, *gather):
        return self.backend.find(Identity(name=name), gather)

    def shell(self, name, script, check=True):
        """What a shell script in the guest printed."""
        with self.machine(name).agent(timeout=10.0) as agent:
            asked = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
            pid = agent.command("guest-exec", asked)["pid"]
            end = time.monotonic() + 60
            while True:
                told = agent.command("guest-exec-status", {"pid": pid}, timeout=30.0)
                if told["exited"]:
                    break
                assert time.monotonic() < end, f"{script!r} does not end in the guest"
                time.sleep(0.02)
        output, said = (base64.b64decode(told.get(f"{one}-data", "")).decode() for one in ("out", "err"))
        assert not check or told.get("exitcode") == 0, f"{script!r} in the guest: {output}{said}"
        return output

    def counter(self, name):
        """Grows ten times a second and lives in the guest's memory alone."""
        return int(self.shell(name, "cat /dev/shm/counter"))

    def debris(self):
        """What killed runs left: staging directories, unfinished files."""
        trash = self.state_dir / ".trash"
        left = list(trash.iterdir()) if trash.is_dir() else []
        for folder in (self.state_dir / "vms").glob("*"):
            record = self.record(folder.name)
            entries = record.snapshots.values()
            known = {"vm.json", "vm.json.old", "run", "run.lock", "qemu.log", "seed.iso", "console.json"}
            known.update(record.files.values(), record.detached, *(one["files"].values() for one in entries))
            left += [path for path in folder.iterdir() if path.name not in known]
        return left


def _text(warning):
    """A warning's words, in whichever form this ansible-core reports them."""
    return warning if isinstance(warning, str) else warning["event"]["msg"]


class Run:
    """A call in a forked process: its result can be waited for, or the process killed."""

    def __init__(self, call):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            status = 1
            try:
                try:
                    outcome = call()
                except Failed as failure:
                    outcome = failure
                with open(writer, "wb") as file:
                    pickle.dump(outcome.result if isinstance(outcome, Failed) else outcome, file)
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        self._pipe = reader
        self._ended = False

    def kill(self):
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        """The result, also a failed one; None where the process was killed."""
        with open(self._pipe, "rb") as file:
            content = file.read()
        _pid, status = os.waitpid(self.pid, 0)
        self._ended = True
        assert content or status == signal.SIGKILL, "the module broke with an exception that is no Error"
        return pickle.loads(content) if content else None

    def result(self):
        result = self.wait()
        if result.get("failed"):
            raise Failed(result)
        return result


def qemu_pids(folder):
    """The QEMU processes that run in a directory below this one."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                inside = os.readlink(entry / "cwd").startswith(f"{folder}/")
                if inside and b"qemu-system" in (entry / "cmdline").read_bytes():
                    pids.append(int(entry.name))
    return pids


def qemu_img(*arguments):
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def image_info(path):
    return json.loads(qemu_img("info", "-U", "--output=json", path))


def check_image(path):
    """That an image is sound, or will be when the next start has given back leaked clusters.

    A QEMU that is killed while it takes a snapshot may leave counts of references that are too high: qemu-img calls
    that errors as well, where it contradicts a flag, and it is gone with the leaks.
    """
    if _checked(path).returncode in (0, 3):
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfile(path, copy.name)
        _checked(copy.name, "-r", "leaks")
        done = _checked(copy.name)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _checked(path, *options):
    return subprocess.run(["qemu-img", "check", *options, str(path)], check=False, capture_output=True, text=True)


def snapshot_tags(path):
    return {one["name"]: one["vm-state-size"] for one in image_info(path).get("snapshots", ())}


def content(path, snapshot=""):
    """The bytes of an image that nobody writes to."""
    with tempfile.NamedTemporaryFile() as plain:
        of_snapshot = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        qemu_img("convert", *of_snapshot, "-O", "raw", path, plain.name)
        return plain.read()


def fill(path, pattern, size="1M", offset="0"):
    """Write a byte over part of a stopped VM's disk."""
    subprocess.run(["qemu-io", "-c", f"write -P {pattern} {offset} {size}", str(path)], check=True, capture_output=True)


def eventually(is_so, seconds=30.0):
    """Wait until something holds, which it must within the time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so within {seconds:g} s"
        time.sleep(0.05)
