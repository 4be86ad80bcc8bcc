# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logging in and out, and what needs no login."""

from __future__ import annotations

from typing import Any

from .access import Person
from .errors import ApiError, bad_argument
from .routes import Call, handles
from .tags import values

_LOGIN_TYPES = {"account": "account", "ldap": "ldap", "iam2": "virtual-id"}


def _session(call: Call, person: Person) -> dict[str, Any]:
    return {"inventory": call.cloud.access.open(person.name, person.kind)}


@handles("LogInByAccount")
def by_account(call: Call) -> dict[str, Any]:
    return _session(call, call.cloud.access.login("account", call.params["accountName"], call.params["password"]))


@handles("LogInByUser")
def by_user(call: Call) -> dict[str, Any]:
    access, params = call.cloud.access, call.params
    if not (params.get("accountName") or params.get("accountUuid")):
        raise bad_argument("accountName and accountUuid cannot both be null")
    owner = access.people.get(("account", params.get("accountName", "")))
    account = params.get("accountUuid") or (owner and owner.uuid)
    person = access.login("user", params["userName"], params["password"])
    if person.account != account:
        raise ApiError("ID.1000", "wrong account or password")
    return _session(call, person)


@handles("LogIn")
def log_in(call: Call) -> dict[str, Any]:
    kind = _LOGIN_TYPES.get(call.params["loginType"])
    if kind is None:
        raise bad_argument(f"no login type {call.params['loginType']}")
    return _session(call, call.cloud.access.login(kind, call.params["username"], call.params["password"]))


@handles("LogInByLdap")
def by_ldap(call: Call) -> dict[str, Any]:
    person = call.cloud.access.login("ldap", call.params["uid"], call.params["password"])
    return {
        "success": True,
        **_session(call, person),
        "accountInventory": {"uuid": person.account, "name": person.name},
    }


@handles("LoginIAM2VirtualID")
def by_virtual_id(call: Call) -> dict[str, Any]:
    person = call.cloud.access.login("virtual-id", call.params["name"], call.params["password"])
    if person.second_factor:
        given = [words[0] for words in values(call.tags, "twofatoken")]
        if not given:
            raise ApiError("ID.2001", "a second factor is required")
        if given != [person.second_factor]:
            raise ApiError("ID.2002", "the second factor is wrong")
    return _session(call, person)


@handles("LoginIAM2Project")
def project(call: Call) -> dict[str, Any]:
    access, person = call.cloud.access, call.caller.person
    if person is None or call.params["projectName"] not in access.projects.get(person.name, ()):
        raise ApiError("ID.1002", f"no project {call.params['projectName']} for this virtual ID")
    return _session(call, person)


@handles("LogOut")
def log_out(call: Call) -> dict[str, Any]:
    """A session that is gone already is no error."""
    call.cloud.access.sessions.pop(call.params.get("sessionUuid", ""), None)
    return {}


@handles("ValidateSession")
def validate(call: Call) -> dict[str, Any]:
    return {"valid": call.cloud.access.valid(call.params["sessionUuid"])}


@handles("RenewSession")
def renew(call: Call) -> dict[str, Any]:
    access = call.cloud.access
    return {"inventory": access.renew(call.params["sessionUuid"], call.params.get("duration") or access.life)}


# -- the management node ----------------------------------------------------------------------------------------------


@handles("GetVersion")
def version(call: Call) -> dict[str, Any]:
    return {"success": True, "version": call.cloud.version}


@handles("IsReadyToGo")
def ready(_call: Call) -> dict[str, Any]:
    return {}


@handles("GetCurrentTime")
def current_time(call: Call) -> dict[str, Any]:
    now = call.cloud.clock.now()
    return {"success": True, "currentTime": {"MillionSeconds": int(now * 1000), "Seconds": int(now)}}
