# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""noVNC's pages for tests, from the package of the distribution but without what that depends on.

    python3 tests/setup/novnc.py --output DIR

Nothing happens when they are there. Root is not needed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

PAGE = "vnc.html"


def main() -> int:
    parser = argparse.ArgumentParser(description="Unpack noVNC's pages.")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="DIR")
    try:
        unpack(parser.parse_args().output.resolve())
    except subprocess.CalledProcessError as error:
        print(f"noVNC: {' '.join(map(str, error.cmd))} failed: {error.stderr.strip()}", file=sys.stderr)
        return 1
    return 0


def pages() -> pathlib.Path:
    """The folder with the pages that `make test` has made, or else made now."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    work = pathlib.Path(os.environ.get("ANYVIRT_WORK") or cache / "anyvirt.compute")
    return unpack(work / "novnc")


def unpack(output: pathlib.Path) -> pathlib.Path:
    """The folder itself, with the pages in it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{output}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (output / PAGE).exists():
            staging = output.with_suffix(".staging")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            if os.geteuid() == 0 and not any(pathlib.Path("/var/lib/apt/lists").glob("*Packages*")):
                run("apt-get", "update", "-qq", cwd=staging)
            run("apt-get", "download", "-qq", "novnc", cwd=staging)
            (package,) = staging.glob("*.deb")
            run("dpkg-deb", "-x", str(package), ".", cwd=staging)
            shutil.rmtree(output, ignore_errors=True)
            (staging / "usr" / "share" / "novnc").rename(output)
            shutil.rmtree(staging)
    return output


def run(*command: str, cwd: pathlib.Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
