"""What to read, as data: the views of yang.toml, and what they become before the first reply."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from collectors.netconf.errors import BadRequest
from collectors.netconf.operations import to_filter
from netopsd.core.model import Kind

COUNTERS = (Kind.COUNTER32, Kind.COUNTER64)
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
_STEP = r"(?:[A-Za-z_][\w.-]*:)?[A-Za-z_][\w.-]*"
Path = Annotated[str, Field(pattern=rf"^{_STEP}(?:/{_STEP})*$", max_length=512)]


def _several(said: object) -> object:
    return (said,) if isinstance(said, str) else said


Paths = Annotated[tuple[Path, ...], BeforeValidator(_several)]


class ColumnSpec(BaseModel):
    """One number of a row. `name` is the metric's name: SNMP's where the meaning is the same.

    `values` maps an enumeration or identity (its prefix left out) to SNMP's number. `time` reads a
    date-and-time as hundredths of a second since 1970.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    path: Path
    kind: Kind
    values: dict[str, float] = Field(default_factory=dict)
    scale: float = 1.0
    time: bool = False
    optional: bool = False  # its absence is no error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind is Kind.TEXT:
            raise ValueError(f"column {self.name}: a text is a label or a fact, not a column")
        if self.kind in COUNTERS and (self.values or self.time or self.scale != 1.0):
            raise ValueError(f"column {self.name}: a counter is taken as it is")
        return self


class TableSpec(BaseModel):
    """One table: where its rows are, and which leaves of a row are what.

    `rows` is the path of the list from the data element, the others are paths from a row. `key`
    names the row (several leaves are joined by "|"). `index` is the row's number in SNMP's table.
    Rows without the leaf `where` are passed over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    rows: Path
    key: Paths = Field(min_length=1)
    index: Path | None = None
    where: Path | None = None
    labels: dict[Name, Paths] = Field(default_factory=dict)  # the first leaf that is not empty
    column: tuple[ColumnSpec, ...] = Field(min_length=1, max_length=200)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [column.name for column in self.column] + list(self.labels)
        for twice in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"table {self.name}: {twice} is given twice")
        return self


class ClockSpec(BaseModel):
    """Where the device says when it booted and what time it is; gives hrSystemUptime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    boot: Path
    now: Path


class ViewSpec(BaseModel):
    """One question to a device and what its answer means.

    Steps of paths without a prefix are in `namespace`; `namespaces` gives the prefixes. `module`
    keeps the question from devices that announce their modules and do not have this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    operation: Literal["get", "get-data", "get-config"] = "get-data"
    module: str = Field(default="", max_length=128)
    namespace: str = Field(min_length=1, max_length=512)
    namespaces: dict[Name, str] = Field(default_factory=dict)
    filter: str = Field(default="", max_length=65536)  # subtree
    xpath: str = Field(default="", max_length=4096)
    table: tuple[TableSpec, ...] = ()
    facts: dict[Name, Path] = Field(default_factory=dict)
    clock: ClockSpec | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.filter and not self.xpath:
            raise ValueError(f"view {self.name} needs a filter or an xpath")
        if not self.table and not self.facts and self.clock is None:
            raise ValueError(f"view {self.name} reads nothing: no table, facts or clock")
        try:
            to_filter(self.filter)
            Plan.of(self)
        except BadRequest as error:
            raise ValueError(f"view {self.name}: {error}") from None
        return self


class EventSpec(BaseModel):
    """What one notification says of an alarm that its sender keeps.

    `name` is MODULE:NOTIFICATION. `row` is the leaf that names a row of `table`; without one the
    alarm is the device's. `when` restricts it to notifications whose leaves match (regular
    expressions). Notifications without an EventSpec are left to the rules.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=rf"^{_STEP}$", max_length=256)
    alarm: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")
    severity: Literal["critical", "major", "minor", "warning", "indeterminate", "cleared"]
    table: str = ""
    row: str = ""
    when: dict[str, str] = Field(default_factory=dict)
    text: str = Field(default="", max_length=1024)  # may use {device} {row}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.table) != bool(self.row):
            raise ValueError(f"event {self.name}: table and row go together")
        for pattern in self.when.values():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"event {self.name}: when: {pattern!r}: {error}") from None
        return self


