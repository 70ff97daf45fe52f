"""How a belief becomes a row and a row a belief, derived once from its fields and its table.

Work goes by columns: all beliefs of a commit are taken apart by C-level attrgetters and put
together as tuples by zip, with one converter per column that needs any. The same upsert through
SQLAlchemy Core takes two to three times the CPU (tests/bench/store_rows.py measures it).
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any, Generic, TypeVar

from netopsd.core.model import Resource
from netopsd.core.values import made
from netopsd.errors import CannotStore
from netopsd.plain import as_plain, from_plain
from netopsd.store.columns import Wanted
from netopsd.store.migrations import Kept, layout

B = TypeVar("B")
Value = Any  # what sqlite3 binds: int, float, str, bytes or None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REMEMBERED = 4096  # moments: what one input changes bears its time in many a column
_PARTS = ("device", "table", "row")  # of a Resource
_dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@lru_cache(maxsize=REMEMBERED)
def micros(at: datetime) -> int:
    """Return microseconds since 1970 UTC. Exact. Raises TypeError for a naive datetime."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@lru_cache(maxsize=REMEMBERED)
def _micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def instant(at: int) -> datetime:
    """Return the aware UTC datetime of `at` microseconds."""
    return EPOCH + timedelta(0, 0, at)


def _instant_or_none(at: int | None) -> datetime | None:
    return None if at is None else instant(at)


class _Instants(dict[Any, Any]):
    """Instants by their microseconds, each made once: most alarms tell one moment several times."""

    def of(self, column: Sequence[int | None], convert: Any) -> Iterator[Any]:
        """Return what `convert` makes of a column of times. Raises TypeError where one lacks."""
        moments = set(column)
        if None in moments:
            self[None] = convert(None)
        new = moments.difference(self)  # made as by `instant`, without a call for each
        since: Any = map(timedelta, repeat(0), repeat(0), new)  # type: ignore[arg-type]
        self.update(zip(new, map(EPOCH.__add__, since), strict=True))
        return map(self.__getitem__, column)


def plain(text: str | bytes) -> str:
    """Return the text of a TEXT column; a BLOB there is text with lone surrogates."""
    return text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")


