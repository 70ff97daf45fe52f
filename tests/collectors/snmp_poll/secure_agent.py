"""The small agent in SNMPv3: the truth, or one lie about who speaks, when, and how safely.

Security is the simulators', which shares none with the house.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from collectors.snmp_codec import v3
from collectors.snmp_codec.ber import tlv
from collectors.snmp_codec.message import REPORT, Pdu, VarBind, encode_pdu
from collectors.snmp_poll import Credentials
from simulators import usm
from simulators.scenario import User
from tests.collectors.snmp_poll.agent import Agent, Liar

ENGINE = bytes.fromhex("8000000001020304")
KEYS = {"auth_key": "auth-pass-123", "priv_key": "priv-pass-456"}
ME = User(
    name="me", auth="SHA-256", auth_key=KEYS["auth_key"], privacy="AES-128",
    privacy_key=KEYS["priv_key"],
)  # fmt: skip
ME_HERE = Credentials.model_validate(
    {"version": "3", "user": "me", "auth": "SHA-256", "priv": "AES-128", **KEYS}
)


class Secured:
    """What SNMPv3 adds to `Agent`. `wrong` replaces parts of what is said, by name: engine_id,
    boots, time, msg_id, flags, user, context, name, request_id; a report for `report`."""

    user = ME
    engine_id = ENGINE
    boots = 3
    began_s = -1000.0  # of the event loop's time: when its engine time was 0
    report = 0  # answer requests by this usmStats counter
    reported_with: Any = None  # the user that signs that report; None: unsigned

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.wrong: dict[str, Any] = {}
        self.seen: list[usm.Parts] = []
        self.reports: list[int] = []

    def time(self) -> int:
        return int(asyncio.get_running_loop().time() - self.began_s)

    def datagram_received(self: Any, data: bytes, addr: Any) -> None:
        parts = usm.take_apart(data)
        self.seen.append(parts)
        for said in self.said(data, parts):
            for datagram in self.tamper(said) if self.tamper else [said]:
                self.send(datagram, addr)

    def said(self: Any, data: bytes, parts: usm.Parts) -> Iterator[bytes]:
        if parts.engine_id != self.engine_id:
            yield self.reports_on(parts, usm.ENGINE)
        elif self.report:
            yield self.reports_on(parts, self.report, self.reported_with)
        elif parts.user != self.user.name:
            yield self.reports_on(parts, usm.USER)
        elif parts.flags & 3 != usm.level(self.user):
            yield self.reports_on(parts, usm.LEVEL)
        elif self.user.auth and not usm.authentic(data, parts, self.user, self.engine_id):
            yield self.reports_on(parts, usm.DIGEST)
        elif self.user.auth and (
            parts.boots != self.boots or abs(parts.time_s - self.time()) > usm.WINDOW_S
        ):
            yield self.reports_on(parts, usm.TIME, self.user)
        else:
            asked = v3.decode_scoped(usm.opened(parts, self.user)).pdu
            self.asked.append(asked)
            for pdu in self.reply(1, asked):
                yield self.answer(parts, pdu)

    def answer(self, parts: usm.Parts, pdu: Pdu) -> bytes:
        """Return the message that carries `pdu` back."""
        wrong = self.wrong
        engine_id = wrong.get("engine_id", self.engine_id)
        engine = (engine_id, wrong.get("boots", self.boots), wrong.get("time", self.time()))
        user = self.user.model_copy(update={"name": wrong.get("user", self.user.name)})
        if "request_id" in wrong:
            pdu = pdu._replace(request_id=wrong["request_id"])
        scope = tlv(4, wrong.get("context", engine_id)) + tlv(4, wrong.get("name", b""))
        scoped = tlv(0x30, scope + encode_pdu(pdu))
        flags = wrong.get("flags", usm.level(self.user))
        return usm.sealed(user, engine, wrong.get("msg_id", parts.message_id), flags, scoped)

    def reports_on(self, parts: usm.Parts, stat: int, by: User | None = None) -> bytes:
        """Return a report of a usmStats counter, signed where it is `by` somebody."""
        self.reports.append(stat)
        count = VarBind(f"1.3.6.1.6.3.15.1.1.{stat}.0", 0x41, len(self.reports))
        scoped = usm.scope(self.engine_id, encode_pdu(Pdu(REPORT, 0, 0, 0, (count,))))
        speaker = by or User.model_construct(name=parts.user, auth="", privacy="")
        engine = (self.engine_id, self.boots, self.time())
        return usm.sealed(
            speaker, engine, parts.message_id, usm.AUTH if by and by.auth else 0, scoped
        )


class SecureAgent(Secured, Agent):
    """Answers `ME`."""


class SecureLiar(Secured, Liar):
    """One lie of agent.LIES, told to `ME`."""
