"""One transaction's worth of statements: beliefs, history, messages, disputes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from netopsd.core.beliefs import UsageRecord
from netopsd.core.model import Event
from netopsd.core.outcome import Outcome
from netopsd.ports import Message
from netopsd.store import events, outbox
from netopsd.store.shape import Shape, bindable, micros, plain
from netopsd.store.shapes import (
    ALARMS,
    CHANGES,
    DEVICES,
    METERS,
    NOTES,
    ORDER_ITEMS,
    ORDER_NOTES,
    ORDERED,
    ORDERS,
    OUTAGES,
    PERIODS,
    SERVICES,
    TICKETS,
    USAGE,
    VIOLATIONS,
)

_USAGE = USAGE.insert + " ON CONFLICT (key) DO NOTHING"
_SEQUENCE = (
    "INSERT INTO sequences (name, value) VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_DISPUTE = (
    "INSERT INTO disputes (kind, sink, key, at, kept, refused, refused_sha256) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


def write(
    connection: sqlite3.Connection,
    outcome: Outcome,
    messages: Sequence[Message],
    history: Sequence[Event],
    careful: bool = False,
) -> int:
    """Write everything; return the number of disputes found. The caller begins and commits.

    `history` is what of `outcome.events` is to be kept. Raises sqlite3.Error, UnicodeEncodeError
    (write again, `careful`), CannotStore.
    """
    _beliefs(connection, outcome, careful)
    disputes = 0
    if outcome.usage:
        disputes += _usage(connection, outcome.usage, careful)
    if messages:
        disputes += _messages(connection, messages, careful)
    if history:
        connection.executemany(events.INSERT, events.rows(history))
    return disputes


def _beliefs(connection: sqlite3.Connection, outcome: Outcome, careful: bool) -> None:
    gone = outcome.meters_gone
    if gone:
        connection.executemany(
            "DELETE FROM meters WHERE service = ? AND resource = ?",
            ((bindable(service), bindable(resource)) for service, resource in gone),
        )
    away = set(gone)
    meters = [meter for key, meter in outcome.meters.items() if key not in away]
    kept: tuple[tuple[Shape[Any], Iterable[Any]], ...] = (
        (ALARMS, outcome.alarms.values()),
        (TICKETS, outcome.tickets.values()),
        (DEVICES, outcome.devices.values()),
        (SERVICES, outcome.services.values()),
        (OUTAGES, outcome.outages.values()),
        (PERIODS, outcome.periods.values()),
        (VIOLATIONS, outcome.violations.values()),
        (METERS, meters),
        (ORDERS, outcome.orders.values()),
        (ORDER_ITEMS, outcome.order_items.values()),
        (ORDERED, outcome.ordered.values()),
    )
    for shape, beliefs in kept:
        if beliefs:
            connection.executemany(shape.upsert, shape.rows(beliefs, careful))
    if outcome.changes:
        connection.executemany(CHANGES.insert, CHANGES.rows(outcome.changes, careful))
    if outcome.ticket_notes:
        connection.executemany(NOTES.insert, NOTES.rows(outcome.ticket_notes, careful))
    if outcome.order_notes:
        notes = ORDER_NOTES.rows(outcome.order_notes, careful)
        connection.executemany(ORDER_NOTES.insert, notes)
    if outcome.sequences:
        connection.executemany(_SEQUENCE, outcome.sequences.items())


def _usage(connection: sqlite3.Connection, records: Sequence[UsageRecord], careful: bool) -> int:
    added = connection.executemany(_USAGE, USAGE.rows(records, careful)).rowcount
    if added == len(records):
        return 0
    disputes = 0
    query = f"SELECT {', '.join(USAGE.names)} FROM usage_records WHERE key = ?"
    for record, refused in zip(records, USAGE.rows(records, True), strict=True):
        kept = connection.execute(query, (bindable(record.key),)).fetchone()
        if kept != refused:
            disputes += _dispute(
                connection,
                ("usage", "", record.key, record.ends),
                json.dumps([_shown(value) for value in kept]),
                json.dumps([_shown(value) for value in refused]),
            )
    return disputes


def _messages(connection: sqlite3.Connection, messages: Sequence[Message], careful: bool) -> int:
    added = connection.executemany(outbox.INSERT, outbox.rows(messages, careful)).rowcount
    if added == len(messages):
        return 0
    disputes = 0
    for message in messages:
        (kept,) = connection.execute(
            "SELECT body FROM outbox WHERE sink = ? AND key = ?",
            (bindable(message.sink), bindable(message.key)),
        ).fetchone()
        if plain(kept) != message.body:
            about = ("message", message.sink, message.key, message.at)
            disputes += _dispute(connection, about, plain(kept), message.body)
    return disputes


def _dispute(
    connection: sqlite3.Connection,
    about: tuple[str, str, str, datetime],
    kept: str,
    refused: str,
) -> int:
    """Keep what was refused, once however often it is said; return how many rows that added."""
    kind, sink, key, at = about
    digest = hashlib.sha256(refused.encode("utf-8", "surrogatepass")).hexdigest()
    row = (kind, bindable(sink), bindable(key), micros(at), bindable(kept), bindable(refused))
    return connection.execute(_DISPUTE, (*row, digest)).rowcount


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, bytes) else value
