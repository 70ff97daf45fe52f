"""The outbox in SQL: order per (sink, stream), found through the heads of the streams.

Every function works on the writing connection, inside its caller's transaction where it writes.
Of each (sink, stream) the waiting message with the lowest id, and no other, is marked `head`.
What was delivered stays as the log of what was said to whom until `trim` cuts it.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from netopsd.ports import Message, Pending
from netopsd.store.shape import bindable, instant, micros, plain

COLUMNS = "id, sink, key, topic, stream, body, at, next_at, attempts, state, reason"
INSERT = """
    INSERT INTO outbox
        (sink, key, topic, stream, body, at, next_at, attempts, state, reason, head)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 'waiting', '', NOT EXISTS (
        SELECT 1 FROM outbox WHERE sink = ?1 AND stream = ?4 AND state = 'waiting'))
    ON CONFLICT (sink, key) DO NOTHING
"""


def rows(messages: Sequence[Message], careful: bool = False) -> Iterator[tuple[Any, ...]]:
    """Return the parameters of INSERT; `careful` as for Shape.rows."""
    for m in messages:
        values = (m.sink, m.key, m.topic, m.stream, m.body)
        yield (*(map(bindable, values) if careful else values), micros(m.at))


def pending(row: Sequence[Any]) -> Pending:
    """Return what a row of COLUMNS says."""
    id_, sink, key, topic, stream, body, at, next_at, attempts, state, reason = row
    return Pending(
        id=id_,
        message=Message(
            key=plain(key),
            sink=plain(sink),
            topic=plain(topic),
            stream=plain(stream),
            body=plain(body),
            at=instant(at),
        ),
        attempts=attempts,
        next_at=instant(next_at),
        parked=state == "parked",
        reason=plain(reason),
    )


def due(connection: sqlite3.Connection, sink: str, now: datetime, limit: int) -> list[Pending]:
    """Return what ports.Outbox.due asks. Costs by `limit`, not by the length of the queues.

    The `limit` oldest due heads are enough: every message behind a later head is younger than it.
    """
    to, at = bindable(sink), micros(now)
    heads = connection.execute(
        "SELECT stream FROM outbox WHERE head AND sink = ? AND next_at <= ? ORDER BY id LIMIT ?",
        (to, at, limit),
    ).fetchall()
    streams = [_until_not_due(connection, to, stream, at) for (stream,) in heads]
    return [pending(row) for row in islice(heapq.merge(*streams), limit)]


def _until_not_due(
    connection: sqlite3.Connection, sink: str | bytes, stream: str | bytes, at: int
) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM outbox WHERE state = 'waiting' AND sink = ? AND stream = ? "
        "ORDER BY id",
        (sink, stream),
    )
    try:
        for row in cursor:
            if row[7] > at:
                return
            yield row
    finally:
        cursor.close()


def delivered(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Move messages to the log of what was sent; return how many had not been there."""
    moved = 0
    queues: set[tuple[Any, Any]] = set()
    for id_ in ids:
        row = connection.execute(
            "UPDATE outbox SET state = 'sent', head = 0 WHERE id = ? AND state != 'sent' "
            "RETURNING sink, stream",
            (id_,),
        ).fetchone()
        if row is not None:
            moved += 1
            queues.add(row)
    for sink, stream in queues:
        _next_head(connection, sink, stream)
    return moved


def _next_head(connection: sqlite3.Connection, sink: Any, stream: Any) -> None:
    connection.execute(
        "UPDATE outbox SET head = 1 WHERE id = (SELECT min(id) FROM outbox "
        "WHERE state = 'waiting' AND sink = ? AND stream = ?)",
        (sink, stream),
    )


def postpone(connection: sqlite3.Connection, id_: int, next_at: datetime, reason: str) -> None:
    """Count a failed attempt of a waiting message and set when the next may be made."""
    connection.execute(
        "UPDATE outbox SET next_at = ?, attempts = attempts + 1, reason = ? "
        "WHERE id = ? AND state = 'waiting'",
        (micros(next_at), bindable(reason), id_),
    )


def hasten(connection: sqlite3.Connection, now: datetime) -> None:
    """Let every waiting message that is due later than `now` be due now."""
    connection.execute(
        "UPDATE outbox SET next_at = ?1 WHERE state = 'waiting' AND next_at > ?1", (micros(now),)
    )


def park(connection: sqlite3.Connection, id_: int, reason: str) -> None:
    """Take a waiting message out of its queue; the next of its stream moves up."""
    row = connection.execute(
        "UPDATE outbox SET state = 'parked', head = 0, reason = ? "
        "WHERE id = ? AND state = 'waiting' RETURNING sink, stream",
        (bindable(reason), id_),
    ).fetchone()
    if row is not None:
        _next_head(connection, *row)


def retry(connection: sqlite3.Connection, id_: int, now: datetime) -> bool:
    """Make a parked message wait at its old place with no attempts counted, or a waiting one due.

    Return False where `id_` is neither.
    """
    row = connection.execute(
        "SELECT sink, stream, state FROM outbox WHERE id = ? AND state != 'sent'", (id_,)
    ).fetchone()
    if row is None:
        return False
    sink, stream, state = row
    if state == "waiting":
        connection.execute("UPDATE outbox SET next_at = ? WHERE id = ?", (micros(now), id_))
        return True
    connection.execute(
        "UPDATE outbox SET head = 0 WHERE id > ? AND id = (SELECT min(id) FROM outbox "
        "WHERE state = 'waiting' AND sink = ? AND stream = ?)",
        (id_, sink, stream),
    )
    connection.execute(
        "UPDATE outbox SET state = 'waiting', next_at = ?, attempts = 0 WHERE id = ?",
        (micros(now), id_),
    )
    _next_head(connection, sink, stream)
    return True


def waiting(connection: sqlite3.Connection, limit: int) -> list[Pending]:
    """Return up to `limit` messages not delivered, parked ones included, oldest first."""
    sql = f"SELECT {COLUMNS} FROM outbox WHERE state = ? ORDER BY id LIMIT ?"
    # Two ordered index scans; one query with OR would sort everything that waits.
    both = (connection.execute(sql, (s, limit)).fetchall() for s in ("waiting", "parked"))
    return [pending(row) for row in islice(heapq.merge(*both), limit)]


def depth(connection: sqlite3.Connection) -> tuple[int, int, datetime | None]:
    """Return (waiting, parked, time of the oldest waiting message)."""
    count = "SELECT count(*) FROM outbox WHERE state = "
    (open_,) = connection.execute(f"{count} 'waiting'").fetchone()
    (parked,) = connection.execute(f"{count} 'parked'").fetchone()
    # Ids grow with time, and a queue's oldest is its head: only the heads are looked at.
    (oldest,) = connection.execute("SELECT min(at) FROM outbox WHERE head").fetchone()
    return open_, parked, None if oldest is None else instant(oldest)


def sent(connection: sqlite3.Connection) -> int:
    """Return how long the log of delivered messages is."""
    (count,) = connection.execute("SELECT count(*) FROM outbox WHERE state = 'sent'").fetchone()
    return int(count)


def trim(connection: sqlite3.Connection, many: int) -> int:
    """Forget the `many` oldest delivered messages; return how many there were to forget."""
    return connection.execute(
        "DELETE FROM outbox WHERE id IN "
        "(SELECT id FROM outbox WHERE state = 'sent' ORDER BY id LIMIT ?)",
        (many,),
    ).rowcount
