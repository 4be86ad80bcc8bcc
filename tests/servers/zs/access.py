# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may: accounts, users, virtual IDs, LDAP, sessions and access keys."""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .contract import facts
from .errors import ApiError, TextError

if TYPE_CHECKING:
    from .state import Cloud

SKEW_SECONDS = 15 * 60


def digest(password: str) -> str:
    """What goes over the wire in place of a password."""
    return hashlib.sha512(password.encode()).hexdigest()


@dataclass
class Person:
    """Somebody who can log in. denied: names of APIs; second_factor: a code that a virtual ID has to give."""

    name: str
    uuid: str
    account: str
    password: str
    kind: str = "account"
    admin: bool = False
    denied: set[str] = field(default_factory=set)
    second_factor: str = ""


@dataclass(frozen=True)
class Caller:
    """Who asks. error: what the session check says, as soon as somebody looks."""

    person: Person | None = None
    session: str = ""
    error: ApiError | None = None

    def check(self, api: str) -> None:
        if self.error:
            raise self.error
        if self.person and api in self.person.denied:
            raise ApiError("ID.1002", f"permission denied, {self.person.name} may not call {api}")


class Access:
    """Everybody, and the sessions. limit: of sessions a person may have; unique: a login ends the former session."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.limit: int = facts()["defaults"]["identity.session.maxConcurrent"]
        self.life: int = facts()["defaults"]["identity.session.timeout_s"]
        self.unique = False
        self.check_zone = False
        self.people: dict[tuple[str, str], Person] = {}
        self.projects: dict[str, set[str]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, tuple[str, Person, bool]] = {}
        self._doomed: tuple[int, set[str]] = (0, set())

    # -- people -------------------------------------------------------------------------------------------------------

    def _add(self, kind: str, name: str, account: str | None = None, **more: Any) -> str:
        password, uuid = secrets.token_hex(8), self._cloud.new_uuid()
        self.people[kind, name] = Person(name, uuid, account or uuid, digest(password), kind, **more)
        return password

    def add_account(self, name: str, admin: bool = False) -> str:
        """A new account; returns its password in clear text, as all of these do."""
        password = self._add("account", name, admin=admin)
        uuid = self.people["account", name].uuid
        self._cloud.add("Account", uuid=uuid, name=name, type="SystemAdmin" if admin else "Normal")
        return password

    def add_user(self, account: str, name: str) -> str:
        return self._add("user", name, self.people["account", account].uuid)

    def add_virtual_id(self, name: str, second_factor: str = "", projects: tuple[str, ...] = ("project-1",)) -> str:
        password = self._add("virtual-id", name, second_factor=second_factor)
        self.projects[name] = set(projects)
        return password

    def add_ldap(self, name: str) -> str:
        """Somebody of the directory: the password goes over the wire as it is."""
        password = self._add("ldap", name)
        self.people["ldap", name].password = password
        return password

    def add_key(self, account: str) -> tuple[str, str]:
        """An access key: id and secret."""
        key, secret = secrets.token_hex(10)[:20], secrets.token_hex(20)
        self.keys[key] = (secret, self.people["account", account], True)
        return key, secret

    # -- sessions -----------------------------------------------------------------------------------------------------

    def login(self, kind: str, name: str, password: str) -> Person:
        """The person with that name, if the password is right."""
        person = self.people.get((kind, name))
        if person is None or not hmac.compare_digest(person.password, password):
            raise ApiError("ID.1000", "wrong account or password")
        return person

    def open(self, name: str, kind: str = "account") -> dict[str, Any]:
        """A new session as the answer of a login shows it."""
        person = self.people[kind, name]
        own = [uuid for uuid, session in self.sessions.items() if session["_person"] is person]
        if self.unique:
            for uuid in own:
                del self.sessions[uuid]
        elif len([uuid for uuid in own if self.valid(uuid)]) >= self.limit:
            raise ApiError("ID.1006", "Login sessions hit limit of max allowed concurrent login sessions")
        session: dict[str, Any] = {
            "uuid": self._cloud.new_uuid(),
            "accountUuid": person.account,
            "userUuid": person.uuid,
            "createDate": self._cloud.stamp(),
            "expiredDate": self._cloud.stamp(self.life),
            "_end": self._cloud.clock.now() + self.life,
            "_person": person,
        }
        self.sessions[session["uuid"]] = session
        return {key: value for key, value in session.items() if not key.startswith("_")}

    def valid(self, uuid: str) -> bool:
        session = self.sessions.get(uuid)
        return session is not None and session["_end"] > self._cloud.clock.now()

    def renew(self, uuid: str, seconds: float) -> dict[str, Any]:
        session = self.sessions[uuid]
        session.update(_end=self._cloud.clock.now() + seconds, expiredDate=self._cloud.stamp(seconds))
        return {key: value for key, value in session.items() if not key.startswith("_")}

    def expire(self, after: int) -> None:
        if after:
            self._doomed = (after, set(self.sessions))
        else:
            self.sessions.clear()

    def _count_down(self) -> None:
        left, doomed = self._doomed
        if doomed and left == 0:
            self.sessions = {uuid: session for uuid, session in self.sessions.items() if uuid not in doomed}
            doomed = set()
        self._doomed = (max(left - 1, 0), doomed)

    # -- a request ----------------------------------------------------------------------------------------------------

    def identify(self, method: str, headers: dict[str, str], path: str) -> Caller:
        """The caller of a request. path: decoded, below the context path. A dead session is told by check()."""
        text = headers.get("authorization", "").strip()
        if not text:
            raise TextError(400, "missing header 'Authorization'")
        scheme, _blank, value = text.partition(" ")
        if scheme == "ZStack":
            return self._by_key(method, value.strip(), headers.get("date"), path)
        if scheme != "OAuth":
            raise TextError(400, "the header 'Authorization' must start with 'OAuth' or 'ZStack'")
        self._count_down()
        uuid = value.strip()
        if not self.valid(uuid):
            return Caller(session=uuid, error=ApiError("ID.1001", "Session expired"))
        return Caller(self.sessions[uuid]["_person"], uuid)

    def _by_key(self, method: str, value: str, date: str | None, path: str) -> Caller:
        if value.count(":") != 1:
            raise TextError(400, "the header 'Authorization' must be 'ZStack <access key id>:<signature>'")
        key, _colon, signature = value.partition(":")
        if not date:
            raise TextError(400, "missing header 'Date'")
        self._check_date(date)
        secret, person, enabled = self.keys.get(key, ("", None, False))
        if not enabled or person is None:
            raise TextError(403, f"access key id: {key} does not existed or disabled")
        wanted = hmac.new(secret.encode(), f"{method}\n{date}\n{path}".encode(), hashlib.sha1).digest()
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), signature):
            raise TextError(403, "wrong accessKey signature")
        return Caller(person)

    def _check_date(self, date: str) -> None:
        """By default the clock on the wall is compared and the zone ignored."""
        text, _blank, zone = date.rpartition(" ")
        try:
            told = calendar.timegm(time.strptime(text, "%a, %d %b %Y %H:%M:%S"))
        except ValueError:
            raise TextError(400, f"malformed header 'Date': {date}") from None
        offset = 0.0 if self.check_zone and zone in ("GMT", "UTC") else self._cloud.utc_offset * 3600
        if abs(told - self._cloud.clock.now() - offset) > SKEW_SECONDS:
            raise TextError(403, "requestTimeTooSkewed")
