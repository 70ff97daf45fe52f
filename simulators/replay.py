"""Recorded walks (.snmprec, plain or .bz2) as devices.

A line is OID|type|value as snmpsim writes it: type is the decimal ASN.1 tag, with `x` for a value
in hex and `e` for one with Python escapes; 128–130 are the exceptions; `:numeric` and `:error` are
the variation modules that recordings of real devices contain. The order of the file is the order of
the walk, so that a device which lied about its order still does.
"""

from __future__ import annotations

import bz2
import codecs
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from collectors.snmp_codec.ber import tlv
from simulators import scenario
from simulators.flow import M32
from simulators.mib import IF, IFX, Row
from simulators.shape import Fact, Live, Source
from simulators.wire import COUNTER64, NULL, TICKS, Oid, address, name, number, oid

if TYPE_CHECKING:
    from simulators.device import Device, Port

UP = 1
INTEGERS = {2, 65, 66, 67, 70, 71}
OBJECT_ID, IP_ADDRESS = 6, 64
OCTETS = {4, 64, 68, 69}
NULLS = {5, 128, 129, 130}
MOVING = {
    (*IF, 10): (True, 32),
    (*IF, 16): (False, 32),
    (*IFX, 6): (True, 64),
    (*IFX, 10): (False, 64),
}
UPTIME = oid("1.3.6.1.2.1.1.3.0")
ERRORS = (  # error-status by its number, RFC 3416 section 3
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
)


class BadRecording(Exception):
    """A recorded walk cannot be read. The message names file and line."""


