"""SNMPv3 notifications: verified, decrypted and answered, inside the worker process.

Keys and ciphers are `snmp_codec.usm`'s. The order of checks is RFC 3414 section 3.2, done here:
pysnmp's takes the time from unverified messages and lets a weaker level pass for a sender's engine.

`begin(setup)` returns the handler of `netopsd.worker`. A job is {"data": base64, "time": our
snmpEngineTime}; an answer has "result": "trap", "inform" or "refused", the latter with "reason" and
perhaps "reply", a Report to send back.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from collectors.snmp_codec import usm, v3
from collectors.snmp_codec.ber import DecodeError, Tag
from collectors.snmp_codec.message import INFORM, REPORT, RESPONSE, TRAP2, Pdu, VarBind
from collectors.snmp_codec.v3 import (
    AUTH,
    MAX_SIZE,
    MOST_BOOTS,
    PRIV,
    REPORTABLE,
    WINDOW_S,
    MessageV3,
    Scoped,
)
from collectors.snmp_trap.parse import body_of

_LEVELS = {"noAuthNoPriv": 0, "authNoPriv": AUTH, "authPriv": AUTH | PRIV}
_STATISTIC = {  # usmStats, RFC 3414 section 5
    "low_level": 1,
    "not_in_window": 2,
    "unknown_user": 3,
    "unknown_engine": 4,
    "wrong_digest": 5,
    "not_decrypted": 6,
}


class _Refused(Exception):
    """`str` is the reason, as counted."""


@dataclass(frozen=True, slots=True)
class _User:
    name: bytes
    auth: str
    auth_key: str
    priv: str
    priv_key: str
    level: int
    engines: frozenset[bytes]

    @property
    def flags(self) -> int:
        """What its keys allow at most."""
        return (AUTH if self.auth else 0) | (PRIV if self.priv else 0)


def begin(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return the handler for our engine and users (see `listener`). Raises ValueError, KeyError."""
    users = {}
    for given in setup["users"]:
        name = given["name"].encode()
        engines = frozenset(bytes.fromhex(text) for text in given["engine_ids"])
        users[name] = _User(
            name=name,
            level=_LEVELS[given["level"]],
            engines=engines,
            **{key: given[key] for key in ("auth", "auth_key", "priv", "priv_key")},
        )
    usm = Usm(bytes.fromhex(setup["engine_id"]), int(setup["boots"]), users)

    def handle(job: Mapping[str, Any]) -> Mapping[str, Any]:
        return usm.judge(b64decode(job["data"]), int(job["time"]))

    return handle


