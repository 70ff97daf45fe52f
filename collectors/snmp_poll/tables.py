"""What to read, as data: the MIB tables and columns of tables.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from netopsd.core.model import Kind

_DOTTED = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){1,63}")
_SPAN = re.compile(r"([1-9][0-9]{0,5})\s*(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
COUNTERS = (Kind.COUNTER32, Kind.COUNTER64)


def _oid(said: object) -> object:
    if not isinstance(said, str):
        return said
    text = said.removeprefix(".")
    if not _DOTTED.fullmatch(text) or any(int(arc) >= 2**32 for arc in text.split(".")):
        raise ValueError(f'"{said}" is not a numeric OID such as 1.3.6.1.2.1.2.2.1.10')
    return text


def _every(said: object) -> object:
    if said == "look":
        return 0.0
    if isinstance(said, str):
        found = _SPAN.fullmatch(said.strip())
        if not found:
            raise ValueError(f'"{said}" is neither "look" nor a time such as "10m"')
        return float(found[1]) * _UNITS[found[2]]
    return said


Oid = Annotated[str, BeforeValidator(_oid)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class ColumnSpec(BaseModel):
    """One column. Its name is the metric's name; `kind` is what SMIv2 says its numbers are.

    `fallback_for` names the column this one stands in for, row by row, where that is absent.
    `augments` marks a column of another MIB table with the same index: it defines no rows of its
    own. `optional`: its absence is no error. `clock` (scalars only) makes it one of the clocks by
    which a reboot is told from a wrap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    oid: Oid
    kind: Kind
    label: bool = False
    augments: bool = False
    optional: bool = False
    fallback_for: str = ""
    clock: Literal["", "sys_uptime", "hr_uptime", "engine_boots", "engine_time"] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.label and self.kind is not Kind.TEXT:
            raise ValueError(f'column {self.name}: only a column of kind "text" can be a label')
        if self.clock and self.kind not in (Kind.TICKS, Kind.GAUGE):
            raise ValueError(f'column {self.name}: a clock is of kind "ticks" or "gauge"')
        return self


class TableSpec(BaseModel):
    """One table: how its rows are found and named, and which columns are read how often.

    `index` names the label that carries the SNMP instance. `row` lists the text columns of which
    the first non-empty one names the row; the instance does where none is given or all are empty.
    `every` is "look" (each look) or a time ("10m"); as seconds it is 0.0 for each look. `watch`
    lists scalars whose change says that the rows changed. `scalar`: columns without rows (".0" is
    added): clocks, facts, and numbers of the device itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    index: str = Field(default="index", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    row: tuple[str, ...] = ()
    every: Annotated[float, BeforeValidator(_every), Field(ge=0, le=7 * 86400)] = 0.0
    optional: bool = False
    scalar: bool = False
    watch: tuple[Oid, ...] = ()
    column: tuple[ColumnSpec, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [column.name for column in self.column]
        for what in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"column {what} is given twice")
        text = {column.name for column in self.column if column.kind is Kind.TEXT}
        for name in self.row:
            if name not in text:
                raise ValueError(f'row: "{name}" is not a column of kind "text" of this table')
        for column in self.column:
            if column.fallback_for and column.fallback_for not in names:
                raise ValueError(
                    f'column {column.name}: fallback_for names "{column.fallback_for}", '
                    "which is no column of this table"
                )
            if column.clock and not self.scalar:
                raise ValueError(f"column {column.name}: only a scalar table has clocks")
        if not self.scalar and all(column.augments for column in self.column):
            raise ValueError("every column augments another table: nothing tells which rows exist")
        return self

    @property
    def numbers(self) -> tuple[ColumnSpec, ...]:
        """Return the columns read at every look: counters first, clocks left out."""
        told = [c for c in self.column if c.kind is not Kind.TEXT and not c.clock]
        return tuple(sorted(told, key=lambda c: c.kind not in COUNTERS))

    @property
    def clocks(self) -> tuple[ColumnSpec, ...]:
        """Return the columns that are the device's clocks."""
        return tuple(column for column in self.column if column.clock)

    @property
    def texts(self) -> tuple[ColumnSpec, ...]:
        """Return the columns of text: read when the rows are learnt, not at every look."""
        return tuple(column for column in self.column if column.kind is Kind.TEXT)

    @property
    def walked(self) -> tuple[ColumnSpec, ...]:
        """Return the columns walked to learn the rows: the texts, and one that defines rows."""
        own = tuple(c for c in self.texts if not c.augments)
        first = () if own else (next(c for c in self.column if not c.augments),)
        return first + self.texts


class TablesFile(BaseModel):
    """tables.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: tuple[TableSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [table.name for table in self.table]
        for what in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"table {what} is given twice")
        return self

    def by_name(self) -> Mapping[str, TableSpec]:
        """Return the tables by their name, in file order."""
        return {table.name: table for table in self.table}