class Recording:
    """A recorded walk: its rows in order, and the ports found in it.

    An OID recorded again keeps its first value (recorders repeat the last object at the end of a
    walk); `repeats` counts them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.repeats = 0
        self.errors: dict[int, tuple[int, bool]] = {}  # position → error-status, of walks too
        self._read()
        self._values = dict(self.rows)
        self.ports = self._find_ports()

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
            data = bz2.decompress(data) if self.path.suffix == ".bz2" else data
        except (OSError, ValueError) as error:
            raise BadRecording(f"{self.path}: {error}") from error
        seen: set[Oid] = set()
        for at, line in enumerate(data.decode("latin-1").split("\n"), 1):
            said = line.rstrip("\r")
            if not said.strip() or said.startswith("#"):
                continue
            try:
                arcs, source = self._line(said)
            except (ValueError, IndexError) as error:
                raise BadRecording(f"{self.path}:{at}: {error}") from error
            if arcs in seen:
                self.repeats += 1
                continue
            seen.add(arcs)
            self.rows.append((arcs, source))
        if not self.rows:
            raise BadRecording(f"{self.path}: nothing recorded")

    def _line(self, line: str) -> tuple[Oid, Source]:
        text, kind, value = line.split("|", 2)
        kind, _, module = kind.partition(":")
        arcs = oid(text)
        if module == "numeric":
            return arcs, _numeric(int(kind), value)
        if module == "error":
            walks = _options(value).get("op", "any") == "any"
            self.errors[len(self.rows)] = (_status(value), walks)
            return arcs, NULL
        if module:
            raise ValueError(f"variation module {module!r} is not supported")
        return arcs, encoded(kind, value)

    def _find_ports(self) -> tuple[scenario.Port, ...]:
        """Ports by ifName, else ifDescr, else ifIndex, as far as these are unique."""
        found: list[scenario.Port] = []
        names: set[str] = set()
        for arcs, _ in self.rows:
            if arcs[:-1] != (*IF, 1):
                continue
            index = arcs[-1]
            texts = (self._text((*IFX, 1, index)), self._text((*IF, 2, index)), str(index))
            called = next((text for text in texts if text and text not in names), f"#{index}")
            names.add(called)
            admin = "down" if self._values.get((*IF, 7, index)) == number(2) else "up"
            rates = {"inward": 2e6, "outward": 1e6}
            found.append(
                scenario.Port.model_validate(
                    {"name": called, "index": index, "admin": admin, **rates}
                )
            )
        return tuple(found)

    def _text(self, arcs: Oid) -> str:
        value = self._values.get(arcs)
        return value[2:].decode("utf-8", "replace") if isinstance(value, bytes) else ""

    def number(self, arcs: Oid) -> int:
        """Return a recorded integer, 0 where there is none."""
        value = self._values.get(arcs)
        return int.from_bytes(value[2:], "big") if isinstance(value, bytes) else 0  # short form

    def dress(self, device: Device, at: int, port: Port) -> None:
        """Give a port of a replayed device the states and octets it was recorded with."""
        for column, fact in ((7, "admin"), (8, "oper")):
            value = self._values.get((*IF, column, port.index))
            if isinstance(value, bytes):
                device.put((fact, at), value)
        if port.admin_up and self.number((*IF, 8, port.index)) != UP:
            port.faults.add("recorded")
        port.was_up = port.up
        for flow, wide, narrow in ((port.inward, 6, 10), (port.outward, 10, 16)):
            arcs = (*IFX, wide, port.index)
            shown = self.number(arcs if arcs in self._values else (*IF, narrow, port.index))
            flow.show(shown, 0.0)

    def moving(self) -> list[Row]:
        """Return the rows with sysUpTime and the octets of ports as they would go on, and states
        that events can change."""
        at = {port.index: place for place, port in enumerate(self.ports)}
        return [(arcs, self._moved(arcs, source, at)) for arcs, source in self.rows]

    def _moved(self, arcs: Oid, source: Source, at: dict[int, int]) -> Source:
        if arcs == UPTIME:
            return Live(TICKS, lambda device, now: device.uptime_ticks(now))
        column, place = arcs[:-1], at.get(arcs[-1])
        if place is None or not isinstance(source, bytes):
            return source
        if column in MOVING:
            inward, width = MOVING[column]
            return Live(source[0], partial(_octets, place, inward, width))
        return source

    def stateful(self, rows: list[Row]) -> list[Row]:
        """Return `rows` with ifAdminStatus and ifOperStatus as facts, which events change."""
        at = {port.index: place for place, port in enumerate(self.ports)}
        facts = {(*IF, 7): "admin", (*IF, 8): "oper"}
        return [
            (arcs, Fact((facts[arcs[:-1]], at[arcs[-1]])))
            if arcs[:-1] in facts and arcs[-1] in at
            else (arcs, source)
            for arcs, source in rows
        ]


def _octets(place: int, inward: bool, width: int, device: Device, now: float) -> int:
    port = device.ports[place]
    shown = (port.inward if inward else port.outward).shown(now)
    return shown if width == 64 else shown & M32


def encoded(kind: str, value: str) -> bytes:
    """Return the element of a recorded value. ValueError where it cannot be read."""
    tag = int(kind.rstrip("xe"))
    raw = value.encode("latin-1")
    if kind.endswith("x"):
        raw = bytes.fromhex(value)
    elif kind.endswith("e"):
        raw = codecs.escape_decode(raw)[0]
    if tag in INTEGERS:
        return number(int(value), tag)
    if tag == OBJECT_ID:
        return name(oid(value))
    if tag == IP_ADDRESS and kind != "64x":
        return address(value)
    if tag in NULLS:
        return bytes((tag, 0))
    if tag in OCTETS:
        return tlv(tag, raw)
    raise ValueError(f"type {kind!r} is not known")


def _options(text: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=([^,]*)", text))


def _status(text: str) -> int:
    said = _options(text).get("value", "genErr")
    lowered = [known.lower() for known in ERRORS]
    if said.lower() not in lowered:
        raise ValueError(f"error {said!r} is not known")
    return lowered.index(said.lower())


def _numeric(tag: int, text: str) -> Live:
    """snmpsim's numeric module: offset + scale · rate · seconds, held within min and max."""
    said = {key: float(value) for key, value in _options(text).items() if key != "function"}
    high = 2**64 - 1 if tag == COUNTER64 else 2**31 - 1 if tag == 2 else M32
    rate, scale = said.get("rate", 1.0), said.get("scale", 1.0)
    start = said.get("offset", 0.0) + said.get("initial", 0.0)
    low, top = int(said.get("min", 0)), int(said.get("max", high))
    read: Callable[[Device, float], int] = partial(_running, rate * scale, start, low, top)
    return Live(tag, read)


def _running(rate: float, start: float, low: int, top: int, device: Device, now: float) -> int:
    value = int(start + rate * (now + device.said.uptime))
    return low + (value - low) % (top - low + 1) if value > top else max(value, low)
