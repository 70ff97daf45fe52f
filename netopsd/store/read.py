"""Lists of what is stored, for people: from the daemon or any other process, while it runs.

A reader cannot write and never checkpoints (the file is open read-only, `query_only`), so it is
never in the way of the one connection that writes. Each call opens, reads one consistent state,
and closes: call it from a thread, not on the event loop. Newest first (alarms: the worst first), at
most `limit`. SQLAlchemy, which makes the statements, is imported by the first call (queries.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from netopsd.core.beliefs import (
    Alarm,
    Change,
    DeviceState,
    Meter,
    Outage,
    Phase,
    ServiceState,
    Severity,
    SlaPeriod,
    Ticket,
    TicketNote,
    TicketStatus,
    UsageRecord,
    Violation,
)
from netopsd.core.model import Event
from netopsd.core.ordered import Order, Ordered, OrderItem, OrderNote, OrderState
from netopsd.errors import StoreBroken
from netopsd.ports import Pending
from netopsd.store import connect, events, migrations, outbox, shapes
from netopsd.store.connect import DiskFull, Locked
from netopsd.store.queries import among, columns, equal, function, ordered, plain_sql, select
from netopsd.store.shape import Shape, instant, micros, plain

if TYPE_CHECKING:
    import sqlalchemy as sa

B = TypeVar("B")
LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` to before `until`; None leaves an end open."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, at: datetime) -> bool:
        """Return whether `at` lies within."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def of(self, first: Any, last: Any = None) -> list[sa.ColumnElement[bool]]:
        """Return the conditions for rows that reach from `first` to `last` to touch the span."""
        touching: list[sa.ColumnElement[bool]] = []
        if self.since is not None:
            touching.append((first if last is None else last) >= micros(self.since))
        if self.until is not None:
            touching.append(first < micros(self.until))
        return touching


ALWAYS = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message and what became of it: waiting, parked or sent."""

    pending: Pending
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A permanent key seen again with other contents: what is kept and what was refused."""

    kind: str  # usage | message
    sink: str
    key: str
    at: datetime
    kept: str
    refused: str