def bindable(text: str) -> str | bytes:
    """Return `text` as sqlite3 can bind it: as it is, or as the BLOB that `plain` reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _number(value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise CannotStore("NaN has no place in a database: SQLite would keep it as NULL")
    return value


def _texts(value: tuple[str, ...]) -> str:
    return _dumps(value) if value else "[]"


def _tuple(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _maybe(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


class Column(typing.NamedTuple):
    """One column: where its value comes from, and how it is changed on the way in and out."""

    name: str
    path: str
    into: Callable[[Any], Value] | None
    out: Callable[[Any], Any] | None

    def kept(self, value: Any) -> Value:
        """Return how `value` of the field is kept."""
        value = value.value if isinstance(value, StrEnum) else value
        return value if self.into is None else self.into(value)


_PLAIN: tuple[None, None] = (None, None)
_CONVERTERS: dict[tuple[type, type], tuple[Callable[[Any], Value] | None, Any]] = {
    (datetime, int): (micros, instant),
    (Decimal, str): (str, Decimal),
    (bool, bool): (int, bool),  # a bool binds four times as slowly as an int
    (int, str): (str, int),  # octets
    (int, int): _PLAIN,
    (float, float): _PLAIN,
    (str, str): _PLAIN,
}


def _column(name: str, hint: Any, kept_as: type) -> Column:
    """Return the column of a field of type `hint` in a column of Python type `kept_as`."""
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is str:
        return Column(name, name, _texts, _tuple)
    if typing.get_origin(hint) is tuple or any(map(is_dataclass, (hint, *typing.get_args(hint)))):
        return _nested(name, hint)
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    if optional:
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    if issubclass(hint, StrEnum):  # the word itself binds faster than a subclass of str
        return Column(
            name, f"{name}._value_", None, {word.value: word for word in hint}.__getitem__
        )
    if (hint, kept_as) not in _CONVERTERS:
        raise TypeError(f"{name}: a {hint.__name__} is not kept in a {kept_as.__name__} column")
    into, out = _CONVERTERS[hint, kept_as]
    if optional and hint is float:
        into = _number
    elif optional and hint is datetime:
        into, out = _micros_or_none, _instant_or_none  # most of a load's time is here
    elif optional:
        into, out = into and _maybe(into), out and _maybe(out)
    return Column(name, name, into, out)


def _nested(name: str, hint: Any) -> Column:
    """Return the column of values made of values: JSON, as plain.py writes it."""

    def into(value: Any) -> Value:
        return None if value is None else _dumps(as_plain(value))

    def out(text: str | None) -> Any:
        return None if text is None else from_plain(hint, json.loads(text))

    return Column(name, name, into, out)


class Shape(Generic[B]):
    """The two-way path between a belief and its table.

    Every field must have its column and every column its field (or be a row number): a mismatch is
    a TypeError when the store is imported, never a value silently lost.
    """

    def __init__(self, belief: type[B], table: str) -> None:
        self.belief = belief
        self.table = table
        self._kept = layout()[table]
        self.fields: list[tuple[str, int, int]] = []  # field, its first column, how many
        columns: list[Column] = []
        for name, hint in _hints(belief):
            ours = _columns(name, hint, self._kept)
            self.fields.append((name, len(columns), len(ours)))
            columns += ours
        self.names = [column.name for column in columns]
        if "resource" in self._kept:  # the belief's name in an Outcome: str(Resource)
            columns.append(Column("resource", "resource", str, None))
        self.columns = columns
        self._check()
        self._get = attrgetter(*(column.path for column in columns))
        self._texts = {i for i, c in enumerate(columns) if self._kept[c.name].kind is str}
        self._into = [(i, c.into) for i, c in enumerate(columns) if c.into is not None]
        self.wanted = tuple(self._wanted())
        self.insert = _insert(self.table, [column.name for column in columns])
        self.upsert = self.insert + self._otherwise()

    def _check(self) -> None:
        ours = {column.name for column in self.columns}
        theirs = {name for name in self._kept if not (name == "id" and "id" not in ours)}
        if ours != theirs:
            raise TypeError(
                f"{self.belief.__name__} does not fit table {self.table}: fields without a "
                f"column {sorted(ours - theirs)}, columns without a field {sorted(theirs - ours)}"
            )

    def _wanted(self) -> Iterator[Wanted]:
        """Yield how `of_columns`' columns are read. What is so by default is so in most rows."""
        defaults = {field.name: field.default for field in fields(self.belief)}  # type: ignore[arg-type]
        for column in self.columns[: len(self.names)]:
            default = defaults.get(column.name, MISSING)
            double = self._kept[column.name].kind is float
            usual = () if default is MISSING else (column.kept(default),)
            yield Wanted(column.name, double, usual)

    def _otherwise(self) -> str:
        keys = {name for name, kept in self._kept.items() if kept.key}
        sets = [f'"{c.name}"=excluded."{c.name}"' for c in self.columns if c.name not in keys]
        on = ", ".join(f'"{key}"' for key in sorted(keys))
        return f" ON CONFLICT ({on}) DO UPDATE SET {', '.join(sets)}"

    def rows(self, beliefs: Iterable[B], careful: bool = False) -> Iterator[tuple[Value, ...]]:
        """Return one tuple of values per belief, in the order of `insert`.

        `careful` also turns texts that sqlite3 cannot bind into BLOBs; it costs three times as much
        and is used only after the plain way failed. Raises CannotStore.
        """
        columns: list[Iterable[Value]] = list(zip(*map(self._get, beliefs), strict=True))
        if not columns:
            return iter(())
        for i, convert in self._into:
            columns[i] = map(convert, columns[i])
        if careful:
            columns = [[_bound(value) for value in column] for column in columns]
        return zip(*columns, strict=True)

    def beliefs(self, rows: Iterable[Sequence[Any]]) -> list[B]:
        """Return the beliefs of rows (`names` of each). Raises ValueError for a damaged one."""
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for i, column in enumerate(columns):
            if i in self._texts and bytes in set(map(type, column)):
                columns[i] = [plain(v) if isinstance(v, bytes) else v for v in column]
        return self.of_columns(columns)

    def of_columns(self, columns: Sequence[Sequence[Any]]) -> list[B]:
        """Return the beliefs of the columns `wanted`, texts without BLOBs. Raises as `beliefs`."""
        if not columns:
            return []
        many = len(columns[0])
        instants = _Instants()
        read = [self._read(i, column, instants) for i, column in enumerate(columns)]
        values = {
            name: read[first]
            if wide == 1
            else made(Resource, dict(zip(_PARTS, read[first : first + wide], strict=True)), many)
            for name, first, wide in self.fields
        }
        return made(self.belief, values, many)

    def _read(self, i: int, column: Sequence[Any], instants: _Instants) -> Iterable[Any]:
        """Return the values of column `i` as its field has them."""
        convert = self.columns[i].out
        if convert is instant or convert is _instant_or_none:
            return instants.of(column, convert)
        return column if convert is None else map(convert, column)


def _hints(belief: type) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(belief)
    return [(field.name, hints[field.name]) for field in fields(belief)]


def _columns(name: str, hint: Any, table: Mapping[str, Kept]) -> list[Column]:
    if hint is Resource:
        return [Column(f"{name}_{part}", f"{name}.{part}", None, None) for part in _PARTS]
    if name not in table:
        return [Column(name, name, None, None)]  # the check names it
    return [_column(name, hint, table[name].kind)]


def _insert(table: str, names: Sequence[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({listed}) VALUES ({marks})"  # names come from our own tables


def _bound(value: Value) -> Value:
    return bindable(value) if isinstance(value, str) else value
