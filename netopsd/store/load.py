"""What is read back at start, and what old history is let go."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from netopsd.core.beliefs import FINAL
from netopsd.core.ordered import ENDED
from netopsd.core.outcome import Beliefs
from netopsd.store import connect
from netopsd.store.columns import Said, ask, columns, parts
from netopsd.store.merge import MONTH, ZONES_APART
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

_FINAL = ", ".join(f"'{word.value}'" for word in sorted(FINAL))
_ENDED = ", ".join(f"'{word.value}'" for word in sorted(ENDED))
CURRENT = (
    *("alarms", "tickets", "devices", "services", "meters", "sla_periods", "outages", "outbox"),
    *("service_orders", "service_order_items", "ordered_services"),
)


class _Kept(NamedTuple):
    """What is read back of a table, and by which key it is believed."""

    shape: Shape[Any]
    key: Callable[[Any], Any]
    where: str = "true"
    few: bool = False  # an index leads to them; else the whole table is gone through, in parts


_KEPT: dict[str, _Kept] = {
    "alarms": _Kept(ALARMS, attrgetter("key")),
    "tickets": _Kept(TICKETS, attrgetter("id"), f"status NOT IN ({_FINAL})"),
    "devices": _Kept(DEVICES, attrgetter("name")),
    "services": _Kept(SERVICES, attrgetter("service")),
    "meters": _Kept(METERS, lambda meter: (meter.service, str(meter.resource))),
    "orders": _Kept(ORDERS, attrgetter("id")),
    "order_items": _Kept(
        ORDER_ITEMS,
        attrgetter("order", "number"),
        f'"order" IN (SELECT id FROM service_orders WHERE state NOT IN ({_ENDED}))',
        few=True,
    ),
    "ordered": _Kept(ORDERED, attrgetter("id")),
}
# The latest outage of a service that was down: the evidence, should its promise break yet.
_EVIDENCE = (
    "(SELECT id FROM outages AS one WHERE one.service = month.service ORDER BY starts DESC LIMIT 1)"
)


def _kept(now: datetime | None) -> dict[str, _Kept]:
    """Return what is read back. Of SLA periods those of the newest month and of the one before it.

    That is so whatever now is, and however long nobody was looking; but where the clock was ahead
    the newest month is one to come, and those of `now` are read, too.
    """
    newest = "SELECT max(starts) FROM sla_periods"
    if now is not None:
        newest = f"SELECT min(max(starts), {micros(now - MONTH)}) FROM sla_periods"
    since = f"ends >= ({newest}) - {round(ZONES_APART.total_seconds()) * 1_000_000}"
    outages = (
        "id IN (SELECT id FROM outages WHERE ends IS NULL "
        f"UNION SELECT {_EVIDENCE} FROM sla_periods AS month WHERE {since} AND down_s > 0)"
    )
    return {
        **_KEPT,
        "outages": _Kept(OUTAGES, attrgetter("id"), outages, few=True),
        "periods": _Kept(PERIODS, attrgetter("service", "period"), since, few=True),
    }


def load(connection: sqlite3.Connection, path: Path, now: datetime | None = None) -> Beliefs:
    """Return the latest value of everything that is not history, in the order it was first kept.

    Raises StoreBroken for a row that says what no belief can. SQLite answers without Python's lock:
    beliefs are made of one part, in a thread of their own, while the next one is asked for.
    """
    everything = _kept(now)
    beliefs: dict[str, dict[Any, Any]] = {name: {} for name in everything}
    with connect.sane(path), _no_collection(), ThreadPoolExecutor(1, "beliefs") as maker:
        with _one_state(connection):
            making = [
                maker.submit(_believe, kept, part, beliefs[name])
                for name, kept in everything.items()
                for part in _asked(connection, kept)
            ]
            sequences = connection.execute("SELECT name, value FROM sequences").fetchall()
        for one in making:
            one.result()
        return Beliefs(**beliefs, sequences={plain(name): value for name, value in sequences})


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


def _asked(connection: sqlite3.Connection, kept: _Kept) -> Iterator[Said]:
    table = kept.shape.table
    for part in ["true"] if kept.few else parts(connection, table):
        yield ask(connection, table, kept.shape.wanted, f"{kept.where} AND {part}")


def _believe(kept: _Kept, said: Said, into: dict[Any, Any]) -> None:
    if said.rows is None:
        beliefs = kept.shape.of_columns(list(columns(said)))
    else:
        beliefs = kept.shape.beliefs(said.rows)
    into.update(zip(map(kept.key, beliefs), beliefs, strict=True))


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
        f"AND status NOT IN ({_FINAL}))",
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
