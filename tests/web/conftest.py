"""A small house behind the API: beliefs in lists, a person's acts written down."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from netopsd.clock import ManualClock
from netopsd.core.beliefs import (
    Alarm,
    AlarmType,
    Change,
    DeviceState,
    Phase,
    Reach,
    Severity,
    SlaPeriod,
    Ticket,
    TicketNote,
    TicketStatus,
    UsageRecord,
    alarm_key,
)
from netopsd.core.inventory import Device, Service
from netopsd.core.model import Acknowledge, Input, Resource
from netopsd.core.ordered import Action, Endpoint, Order, OrderItem, OrderNote, OrderState
from netopsd.errors import NotAllowed
from netopsd.metrics import Figures
from netopsd.ports import Difference, Message, Pending
from netopsd.web.access import Access
from netopsd.web.guard import Guard
from netopsd.web.house import House
from netopsd.web.page import Page, sla_families
from netopsd.web.reads import Readiness
from netopsd.web.series import Series
from netopsd.web.site import application

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
READER, OPERATOR = "reader-token-0001", "operator-token-0001"


@dataclass(frozen=True)
class ConfiguredToken:
    name: str
    role: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


TOKENS = (
    ConfiguredToken("grafana", "reader", READER),
    ConfiguredToken("anna", "operator", OPERATOR),
)


def alarm(port: str = "ge-0/0/1", **more: object) -> Alarm:
    resource = Resource("osl-gw1", "if", port)
    values: dict[str, object] = {
        "key": alarm_key(resource, "link-down"), "resource": resource, "alarm": "link-down",
        "type": AlarmType.COMMUNICATIONS, "severity": Severity.MAJOR,
        "probable_cause": "lossOfSignal", "text": f"{port} is down",
        "why": "ifOperStatus down for 60 s", "phase": Phase.ACTIVE, "since": NOON,
        "raised_at": NOON, "changed_at": NOON,
    }  # fmt: skip
    return Alarm(**{**values, **more})  # type: ignore[arg-type]


@dataclass
class Beliefs:
    """Fake of Now, Kept, Messages and Acts at once."""

    alarm_list: list[Alarm] = field(default_factory=lambda: [alarm()])
    acts: list[Input] = field(default_factory=list)
    parked: list[tuple[int, str]] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)
    placed: list[tuple[Mapping[str, Any], str]] = field(default_factory=list)
    refusal: Exception | None = None
    first_looks: bool = True
    text: str = "fibre cut"

    def readiness(self) -> Readiness:
        return Readiness(checks={"store": True, "first_looks": self.first_looks})

    def alarms(self) -> Sequence[Alarm]:
        return list(self.alarm_list)

    def alarm(self, key: str) -> Alarm | None:
        return next((item for item in self.alarm_list if item.key == key), None)

    def devices(self) -> Sequence[tuple[Device, DeviceState | None]]:
        state = DeviceState(name="osl-gw1", reach=Reach.ANSWERING, since=NOON)
        return [
            (Device(name="osl-gw1", site="oslo", labels={"role": self.text}), state),
            (Device(name="brg-gw1", site="bergen"), None),
        ]

    def sla(self) -> Sequence[tuple[Service, SlaPeriod]]:
        service = Service(
            id="vpn-acme", name=self.text, customer="acme", account="A1", zone="Europe/Oslo",
            paths=((Resource("osl-gw1"),),), target=Decimal("0.999"),
        )  # fmt: skip
        period = SlaPeriod(
            service="vpn-acme", period="2026-11", starts=datetime(2026, 11, 1, tzinfo=UTC),
            ends=datetime(2026, 12, 1, tzinfo=UTC), target=Decimal("0.999"), down_s=1296.0,
        )  # fmt: skip
        return [(service, period)]

    async def changes(self, alarm: str, limit: int, offset: int) -> Sequence[Change]:
        return [
            Change(
                alarm=item.key, occurrence=1, at=NOON, what="raised", by="netopsd", why=item.why,
                severity=item.severity,
            )
            for item in self.alarm_list
            if alarm in ("", item.key)
        ][offset : offset + limit]  # fmt: skip

    async def tickets(
        self, statuses: Sequence[TicketStatus], limit: int, offset: int
    ) -> Sequence[Ticket]:
        ticket = await self.ticket("TT-000001")
        assert ticket is not None
        wanted = not statuses or ticket.status in statuses
        return [ticket][offset : offset + limit] if wanted else []

    async def ticket(self, id: str) -> Ticket | None:
        if id != "TT-000001":
            return None
        return Ticket(
            id=id, cause=alarm().key, occurrence=1, title=self.text, severity=Severity.MAJOR,
            status=TicketStatus.ACKNOWLEDGED, priority=2, services=("vpn-acme",), symptoms=3,
            opened_at=NOON, changed_at=NOON, why="held for 60 s",
        )  # fmt: skip

    async def notes(self, ticket: str) -> Sequence[TicketNote]:
        status = TicketStatus.ACKNOWLEDGED
        return [TicketNote(ticket=ticket, at=NOON, by="anna", text=self.text, status=status)]

    async def usage(
        self, service: str, since: datetime | None, limit: int, offset: int
    ) -> Sequence[UsageRecord]:
        return [
            UsageRecord(
                key="vpn-acme|osl-gw1/if/ge-0/0/1|octets|1|2|0", service="vpn-acme",
                customer="acme", account="A1", resource=Resource("osl-gw1", "if", "ge-0/0/1"),
                starts=NOON, ends=NOON + timedelta(minutes=5), in_octets=2**63 + 1,
                out_octets=5, covered_s=300.0, completeness=Decimal("1.0000"),
            )
        ]  # fmt: skip

    async def orders(
        self, states: Sequence[OrderState], limit: int, offset: int
    ) -> Sequence[Order]:
        order = await self.order("SO-1")
        assert order is not None
        return [order][offset : offset + limit] if not states or order.state in states else []

    async def order(self, id: str) -> Order | None:
        if id != "SO-1":
            return None
        return Order(
            id=id, description=self.text, sha256="0", items=("1",), state=OrderState.IN_PROGRESS,
            placed_by="crm", placed_at=NOON, changed_at=NOON,
        )  # fmt: skip

    async def order_items(self, id: str) -> Sequence[OrderItem]:
        ends = (Endpoint(device="osl-gw1", inputs=(("port", "ge-0/0/1"),)),)
        return [
            OrderItem(
                order=id, number="1", action=Action.ADD, service="vpn-acme", template="l2vpn",
                endpoints=ends, why=self.text, changed_at=NOON,
            )
        ]  # fmt: skip

    async def order_notes(self, id: str) -> Sequence[OrderNote]:
        state = OrderState.ACKNOWLEDGED
        return [OrderNote(order=id, item="", at=NOON, by="crm", text=self.text, state=state)]

    async def place(self, document: Mapping[str, Any], by: str) -> str:
        if document["item"][0]["service"] == "taken":
            raise NotAllowed("service 'taken' is active already")
        self.placed.append((document, by))
        return "SO-1"

    async def compare(self, document: Mapping[str, Any]) -> Sequence[tuple[str, str, Difference]]:
        return [("1", "vpn-acme", Difference(device="osl-gw1", lines=("+ vlan = 7",)))]

    async def pending(self, limit: int = 1000) -> Sequence[Pending]:
        message = Message(
            key="k1", sink="office", topic="care.notice", stream="A1", body="{}", at=NOON
        )
        return [Pending(id=7, message=message, next_at=NOON, reason=self.text)]

    async def park(self, id: int, reason: str) -> None:
        self.parked.append((id, reason))

    async def retry(self, id: int, now: datetime) -> bool:
        self.retried.append(id)
        return id == 7

    async def durable(self, said: Input) -> None:
        if self.refusal is not None:
            raise self.refusal
        if isinstance(said, Acknowledge) and said.undo:
            raise NotAllowed("it is not acknowledged")
        self.acts.append(said)


@dataclass
class Site:
    """The guarded application and a way to ask it."""

    beliefs: Beliefs
    app: FastAPI
    guarded: Guard
    series: Series
    figures: Figures
    house: House
    page: Page
    client: str = "127.0.0.1"

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
        client: str = "",
        **more: object,
    ) -> httpx.Response:
        told = {"host": "localhost", **(headers or {})}
        if token:
            told["authorization"] = f"Bearer {token}"

        async def send() -> httpx.Response:
            way = httpx.ASGITransport(self.guarded, client=(client or self.client, 5555))
            async with httpx.AsyncClient(transport=way, base_url="http://localhost") as asker:
                return await asker.request(method, path, headers=told, **more)  # type: ignore[arg-type]

        return asyncio.run(send())


@dataclass
class Built:
    """An application, built once: a tenth of a second each would add up."""

    beliefs: Beliefs
    series: Series
    figures: Figures
    house: House
    page: Page
    app: FastAPI


@pytest.fixture(scope="session")
def built() -> Built:
    beliefs = Beliefs()
    clock = ManualClock(NOON)
    series = Series(clock)
    figures = Figures(clock=clock, version="0.1.0")
    house = House(
        clock=clock, now=beliefs, kept=beliefs, messages=beliefs, acts=beliefs, orders=beliefs
    )
    page = Page(clock=clock, series=series, own=figures.text, families=sla_families(beliefs.sla))
    return Built(beliefs, series, figures, house, page, application(house, page, "0.1.0"))


@pytest.fixture
def make_site(built: Built) -> Callable[..., Site]:
    """Return what puts a new guard before the application, with all beliefs as at first."""

    def make(tokens: Sequence[ConfiguredToken] = (TOKENS[1],), **guard: object) -> Site:
        vars(built.beliefs).clear()
        vars(built.beliefs).update(vars(Beliefs()))
        built.series.retain(())
        count = built.figures.http.add
        guarded = Guard(built.app, Access(tokens), count=count, **guard)  # type: ignore[arg-type]
        return Site(
            built.beliefs, built.app, guarded, built.series, built.figures, built.house, built.page
        )

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def tokens() -> tuple[ConfiguredToken, ...]:
    return TOKENS
