"""A small network told in sentences, for tests of the core: looks in, notices out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from netopsd.core.beliefs import Alarm, Phase, Severity, Ticket
from netopsd.core.engine import decide
from netopsd.core.inventory import (
    Device,
    EventRule,
    Inventory,
    Policy,
    Service,
    Take,
    Threshold,
    Tier,
)
from netopsd.core.model import (
    Batch,
    Blind,
    Clocks,
    Event,
    Events,
    Input,
    Layout,
    Resource,
    Table,
    Tick,
)
from netopsd.core.outcome import Notice, Outcome
from netopsd.core.restore import restore
from netopsd.core.world import World

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
LINK_DOWN = Threshold(
    alarm="link-down",
    table="if",
    column="ifOperStatus",
    bad=frozenset({2.0, 7.0}),
    only_when=(("ifAdminStatus", 1.0),),
    text="{device} {row} is down",
)
HOT = Threshold(
    alarm="utilisation-high",
    table="if",
    column="ifHCInOctets",
    take=Take.RATE,
    scale=8e-6,
    per="ifHighSpeed",
    raise_above=0.9,
    clear_at=0.7,
    severity=Severity.WARNING,
)
TRAP_LINK_DOWN = EventRule(
    name="1.3.6.1.6.3.1.1.5.3", alarm="link-down", table="if", row_from="1.3.6.1.2.1.2.2.1.1"
)
TRAP_LINK_UP = EventRule(
    name="1.3.6.1.6.3.1.1.5.4",
    alarm="",
    clears="link-down",
    table="if",
    row_from="1.3.6.1.2.1.2.2.1.1",
)


def port(device: str, row: str) -> Resource:
    return Resource(device, "if", row)


def gold(
    name: str, *paths: Sequence[Resource], target: str = "0.999", meters: Iterable[Resource] = ()
) -> Service:
    """A service with two credit tiers: 10 % below the target, 25 % below 99 %."""
    return Service(
        id=name,
        name=f"service {name}",
        customer="acme",
        account="acme-1",
        zone="Europe/Oslo",
        paths=tuple(tuple(path) for path in paths),
        target=Decimal(target),
        tiers=(
            Tier(below=Decimal(target), credit=Decimal("0.10")),
            Tier(below=Decimal("0.99"), credit=Decimal("0.25")),
        ),
        meters=tuple(meters),
    )


def inventory(
    devices: Mapping[str, Sequence[Resource]],
    *,
    services: Sequence[Service] = (),
    policy: Policy | None = None,
    rules: Sequence[Threshold] = (LINK_DOWN, HOT),
    interval_s: float = 30.0,
) -> Inventory:
    """`devices` maps each name to what is upstream of it."""
    return Inventory(
        devices={
            name: Device(name=name, interval_s=interval_s, upstream=tuple(up))
            for name, up in devices.items()
        },
        thresholds=tuple(rules),
        events=(TRAP_LINK_DOWN, TRAP_LINK_UP),
        services={s.id: s for s in services},
        policy=policy or Policy(),
    )


@dataclass(slots=True)
class Ports:
    """What a device's ports read at one moment. 64-bit octet counters, 1 Gb/s."""

    oper: dict[str, int]
    octets: dict[str, tuple[int, int]] = field(default_factory=dict)
    admin: dict[str, float] = field(default_factory=dict)
    index: dict[str, str] = field(default_factory=dict)


class Net:
    """A world under test, moved by looks. Time stands at `self.at` and moves by `wait`."""

    def __init__(self, inventory: Inventory, world: World | None = None) -> None:
        self.world = world or restore(inventory)
        self.at = T0
        self.outcomes: list[Outcome] = []
        self.layouts: dict[tuple[str, tuple[str, ...]], Layout] = {}
        self.uptime0: dict[str, datetime] = {}
        self.octets = 0  # free for a test that counts

    def say(self, said: Input) -> Outcome:
        outcome = decide(self.world, said)
        self.world.apply(outcome)
        self.outcomes.append(outcome)
        return outcome

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.say(Tick(self.at))

    def look(self, device: str, ports: Ports) -> Outcome:
        rows = tuple(ports.oper)
        layout = self.layouts.get((device, rows))
        if layout is None:
            index = tuple(ports.index.get(r, str(i)) for i, r in enumerate(rows, start=1))
            layout = Layout(
                table="if",
                rows=rows,
                index=index,
                labels={"ifName": rows, "ifIndex": index},
                counters=("ifHCInOctets", "ifHCOutOctets"),
                widths=(64, 64),
                gauges=("ifOperStatus", "ifAdminStatus", "ifHighSpeed"),
            )
            self.layouts[device, rows] = layout
        counters = np.array(
            [[ports.octets.get(r, (0, 0))[d] for r in rows] for d in (0, 1)], dtype=np.uint64
        ).reshape(2, len(rows))
        gauges = np.array(
            [
                [float(ports.oper[r]) for r in rows],
                [float(ports.admin.get(r, 1)) for r in rows],
                [1000.0 for _ in rows],
            ]
        ).reshape(3, len(rows))
        boot = self.uptime0.setdefault(device, T0 - timedelta(days=3))
        ticks = round((self.at - boot).total_seconds() * 100) % 2**32
        return self.say(
            Batch(
                device=device,
                at=self.at,
                mono_s=(self.at - T0).total_seconds(),
                tables=(Table(layout, counters, gauges),),
                clocks=Clocks(sys_uptime_ticks=ticks),
            )
        )

    def up(self, device: str, *rows: str) -> Outcome:
        return self.look(device, Ports(dict.fromkeys(rows, 1)))

    def miss(self, device: str, why: Blind = Blind.UNREACHABLE) -> Outcome:
        return self.say(
            Batch(
                device=device,
                at=self.at,
                mono_s=(self.at - T0).total_seconds(),
                blind=why,
                why="no answer",
            )
        )

    def trap(self, device: str, name: str, index: str, *, authenticated: bool = False) -> Outcome:
        event = Event(
            at=self.at,
            device=device,
            source="192.0.2.1",
            name=name,
            values={f"1.3.6.1.2.1.2.2.1.1.{index}": index},
            authenticated=authenticated,
        )
        return self.say(Events(at=self.at, items=(event,)))

    def active(self) -> list[str]:
        """Keys of the alarms that are up and explained by nothing else."""
        return sorted(a.key for a in self.alarms(Phase.ACTIVE) if not a.root)

    def alarms(self, phase: Phase) -> list[Alarm]:
        return [a for _, a in self.world.alarms.items() if a.phase is phase]

    def tickets(self) -> list[Ticket]:
        return [t for _, t in self.world.tickets.items()]

    def notices(self, kind: type) -> list[Notice]:
        return [n for o in self.outcomes for n in o.notices if isinstance(n, kind)]
