"""Statements for lists of what is stored, made by SQLAlchemy of what tables.py declares.

Both are imported by the first call: they take a quarter of a second, and a start needs neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netopsd.store.shape import bindable

if TYPE_CHECKING:
    import sqlalchemy as sa

    Conditions = list[sa.ColumnElement[bool]]


def columns(table: str) -> Any:
    """Return a table's columns, as its attributes."""
    from netopsd.store.tables import Row

    return Row.metadata.tables[table].c


def select(table: str, names: Iterable[str]) -> sa.Select[Any]:
    """Return the statement that reads these columns of a table."""
    import sqlalchemy as sa

    kept = columns(table)
    return sa.select(*(kept[name] for name in names))


def function(name: str, *values: Any) -> Any:
    """Return what SQL's function of that name makes of `values`."""
    import sqlalchemy as sa

    return getattr(sa.func, name)(*values)


def ordered(query: sa.Select[Any], newest: Any) -> sa.Select[Any]:
    """Return `query` with the newest first by that column, or (None) in the order of the rows."""
    import sqlalchemy as sa

    return query.order_by(sa.literal_column("rowid") if newest is None else newest.desc())


def equal(column: Any, text: str) -> Conditions:
    """Return the condition that a column is `text`; none where that is empty."""
    return [column == text] if text else []


def among(column: Any, words: Sequence[str]) -> Conditions:
    """Return the condition that a column is one of `words`; none where there are none."""
    return [column.in_([str(word) for word in words])] if words else []


def plain_sql(query: sa.Select[Any]) -> tuple[str, list[Any]]:
    """Return a statement's text and values, for the plain sqlite3 connection."""
    from sqlalchemy.dialects import sqlite

    compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    return str(compiled), [bindable(one) if isinstance(one, str) else one for one in values]
