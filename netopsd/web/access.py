"""Who may do what: deny by default.

A path that is not in `OPEN` needs a reader, and a method that is not in `SAFE` an operator, also
where no such route exists. Reading from this machine itself is open until a reader's token is
configured. Tokens are compared by their SHA-256 in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Protocol

OPEN = frozenset({"/", "/health", "/ready", "/docs", "/openapi.json", "/favicon.ico"})
OPEN_BELOW = "/assets/"
SAFE = frozenset({"GET", "HEAD"})
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/=-]{8,512})\Z", re.IGNORECASE)


class Role(StrEnum):
    """What a token is good for. An operator may read, too."""

    READER = "reader"
    OPERATOR = "operator"


class Token(Protocol):
    """One configured token: whose it is, its role, and the SHA-256 of its text in hexadecimal."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name` becomes the `by` of what they do; "" reads from this machine."""

    name: str
    role: Role


class Denied(Exception):
    """The request may not go on: an HTTP status and a reason for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def needed(method: str, path: str) -> Role | None:
    """Return the role a request needs, None where it is open to everyone."""
    if method not in SAFE:
        return Role.OPERATOR
    if path in OPEN or path.startswith(OPEN_BELOW):
        return None
    return Role.READER


class Access:
    """The configured tokens, and what they open."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = [
            (bytes.fromhex(token.sha256), Caller(token.name, Role(token.role))) for token in tokens
        ]
        self._reading_is_open = all(caller.role is not Role.READER for _, caller in self._tokens)

    def caller(self, authorization: Sequence[bytes], client: str) -> Caller | None:
        """Return who presents these Authorization headers from address `client`.

        None: nobody in particular. Raises Denied for anything that is not one good token.
        """
        if not authorization:
            return Caller("", Role.READER) if self._reading_is_open and _local(client) else None
        found = _BEARER.match(authorization[0]) if len(authorization) == 1 else None
        if found is None:
            raise Denied(401, "the Authorization header is not one bearer token")
        shown = hashlib.sha256(found[1]).digest()
        who = None
        for known, caller in self._tokens:  # all of them: time tells nothing
            if hmac.compare_digest(known, shown):
                who = caller
        if who is None:
            raise Denied(401, "unknown token")
        return who

    def admit(
        self, method: str, path: str, authorization: Sequence[bytes], client: str
    ) -> Caller | None:
        """Return the caller of a request that may go on. Raises Denied."""
        role = needed(method, path)
        if role is None:
            return None
        caller = self.caller(authorization, client)
        if caller is None:
            raise Denied(401, "a bearer token is needed")
        if role is Role.OPERATOR and caller.role is not Role.OPERATOR:
            raise Denied(401 if caller.name == "" else 403, "an operator's token is needed")
        return caller


def _local(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False
