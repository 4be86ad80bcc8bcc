# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who calls and what they may do: users, tokens, tickets with CSRF tokens, rights per path."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from .errors import EmptyError, permission_error
from .text import words

TICKET_SECONDS = 7200
_VM = words(
    "VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk"
    " VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console VM.Migrate VM.PowerMgmt"
    " VM.Snapshot VM.Snapshot.Rollback"
)
_NEW = words(
    "VM.GuestAgent.Audit VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite"
    " VM.GuestAgent.Unrestricted VM.Replicate"
)
_OTHER = words(
    "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit Group.Allocate"
    " Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify Pool.Allocate Pool.Audit Realm.Allocate"
    " Realm.AllocateUser SDN.Allocate SDN.Audit SDN.Use Sys.AccessNetwork Sys.Audit Sys.Console Sys.Incoming"
    " Sys.Modify Sys.PowerMgmt Sys.Syslog User.Modify"
)
TOP_PATHS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
# The parts of a ticket's "cap": which rights belong to it.
_CAP = {
    "access": words("User.Modify Group.Allocate Permissions.Modify"),
    "dc": words("Sys.Audit Sys.Modify SDN.Allocate SDN.Audit SDN.Use"),
    "mapping": words("Mapping.Audit Mapping.Modify Mapping.Use Permissions.Modify"),
    "nodes": [p for p in _OTHER if p.startswith("Sys.")] + ["Permissions.Modify"],
    "sdn": words("SDN.Allocate SDN.Audit SDN.Use Permissions.Modify"),
    "storage": [p for p in _OTHER if p.startswith("Datastore.")] + ["Permissions.Modify"],
}


@dataclass(slots=True)
class Token:
    secret: str
    privsep: bool = True
    expire: float = 0.0


@dataclass(slots=True)
class User:
    password: str
    enabled: bool = True
    expire: float = 0.0
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass(slots=True)
class Caller:
    """The one who sent a request: user@realm, and the token's name or None for a ticket."""

    user: str
    token: str | None = None
    known: bool = True

    @property
    def id(self) -> str:
        return f"{self.user}!{self.token}" if self.token else self.user

    @property
    def is_root(self) -> bool:
        """root@pam itself; a token of it is not."""
        return self.user == "root@pam" and self.token is None and self.known


