"""Many rows at once: SQLite hands a whole column over as one JSON text.

It makes the text without Python's lock, while other threads go on; reading it costs a third of what
a tuple per row does. A start reads hundreds of thousands of rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from netopsd.store.shape import statement

ROWID: sa.ColumnElement[int] = sa.literal_column("rowid")


def columns(connection: sqlite3.Connection, query: sa.Select[Any]) -> Sequence[Sequence[Any]]:
    """Return what `query` (of one table) selects, by columns, in the order of its rows' numbers.

    JSON has no word for a double's last digits and none for a BLOB: columns of doubles are read as
    they are, and where there is a BLOB (a text that is not Unicode) all are. The caller has begun
    a transaction, so that they fit.
    """
    asked = list(query.selected_columns)
    doubles = [column for column in asked if isinstance(column.type, sa.Float)]
    others = [column for column in asked if column not in doubles]
    texts = _texts(connection, query.with_only_columns(*others))
    if texts is None:
        return list(zip(*_rows(connection, query), strict=True))
    by_name = dict(zip((c.name for c in others), map(json.loads, texts), strict=True))
    if doubles:
        rows = _rows(connection, query.with_only_columns(*doubles))
        read = zip(*rows, strict=True) if rows else [()] * len(doubles)
        by_name |= zip((c.name for c in doubles), read, strict=True)
    return [by_name[column.name] for column in asked]


def _rows(connection: sqlite3.Connection, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(statement(query.order_by(ROWID))).fetchall()


def _texts(connection: sqlite3.Connection, query: sa.Select[Any]) -> Sequence[str] | None:
    """Return each column as a JSON array, None where they are not in order or cannot be JSON."""
    arrays = [sa.func.json_group_array(column) for column in (ROWID, *query.selected_columns)]
    try:
        ((numbers, *texts),) = connection.execute(statement(query.with_only_columns(*arrays)))
    except sqlite3.OperationalError as error:
        if "BLOB" in str(error):
            return None
        raise
    read = json.loads(numbers)  # an aggregate takes rows as they come: by an index, it may be
    return texts if read == sorted(read) else None
