"""Answers that break the rules, each under its own name. A scenario gives a device one of MODES.

Every lie here was seen in the field or is what a hostile agent would do. README.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from collectors.snmp_codec.ber import Tag, header, tlv, unsigned
from collectors.snmp_codec.message import GETBULK, GETNEXT, RESPONSE
from simulators.flow import M32
from simulators.shape import Plan, parse
from simulators.wire import (
    END_OF_MIB_VIEW,
    NO_SUCH_INSTANCE,
    NULL,
    Oid,
    arcs_of,
    name,
    number,
    octets,
    oid,
    varbind,
)

if TYPE_CHECKING:
    from simulators.device import Device

ENGINE_TIME = name(oid("1.3.6.1.6.3.10.2.1.3.0"))
UPTIME = name(oid("1.3.6.1.2.1.1.3.0"))
LATE_S, SLOW_S = 3.0, 100.0
MANY = 9300  # seven octets each: what one datagram can carry


class Ask(NamedTuple):
    """The request, taken apart. `tail` is the PDU behind its request-id."""

    version: int
    community: bytes
    tag: int
    request_id: bytes
    tail: bytes


class Reply:
    """An answer about to be bent. `binds` are encoded varbinds."""

    def __init__(self, ask: Ask, plan: Plan, now: float, device: Device) -> None:
        self.ask = ask
        self.plan = plan
        self.now = now
        self.binds = [] if plan.status else device.values(plan.items, now)
        self.version, self.community, self.request_id = ask.version, ask.community, ask.request_id
        self.status, self.index = plan.status, plan.at_fault
        self.copies = 1
        self.after = 0.0
        self.strange = False
        self.cut: int | None = None  # send only so many octets
        self.raw: bytes | None = None

    @property
    def walking(self) -> bool:
        return self.ask.tag in (GETNEXT, GETBULK)

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return (name, value) elements."""
        found = []
        for bind in self.binds:
            _, at, end = header(bind, 0, len(bind))
            _, _, stop = header(bind, at, end)
            found.append((bind[at:stop], bind[stop:end]))
        return found

    def pdus(self) -> list[bytes]:
        """Return the Response PDU, as often as it is to be sent."""
        binds = tlv(Tag.SEQUENCE, b"".join(self.binds))
        if self.plan.status and not self.binds:
            binds = self.plan.asked
        body = self.request_id + number(self.status) + number(self.index) + binds
        return [tlv(RESPONSE, body)] * self.copies

    def datagrams(self) -> list[bytes]:
        """Return the v1 or v2c messages to send."""
        if self.raw is not None:
            return [self.raw] * self.copies
        opens = bytes((2, 1, self.version)) + self.community
        return [tlv(Tag.SEQUENCE, opens + pdu)[: self.cut] for pdu in self.pdus()]


Lie = Callable[[Reply, "Device"], None]


def _move(where: Callable[[int], int], reply: Reply, device: Device) -> None:
    """Answer a walk with the object at where(position) instead of the one at position."""
    if not reply.walking:
        return
    shape = device.shape
    moved: list[int | bytes] = []
    for item in reply.plan.items:
        moved.append(min(where(item), len(shape.names) - 1) if isinstance(item, int) else item)
    reply.binds = device.values(moved, reply.now)


def _asked(reply: Reply) -> list[Oid]:
    _, _, _, listed = parse(reply.ask.tail)
    found = []
    for named in listed:
        _, start, stop = header(named, 0, len(named))
        found.append(arcs_of(named[start:stop]))
    return found


def _endless(reply: Reply, device: Device) -> None:
    if not reply.walking:
        return
    last = [(*arcs, 0) if len(arcs) < 12 else arcs for arcs in _asked(reply)]
    repeat = len(reply.binds) // max(len(last), 1) if reply.ask.tag == GETBULK else 1
    reply.binds = []
    for _ in range(max(repeat, 1)):
        last = [(*arcs[:-1], arcs[-1] + 1) for arcs in last]
        reply.binds += [varbind(name(arcs), number(1)) for arcs in last]
    reply.status = 0


def _binds(make: Callable[[Reply], list[bytes]], reply: Reply, device: Device) -> None:
    reply.binds = make(reply)
    reply.status = 0


def _huge_string(reply: Reply) -> list[bytes]:
    return [varbind(named, octets(b"x" * 60_000)) for named, _ in reply.pairs()[:1]]


def _other_oids(reply: Reply) -> list[bytes]:
    found = []
    for named, value in reply.pairs():
        _, start, stop = header(named, 0, len(named))
        arcs = arcs_of(named[start:stop])
        found.append(varbind(name((*arcs[:-1], (arcs[-1] + 1) % 2**32)), value))
    return found


def _middle_ends(reply: Reply) -> list[bytes]:
    pairs = reply.pairs()
    half = (len(pairs) + 1) // 2
    ended = [varbind(named, END_OF_MIB_VIEW) for named, _ in pairs[half:]]
    return reply.binds[:half] + ended


def _error(status: int, index: int, data: bool, reply: Reply, device: Device) -> None:
    reply.status, reply.index = status, index
    if not data:
        _, _, asked, _ = parse(reply.ask.tail)
        reply.plan = Plan((), status, index, asked)
        reply.binds = []


