# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every recorded exchange with Proxmox VE 8.4 and 9.2, replayed against the test server."""

from __future__ import annotations

import pytest

from ansible_collections.anyvirt.compute.tests.unit.servers import scenarios
from ansible_collections.anyvirt.compute.tests.unit.servers.replay import FIXTURES, Exchange, Replay, load

# What the test server does not reproduce: (version, scenario, number of the exchange) -> why.
# An entry that passes fails the test, so that the list can only shrink.
KNOWN: dict[tuple[str, str, int], str] = {
    (
        "8.4",
        "agent",
        64,
    ): "the recorded guest hung half-way in its own shutdown (qmpstatus shutdown)",
}

CASES = [(folder.name, path.stem) for folder in sorted(FIXTURES.iterdir()) for path in sorted(folder.glob("*.json"))]


def differing(version: str, scenario: str) -> dict[int, list[str]]:
    """The exchanges of one scenario that come out otherwise than recorded, and in what."""
    exchanges = load(version, scenario)
    replay = Replay(version, exchanges)
    waiting = list(scenarios.BEFORE.get(scenario, []))
    found: dict[int, list[str]] = {}
    try:
        scenarios.SEEDS.get(scenario, lambda _replay: None)(replay)
        for number, exchange in enumerate(exchanges):
            for entry in [entry for entry in waiting if scenarios.matches(exchange, entry[0])]:
                if not entry[0].get("every"):
                    waiting.remove(entry)
                entry[1](replay, exchange)
            if exchange["method"] is None:
                continue
            problems = replay.play(number)
            if problems:
                found[number] = problems
    finally:
        replay.close()
    return found


@pytest.mark.parametrize(("version", "scenario"), CASES)
def test_replay(version: str, scenario: str) -> None:
    found = differing(version, scenario)
    known = {number for v, s, number in KNOWN if (v, s) == (version, scenario)}
    exchanges: list[Exchange] = load(version, scenario)
    report = [
        f"{number} {exchanges[number]['method']} {exchanges[number]['path']}: {'; '.join(problems)}"
        for number, problems in found.items()
        if number not in known
    ]
    report += [f"{number} passes now: take it out of KNOWN" for number in sorted(known - set(found))]
    assert not report, "\n".join(report)
