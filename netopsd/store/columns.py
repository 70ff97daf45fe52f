"""Many rows at once: SQLite hands a whole column over as one JSON text.

It makes the text without Python's lock, while other threads go on; reading it costs a third of what
a tuple per row does. A start reads hundreds of thousands of rows. What an alarm may be besides
(seen, shelved, flapping, explained) most alarms are not: of a column with a usual value only what
is unusual is handed over, with the numbers of its rows. Tables are read in parts: texts and columns
of a part take memory that is at hand, where those of a whole table would ask the kernel for more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

Values = Sequence[Any]
PART = 20_000  # rows of a part: between two of them other threads may hold Python's lock a while
MOST_PARTS = 10_000


class Wanted(NamedTuple):
    """A column to be read. `usual` holds the value most rows have in it, or nothing."""

    name: str
    double: bool = False
    usual: tuple[Any, ...] = ()


class Said(NamedTuple):
    """What SQLite said of some rows of a table; `columns` makes values of it."""

    wanted: Sequence[Wanted]
    numbers: list[int]
    texts: Mapping[str, Sequence[str]]  # JSON: the column, or the numbers of unusual rows and these
    doubles: Mapping[str, list[tuple[int, Any]]]  # numbers of rows, and values
    rows: list[tuple[Any, ...]] | None = None  # instead of all that, where JSON cannot say them


def ask(
    connection: sqlite3.Connection, table: str, wanted: Sequence[Wanted], where: str = "true"
) -> Said:
    """Ask for the columns `wanted` of the rows `where`: nearly all of it without Python's lock.

    JSON has no word for a double's last digits and none for a BLOB: doubles are read as they are,
    and where there is a BLOB (a text that is not Unicode) everything is. The caller has begun a
    transaction, so that all of it fits.
    """
    rows = f"FROM {table} WHERE {where}"  # names and conditions come from our own code
    others = [one for one in wanted if not one.double]
    said = _as_json(connection, rows, others)
    # An aggregate takes rows as they come: by an index, it may be.
    if said is None or said[0] != sorted(said[0]):
        names = ", ".join(f'"{one.name}"' for one in wanted)
        read = connection.execute(f"SELECT {names} {rows} ORDER BY rowid").fetchall()
        return Said(wanted, [], {}, {}, read)
    doubles = {
        one.name: connection.execute(
            f'SELECT rowid, "{one.name}" {rows}{_unusual(one, " AND ")}', one.usual
        ).fetchall()
        for one in wanted
        if one.double
    }
    return Said(wanted, *said, doubles)


def _as_json(
    connection: sqlite3.Connection, rows: str, wanted: Sequence[Wanted]
) -> tuple[list[int], dict[str, list[str]]] | None:
    """Return the rows' numbers and each column's texts, None where JSON cannot say them."""
    parts = {one: _arrays(one) for one in wanted}
    arrays = ", ".join(text for texts in parts.values() for text in texts)
    usual = [value for one, texts in parts.items() for value in one.usual * len(texts)]
    try:
        ((numbers, *found),) = connection.execute(
            f"SELECT json_group_array(rowid), {arrays} {rows}", usual
        )
    except sqlite3.OperationalError as error:
        if "BLOB" in str(error):
            return None
        raise
    texts = iter(found)
    return json.loads(numbers), {
        one.name: list(islice(texts, len(asked))) for one, asked in parts.items()
    }


def _arrays(one: Wanted) -> tuple[str, ...]:
    """Return what to select for a column; each takes the usual value, if any, as a parameter."""
    values = f'json_group_array("{one.name}")'
    if not one.usual:
        return (values,)
    some = f"FILTER (WHERE {_unusual(one)})"
    return f"json_group_array(rowid) {some}", f"{values} {some}"


def _unusual(one: Wanted, joined: str = "") -> str:
    return f'{joined}"{one.name}" IS NOT ?' if one.usual else ""


def parts(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    """Yield conditions of which every row fulfils one, rows of lower numbers earlier ones."""
    ends = f"SELECT (SELECT min(rowid) FROM {table}), (SELECT max(rowid) FROM {table})"
    first, last = connection.execute(ends).fetchone()
    if first is None:
        return
    if (last - first) // PART > MOST_PARTS:  # a number that no row of ours gets
        yield "true"
        return
    for start in range(first, last + 1, PART):
        yield f"rowid BETWEEN {start} AND {start + PART - 1}"


def columns(said: Said) -> Iterator[Values]:
    """Yield the columns asked for, each in the order of the rows' numbers, where `rows` is None."""
    many = len(said.numbers)
    places: dict[int, int] = {}

    def spread(usual: Any, unusual: Iterable[tuple[int, Any]]) -> Values:
        """Return a column that is `usual` but for some rows."""
        column = [usual] * many
        for number, value in unusual:
            if not places:
                places.update(zip(said.numbers, range(many), strict=True))
            column[places[number]] = value
        return column

    for one in said.wanted:
        usual = one.usual[0] if one.usual else None
        if one.double:
            yield spread(usual, said.doubles[one.name])
        elif one.usual:
            numbers, texts = said.texts[one.name]
            values = json.loads(texts)
            if len(values) == many:
                yield values
            else:
                yield spread(usual, zip(json.loads(numbers), values, strict=True))
        else:
            yield json.loads(said.texts[one.name][0])
