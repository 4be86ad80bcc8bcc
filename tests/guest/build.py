"""Build a tiny real Linux guest for tests and the demo from packages of the distribution.

    python3 tests/guest/build.py --output DIR

makes in DIR: `kernel` (uncompressed, boots fastest with `-kernel`), `bzImage` (as packaged, for OVMF), `initrd`,
and `cmdline` (for `-append`). Nothing happens when DIR is up to date. Root is not needed.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import lzma
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LISTS = Path("/var/lib/apt/lists")
PRODUCTS = ("kernel", "bzImage", "initrd", "cmdline")

KERNEL_ARGS = (
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable noreplace-smp "
    "cryptomgr.notests rcupdate.rcu_expedited=1 random.trust_cpu=on "
    "init_on_alloc=0 initcall_blacklist=crypto_kdf108_init scsi_mod.scan=sync"
)

# Loaded at boot, in this order, each after what it depends on. What a kernel has built in is skipped.
MODULES = (
    *("virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "virtio_scsi", "sr_mod"),
    *("button", "evdev", "virtio_balloon", "virtio_rng", "pciehp", "acpiphp"),
)
# Loaded by the kernel itself at the first mount.
LAZY_MODULES = ("isofs", "ext4", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8")

FOLDERS = ("dev", "mnt", "proc", "root", "run", "sys", "tmp")
SCRIPTS = {
    "init": "init.sh",
    "etc/hotplug.sh": "hotplug.sh",
    "etc/udhcpc.sh": "udhcpc.sh",
    "sbin/shutdown": "shutdown.sh",
    "etc/acpi/PWRF/00000080": "shutdown.sh",
}
TEXTS = {
    "etc/passwd": "root::0:0:root:/:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/filesystems": "ext4\niso9660\nvfat\n",
    "etc/fstab": "proc /proc proc\nsys /sys sysfs\ndev /dev devtmpfs\n",
    "etc/inittab": "ttyS0::respawn:-/bin/sh\n::ctrlaltdel:/sbin/shutdown -r\n",
}


class BuildError(Exception):
    """A sentence for the person who runs the build."""


def main() -> int:
    """Build what is out of date and print one line."""
    parser = argparse.ArgumentParser(description="Build the test guest.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--kernel-package", default=default_kernel_package(), help="default: %(default)s")
    options = parser.parse_args()
    try:
        print(build(options.output.resolve(), options.kernel_package))
    except (BuildError, OSError) as error:
        print(f"test guest: {error}", file=sys.stderr)
        return 1
    return 0


def default_kernel_package() -> str:
    """Name of the distribution's small kernel for virtual machines."""
    return "linux-image-virtual" if platform.freedesktop_os_release()["ID"] == "ubuntu" else "linux-image-cloud-amd64"


def build(output: Path, kernel_package: str) -> str:
    """Bring `output` up to date, alone even when several builds are started at once; return a summary."""
    start = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    with open(output / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_current(output, kernel_package):
            return f"test guest up to date in {output}"
        staging = output / ".staging"
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "debs").mkdir(parents=True)
        for package in fetch(output / "cache", staging / "debs", kernel_package):
            run("dpkg-deb", "-x", str(package), str(staging / "root"))
        release = make_products(staging / "root", staging)
        stamp = output / ".stamp"
        stamp.unlink(missing_ok=True)
        for product in PRODUCTS:
            (staging / product).replace(output / product)
        stamp.write_text("\n".join(inputs(kernel_package)))
        shutil.rmtree(staging)
    size = (output / "initrd").stat().st_size / 1e6
    return f"test guest built in {output}: Linux {release}, initrd {size:.1f} MB, {time.monotonic() - start:.1f} s"


def is_current(output: Path, kernel_package: str) -> bool:
    """Whether scripts and package lists are those of the last build. Lists that are gone are no reason to rebuild."""
    stamp = output / ".stamp"
    if not stamp.exists() or not all((output / product).exists() for product in PRODUCTS):
        return False
    built, now = stamp.read_text().split("\n"), inputs(kernel_package)
    return built == now or (built[0] == now[0] and not package_lists())


def inputs(kernel_package: str) -> list[str]:
    """Hash of all scripts, and hash of the package lists (which decide the versions, and cost no second to ask)."""
    scripts = [path.read_bytes() for path in sorted({Path(__file__), *(HERE / name for name in SCRIPTS.values())})]
    lists = [f"{path.name} {path.stat().st_mtime_ns}" for path in package_lists()]
    return [digest(b"\0".join([kernel_package.encode(), *scripts])), digest("\n".join(lists).encode())]


