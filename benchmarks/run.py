# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What things cost, as ratios against floors that are measured in the same run. Nothing here decides a test.

Needs ansible-core beside the Python that runs it, the collection in ANSIBLE_COLLECTIONS_PATH and PYTHONPATH, and for
one part QEMU.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from benchmarks import fleet, inventory, peer, qemu
from benchmarks.measure import ROOT, table

PARTS = {"fleet": fleet.measure, "inventory": inventory.measure, "qemu": qemu.measure, "peer": peer.measure}
PAGE = """# Benchmarks

Made by `make bench`: each time is held against a floor that was measured in the same run, so that the ratio says
something on any machine. {promised} What runs on Proxmox VE runs against the test server of this project, with 4 nodes.

Measured on {cpus} CPUs with Python {python}.

{table}
"""
PROMISED = "A ratio below the one that is promised is kept; where none is promised the row is told for comparison."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each, of which the median counts (default: 5)")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md too")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {' '.join(PARTS)} (default: all but peer)")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    ratios = []
    for name in options.parts or [name for name in PARTS if name != "peer"]:
        for one in PARTS[name](options.runs):
            print(f"{one.what}: {one.took / one.floor:.2f}", flush=True)
            ratios.append(one)
    told = table(ratios)
    print(f"\n{told}")
    if options.write:
        facts = {"cpus": os.cpu_count(), "python": platform.python_version(), "promised": PROMISED}
        Path(ROOT / "docs" / "benchmarks.md").write_text(PAGE.format(table=told, **facts), encoding="utf-8")


if __name__ == "__main__":
    main()