def _values(change: Callable[[bytes, bytes], bytes], reply: Reply, device: Device) -> None:
    """Change each value: `change` gets the elements of name and value."""
    reply.binds = [varbind(named, change(named, value)) for named, value in reply.pairs()]


def _retag(old: int, new: int, named: bytes, value: bytes) -> bytes:
    return bytes((new,)) + value[1:] if value[0] == old else value


def _narrow(named: bytes, value: bytes) -> bytes:
    if value[0] != Tag.COUNTER64:
        return value
    return number(unsigned(value[2:], 8) & M32, Tag.COUNTER64)


def _negative(tag: int, only: bytes, named: bytes, value: bytes) -> bytes:
    return number(-12345, tag) if value[0] == tag and only in (b"", named) else value


def _no_uptime(named: bytes, value: bytes) -> bytes:
    return number(0, Tag.TIME_TICKS) if named == UPTIME else value


def _text(more: bytes, pad: int, named: bytes, value: bytes) -> bytes:
    if value[0] != Tag.OCTET_STRING:
        return value
    _, start, stop = header(value, 0, len(value))
    return octets((value[start:stop] + more).ljust(pad, b"x"))


def _with(field: str, value: object, reply: Reply, device: Device) -> None:
    setattr(reply, field, value)


def _wrong_request_id(reply: Reply, device: Device) -> None:
    said = int.from_bytes(reply.request_id[2:], "big", signed=True)
    reply.request_id = number((said + 1) & 0x7FFFFFFF)


def _wrong_version(reply: Reply, device: Device) -> None:
    reply.version ^= 1


def _garbage(reply: Reply, device: Device) -> None:
    reply.raw = device.random.randbytes(80)


def _truthful(reply: Reply, device: Device) -> None:
    """The lie is told elsewhere (`usm`)."""


MODES: dict[str, Lie] = {
    # walks
    "non_increasing": partial(_move, lambda at: at // 10 * 10 + 9 - at % 10),
    "repeat": partial(_move, lambda at: at // 5 * 5),
    "cycle": partial(_move, lambda at: at // 50 * 50 + at % 5),
    "endless": _endless,
    "empty": partial(_binds, lambda reply: []),
    "end_of_mib_mid_row": partial(_binds, _middle_ends),
    "other_oids": partial(_binds, _other_oids),
    # sizes
    "huge_string": partial(_binds, _huge_string),
    "many_varbinds": partial(_binds, lambda reply: [b"\x30\x05\x06\x01\x2b\x05\x00"] * MANY),
    "long_oid": partial(_binds, lambda reply: [varbind(name((1, 3, *[1] * 16_000)), NULL)]),
    # messages
    "wrong_request_id": _wrong_request_id,
    "wrong_version": _wrong_version,
    "wrong_community": partial(_with, "community", octets("nobody")),
    "wrong_port": partial(_with, "strange", True),
    "twice": partial(_with, "copies", 2),
    "late": partial(_with, "after", LATE_S),
    "slow": partial(_with, "after", SLOW_S),
    "garbage": _garbage,
    "truncated": partial(_with, "cut", 40),
    # errors
    "too_big": partial(_error, 1, 0, False),
    "too_big_with_data": partial(_error, 1, 0, True),
    "gen_err": partial(_error, 5, 1, False),
    "no_such_name_zero": partial(_error, 2, 0, False),
    "no_such_name_beyond": partial(_error, 2, 10_000, False),
    "unknown_error": partial(_error, 200, 1, False),
    # values
    "counter32_as_64": partial(_values, partial(_retag, Tag.COUNTER32, Tag.COUNTER64)),
    "counter64_wraps_at_32": partial(_values, _narrow),
    "gauge_as_integer": partial(_values, partial(_retag, Tag.GAUGE32, Tag.INTEGER)),
    "negative_ticks": partial(_values, partial(_negative, Tag.TIME_TICKS, b"")),
    "negative_engine_time": partial(_values, partial(_negative, Tag.INTEGER, ENGINE_TIME)),
    "uptime_zero": partial(_values, _no_uptime),
    "null_values": partial(_values, lambda named, value: NULL),
    "no_such_instance": partial(_values, lambda named, value: NO_SUCH_INSTANCE),
    # texts
    "non_utf8": partial(_values, partial(_text, b"\xff\xfe\x80", 0)),
    "nul": partial(_values, partial(_text, b"\0after", 0)),
    "long_string": partial(_values, partial(_text, b" ", 255)),
    "bidi": partial(_values, partial(_text, "\u202egnp.exe\u2066".encode(), 0)),
    "ansi": partial(_values, partial(_text, b"\x1b[2J\x1b]0;owned\x07", 0)),
    "html": partial(_values, partial(_text, b"<script>alert(1)</script>", 0)),
    # SNMPv3
    "engine_id_changes": _truthful,
    "boots_back": _truthful,
    "time_frozen": _truthful,
    "not_in_time_window": _truthful,
}
"""Every lie by its name in scenario files."""