class Access:
    """The users and the access control list."""

    def __init__(self, new: bool, now: Callable[[], float]) -> None:
        self._now = now
        self.all = frozenset([*_VM, *_OTHER, *(_NEW if new else ["VM.Monitor"])])
        self.users: dict[str, User] = {}
        self.acl: dict[tuple[str, str], frozenset[str]] = {}
        self.pool_of: Callable[[int], str | None] = lambda _vmid: None
        self._tickets: dict[str, tuple[str, float]] = {}
        self.roles = {
            "Administrator": self.all,
            "PVEAuditor": frozenset(p for p in self.all if p.endswith(".Audit")),
            "PVEVMAdmin": frozenset(p for p in self.all if p.startswith("VM.")),
            "PVEVMUser": frozenset(
                words("VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.PowerMgmt")
            ),
            "PVEDatastoreUser": frozenset(words("Datastore.AllocateSpace Datastore.Audit")),
            "PVESDNUser": frozenset(words("SDN.Audit SDN.Use")),
            "NoAccess": frozenset(),
        }

    # -- who ----------------------------------------------------------------------------------------------------------

    def add_user(self, user: str, password: str | None = None) -> User:
        return self.users.setdefault(user, User(password or secrets.token_hex(8)))

    def add_token(self, user: str, name: str, privsep: bool = True, expire: float = 0.0) -> str:
        """A token of the user; returns its secret."""
        token = Token(str(uuid.uuid4()), privsep, expire)
        self.users[user].tokens[name] = token
        return token.secret

    def grant(self, path: str, who: str, *rights: str) -> None:
        """Give a user or token (user@realm!name) rights on a path and below: names of roles or of privileges."""
        granted = set(self.acl.get((path, who), ()))
        for right in rights:
            granted |= self.roles.get(right, {right})
        self.acl[path, who] = frozenset(granted)

    def identify(self, method: str, headers: dict[str, str]) -> Caller:
        """The caller of a request, or 401."""
        authorization = headers.get("authorization", "")
        if authorization.startswith("PVEAPIToken"):
            return self._by_token(authorization)
        cookies = dict(part.strip().partition("=")[::2] for part in headers.get("cookie", "").split(";"))
        if "PVEAuthCookie" not in cookies:
            raise EmptyError(401, "No ticket", 3.0)
        ticket = unquote(cookies["PVEAuthCookie"])
        user, made = self._tickets.get(ticket, ("", 0.0))
        if not user or self._now() - made > TICKET_SECONDS or not self._active(self.users.get(user)):
            raise EmptyError(401, "Authentication failed!", 3.0)
        if method != "GET" and headers.get("csrfpreventiontoken") != self._csrf(ticket):
            raise EmptyError(401, "Permission denied - invalid csrf token", 3.0)
        return Caller(user)

    def _by_token(self, authorization: str) -> Caller:
        name, equals, secret = authorization.partition("=")[2].partition("=")
        user, _sign, token_name = name.partition("!")
        known = self.users.get(user)
        token = known.tokens.get(token_name) if known else None
        if not (equals and token and token.secret == secret and self._active(known) and self._active(token)):
            raise EmptyError(401, "Authentication failed!", 3.0)
        return Caller(user, token_name)

    def _active(self, thing: User | Token | None) -> bool:
        alive = thing is not None and (not thing.expire or thing.expire > self._now())
        return alive and getattr(thing, "enabled", True)

    @staticmethod
    def _csrf(ticket: str) -> str:
        return f"{ticket[-16:-8]}:{ticket[-8:]}CSRF"

    def ticket(self, user: str, password: str) -> dict[str, Any] | None:
        """A new ticket for the password, or for a ticket that is still good; None when it is wrong."""
        known = self.users.get(user)
        renewed = self._tickets.get(password, ("", 0.0))
        fresh = renewed[0] == user and self._now() - renewed[1] <= TICKET_SECONDS
        if known is None or not self._active(known) or not (fresh or known.password == password):
            return None
        ticket = f"PVE:{user}:{int(self._now()):08X}::{secrets.token_hex(24)}"
        self._tickets[ticket] = (user, self._now())
        return {
            "username": user,
            "ticket": ticket,
            "CSRFPreventionToken": self._csrf(ticket),
            "cap": self._cap(Caller(user)),
        }

    def expire_tickets(self) -> None:
        """Every ticket given out so far is too old from now on."""
        self._tickets = {ticket: (user, -TICKET_SECONDS) for ticket, (user, _made) in self._tickets.items()}

    def _cap(self, caller: Caller) -> dict[str, dict[str, int]]:
        vm = {p for p in self.all if p.startswith("VM.")} | {"Permissions.Modify"}
        where = {"access": "/access", "dc": "/", "mapping": "/mapping", "vms": "/vms"}
        return {
            name: dict.fromkeys(self.rights(caller, where.get(name, f"/{name}")) & set(members), 1)
            for name, members in {**_CAP, "vms": vm}.items()
        }

    # -- what ---------------------------------------------------------------------------------------------------------

    def rights(self, caller: Caller, path: str) -> frozenset[str]:
        if caller.user == "root@pam":
            token = self.users["root@pam"].tokens.get(caller.token or "")
            if not (token and token.privsep):
                return self.all
            return self._granted(caller.id, path)
        own = self._granted(caller.user, path)
        if caller.token and self.users[caller.user].tokens[caller.token].privsep:
            return own & self._granted(caller.id, path)
        return own

    def _granted(self, who: str, path: str) -> frozenset[str]:
        """The entry nearest to the path counts; a guest also has what its pool gives."""
        found = self._nearest(who, path)
        if path.startswith("/vms/") and path[5:].isdigit():
            pool = self.pool_of(int(path[5:]))
            if pool:
                found |= self._nearest(who, f"/pool/{pool}")
        return found

    def _nearest(self, who: str, path: str) -> frozenset[str]:
        while True:
            if (path, who) in self.acl:
                return self.acl[path, who]
            if path in ("/", ""):
                return frozenset()
            path = path.rpartition("/")[0] or "/"

    def may(self, caller: Caller, path: str, *any_of: str) -> bool:
        rights = self.rights(caller, path)
        return any(right in rights for right in any_of)

    def require(self, caller: Caller, path: str, *any_of: str) -> None:
        if not self.may(caller, path, *any_of):
            raise permission_error(f"{path}, {'|'.join(any_of)}")

    def permissions(self, caller: Caller, path: str | None) -> dict[str, dict[str, int]]:
        """What GET /access/permissions tells."""
        mine = {p for p, who in self.acl if who in (caller.user, caller.id)}
        paths: Iterable[str] = [path] if path else sorted(mine | set(TOP_PATHS))
        table = {p: dict.fromkeys(sorted(self.rights(caller, p)), 1) for p in paths}
        return {p: rights for p, rights in table.items() if rights}
