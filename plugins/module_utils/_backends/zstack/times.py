# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's times: text in its own locale and time zone, without saying which."""

from __future__ import annotations

import calendar
import re

_TIME = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}), (?P<year>\d{4}),? (?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)"
    r"\s(?P<half>AM|PM)"
)
_MONTHS = dict(zip(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], range(1, 13)))


def seconds_of(text: str | None, offset: int) -> int | None:
    """``Nov 20, 2017 1:20:37 PM`` in seconds since the epoch; None where it is written in another way.

    Newer Java puts a narrow no-break space before AM and PM, which the pattern takes for white space.

    :param offset: seconds that the writer's clock is ahead of UTC.
    """
    match = _TIME.fullmatch(text or "")
    if not match or match["month"] not in _MONTHS:
        return None
    hour = int(match["hour"]) % 12 + (12 if match["half"] == "PM" else 0)
    parts = (int(match["year"]), _MONTHS[match["month"]], int(match["day"]), hour)
    return calendar.timegm((*parts, int(match["minute"]), int(match["second"]))) - offset