class Usm:
    """The User-based Security Model of a notification receiver."""

    def __init__(self, engine_id: bytes, boots: int, users: Mapping[bytes, _User]) -> None:
        self._ours = engine_id
        self._boots = boots
        self._users = users
        self._engines = frozenset().union(*(user.engines for user in users.values()))
        self._counts = dict.fromkeys(_STATISTIC, 0)
        self._keys = lru_cache(maxsize=4096)(_localized)

    def judge(self, data: bytes, time: int) -> Mapping[str, Any]:
        """Return what the datagram says, or why it is refused. `time` is our snmpEngineTime."""
        try:
            message = v3.decode_v3(data)
        except DecodeError:
            return {"result": "refused", "reason": "malformed"}
        user: _User | None = None
        try:
            user = self._user(message)
            self._verify(message, data, user)
            self._timely(message, time)
            scoped = self._open(message, user)
            return self._notification(message, scoped, user, time)
        except _Refused as refused:
            return self._refusal(message, user, str(refused), time)
        except DecodeError:
            return {"result": "refused", "reason": "malformed"}

    def _user(self, message: MessageV3) -> _User:
        """RFC 3414 section 3.2, (3) to (5)."""
        if message.engine_id != self._ours and message.engine_id not in self._engines:
            raise _Refused("unknown_engine")
        user = self._users.get(message.user)
        if user is None or message.engine_id not in (self._ours, *user.engines):
            raise _Refused("unknown_user")
        level = message.flags & (AUTH | PRIV)
        if level < user.level or level & ~user.flags:
            raise _Refused("low_level")
        return user

    def _verify(self, message: MessageV3, data: bytes, user: _User) -> None:
        """RFC 3414 section 3.2 (6)."""
        if not message.flags & AUTH:
            return
        keys = self._keys(user, message.engine_id)
        if not keys.authentic(data, message.auth_at, message.auth):
            raise _Refused("wrong_digest")

    def _timely(self, message: MessageV3, time: int) -> None:
        """RFC 3414 section 3.2 (7) a: where we are authoritative. The listener does (7) b."""
        if message.flags & AUTH and message.engine_id == self._ours:
            late = abs(time - message.time) > WINDOW_S
            if late or message.boots != self._boots or self._boots >= MOST_BOOTS:
                raise _Refused("not_in_window")

    def _open(self, message: MessageV3, user: _User) -> Scoped:
        """RFC 3414 section 3.2 (8)."""
        if not message.flags & PRIV:
            return v3.decode_scoped(message.scoped)
        if len(message.priv) != usm.SALT_OCTETS:
            raise _Refused("not_decrypted")
        keys = self._keys(user, message.engine_id)
        moment = (message.boots, message.time)
        try:
            return v3.decode_scoped(keys.decrypt(message.scoped, moment, message.priv))
        except DecodeError as error:
            raise _Refused("not_decrypted") from error

    def _notification(
        self, message: MessageV3, scoped: Scoped, user: _User, time: int
    ) -> Mapping[str, Any]:
        """The sender is authoritative for a trap, we for an inform (RFC 3414 section 1.5.1)."""
        pdu = scoped.pdu
        ours = message.engine_id == self._ours
        if pdu.tag not in (TRAP2, INFORM):
            raise _Refused("unknown_engine" if not message.engine_id else "not_a_notification")
        if ours != (pdu.tag == INFORM):
            raise _Refused("wrong_engine")
        body = body_of(pdu.varbinds)
        said: dict[str, Any] = {
            "result": "inform" if ours else "trap",
            "name": body.name,
            "values": body.values,
            "authenticated": bool(message.flags & AUTH),
            "engine": message.engine_id.hex(),
            "boots": message.boots,
            "time": message.time,
            "auth": message.auth.hex(),
        }
        if ours:
            answer = Pdu(RESPONSE, pdu.request_id, 0, 0, pdu.varbinds)
            level = message.flags & (AUTH | PRIV)
            reply = self._sealed(message, scoped._replace(pdu=answer), (user, level), time)
            said["reply"] = b64encode(reply).decode()
            # What a repetition has in common with it: each is a message of its own (RFC 3412
            # section 6.2), with another id, time and salt around the same PDU.
            same = f"{message.user.hex()}|{level}|".encode() + v3.encode_scoped(scoped)
            said["identity"] = hashlib.sha256(same).hexdigest()
        return said

    def _refusal(
        self, message: MessageV3, user: _User | None, reason: str, time: int
    ) -> Mapping[str, Any]:
        """Return the refusal, with a Report where the sender wants one (RFC 3412 section 7.1 (3)).

        Only whoever takes us for the authoritative engine is answered. "Not in time window" is
        authenticated, so that its time may be believed.
        """
        said: dict[str, Any] = {"result": "refused", "reason": reason}
        if reason == "unknown_engine" and not message.engine_id:
            said["reason"] = "discovery"
        number = _STATISTIC.get(reason)
        about_us = message.engine_id == self._ours or reason == "unknown_engine"
        if number is None or not about_us or not message.flags & REPORTABLE:
            return said
        self._counts[reason] += 1
        request_id = 0
        if not message.flags & PRIV:
            try:
                request_id = v3.decode_scoped(message.scoped).pdu.request_id
            except DecodeError:
                return said
        oid = f"1.3.6.1.6.3.15.1.1.{number}.0"
        count = VarBind(oid, Tag.COUNTER32, self._counts[reason])
        report = Scoped(self._ours, b"", Pdu(REPORT, request_id, 0, 0, (count,)))
        level = AUTH if reason == "not_in_window" else 0
        said["reply"] = b64encode(self._sealed(message, report, (user, level), time)).decode()
        return said

    def _sealed(
        self, asked: MessageV3, scoped: Scoped, by: tuple[_User | None, int], time: int
    ) -> bytes:
        """Return the message that carries `scoped` back, secured for a user at a level."""
        user, level = by
        keys = self._keys(user, self._ours) if user is not None else usm.NO_KEYS
        salt = os.urandom(usm.SALT_OCTETS) if level & PRIV else b""
        message = MessageV3(
            asked.msg_id, MAX_SIZE, level, self._ours, self._boots, time, asked.user, b"", salt,
            v3.encode_scoped(scoped),
        )  # fmt: skip
        return usm.sealed(message, keys)


def _localized(user: _User, engine_id: bytes) -> usm.Keys:
    """Return the user's keys at an engine (RFC 3414 section 2.6)."""
    return usm.keys(user.auth, user.auth_key, user.priv, user.priv_key, engine_id)
