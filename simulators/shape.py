"""The object table of one kind of device, and request plans against it.

Devices of one kind share a Shape: names encoded once, positions by encoded name. What differs
between devices (texts, states) stands in each device's own list of encoded varbinds, same
positions. A request's octets behind its request-id are planned once and looked up afterwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from collectors.snmp_codec.ber import DecodeError, Tag, header, signed
from collectors.snmp_codec.message import GET, GETBULK, GETNEXT, SET
from simulators.wire import (
    COUNTER64,
    END_OF_MIB_VIEW,
    NO_SUCH_INSTANCE,
    NO_SUCH_OBJECT,
    Oid,
    arcs_of,
    heads,
    name,
    order,
    varbind,
)

if TYPE_CHECKING:
    from simulators.device import Device

MAX_PLANS = 8192  # remembered; forgotten all at once
MAX_PLANNED = 4096  # varbinds of one answer
NO_SUCH_NAME, READ_ONLY, GEN_ERR, NOT_WRITABLE = 2, 4, 5, 17  # RFC 3416 section 3


class Live(NamedTuple):
    """An integer that is worked out when it is asked for."""

    tag: int
    read: Callable[[Device, float], int]


class Fact(NamedTuple):
    """A value that stands in the device and changes by events."""

    key: Hashable


Source = bytes | Fact | Live  # bytes: the value's element, the same for ever


class Plan(NamedTuple):
    """What answers one request.

    `items` are positions in the table, or varbinds that stand for what is not there. A `status`
    other than 0 makes an error answer that repeats `asked`.
    """

    items: tuple[int | bytes, ...]
    status: int = 0
    at_fault: int = 0
    asked: bytes = b""


class Shape:
    """An object table. `rows` come in the order a walk is to take; recorded devices may lie in it.

    Raises ValueError where a name occurs twice.
    """

    def __init__(
        self,
        rows: Sequence[tuple[Oid, Source]],
        errors: Mapping[int, tuple[int, bool]] | None = None,
    ) -> None:
        self.errors = dict(errors or {})  # positions that answer with an error-status; walks too?
        self.arcs = [arcs for arcs, _ in rows]
        self.names = [name(arcs) for arcs, _ in rows]
        self.position = {named: at for at, named in enumerate(self.names)}
        if len(self.position) != len(rows):
            raise ValueError("an object occurs twice")
        keyed = sorted((order(arcs), at) for at, arcs in enumerate(self.arcs))
        self._keys = [key for key, _ in keyed]
        self._at = [at for _, at in keyed]
        self._ordered = self._at == list(range(len(keyed)))
        self.template: list[bytes | None] = []
        self.live: dict[int, tuple[tuple[bytes, ...], Callable[[Device, float], int]]] = {}
        self.where: dict[Hashable, list[int]] = {}
        self.wide: set[int] = set()  # Counter64, which v1 cannot say
        for at, (_, source) in enumerate(rows):
            self._place(at, source)
        self._plans: dict[tuple[int, int, bytes], Plan] = {}

    def _place(self, at: int, source: Source) -> None:
        self.template.append(varbind(self.names[at], source) if isinstance(source, bytes) else None)
        if isinstance(source, Live):
            self.live[at] = (heads(self.names[at], source.tag), source.read)
            tag = source.tag
        elif isinstance(source, Fact):
            self.where.setdefault(source.key, []).append(at)
            return
        else:
            tag = source[0]
        if tag == COUNTER64:
            self.wide.add(at)

    def following(self, arcs: Oid) -> int | None:
        """Return the position of the first object behind `arcs`; None at the end.

        Where rows are out of order, a walk of a subtree begins at what was recorded first in it.
        """
        key = order(arcs)
        at = bisect_right(self._keys, key)
        if at == len(self._at):
            return None
        if not self._ordered and self._keys[at].startswith(key):
            return min(self._at[at : bisect_right(self._keys, key + b"\xff" * 4, at)])
        return self._at[at]

    def after(self, named: bytes) -> int | None:
        """Return the position that follows `named` in a walk; None at the end."""
        at = self.position.get(named)
        if at is None:
            return self.following(arcs_of(_body(named)))
        return at + 1 if at + 1 < len(self.names) else None

    def plan(self, version: int, tag: int, tail: bytes) -> Plan:
        """Return what answers a request of `tag` whose octets behind the request-id are `tail`.

        Raises DecodeError where they are no request.
        """
        found = self._plans.get((version, tag, tail))
        if found is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            found = self._plans[version, tag, tail] = self._make(version, tag, tail)
        return found

    def _make(self, version: int, tag: int, tail: bytes) -> Plan:
        first, second, asked, listed = parse(tail)
        if tag == SET:
            status = READ_ONLY if version == 0 else NOT_WRITABLE
            return Plan((), status, 1, asked)
        if tag == GET:
            items = [self._exact(named) for named in listed]
        elif tag == GETNEXT:
            items = [self._next(named, version) for named in listed]
        elif tag == GETBULK and version:
            items = self._bulk(listed, max(first, 0), max(second, 0))
        else:
            raise DecodeError(f"not a request: {tag:#x}")
        for at, item in enumerate(items, 1):
            if version == 0 and (isinstance(item, bytes) or item in self.wide):
                return Plan((), NO_SUCH_NAME, at, asked)
            if isinstance(item, int) and item in self.errors:
                status, walks = self.errors[item]
                if tag != GET and not walks:
                    continue
                return Plan((), status if version or status <= GEN_ERR else GEN_ERR, at, asked)
        return Plan(tuple(items))

    def _exact(self, named: bytes) -> int | bytes:
        at = self.position.get(named)
        return at if at is not None else varbind(named, self._absent(arcs_of(_body(named))))

    def _absent(self, arcs: Oid) -> bytes:
        """noSuchInstance where a neighbour belongs to the same object, else noSuchObject."""
        at = bisect_right(self._keys, order(arcs))
        for near in self._at[max(at - 1, 0) : at + 1]:
            if self.arcs[near][: len(arcs) - 1] == arcs[:-1]:
                return NO_SUCH_INSTANCE
        return NO_SUCH_OBJECT

    def _next(self, named: bytes, version: int) -> int | bytes:
        at = self.after(named)
        while version == 0 and at is not None and at in self.wide:
            at = at + 1 if at + 1 < len(self.names) else None
        return at if at is not None else varbind(named, END_OF_MIB_VIEW)

    def _bulk(self, listed: list[bytes], once: int, times: int) -> list[int | bytes]:
        """RFC 3416 section 4.2.3."""
        items = [self._next(named, 1) for named in listed[:once]]
        going = listed[once:]
        while going and times > 0 and len(items) < MAX_PLANNED:
            row = [self._next(named, 1) for named in going]
            items += row
            if all(isinstance(item, bytes) for item in row):
                break
            going = [
                self.names[item] if isinstance(item, int) else named
                for item, named in zip(row, going, strict=True)
            ]
            times -= 1
        return items


def parse(tail: bytes) -> tuple[int, int, bytes, list[bytes]]:
    """Return the two integers, the varbinds as they stand, and the names asked for.

    `tail` is a PDU behind its request-id. Raises DecodeError.
    """
    end = len(tail)
    _, start, at = _expect(tail, 0, end, Tag.INTEGER)
    first = signed(tail[start:at])
    _, start, at = _expect(tail, at, end, Tag.INTEGER)
    second = signed(tail[start:at])
    whole, at, stop = _expect(tail, at, end, Tag.SEQUENCE)
    if stop != end:
        raise DecodeError("octets behind the varbinds")
    listed: list[bytes] = []
    while at < end:
        _, inner, stop = _expect(tail, at, end, Tag.SEQUENCE)
        named, _, value = _expect(tail, inner, stop, Tag.OID)
        header(tail, value, stop)
        listed.append(tail[named:value])
        at = stop
    return first, second, tail[whole:], listed


def _expect(data: bytes, at: int, end: int, tag: int) -> tuple[int, int, int]:
    found, start, stop = header(data, at, end)
    if found != tag:
        raise DecodeError(f"tag {found:#x} instead of {int(tag):#x}")
    return at, start, stop


def _body(named: bytes) -> bytes:
    _, start, stop = header(named, 0, len(named))
    return named[start:stop]
