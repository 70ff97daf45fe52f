"""Notices of the core to frozen messages, one per message and sink that wants it.

Pure: the same notices give the same messages, byte for byte and key for key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bss_bridge import care, tmforum
from bss_bridge.canonical import canonical, digest, unicode, utc
from bss_bridge.credit import given_before, price
from bss_bridge.settings import Contract, Customer, SinkSettings
from netopsd.core.beliefs import Violation
from netopsd.core.outcome import (
    AlarmNotice,
    BudgetNotice,
    Notice,
    OrderNotice,
    OutageNotice,
    ServiceNotice,
    TicketNotice,
    UsageNotice,
    ViolationNotice,
)
from netopsd.ports import Message

NETWORK = "network"  # the stream of what belongs to no account


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which topics a sink hears. `digest_from`: see the sinks' settings."""

    sink: str
    topics: tuple[str, ...] = ("*",)
    digest_from: int | None = None

    def wants(self, topic: str) -> bool:
        """Whether one of the patterns ("*", "sla.*", "sla.credit") fits `topic`."""
        family = topic.split(".", 1)[0] + ".*"
        return any(pattern in ("*", topic, family) for pattern in self.topics)


def routes(sinks: Iterable[SinkSettings]) -> tuple[Route, ...]:
    """Return the routes of the configured sinks."""
    return tuple(
        Route(sink=sink.name, topics=sink.topics, digest_from=sink.digest_from) for sink in sinks
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message before it is addressed. `cause` groups care notices that a digest may replace."""

    key: str
    topic: str
    stream: str
    at: datetime
    event: dict[str, Any]
    cause: str = ""


class Translator:
    """Turns notices into messages. Holds the configuration and nothing else; made anew on reload.

    A service without a contract is told of all the same; its violations get no credit, which the
    office's revenue check then names.
    """

    def __init__(
        self,
        contracts: Iterable[Contract],
        routes: Iterable[Route],
        customers: Iterable[Customer] = (),
    ) -> None:
        self._contracts = {contract.service: contract for contract in contracts}
        self._routes = tuple(routes)
        self._customers = {customer.id: customer for customer in customers}

    def __call__(self, notices: Sequence[Notice]) -> list[Message]:
        """Return the messages of `notices`, in their order. Keys are unique per sink."""
        # Alarms are many, and most sinks hear of tickets and outages only.
        notices = [n for n in notices if not isinstance(n, AlarmNotice) or self._heard(n.what)]
        if not notices:
            return []
        known = self._knowing(notices)
        told = [one for notice in notices for one in known._tell(notice)]
        crowds = self._crowds(notices)
        return [
            Message(
                key=unicode(one.key),
                sink=route,
                topic=one.topic,
                stream=one.stream,
                body=body,
                at=one.at,
            )
            for one, wanted in self._addressed(told, crowds)
            for body in (_envelope(one),)
            for route in wanted
        ]

    def _heard(self, what: str) -> bool:
        return any(route.wants(f"alarm.{what}") for route in self._routes)

    def _knowing(self, notices: Sequence[Notice]) -> Translator:
        """Return a translator that knows the contracts of services activated in `notices`."""
        fresh = [
            contract
            for notice in notices
            if isinstance(notice, ServiceNotice)
            and (contract := tmforum.contract(notice.ordered)) is not None
        ]
        if not fresh:
            return self
        contracts = [*self._contracts.values(), *fresh]
        return Translator(contracts, self._routes, self._customers.values())

    def _addressed(
        self, told: Sequence[Told], crowds: dict[str, Told]
    ) -> Iterator[tuple[Told, list[str]]]:
        sizes: dict[str, int] = {}
        for one in told:
            if one.cause:
                sizes[one.cause] = sizes.get(one.cause, 0) + 1
        for one in told:
            size = sizes.get(one.cause, 0) if one.cause else 0
            wanted = [r.sink for r in self._routes if r.wants(one.topic) and not _crowded(r, size)]
            if wanted:
                yield one, wanted
        for cause, one in crowds.items():
            size = sizes.get(cause, 0)
            wanted = [r.sink for r in self._routes if r.wants(one.topic) and _crowded(r, size)]
            if wanted:
                yield one, wanted

    def _crowds(self, notices: Sequence[Notice]) -> dict[str, Told]:
        """One digest per cause that hurt more than one service."""
        together: dict[str, list[OutageNotice]] = {}
        for notice in notices:
            if isinstance(notice, OutageNotice) and _cause(notice):
                together.setdefault(_cause(notice), []).append(notice)
        return {
            cause: self._digest(cause, hurt) for cause, hurt in together.items() if len(hurt) > 1
        }

    def _digest(self, cause: str, hurt: Sequence[OutageNotice]) -> Told:
        event = care.of_many(
            cause,
            [(one, self._party(one.customer, one.account, one.outage.service)) for one in hurt],
        )
        ids = digest("\n".join(sorted(one.outage.id for one in hurt)))[:32]
        return Told(
            key=f"care.digest|{hurt[0].what}|{ids}",
            topic="care.digest",
            stream=NETWORK,
            at=hurt[0].at,
            event=event,
        )

    def _tell(self, notice: Notice) -> Iterator[Told]:
        match notice:
            case AlarmNotice():
                yield _told(
                    f"alarm.{notice.what}",
                    notice.alarm.occurrence_id,
                    notice.at,
                    tmforum.alarm(notice),
                )
            case TicketNotice():
                yield _told(
                    f"ticket.{notice.what}", notice.ticket.id, notice.at, tmforum.ticket(notice)
                )
            case OutageNotice():
                yield from self._tell_outage(notice)
            case BudgetNotice():
                yield self._tell_budget(notice)
            case ViolationNotice():
                yield from self._tell_violation(notice)
            case OrderNotice():
                yield _told(
                    f"order.{notice.what}", notice.order.id, notice.at, tmforum.order(notice)
                )
            case ServiceNotice():
                yield self._tell_service(notice)
            case UsageNotice():
                record = notice.record
                yield Told(
                    key=f"usage.record|{record.key}",
                    topic="usage.record",
                    stream=record.account or NETWORK,
                    at=notice.at,
                    event=tmforum.usage(record),
                )

    @staticmethod
    def _tell_service(notice: ServiceNotice) -> Told:
        ordered = notice.ordered
        return Told(
            key=f"service.{notice.what}|{ordered.id}|{ordered.order}",
            topic=f"service.{notice.what}",
            stream=ordered.service.account or NETWORK,
            at=notice.at,
            event=tmforum.service(notice),
        )

    def _tell_outage(self, notice: OutageNotice) -> Iterator[Told]:
        party = self._party(notice.customer, notice.account, notice.outage.service)
        stream = notice.account or NETWORK
        name = f"outage.{notice.what}|{notice.outage.id}"
        yield Told(
            key=name,
            topic=f"outage.{notice.what}",
            stream=stream,
            at=notice.at,
            event=tmforum.problem(notice),
        )
        yield Told(
            key=f"care.notice|{name}",
            topic="care.notice",
            stream=stream,
            at=notice.at,
            event=care.of_outage(notice, party),
            cause=_cause(notice),
        )

    @staticmethod
    def _tell_budget(notice: BudgetNotice) -> Told:
        period = notice.period
        return Told(
            key=f"sla.budget|{period.service}|{period.period}|{notice.burn}",
            topic="sla.budget",
            stream=notice.account or NETWORK,
            at=notice.at,
            event=tmforum.budget(notice),
        )

    def _tell_violation(self, notice: ViolationNotice) -> Iterator[Told]:
        said = notice.violation
        party = self._party(said.customer, said.account, said.service)
        stream = said.account or NETWORK
        yield Told(
            key=f"sla.violation|{said.id}",
            topic="sla.violation",
            stream=stream,
            at=notice.at,
            event=tmforum.violation(notice),
        )
        credit = None
        if party.contract is not None:
            credit = price(party.contract, said, given_before(party.contract, said))
            yield Told(
                key=f"sla.credit|{tmforum.credit_key(notice)}",
                topic="sla.credit",
                stream=stream,
                at=notice.at,
                event=tmforum.applied_credit(
                    notice, party.contract, credit, month(said, notice.zone)
                ),
            )
        yield Told(
            key=f"care.notice|sla.violation|{said.id}",
            topic="care.notice",
            stream=stream,
            at=notice.at,
            event=care.of_violation(notice, party, credit),
        )

    def _party(self, customer_id: str, account_id: str, service: str) -> care.Party:
        customer = self._customers.get(customer_id)
        accounts = customer.account if customer else ()
        return care.Party(
            customer_id=customer_id,
            account_id=account_id,
            customer=customer,
            account=next((account for account in accounts if account.id == account_id), None),
            contract=self._contracts.get(service),
        )


def month(violation: Violation, zone: str) -> dict[str, str]:
    """Return the violation's calendar month in `zone` as a TM Forum TimePeriod, end exclusive."""
    year, number = (int(part) for part in violation.period.split("-"))
    where = ZoneInfo(zone)
    starts = datetime(year, number, 1, tzinfo=where)
    ends = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=where)
    return {"startDateTime": utc(starts), "endDateTime": utc(ends)}


def _cause(notice: OutageNotice) -> str:
    """What a digest groups by: the ticket where there is one, else the cause."""
    return f"{notice.what}|{notice.ticket or notice.cause}" if notice.ticket or notice.cause else ""


def _crowded(route: Route, size: int) -> bool:
    return route.digest_from is not None and size >= route.digest_from


def _told(topic: str, name: str, at: datetime, event: dict[str, Any]) -> Told:
    """A change of the network: two different changes of one thing at one instant have two keys."""
    key = f"{topic}|{name}|{utc(at)}|{digest(canonical(event))[:16]}"
    return Told(key=key, topic=topic, stream=NETWORK, at=at, event=event)


def _envelope(told: Told) -> str:
    return canonical(
        {
            "version": 1,
            "eventId": unicode(told.key),
            "eventType": tmforum.EVENT_TYPES.get(told.topic, "Event"),
            "eventTime": utc(told.at),
            "topic": told.topic,
            "event": told.event,
        }
    )
