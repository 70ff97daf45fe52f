"""What the tests of the bridge talk about: one customer, one service, and a forgetful outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bss_bridge.settings import Contract, Customer
from netopsd.core.beliefs import Outage, UsageRecord, Violation
from netopsd.core.model import Resource
from netopsd.core.outcome import OutageNotice, UsageNotice, ViolationNotice
from netopsd.ports import Message, Pending

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
TIERS = [
    {"below": "0.999", "credit": "0.10"},
    {"below": "0.99", "credit": "0.25"},
    {"below": "0.95", "credit": "1"},
]


def customer(**changes: object) -> Customer:
    said: dict[str, object] = {
        "id": "c1",
        "name": "Fjord AS",
        "zone": "Europe/Oslo",
        "currency": "NOK",
        "contact": [{"name": "Kari", "channel": "mail", "address": "kari@fjord.example"}],
        "account": [{"id": "a1", "name": "Head office", "bill_day": 31}],
    }
    return Customer.model_validate(said | changes)


def contract(**changes: object) -> Contract:
    said: dict[str, object] = {
        "service": "s1",
        "name": "Fibre Bergen",
        "customer": "c1",
        "account": "a1",
        "monthly_fee": "1490.00",
        "currency": "NOK",
        "target": "0.999",
        "tiers": TIERS,
    }
    return Contract.model_validate(said | changes)


def outage(service: str = "s1", starts: datetime = T0, **changes: object) -> Outage:
    made = Outage(id=f"{service}@{starts:%Y%m%dT%H%M%S}", service=service, starts=starts)
    return replace(made, **changes)  # type: ignore[arg-type]


def violation(tier: int = 1, **changes: object) -> Violation:
    below = [Decimal("0.999"), Decimal("0.99"), Decimal("0.95")][tier - 1]
    share = [Decimal("0.10"), Decimal("0.15"), Decimal("0.75")][tier - 1]
    made = Violation(
        id=f"s1/2026-11/tier-{tier}",
        service="s1",
        customer="c1",
        account="a1",
        period="2026-11",
        tier=tier,
        below=below,
        credit_share=share,
        target=Decimal("0.999"),
        availability=below - Decimal("0.000000001"),
        down_s=2593.0,
        budget_s=2592.0,
        detected_at=T0 + timedelta(seconds=2593),
        outage=outage().id,
        outage_starts=T0,
        alarms=("osl-gw1/if/ge-0!link-down#1",),
        samples_sha256="ab" * 32,
        ticket="TT-000001",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def violated(tier: int = 1, **changes: object) -> ViolationNotice:
    said = violation(tier, **changes)
    return ViolationNotice(violation=said, outage=outage(), zone="Europe/Oslo", at=said.detected_at)


def usage(
    sequence: int = 1, service: str = "s1", account: str = "a1", **changes: object
) -> UsageNotice:
    starts = T0 + timedelta(seconds=300 * (sequence - 1))
    ends = starts + timedelta(seconds=300)
    resource = Resource("osl-gw1", "if", "ge-0/0/1")
    made = UsageRecord(
        key=f"{service}|{resource}|octets|{starts.isoformat()}|{ends.isoformat()}|0",
        service=service,
        customer="c1",
        account=account,
        resource=resource,
        starts=starts,
        ends=ends,
        in_octets=1000 * sequence,
        out_octets=10 * sequence,
        covered_s=300.0,
        completeness=Decimal("1.0000"),
        sequence=sequence,
    )
    return UsageNotice(record=replace(made, **changes), at=ends)  # type: ignore[arg-type]


def down(service: str = "s1", **changes: object) -> OutageNotice:
    made = OutageNotice(
        outage=outage(service),
        customer="c1",
        account="a1",
        service_name="Fibre Bergen",
        zone="Europe/Oslo",
        what="started",
        at=T0 + timedelta(seconds=60),
        cause="fibre cut at Voss",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def message(n: int = 1, stream: str = "a1", sink: str = "sink", **changes: object) -> Message:
    made = Message(
        key=f"test|{stream}|{n}",
        sink=sink,
        topic="test.message",
        stream=stream,
        body=f'{{"n":{n}}}',
        at=T0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class MemoryOutbox:
    """An outbox held to the contract of netopsd.ports.Outbox, in memory."""

    def __init__(self) -> None:
        self.rows: dict[int, Pending] = {}
        self.done: list[Message] = []
        self._last = 0

    def put(self, messages: Sequence[Message]) -> None:
        for one in messages:
            self._last += 1
            self.rows[self._last] = Pending(id=self._last, message=one, next_at=one.at)

    async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
        found: list[Pending] = []
        held: set[str] = set()
        for row in self.rows.values():
            stream = row.message.stream
            if row.message.sink != sink or row.parked or stream in held:
                continue
            if row.next_at > now:
                held.add(stream)
            else:
                found.append(row)
        return found[:limit]

    async def delivered(self, ids: Sequence[int]) -> None:
        for id in ids:
            self.done.append(self.rows.pop(id).message)

    async def postpone(self, id: int, next_at: datetime, reason: str) -> None:
        row = self.rows[id]
        self.rows[id] = replace(row, next_at=next_at, reason=reason, attempts=row.attempts + 1)

    async def park(self, id: int, reason: str) -> None:
        self.rows[id] = replace(self.rows[id], parked=True, reason=reason)

    async def retry(self, id: int, now: datetime) -> bool:
        if id not in self.rows:
            return False
        self.rows[id] = replace(self.rows[id], parked=False, next_at=now)
        return True

    async def pending(self, limit: int = 1000) -> Sequence[Pending]:
        return list(self.rows.values())[:limit]

    async def depth(self) -> tuple[int, int, datetime | None]:
        waiting = [row for row in self.rows.values() if not row.parked]
        oldest = min((row.message.at for row in waiting), default=None)
        return len(waiting), len(self.rows) - len(waiting), oldest
