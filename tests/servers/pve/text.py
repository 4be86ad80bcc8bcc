# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists of words that read as a sentence does."""

from __future__ import annotations


def words(text: str) -> list[str]:
    return text.split()
