"""A small SNMP agent that tells the truth, or one lie."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Iterable, Mapping
from typing import Any

from collectors.snmp_codec import ber
from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import (
    GET,
    GETBULK,
    RESPONSE,
    Message,
    Pdu,
    VarBind,
    decode,
    encode,
)

Mib = Mapping[str, tuple[int, int | bytes | str | None]]
IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"


def arcs(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


def switch(
    ports: int = 4, first: int = 1, hc: bool = True, uptime: int = 100_000
) -> dict[str, Any]:
    """A device with so many ports, named ge-0/0/0 …; counters are 1000 * index + column."""
    mib: dict[str, Any] = {
        "1.3.6.1.2.1.1.1.0": (Tag.OCTET_STRING, b"a switch"),
        "1.3.6.1.2.1.1.2.0": (Tag.OID, "1.3.6.1.4.1.99999.1"),
        "1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, uptime),
        "1.3.6.1.2.1.1.5.0": (Tag.OCTET_STRING, b"osl-gw1"),
        "1.3.6.1.2.1.1.6.0": (Tag.OCTET_STRING, b"Oslo"),
        "1.3.6.1.2.1.2.1.0": (Tag.INTEGER, ports),
        "1.3.6.1.2.1.31.1.5.0": (Tag.TIME_TICKS, 0),
    }
    for port in range(ports):
        i = first + port
        mib[f"{IF}.1.{i}"] = (Tag.INTEGER, i)
        mib[f"{IF}.2.{i}"] = (Tag.OCTET_STRING, f"Gigabit {port}".encode())
        mib[f"{IF}.7.{i}"] = (Tag.INTEGER, 1)
        mib[f"{IF}.8.{i}"] = (Tag.INTEGER, 1 + port % 2)
        for column in (10, 11, 13, 14, 16, 17, 19, 20):
            mib[f"{IF}.{column}.{i}"] = (Tag.COUNTER32, 1000 * i + column)
        if hc:
            mib[f"{IFX}.1.{i}"] = (Tag.OCTET_STRING, f"ge-0/0/{port}".encode())
            mib[f"{IFX}.18.{i}"] = (Tag.OCTET_STRING, f"customer {port}".encode())
            for column in range(6, 14):
                mib[f"{IFX}.{column}.{i}"] = (Tag.COUNTER64, 2**40 + 1000 * i + column)
            mib[f"{IFX}.15.{i}"] = (Tag.GAUGE32, 1000)
            mib[f"{IFX}.19.{i}"] = (Tag.TIME_TICKS, 0)
    return mib


class Agent(asyncio.DatagramProtocol):
    """Answers on a free loopback port. Override `reply` (what is said) or `send` (how)."""

    def __init__(self, mib: Mib, community: bytes = b"public") -> None:
        self.community = community
        self.asked: list[Pdu] = []
        self.tamper: Any = None  # datagram → datagrams, to spoil what is said
        self.change(mib)

    def change(self, mib: Mib) -> None:
        self.mib = dict(mib)
        self.order = sorted(self.mib, key=arcs)
        self.keys = [arcs(oid) for oid in self.order]

    async def __aenter__(self) -> Agent:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port: int = self.transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        message = decode(data)
        if message.community != self.community or not isinstance(message.pdu, Pdu):
            return
        self.asked.append(message.pdu)
        for pdu in self.reply(message.version, message.pdu):
            said = encode(Message(message.version, message.community, pdu))
            for datagram in self.tamper(said) if self.tamper else [said]:
                self.send(datagram, addr)

    def send(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        yield self.truth(version, asked)

    def truth(self, version: int, asked: Pdu) -> Pdu:
        oids = [bind.oid for bind in asked.varbinds]
        binds: list[VarBind] = []
        if asked.tag == GET:
            for at, oid in enumerate(oids, 1):
                known = self.mib.get(oid)
                if version == 0 and (known is None or known[0] == Tag.COUNTER64):
                    return Pdu(RESPONSE, asked.request_id, 2, at, asked.varbinds)
                binds.append(VarBind(oid, *(known or (Tag.NO_SUCH_INSTANCE, None))))
            return Pdu(RESPONSE, asked.request_id, 0, 0, tuple(binds))
        times = asked.error_index if asked.tag == GETBULK else 1
        for _ in range(times):
            for at, oid in enumerate(oids):
                following = self.after(oid)
                while version == 0 and following and self.mib[following][0] == Tag.COUNTER64:
                    following = self.after(following)  # SNMPv1 has no such type
                if following is None and version == 0:
                    return Pdu(RESPONSE, asked.request_id, 2, at + 1, asked.varbinds)
                if following is None:
                    binds.append(VarBind(oid, Tag.END_OF_MIB_VIEW, None))
                else:
                    binds.append(VarBind(following, *self.mib[following]))
                    oids[at] = following
        return Pdu(RESPONSE, asked.request_id, 0, 0, tuple(binds))

    def after(self, oid: str) -> str | None:
        at = bisect.bisect_right(self.keys, arcs(oid))
        return self.order[at] if at < len(self.order) else None


class Liar(Agent):
    """One lie, by name: see LIES."""

    def __init__(self, lie: str, mib: Mib) -> None:
        super().__init__(mib)
        self.lie = lie
        self.tick = 0

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        self.tick += 1
        true = self.truth(version, asked)
        made = LIES[self.lie](self, asked, true)
        return [made] if isinstance(made, Pdu) else made

    def send(self, data: bytes, addr: Any) -> None:
        if self.lie == "other port":
            from socket import AF_INET, SOCK_DGRAM, socket

            with socket(AF_INET, SOCK_DGRAM) as other:
                other.sendto(data, addr)
        elif self.lie == "garbage":
            super().send(b"\x30\x82\xff\xff" + data[::-1], addr)
        elif self.lie == "cut short":
            super().send(data[:-7], addr)
        elif self.lie == "other community":
            super().send(data.replace(b"public", b"privat"), addr)
        elif self.lie == "other version":
            super().send(data.replace(b"\x02\x01\x01\x04", b"\x02\x01\x00\x04", 1), addr)
        elif self.lie == "twice":
            super().send(data, addr)
            super().send(data, addr)
        elif self.lie == "OID of 16,000 arcs":
            name = ber.tlv(6, b"\x2b" + bytes(16_000))
            super().send(data.replace(data[-30:], name), addr)
        else:
            super().send(data, addr)


def _status(status: int, index: int) -> Any:
    return lambda agent, asked, true: true._replace(
        error_status=status, error_index=index, varbinds=asked.varbinds
    )


def _walk_only(made: Any) -> Any:
    return lambda agent, asked, true: true if asked.tag == GET else made(agent, asked, true)


def _get_only(made: Any) -> Any:
    return lambda agent, asked, true: made(agent, asked, true) if asked.tag == GET else true


def _binds(change: Any) -> Any:
    def lie(agent: Liar, asked: Pdu, true: Pdu) -> Pdu:
        return true._replace(
            varbinds=tuple(change(agent, at, b) for at, b in enumerate(true.varbinds))
        )

    return lie


def _repeat(agent: Liar, at: int, bind: VarBind) -> VarBind:
    return VarBind(f"{IF}.2.1", Tag.OCTET_STRING, b"again")


def _decrease(agent: Liar, at: int, bind: VarBind) -> VarBind:
    return VarBind(f"{IF}.2.{max(1, 100_000 - agent.tick * 1000 - at)}", Tag.OCTET_STRING, b"less")


def _cycle(agent: Liar, at: int, bind: VarBind) -> VarBind:
    return VarBind(f"{IF}.2.{1 + (agent.tick * 3 + at) % 7}", Tag.OCTET_STRING, b"round")


def _endless(agent: Liar, asked: Pdu, true: Pdu) -> Pdu:
    made = []
    for _ in range(max(1, asked.error_index)):
        for bind in asked.varbinds:
            head, _, _ = bind.oid.rpartition(".")
            column = bind.oid if len(arcs(bind.oid)) <= len(arcs(IF)) + 1 else head
            agent.tick += 1
            made.append(VarBind(f"{column}.{1_000_000 + agent.tick}", Tag.OCTET_STRING, b"more"))
    return true._replace(varbinds=tuple(made))


def _typed(tag: int, value: Any, prefix: str) -> Any:
    return _binds(
        lambda agent, at, b: VarBind(b.oid, tag, value) if b.oid.startswith(prefix) else b
    )


LIES: dict[str, Any] = {
    "same OID again": _walk_only(_binds(_repeat)),
    "decreasing OIDs": _walk_only(_binds(_decrease)),
    "cycle of increasing OIDs": _walk_only(_binds(_cycle)),
    "endless walk": _walk_only(_endless),
    "empty list": lambda agent, asked, true: true._replace(varbinds=()),
    "empty list in walks": _walk_only(lambda agent, asked, true: true._replace(varbinds=())),
    "60 kB string": _walk_only(
        _binds(lambda agent, at, b: b._replace(tag=4, value=b"x" * 60_000) if at == 0 else b)
    ),
    "10,000 varbinds": lambda agent, asked, true: true._replace(
        varbinds=(VarBind("1.3", 5, None),) * 8_000
    ),
    "OID of 16,000 arcs": lambda agent, asked, true: true,
    "wrong request-id": lambda agent, asked, true: true._replace(request_id=true.request_id ^ 1),
    "other port": lambda agent, asked, true: true,
    "other community": lambda agent, asked, true: true,
    "other version": lambda agent, asked, true: true,
    "garbage": lambda agent, asked, true: true,
    "cut short": lambda agent, asked, true: true,
    "twice": lambda agent, asked, true: true,
    "our own request": lambda agent, asked, true: asked,
    "tooBig for ever": _status(1, 0),
    "tooBig in GETs": _get_only(_status(1, 0)),
    "genErr for ever": _status(5, 0),
    "genErr naming the first": _get_only(_status(5, 1)),
    "noSuchName, index 0": _status(2, 0),
    "noSuchName, index beyond": _status(2, 200),
    "index negative": _status(5, -3),
    "error-status 200": _status(200, 1),
    "endOfMibView in a row": _walk_only(
        _binds(lambda agent, at, b: b._replace(tag=0x82, value=None) if at % 3 == 1 else b)
    ),
    "endOfMibView in GETs": _get_only(
        _binds(lambda agent, at, b: b._replace(tag=0x82, value=None) if at % 3 == 1 else b)
    ),
    "negative TimeTicks": _typed(Tag.TIME_TICKS, -5, "1.3.6.1.2.1.1.3"),
    "Counter32 for Counter64": _typed(Tag.COUNTER32, 7, f"{IFX}.6."),
    "NULL for numbers": _typed(Tag.NULL, None, f"{IF}.14."),
    "text for numbers": _typed(Tag.OCTET_STRING, b"12", f"{IF}.14."),
    "one value short": _get_only(
        lambda agent, asked, true: true._replace(varbinds=true.varbinds[:-1])
    ),
    "other order": _get_only(
        lambda agent, asked, true: true._replace(varbinds=true.varbinds[::-1])
    ),
    "rows change at every look": _binds(
        lambda agent, at, b: b._replace(value=agent.tick) if b.oid == "1.3.6.1.2.1.2.1.0" else b
    ),
    "uptime goes back at every look": _binds(
        lambda agent, at, b: (
            b._replace(value=1_000_000 - agent.tick) if b.oid == "1.3.6.1.2.1.1.3.0" else b
        )
    ),
}