def package_lists() -> list[Path]:
    return sorted(LISTS.glob("*Packages*"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Packages


def fetch(cache: Path, downloads: Path, kernel_package: str) -> list[Path]:
    """Download the packages of the guest into `cache` where missing, drop older ones, return the files."""
    cache.mkdir(exist_ok=True)
    if not package_lists() and os.geteuid() == 0 and "APT_CONFIG" not in os.environ:
        print("test guest: no package lists, running apt-get update", file=sys.stderr)
        run("apt-get", "update", "-qq")
    names = closure(kernel_package)
    # apt-get leaves out of this list what the current folder holds already, hence an empty one.
    uris = run("apt-get", "download", "--print-uris", *names, cwd=downloads)
    wanted = [cache / line.split()[1] for line in uris.splitlines()]
    if not all(path.exists() for path in wanted):
        run("apt-get", "download", "-qq", *names, cwd=downloads)
        for path in downloads.iterdir():
            path.replace(cache / path.name)
    for path in set(cache.iterdir()) - set(wanted):
        path.unlink()
    return wanted


def closure(kernel_package: str) -> list[str]:
    """Names of busybox, the agent with all its libraries, and the kernel's image and module packages."""
    roots = ["busybox-static", "qemu-guest-agent", kernel_package]
    ignored = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    text = run("apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in ignored), *roots)
    depends: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith((" ", "<")):
            needs = depends.setdefault(line, [])
        elif match := re.match(r" [ |](?:Pre)?Depends: ((?:lib|linux-image-\d|linux-modules-\d)\S*)", line):
            needs.append(match[1])
    found: list[str] = []
    queue = roots
    while queue:
        name = queue.pop()
        if name in depends and name not in found:
            found.append(name)
            queue += depends[name]
    if not any(name.startswith("linux-image-") for name in set(found) - {kernel_package}):
        raise BuildError(f"{kernel_package} leads to no kernel image")
    return sorted(set(found) - {kernel_package})


def run(*command: str, cwd: Path | None = None) -> str:
    """Output of a command, or a BuildError with what it said."""
    environment = {**os.environ, "LC_ALL": "C"}
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    if result.returncode == 0:
        return result.stdout
    hint = "; is the package list fresh? run: apt-get update" if command[0].startswith("apt-") else ""
    raise BuildError(f"{' '.join(command[:3])} failed: {result.stderr.strip()}{hint}")


def first(paths: Iterable[Path], what: str) -> Path:
    """The first of the paths, or a BuildError that says what there is not."""
    for path in paths:
        return path
    raise BuildError(f"the packages have no {what.removeprefix('a ')}")


# Kernel and initrd


def make_products(root: Path, target: Path) -> str:
    """Write the four files from the unpacked packages below `root`; return the kernel's release."""
    image = first((root / "boot").glob("vmlinuz-*"), "a kernel")
    release = image.name.removeprefix("vmlinuz-")
    bzimage = image.read_bytes()
    (target / "bzImage").write_bytes(bzimage)
    (target / "kernel").write_bytes(vmlinux(bzimage))
    (target / "cmdline").write_text(KERNEL_ARGS)
    files = dict(guest_files(root, release))
    (target / "initrd").write_bytes(cpio(files))
    return release


def guest_files(root: Path, release: str) -> Iterator[tuple[str, bytes | str]]:
    """Path and content of each file of the guest; a `str` is the target of a symbolic link."""
    yield from ((name, (HERE / source).read_bytes()) for name, source in SCRIPTS.items())
    yield from ((name, text.encode()) for name, text in TEXTS.items())
    busybox = first((path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists()), "busybox")
    yield "bin/busybox", busybox.read_bytes()
    for applet in run(str(busybox), "--list-full").split():
        if applet not in ("bin/busybox", "sbin/shutdown"):
            yield applet, "/bin/busybox"
    yield from agent_files(root)
    yield from module_files(root, release)


def agent_files(root: Path) -> Iterator[tuple[str, bytes]]:
    """qemu-ga with its libraries, resolved by the loader of the same packages and not by the host's."""
    agent = root / "usr/sbin/qemu-ga"
    loader = first((path for path in root.glob("**/ld-linux-x86-64.so.2") if path.is_file()), "a loader")
    folders = [str(root / prefix / "lib/x86_64-linux-gnu") for prefix in ("", "usr")]
    yield "usr/sbin/qemu-ga", agent.read_bytes()
    yield "lib64/ld-linux-x86-64.so.2", loader.read_bytes()
    listing = run(str(loader), "--library-path", ":".join(folders), "--list", str(agent))
    for name, path in re.findall(r"(\S+) => (/\S+)", listing):
        if not name.startswith("/"):
            yield f"lib/x86_64-linux-gnu/{name}", Path(path).read_bytes()


def module_files(root: Path, release: str) -> Iterator[tuple[str, bytes]]:
    """The modules with what they depend on, and the indexes that modprobe reads (packages do not carry them)."""
    trees = (path for path in (root / "lib/modules", root / "usr/lib/modules") if path.is_dir())
    base = first(trees, "kernel modules") / release
    paths = {path.name.partition(".ko")[0].replace("-", "_"): path for path in (base / "kernel").rglob("*.ko*")}
    roots = [name.replace("-", "_") for name in (*MODULES, *LAZY_MODULES)]
    queue, needs, aliases = [name for name in roots if name in paths], {}, []
    while queue:
        name = queue.pop()
        if name in needs:
            continue
        content = load_module(paths[name])
        needs[name] = [need.replace("-", "_") for need in ",".join(modinfo(content, "depends")).split(",") if need]
        aliases += [f"alias {alias} {name}\n" for alias in modinfo(content, "alias") if ":" not in alias]
        queue += needs[name]
        yield f"lib/modules/{release}/{name}.ko", content
    index = (f"{name}.ko: {' '.join(f'{need}.ko' for need in all_needs(name, needs))}\n" for name in needs)
    yield f"lib/modules/{release}/modules.dep", "".join(index).encode()
    yield f"lib/modules/{release}/modules.alias", "".join(aliases).encode()
    yield "etc/modules", " ".join(name for name in MODULES if name in needs).encode()


def all_needs(name: str, needs: dict[str, list[str]]) -> list[str]:
    """What a module depends on, directly or not; the first to load comes last, as in depmod's index."""
    found: list[str] = []
    for need in needs[name]:
        for item in (need, *all_needs(need, needs)):
            if item in found:
                found.remove(item)
            found.append(item)
    return found


def load_module(path: Path) -> bytes:
    """A module, uncompressed and without its signature (checking it costs boot time)."""
    content = path.read_bytes()
    if path.suffix != ".ko":
        content = decompress(content, 1 << 24)
    magic = b"~Module signature appended~\n"
    if content.endswith(magic):
        (length,) = struct.unpack(">I", content[-len(magic) - 4 : -len(magic)])
        content = content[: -len(magic) - 12 - length]
    return content


def modinfo(module: bytes, key: str) -> list[str]:
    return [value.decode() for value in re.findall(rb"\0%s=([^\0]*)" % key.encode(), module)]


def vmlinux(bzimage: bytes) -> bytes:
    """The ELF kernel in a bzImage (fields: the kernel's x86/boot.rst), or the bzImage if it cannot be unpacked."""
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (bzimage[0x1F1] + 1) * 512 + offset
    payload = bzimage[start : start + length]
    (size,) = struct.unpack("<I", payload[-4:])
    try:
        kernel = decompress(payload, size)
        if not kernel.startswith(b"\x7fELF"):
            raise BuildError("the kernel's payload is no ELF file")
    except BuildError as error:
        print(f"test guest: {error}; using the bzImage, which boots slower", file=sys.stderr)
        return bzimage
    return kernel


def decompress(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes out of gzip, xz, zstd or lz4 data; what follows the data is ignored."""
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(data)
    if data.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(data)
    buffer = ctypes.create_string_buffer(limit)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        size = unzstd(data, buffer)
        return buffer.raw[:size]
    if data.startswith(b"\x02\x21\x4c\x18"):
        size = unlz4(data, buffer)
        return buffer.raw[:size]
    raise BuildError(f"unknown compression {data[:4].hex()}")


def unzstd(data: bytes, buffer: ctypes.Array[ctypes.c_char]) -> int:
    """Unpack the first zstd frame; the library is there because apt needs it."""
    library = shared_library("libzstd.so.1")
    for name in ("ZSTD_findFrameCompressedSize", "ZSTD_decompress"):
        getattr(library, name).restype = ctypes.c_size_t
    used = library.ZSTD_findFrameCompressedSize(data, ctypes.c_size_t(len(data)))
    size: int = library.ZSTD_decompress(buffer, ctypes.c_size_t(len(buffer)), data, ctypes.c_size_t(used))
    if size > len(buffer):
        raise BuildError("damaged zstd data")
    return size


def unlz4(data: bytes, buffer: ctypes.Array[ctypes.c_char]) -> int:
    """Unpack lz4's legacy format of blocks with a length before each; the library is there because apt needs it."""
    library = shared_library("liblz4.so.1")
    position, done = 4, 0
    while position + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, position)
        block = data[position + 4 : position + 4 + length]
        size = library.LZ4_decompress_safe(block, ctypes.byref(buffer, done), len(block), len(buffer) - done)
        if size < 0:
            raise BuildError("damaged lz4 data")
        position, done = position + 4 + length, done + size
    return done


def shared_library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise BuildError(str(error)) from error


def cpio(files: dict[str, bytes | str]) -> bytes:
    """An archive in the "newc" format, not compressed: unpacking would cost more boot time than reading."""
    folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
    entries = [(name, 0o40755, b"") for name in sorted(folders.union(FOLDERS))]
    for name, content in files.items():
        entries.append((name, 0o120777, content.encode()) if isinstance(content, str) else (name, 0o100755, content))
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


if __name__ == "__main__":
    sys.exit(main())
