# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give ansible-test the pip that it wants.

ansible-test fetches the script get-pip from a host of its own, which a machine that reaches only the package index
cannot reach, and then it stops. A script in its cache spares it the download: this one runs pip from pip's wheel,
which does come from the package index.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import ansible_test

SCRIPT = """\
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.environ["GET_PIP"]), "{wheel}"))

from pip._internal.cli.main import main

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--upgrade", "--force-reinstall", *arguments]))
"""


def wanted_version() -> str:
    source = pathlib.Path(ansible_test.__path__[0], "_internal", "python_requirements.py").read_text(encoding="utf-8")
    found = re.search(r"\bpip='([0-9.]+)'", source)
    if not found:
        sys.exit("This ansible-core does not say which pip its ansible-test wants")
    return found.group(1)


def main() -> None:
    version = wanted_version()
    cache = pathlib.Path("~/.ansible/test/cache").expanduser()
    script = cache / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    download = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(cache)]
    subprocess.run([sys.executable, "-m", "pip", *download, f"pip=={version}"], check=True)
    wheel = next(cache.glob(f"pip-{version}-*.whl"))
    script.write_text(SCRIPT.format(wheel=wheel.name), encoding="utf-8")


if __name__ == "__main__":
    main()
