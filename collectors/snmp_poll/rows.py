"""What a walk teaches: which rows a table has, their names and labels. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.snmp_codec.ber import Tag
from collectors.snmp_poll.engine import Cell, Walked
from collectors.snmp_poll.plan import too_long
from collectors.snmp_poll.tables import COUNTERS, ColumnSpec, TableSpec
from netopsd.core.model import Kind, Layout

OTHER_NAME = "#"  # "eth0#2": the second row that calls itself eth0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one table, in the agent's order. `errors` is by column name."""

    index: tuple[str, ...]
    names: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    errors: Mapping[str, str]


def text_of(cell: Cell | None, longest: int) -> str | None:
    """Return a value as text, or None where it is none or longer than `longest` octets.

    Octets that are no UTF-8 are written as \\xNN; trailing NULs, which some agents send, go.
    Control characters stay as they are: who shows it escapes it.
    """
    if cell is None:
        return None
    value = cell[1]
    if isinstance(value, bytes):
        if len(value) > longest:
            return None
        return value.rstrip(b"\0").decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value if len(value) <= longest else None
    return str(value) if value is not None else None


def learn(spec: TableSpec, walked: Walked, longest: int, most: int = 1_000_000) -> Rows:
    """Return the rows `walked` tells of. A row is what a column that does not augment has.

    Texts longer than `longest` octets are left out, and so are rows beyond the first `most` and
    rows whose index is too long to be asked for.
    """
    order: dict[str, None] = {}
    errors: dict[str, str] = {}
    for column in spec.walked:
        rows = walked.columns.get(column.oid, {})
        if reason := walked.errors.get(column.oid):
            errors[column.name] = reason
        if not column.augments:
            order.update(dict.fromkeys(rows))
    for each in too_long([column.oid for column in spec.column], order):
        del order[each]
        errors.setdefault(spec.walked[0].name, "rows of too long an index")
    # Many devices call their rows the same: the words are kept once.
    index = tuple(map(sys.intern, sorted(order, key=_arcs)[:most]))
    if len(index) < len(order):
        errors[spec.walked[0].name] = f"more than {most} rows"
    texts: dict[str, tuple[str, ...]] = {}
    for column in spec.texts:
        rows = walked.columns.get(column.oid, {})
        told = [text_of(rows.get(each), longest) for each in index]
        if any(text is None and each in rows for text, each in zip(told, index, strict=True)):
            errors.setdefault(column.name, f"text of more than {longest} octets")
        texts[column.name] = tuple(sys.intern(text or "") for text in told)
    labels = {spec.index: index}
    labels |= {c.name: texts[c.name] for c in spec.texts if c.label}
    named = names(index, [texts[name] for name in spec.row])
    return Rows(index=index, names=named, labels=labels, errors=errors)


def names(index: Sequence[str], choices: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return a unique name for each row: its first choice that is not empty, else its index.

    The second row of one name gets "#2" behind it, in the agent's order, so that renumbering
    alone changes no name.
    """
    taken: set[str] = set()
    counts: dict[str, int] = {}
    found: list[str] = []
    for at, instance in enumerate(index):
        wanted = next((choice[at] for choice in choices if choice[at].strip()), instance)
        name = wanted
        while name in taken:
            counts[wanted] = counts.get(wanted, 1) + 1
            name = f"{wanted}{OTHER_NAME}{counts[wanted]}"
        taken.add(name)
        found.append(name)
    return tuple(found)


def _arcs(instance: str) -> tuple[int, ...]:
    return tuple(map(int, instance.split(".")))


def width(column: ColumnSpec) -> int:
    return 64 if column.kind is Kind.COUNTER64 else 32


def layout(
    spec: TableSpec,
    rows: Rows,
    columns: Sequence[ColumnSpec],
    known: tuple[Layout | None, Layout | None],
) -> Layout:
    """Return what the numbers of the table mean, `columns` being those that are read.

    The very one of the `known` (the last, the one before) that is the same, if one is; else the
    last one's epoch plus one where the rows changed.
    """
    before = known[0]
    counters = tuple(c for c in columns if c.kind in COUNTERS)
    epoch = 0
    if before is not None:
        same = before.rows == rows.names and before.index == rows.index
        epoch = before.epoch + (not same)
    made = Layout(
        table=spec.name,
        rows=rows.names,
        index=rows.index,
        labels=rows.labels,
        counters=tuple(c.name for c in counters),
        widths=tuple(width(c) for c in counters),
        gauges=tuple(c.name for c in columns if c.kind not in COUNTERS),
        epoch=epoch,
    )
    return next((one for one in known if one is not None and _same(one, made)), made)


def _same(a: Layout, b: Layout) -> bool:
    return (a.rows, a.index, a.labels, a.counters, a.gauges, a.epoch) == (
        b.rows,
        b.index,
        b.labels,
        b.counters,
        b.gauges,
        b.epoch,
    )


def facts(spec: TableSpec, walked: Walked, longest: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of a scalar table by name, and the errors by name."""
    told: dict[str, str] = {}
    errors: dict[str, str] = {}
    for column in spec.texts:
        cell = walked.columns.get(column.oid, {}).get("0")
        text = text_of(cell, longest)
        if text is not None:
            told[column.name] = text
        elif cell is not None:
            errors[column.name] = f"text of more than {longest} octets"
        elif not column.optional:
            errors[column.name] = walked.errors.get(column.oid, "noSuchInstance")
    return told, errors


def is_text(cell: Cell) -> bool:
    """Return whether a value is a string, rather than a number."""
    return cell[0] in (Tag.OCTET_STRING, Tag.OID, Tag.IP_ADDRESS) or isinstance(
        cell[1], bytes | str
    )
