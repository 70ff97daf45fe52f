"""The objects each kind of device has, as rows of a Shape.

SNMPv2-MIB (RFC 3418), IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790), ENTITY-MIB and
ENTITY-SENSOR-MIB (RFC 6933, 3433), BGP4-MIB (RFC 4273), SNMP-FRAMEWORK-MIB (RFC 3411).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from simulators import scenario
from simulators.flow import M32
from simulators.shape import Fact, Live, Source
from simulators.wire import (
    COUNTER32,
    COUNTER64,
    GAUGE32,
    INTEGER,
    TICKS,
    Oid,
    address,
    name,
    number,
    octets,
    oid,
)

if TYPE_CHECKING:
    from simulators.device import Device

SYSTEM = oid("1.3.6.1.2.1.1")
IF = oid("1.3.6.1.2.1.2.2.1")
IFX = oid("1.3.6.1.2.1.31.1.1.1")
BGP = oid("1.3.6.1.2.1.15.3.1")
HOST = oid("1.3.6.1.2.1.25")
PHYSICAL = oid("1.3.6.1.2.1.47.1.1.1.1")
SENSOR = oid("1.3.6.1.2.1.99.1.1.1")
ENGINE = oid("1.3.6.1.6.3.10.2.1")
OTHER_STORAGE = (1, 3, 6, 1, 2, 1, 25, 2, 1)
PACKET = 700  # mean octets of a packet
KINDS = {"router": (1, 1, 3), "switch": (1, 0, 2), "cpe": (1, 0, 0), "server": (2, 2, 0)}

Row = tuple[Oid, Source]
Read = Callable[["Device", float], int]


class Make(NamedTuple):
    """What shapes depend on: devices with equal ones share a Shape."""

    kind: str
    wide: bool
    processors: int
    storages: int
    sensors: int
    peers: tuple[scenario.Peer, ...]
    ports: tuple[tuple[str, float, int, int], ...]  # name, speed, type, ifIndex


def make(device: scenario.Device, indexes: Sequence[int]) -> Make:
    """Return what the shape of `device` depends on, its ports numbered by `indexes`."""
    defaults = KINDS[device.kind]
    counts = (device.processors, device.storages, device.sensors)
    processors, storages, sensors = (
        own if own >= 0 else usual for own, usual in zip(counts, defaults, strict=True)
    )
    ports = device.ports if isinstance(device.ports, tuple) else ()
    listed = tuple(
        (port.name, port.speed, port.type, index)
        for port, index in zip(ports, indexes, strict=True)
    )
    return Make(
        kind=device.kind,
        wide=device.counters == 64,
        processors=processors,
        storages=storages,
        sensors=sensors,
        peers=device.bgp,
        ports=listed,
    )


def rows(made: Make) -> list[Row]:
    """Return every object in lexicographic order."""
    found = [*_system(), *_interfaces(made), *_host(made), *_sensors(made), *_bgp(made)]
    return sorted(found, key=lambda row: row[0])


def _system() -> list[Row]:
    facts = {1: "descr", 2: "object_id", 4: "contact", 5: "name", 6: "location"}
    return [
        *(((*SYSTEM, column, 0), Fact(fact)) for column, fact in facts.items()),
        ((*SYSTEM, 3, 0), Live(TICKS, lambda device, now: device.uptime_ticks(now))),
        ((*SYSTEM, 7, 0), number(78)),
        ((*ENGINE, 1, 0), Fact("engine_id")),
        ((*ENGINE, 2, 0), Fact("boots")),
        ((*ENGINE, 3, 0), Live(INTEGER, lambda device, now: device.engine_time(now))),
        ((*ENGINE, 4, 0), Fact("max_message")),
    ]


def _interfaces(made: Make) -> list[Row]:
    found: list[Row] = [
        (oid("1.3.6.1.2.1.2.1.0"), number(len(made.ports))),
        (oid("1.3.6.1.2.1.31.1.5.0"), Fact("table_changed")),
    ]
    for at, (_, _, _, index) in enumerate(made.ports):
        columns = {**_if_texts(made, at), **_if_counters(at)}
        found += [((*IF, column, index), source) for column, source in columns.items()]
        wide = _ifx(made, at)
        found += [((*IFX, column, index), source) for column, source in wide.items()]
    return found


def _if_texts(made: Make, at: int) -> dict[int, Source]:
    label, speed, kind, index = made.ports[at]
    return {
        1: number(index),
        2: octets(label),
        3: number(kind),
        4: number(1500),
        5: number(min(int(speed), M32), GAUGE32),
        6: Fact(("mac", at)),
        7: Fact(("admin", at)),
        8: Fact(("oper", at)),
        9: Fact(("changed", at)),
    }


def _if_counters(at: int) -> dict[int, Source]:
    none = number(0, COUNTER32)
    return {
        10: Live(COUNTER32, partial(_octets32, at, True)),
        11: Live(COUNTER32, partial(_packets32, at, True)),
        13: none,
        14: Live(COUNTER32, partial(_errors, at)),
        15: none,
        16: Live(COUNTER32, partial(_octets32, at, False)),
        17: Live(COUNTER32, partial(_packets32, at, False)),
        19: none,
        20: none,
    }


def _ifx(made: Make, at: int) -> dict[int, Source]:
    label, speed, _, _ = made.ports[at]
    none32, none64 = number(0, COUNTER32), number(0, COUNTER64)
    found: dict[int, Source] = {1: octets(label), 2: none32, 3: none32, 4: none32, 5: none32}
    if made.wide:
        found |= {
            6: Live(COUNTER64, partial(_octets64, at, True)),
            7: Live(COUNTER64, partial(_packets64, at, True)),
            8: none64,
            9: none64,
            10: Live(COUNTER64, partial(_octets64, at, False)),
            11: Live(COUNTER64, partial(_packets64, at, False)),
            12: none64,
            13: none64,
        }
    found |= {
        14: number(1),
        15: number(int(speed / 1e6), GAUGE32),
        16: number(2),
        17: number(1),
        18: Fact(("alias", at)),
        19: Fact(("discontinuity", at)),
    }
    return found


def _octets64(at: int, inward: bool, device: Device, now: float) -> int:
    port = device.ports[at]
    return (port.inward if inward else port.outward).shown(now)


def _octets32(at: int, inward: bool, device: Device, now: float) -> int:
    port = device.ports[at]
    return (port.inward if inward else port.outward).shown(now) & M32


def _packets64(at: int, inward: bool, device: Device, now: float) -> int:
    port = device.ports[at]
    return (port.inward if inward else port.outward).since_reset(now) // PACKET


def _packets32(at: int, inward: bool, device: Device, now: float) -> int:
    return _packets64(at, inward, device, now) & M32


def _errors(at: int, device: Device, now: float) -> int:
    return device.ports[at].errors.since_reset(now) & M32


def _wander(mean: float, span: float, salt: int, device: Device, now: float) -> int:
    return device.wander(mean, span, salt, now)


def _host(made: Make) -> list[Row]:
    found: list[Row] = []
    if made.processors or made.storages:
        uptime = Live(TICKS, lambda device, now: device.uptime_ticks(now))
        found.append(((*HOST, 1, 1, 0), uptime))
    for at in range(1, made.processors + 1):
        found.append(((*HOST, 3, 3, 1, 1, 768 + at), name((0, 0))))
        load = Live(INTEGER, partial(_wander, 25.0, 15.0, at))
        found.append(((*HOST, 3, 3, 1, 2, 768 + at), load))
    for at in range(1, made.storages + 1):
        size = 4_194_304
        used = Live(INTEGER, partial(_wander, size * 0.6, size * 0.05, 50 + at))
        columns: dict[int, Source] = {
            1: number(at),
            2: name((*OTHER_STORAGE, 2 if at == 1 else 4)),
            3: octets("Physical memory" if at == 1 else f"/disk{at - 1}"),
            4: number(4096),
            5: number(size),
            6: used,
            7: number(0, COUNTER32),
        }
        found += [((*HOST, 2, 3, 1, column, at), source) for column, source in columns.items()]
    return found


def _sensors(made: Make) -> list[Row]:
    found: list[Row] = []
    kinds = (
        (8, 9, 0, 38.0, 6.0, "celsius"),
        (10, 9, 0, 5200.0, 300.0, "rpm"),
        (4, 8, 0, 11900.0, 120.0, "mV"),
    )
    for at in range(1, made.sensors + 1):
        kind, scale, precision, mean, span, unit = kinds[(at - 1) % len(kinds)]
        label = f"{('Temperature', 'Fan', 'Supply')[(at - 1) % 3]} {(at - 1) // 3}"
        physical: dict[int, Source] = {
            2: octets(f"{label} sensor"),
            3: name((0, 0)),
            4: number(0),
            5: number(8),  # sensor
            6: number(at),
            7: octets(label),
        }
        sensor: dict[int, Source] = {
            1: number(kind),
            2: number(scale),
            3: number(precision),
            4: Live(INTEGER, partial(_wander, mean, span, 100 + at)),
            5: number(1),
            6: octets(unit),
        }
        found += [((*PHYSICAL, column, at), source) for column, source in physical.items()]
        found += [((*SENSOR, column, at), source) for column, source in sensor.items()]
    return found


def _bgp(made: Make) -> list[Row]:
    found: list[Row] = []
    if made.peers:
        found += [
            (oid("1.3.6.1.2.1.15.1.0"), octets(b"\x10")),
            (oid("1.3.6.1.2.1.15.2.0"), number(65000)),
            (oid("1.3.6.1.2.1.15.4.0"), Fact("address")),
        ]
    for at, peer in enumerate(made.peers):
        messages = Live(COUNTER32, partial(_keepalives, at))
        columns: dict[int, Source] = {
            1: address(peer.address),
            2: Fact(("bgp", at)),
            3: number(2),
            4: number(4),
            5: Fact("address"),
            6: number(179),
            7: address(peer.address),
            8: number(179),
            9: number(peer.remote_as),
            10: messages,
            11: messages,
            12: messages,
            13: messages,
            14: octets(b"\0\0"),
            15: Fact(("bgp_transitions", at)),
            16: Live(GAUGE32, partial(_established, at)),
        }
        row = tuple(int(part) for part in peer.address.split("."))
        found += [((*BGP, column, *row), source) for column, source in columns.items()]
    return found


def _established(at: int, device: Device, now: float) -> int:
    return int(now - device.peers[at].since)


def _keepalives(at: int, device: Device, now: float) -> int:
    return device.uptime_ticks(now) // 3000
