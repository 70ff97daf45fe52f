"""What is read back at start, and what old history is let go."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from netopsd.core.beliefs import FINAL
from netopsd.core.ordered import ENDED
from netopsd.core.outcome import Beliefs
from netopsd.store import connect
from netopsd.store.columns import columns
from netopsd.store.merge import ZONES_APART
from netopsd.store.shape import Shape, micros, plain
from netopsd.store.shapes import (
    ALARMS,
    DEVICES,
    METERS,
    ORDER_ITEMS,
    ORDERED,
    ORDERS,
    OUTAGES,
    PERIODS,
    SERVICES,
    TICKETS,
)

B = TypeVar("B")

_FINAL = sorted(status.value for status in FINAL)
_ENDED = sorted(state.value for state in ENDED)
CURRENT = (
    *("alarms", "tickets", "devices", "services", "meters", "sla_periods", "outages", "outbox"),
    *("service_orders", "service_order_items", "ordered_services"),
)


def load(connection: sqlite3.Connection, path: Path) -> Beliefs:
    """Return the latest value of everything that is not history, in the order it was first kept.

    Of SLA periods those of the newest month and of the one before it: whatever now is, and however
    long nobody was looking. Raises StoreBroken for a row that says what no belief can.
    """
    tickets, outages, periods = TICKETS.table.c, OUTAGES.table.c, PERIODS.table.c
    orders = ORDERS.table.c
    newest = sa.select(sa.func.max(periods.starts)).scalar_subquery()
    since = newest - round(ZONES_APART.total_seconds()) * 1_000_000
    with connect.sane(path), _no_collection(), _one_state(connection):
        return Beliefs(
            alarms=_keyed(connection, ALARMS, attrgetter("key")),
            tickets=_keyed(
                connection,
                TICKETS,
                attrgetter("id"),
                tickets.status.not_in(_FINAL),
            ),
            devices=_keyed(connection, DEVICES, attrgetter("name")),
            services=_keyed(connection, SERVICES, attrgetter("service")),
            outages=_keyed(connection, OUTAGES, attrgetter("id"), outages.ends.is_(None)),
            periods=_keyed(
                connection, PERIODS, attrgetter("service", "period"), periods.ends >= since
            ),
            meters=_keyed(connection, METERS, lambda m: (m.service, str(m.resource))),
            sequences={
                plain(name): value
                for name, value in connection.execute("SELECT name, value FROM sequences")
            },
            orders=_keyed(connection, ORDERS, attrgetter("id")),
            order_items=_keyed(
                connection,
                ORDER_ITEMS,
                attrgetter("order", "number"),
                ORDER_ITEMS.table.c.order.in_(
                    sa.select(orders.id).where(orders.state.not_in(_ENDED))
                ),
            ),
            ordered=_keyed(connection, ORDERED, attrgetter("id")),
        )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector: a load makes a million objects that all stay (a fifth faster)."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Read all tables, and all columns of each, as of one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")  # nothing was written


def _keyed(
    connection: sqlite3.Connection,
    shape: Shape[B],
    key: Callable[[B], Any],
    where: sa.ColumnElement[bool] | None = None,
) -> dict[Any, B]:
    query = shape.select if where is None else shape.select.where(where)
    beliefs = shape.of_columns(columns(connection, query))
    return dict(zip(map(key, beliefs), beliefs, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows of history were let go."""

    changes: int = 0
    notes: int = 0
    events: int = 0
    sent: int = 0
    more: bool = False  # another call would find more


_OLD: tuple[tuple[str, str], ...] = (
    (
        "alarm_changes",
        # What is wrong now stays explained, however long it has been: only cleared alarms' lines.
        "at < ? AND NOT EXISTS (SELECT 1 FROM alarms WHERE key = alarm_changes.alarm "
        "AND phase != 'cleared')",
    ),
    (
        "ticket_notes",
        "at < ? AND NOT EXISTS (SELECT 1 FROM tickets WHERE id = ticket_notes.ticket "
        f"AND status NOT IN ({', '.join(map(repr, _FINAL))}))",
    ),
    ("event_batches", "last_at < ?"),
    ("outbox", "at < ? AND state = 'sent'"),
)


def prune(connection: sqlite3.Connection, before: datetime, many: int) -> Pruned:
    """Delete up to `many` rows a table of history older than `before`; the caller commits.

    Never an alarm, a ticket, an outage, a violation or a usage record; never a line about an
    alarm that is not cleared or a ticket that is not final; never a message not delivered.
    """
    gone = [
        connection.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {old} LIMIT ?)",
            (micros(before), many),
        ).rowcount
        for table, old in _OLD
    ]
    changes, notes, events, sent = gone
    return Pruned(changes=changes, notes=notes, events=events, sent=sent, more=max(gone) >= many)


def total(parts: Iterable[Pruned]) -> Pruned:
    """Return the sum of `parts`."""
    listed = list(parts)
    return Pruned(
        changes=sum(part.changes for part in listed),
        notes=sum(part.notes for part in listed),
        events=sum(part.events for part in listed),
        sent=sum(part.sent for part in listed),
    )
