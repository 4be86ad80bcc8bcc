# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions of users, evaluated for thousands of hosts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from ansible import template
from ansible.template import Templar
from jinja2 import Environment, TemplateError
from jinja2.meta import find_undeclared_variables

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_OPEN = frozenset(("vars", "hostvars", "lookup", "query", "q"))
"""What may read variables that it does not name."""
_WORDS = frozenset(("true", "false", "none", "True", "False", "None"))


class Missing(LookupError):
    """A path that does not lead to a value by itself; Jinja has to say what it is."""


def compile_once(templar: Templar) -> None:
    """Keep what Jinja has compiled: nine tenths of the cost of an expression.

    ansible-core has no name for this that is public, so where it changes expressions only become slower again. Before
    2.19 they are compiled in another way, and this has no effect.
    """
    environment = getattr(getattr(templar, "_engine", None), "environment", None)
    if environment is not None:
        environment.compile_expression = functools.cache(environment.compile_expression)


@functools.cache
def is_path(expression: str) -> bool:
    return bool(_PATH.fullmatch(expression)) and expression not in _WORDS


@functools.cache
def names_in(expression: str) -> frozenset[str] | None:
    """The variables that an expression reads, None where Jinja cannot tell.

    To hand over only these spares Ansible from preparing all others of each host.
    """
    try:
        names = find_undeclared_variables(Environment().parse(f"{{{{ {expression} }}}}"))
    except TemplateError:
        return None
    return None if names & _OPEN else frozenset(names)


def look_up(path: str, variables: Mapping[str, Any]) -> Any:
    """The value of ``a.b.c`` in nested dicts.

    :raises Missing: there is none, or what is there is no plain data.
    """
    value: Any = variables
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise Missing(path)
        value = value[name]
    return value


def as_data(value: Any) -> Any:
    """What came from a server, so that Ansible never takes it for a template.

    ansible-core 2.19 takes nothing for one that is not marked as such; before, what is none has to be marked.
    """
    if hasattr(template, "trust_as_template"):
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)