class ResourceSpec(BaseModel):
    """How an instance-identifier of ietf-alarms names a row: `pattern` has one group, the row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Name
    pattern: str = Field(max_length=512)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"resource {self.table}: {self.pattern!r}: {error}") from None
        if groups != 1:
            raise ValueError(f"resource {self.table}: the pattern needs one group, the row's name")
        return self


class ViewsFile(BaseModel):
    """yang.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: tuple[ViewSpec, ...] = ()
    event: tuple[EventSpec, ...] = ()
    resource: tuple[ResourceSpec, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [view.name for view in self.view]
        for twice in {name for name in names if names.count(name) > 1}:
            raise ValueError(f"view {twice} is given twice")
        return self


Trie = dict[str, Any]  # tag → Trie, or a tuple of slots where a leaf is wanted


@dataclass(frozen=True, slots=True, eq=False)
class TablePlan:
    """A table with its paths as tags. Slot i of a row is the text of the i-th wanted leaf."""

    spec: TableSpec
    tag: str  # of a row
    above: tuple[str, ...]  # tags from the data element to the row's parent
    trie: Trie
    slots: int
    key: tuple[int, ...]
    index: int
    where: int
    labels: tuple[tuple[int, ...], ...]
    columns: tuple[int, ...]

    @staticmethod
    def of(spec: TableSpec, view: ViewSpec) -> TablePlan:
        """Return the plan of `spec`. Raises BadRequest where a prefix is unknown."""
        wanted: dict[tuple[str, ...], int] = {}

        def slot(path: str) -> int:
            return wanted.setdefault(tags(path, view), len(wanted))

        key = tuple(map(slot, spec.key))
        index = slot(spec.index) if spec.index else -1
        where = slot(spec.where) if spec.where else -1
        labels = tuple(tuple(map(slot, paths)) for paths in spec.labels.values())
        columns = tuple(slot(column.path) for column in spec.column)
        rows = tags(spec.rows, view)
        return TablePlan(
            spec=spec,
            tag=rows[-1],
            above=rows[:-1],
            trie=_trie(wanted),
            slots=len(wanted),
            key=key,
            index=index,
            where=where,
            labels=labels,
            columns=columns,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A view ready to be asked and read."""

    spec: ViewSpec
    tables: tuple[TablePlan, ...]
    facts: dict[str, str] = field(default_factory=dict)  # name → ElementPath from data
    boot: str = ""
    now: str = ""

    @property
    def rows(self) -> frozenset[str]:
        """The tags of all rows."""
        return frozenset(table.tag for table in self.tables)

    @staticmethod
    def of(view: ViewSpec, leave: frozenset[str] = frozenset()) -> Plan:
        """Return the plan of `view` without the tables in `leave`. Raises BadRequest."""
        clock = view.clock
        return Plan(
            spec=view,
            tables=tuple(TablePlan.of(t, view) for t in view.table if t.name not in leave),
            facts={name: "/".join(tags(path, view)) for name, path in view.facts.items()},
            boot="/".join(tags(clock.boot, view)) if clock else "",
            now="/".join(tags(clock.now, view)) if clock else "",
        )


def tags(path: str, view: ViewSpec) -> tuple[str, ...]:
    """Return the qualified tags of the steps of `path`. Raises BadRequest."""
    found = []
    for step in path.split("/"):
        prefix, colon, name = step.rpartition(":")
        namespace = view.namespaces.get(prefix) if colon else view.namespace
        if namespace is None:
            raise BadRequest(f"path {path}: the prefix {prefix} is not in namespaces")
        found.append(f"{{{namespace}}}{name}")
    return tuple(found)


def _trie(wanted: dict[tuple[str, ...], int]) -> Trie:
    root: Trie = {}
    for path, slot in wanted.items():
        here = root
        for tag in path[:-1]:
            here = here.setdefault(tag, {})
            if isinstance(here, int):
                raise BadRequest(f"{'/'.join(path)} goes through a leaf")
        if path[-1] in here:
            raise BadRequest(f"{'/'.join(path)} is a leaf and goes on")
        here[path[-1]] = slot
    return root


def strip_prefix(text: str) -> str:
    """Return an identity or enumeration without its module prefix and white space."""
    return re.sub(r"^\s*(?:[A-Za-z_][\w.-]*:)?", "", text, count=1).rstrip()