class Reader:
    """Reads the database at `url`. Every method may raise StoreBroken and StoreTooNew."""

    def __init__(self, url: str) -> None:
        self.path = connect.database_path(url)

    def alarms(
        self,
        *,
        phases: Sequence[Phase] = (),
        severities: Sequence[Severity] = (),
        device: str = "",
        limit: int = LIMIT,
    ) -> list[Alarm]:
        """Return alarms, the worst first: so that whatever `limit` cuts off is not worse."""
        c = columns(shapes.ALARMS.table)
        only = [*among(c.phase, phases), *among(c.severity, severities)]
        only += equal(c.resource_device, device)
        rank = function("instr", " ".join(Severity), c.severity)
        query = select(shapes.ALARMS.table, shapes.ALARMS.names).where(*only)
        query = query.order_by(c.phase == Phase.CLEARED.value, rank, c.since, c.key)
        return self._beliefs(shapes.ALARMS, query.limit(limit))

    def changes(
        self, *, alarm: str = "", what: str = "", span: Span = ALWAYS, limit: int = LIMIT
    ) -> list[Change]:
        c = columns(shapes.CHANGES.table)
        only = [*equal(c.alarm, alarm), *equal(c.what, what), *span.of(c.at)]
        return self._list(shapes.CHANGES, only, c.id, limit)

    def tickets(
        self, *, statuses: Sequence[TicketStatus] = (), cause: str = "", limit: int = LIMIT
    ) -> list[Ticket]:
        c = columns(shapes.TICKETS.table)
        only = [*among(c.status, statuses), *equal(c.cause, cause)]
        return self._list(shapes.TICKETS, only, c.opened_at, limit)

    def ticket(self, id: str) -> Ticket | None:
        """Return one ticket, final ones too; None where there is none."""
        found = self._list(
            shapes.TICKETS, equal(columns(shapes.TICKETS.table).id, id or "\0"), None, 1
        )
        return found[0] if found else None

    def notes(self, ticket: str, *, limit: int = LIMIT) -> list[TicketNote]:
        c = columns(shapes.NOTES.table)
        return self._list(shapes.NOTES, equal(c.ticket, ticket), c.id, limit)

    def orders(
        self, *, states: Sequence[OrderState] = (), id: str = "", limit: int = LIMIT
    ) -> list[Order]:
        c = columns(shapes.ORDERS.table)
        only = [*among(c.state, states), *equal(c.id, id)]
        return self._list(shapes.ORDERS, only, c.placed_at, limit)

    def order_items(self, order: str, *, limit: int = LIMIT) -> list[OrderItem]:
        """Return the items of one order, in the order they are worked on."""
        only = equal(columns(shapes.ORDER_ITEMS.table).order, order or "\0")
        return self._list(shapes.ORDER_ITEMS, only, None, limit)

    def order_notes(self, order: str, *, limit: int = LIMIT) -> list[OrderNote]:
        """Return what happened to one order, newest first."""
        c = columns(shapes.ORDER_NOTES.table)
        return self._list(shapes.ORDER_NOTES, equal(c.order, order or "\0"), c.id, limit)

    def ordered(self, *, limit: int = LIMIT) -> list[Ordered]:
        """Return services that are, or were, active because they were ordered."""
        return self._list(shapes.ORDERED, [], None, limit)

    def devices(self, *, limit: int = LIMIT) -> list[DeviceState]:
        return self._list(shapes.DEVICES, [], None, limit)

    def services(self, *, limit: int = LIMIT) -> list[ServiceState]:
        return self._list(shapes.SERVICES, [], None, limit)

    def outages(
        self, *, service: str = "", span: Span = ALWAYS, limit: int = LIMIT
    ) -> list[Outage]:
        c = columns(shapes.OUTAGES.table)
        end = function("coalesce", c.ends, 2**62)  # an open one reaches for ever
        only = [*equal(c.service, service), *span.of(c.starts, end)]
        return self._list(shapes.OUTAGES, only, c.starts, limit)

    def periods(
        self, *, service: str = "", period: str = "", limit: int = LIMIT
    ) -> list[SlaPeriod]:
        c = columns(shapes.PERIODS.table)
        only = [*equal(c.service, service), *equal(c.period, period)]
        return self._list(shapes.PERIODS, only, c.starts, limit)

    def violations(
        self, *, service: str = "", customer: str = "", period: str = "", limit: int = LIMIT
    ) -> list[Violation]:
        c = columns(shapes.VIOLATIONS.table)
        only = [*equal(c.service, service), *equal(c.customer, customer), *equal(c.period, period)]
        return self._list(shapes.VIOLATIONS, only, c.detected_at, limit)

    def meters(self, *, service: str = "", limit: int = LIMIT) -> list[Meter]:
        only = equal(columns(shapes.METERS.table).service, service)
        return self._list(shapes.METERS, only, None, limit)

    def usage(
        self, *, service: str = "", customer: str = "", span: Span = ALWAYS, limit: int = LIMIT
    ) -> list[UsageRecord]:
        c = columns(shapes.USAGE.table)
        only = [*equal(c.service, service), *equal(c.customer, customer), *span.of(c.starts)]
        return self._list(shapes.USAGE, only, c.starts, limit)

    def events(
        self,
        *,
        device: str = "",
        source: str = "",
        name: str = "",
        span: Span = ALWAYS,
        limit: int = LIMIT,
    ) -> list[Event]:
        """Return traps and notifications. Unpacks no more rows than it takes to find `limit`."""
        wanted = {"device": device, "source": source, "name": name}
        c = columns("event_batches")
        only = span.of(c.first_at, c.last_at)
        for field, text in wanted.items():
            if text:
                only.append(function("instr", c[field + "s"], events.searchable(text)) > 0)
        query = select("event_batches", ("lines",)).where(*only).order_by(c.id.desc())
        found: list[Event] = []
        for (lines,) in self._rows(query):
            with connect.sane(self.path):
                unpacked = events.unpack(lines)
            found += (
                event
                for event in reversed(unpacked)
                if span.has(event.at)
                and all(not text or getattr(event, field) == text for field, text in wanted.items())
            )
            if len(found) >= limit:
                break
        return found[:limit]

    def outbox(
        self,
        *,
        sink: str = "",
        states: Sequence[str] = ("waiting", "parked"),
        stream: str = "",
        limit: int = LIMIT,
    ) -> list[Posted]:
        """Return messages, oldest first."""
        c = columns("outbox")
        only = [*among(c.state, states), *equal(c.sink, sink), *equal(c.stream, stream)]
        query = select("outbox", (*outbox.COLUMNS.split(", "), "state")).where(*only)
        rows = self._rows(query.order_by(c.id).limit(limit))
        return [Posted(pending=outbox.pending(row), state=state) for *row, state in rows]

    def disputes(self, *, limit: int = LIMIT) -> list[Disputed]:
        query = select("disputes", ("kind", "sink", "key", "at", "kept", "refused"))
        return [
            Disputed(
                kind=kind,
                sink=plain(sink),
                key=plain(key),
                at=instant(at),
                kept=plain(kept),
                refused=plain(refused),
            )
            for kind, sink, key, at, kept, refused in self._rows(
                query.order_by(columns("disputes").id.desc()).limit(limit)
            )
        ]

    def tally(self) -> Mapping[str, int]:
        """Return how many there are of everything, as of one moment.

        "alarms.<phase>", "alarms.suppressed" (explained by a root), "changes.<what>",
        "tickets.<status>", "outages.open", "outages.ended", "sla_periods", "violations",
        "usage_records", "events", "outbox.<state>.<sink>", "topics.<topic>", "disputes",
        "orders.<state>", "ordered.<state>".
        """
        counts: Counter[str] = Counter()
        parts = (
            ("alarms.", "SELECT phase, count(*) FROM alarms GROUP BY 1"),
            ("alarms.", "SELECT 'suppressed', count(*) FROM alarms WHERE root != ''"),
            ("changes.", "SELECT what, count(*) FROM alarm_changes GROUP BY 1"),
            ("tickets.", "SELECT status, count(*) FROM tickets GROUP BY 1"),
            (
                "outages.",
                "SELECT iif(ends IS NULL, 'open', 'ended'), count(*) FROM outages GROUP BY 1",
            ),
            ("", "SELECT 'sla_periods', count(*) FROM sla_periods"),
            ("", "SELECT 'violations', count(*) FROM violations"),
            ("", "SELECT 'usage_records', count(*) FROM usage_records"),
            ("", "SELECT 'events', coalesce(sum(count), 0) FROM event_batches"),
            ("outbox.", "SELECT state || '.' || sink, count(*) FROM outbox GROUP BY state, sink"),
            ("topics.", "SELECT topic, count(*) FROM outbox GROUP BY 1"),
            ("", "SELECT 'disputes', count(*) FROM disputes"),
            ("orders.", "SELECT state, count(*) FROM service_orders GROUP BY 1"),
            ("ordered.", "SELECT state, count(*) FROM ordered_services GROUP BY 1"),
        )
        union = " UNION ALL ".join(
            f"SELECT '{prefix}' || name, many FROM (SELECT '' AS name, 0 AS many WHERE 0 "
            f"UNION ALL {query})"
            for prefix, query in parts
        )
        for name, many in self._said(union):
            counts[plain(name)] += many
        return counts

    def _list(
        self,
        shape: Shape[B],
        only: Sequence[sa.ColumnElement[bool]],
        newest: Any,
        limit: int,
    ) -> list[B]:
        query = ordered(select(shape.table, shape.names).where(*only), newest).limit(limit)
        return self._beliefs(shape, query)

    def _beliefs(self, shape: Shape[B], query: sa.Select[Any]) -> list[B]:
        with connect.sane(self.path):
            return shape.beliefs(self._rows(query))

    def _rows(self, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        return self._said(*plain_sql(query))

    def _said(self, sql: str, bound: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            with closing(connect.reader(self.path)) as connection, connect.judged(self.path):
                found = migrations.version(connection)
                migrations.check_version(found, self.path)
                if found < migrations.STEPS[-1].version:
                    raise StoreBroken(f"{self.path} has an older schema: start netopsd once")
                yield from connection.execute(sql, bound)
        except (DiskFull, Locked) as error:
            raise StoreBroken(str(error)) from error
