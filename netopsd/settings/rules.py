"""rules.toml: what counts as wrong, what traps mean, and the numbers that shape judgement."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from netopsd.core.beliefs import AlarmType, Severity
from netopsd.core.inventory import EventRule, Policy, Take, Threshold
from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.words import Bool, Name, Number, Pattern, Period, Seconds, Text

OID = re.compile(r"[0-2](\.\d{1,10}){1,127}\Z")
YANG = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*:[A-Za-z_][A-Za-z0-9_.:/-]*\Z")


def event_name(value: str) -> str:
    if not OID.match(value) and not YANG.match(value):
        raise ValueError(
            'neither an OID ("1.3.6.1.6.3.1.1.5.3") nor a YANG name ("module:notification")'
        )
    return value


def raisable(value: Severity) -> Severity:
    if value is Severity.CLEARED:
        raise ValueError("an alarm cannot be raised as cleared")
    return value


Table = dict[str, Any]
Raised = Annotated[Severity, AfterValidator(raisable)]
Level = Annotated[StrictInt, Field(ge=1, le=1000)]


class ThresholdRow(BaseModel):
    """One [[threshold]]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alarm: Name = Field(description='"link-down"')
    table: Name = Field(description='"if"')
    column: Name = Field(description='"ifOperStatus"')
    take: Take = Take.VALUE
    bad: tuple[Number, ...] = ()
    raise_above: Number | None = None
    raise_below: Number | None = None
    clear_at: Number | None = None
    scale: Number = 1.0
    per: Name | None = None
    only_when: dict[Name, Number] = {}
    only_rows: Pattern = ""
    only_labels: dict[Name, Pattern] = {}
    hold: Seconds = 0.0
    severity: Raised = Severity.MAJOR
    type: AlarmType = AlarmType.COMMUNICATIONS
    probable_cause: Text = "unknown"
    text: Text = ""


class EventRow(BaseModel):
    """One [[event]]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[StrictStr, AfterValidator(event_name)] = Field(
        description='"1.3.6.1.6.3.1.1.5.3", the OID of the trap'
    )
    title: Text = ""  # for people who read the file: linkDown
    alarm: Name | None = None
    clears: Name | None = None
    table: Name | None = None
    row_from: Annotated[StrictStr, AfterValidator(event_name)] | None = None
    only_when: dict[Annotated[StrictStr, AfterValidator(event_name)], Pattern] = {}
    severity: Raised = Severity.MAJOR
    type: AlarmType = AlarmType.COMMUNICATIONS
    probable_cause: Text = "unknown"
    text: Text = ""
    verify_after: tuple[Seconds, ...] = (0.0, 60.0)
    momentary: Bool = False
    momentary_for: Period = 300.0


class PolicyTable(BaseModel):
    """[policy]. What is not written keeps its shipped value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unreachable_after: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    unreachable_severity: Raised | None = None
    silent_after: Period | None = None
    isolation_devices: Annotated[StrictInt, Field(ge=2, le=100000)] | None = None
    flap_raise: Annotated[Number, Field(gt=1, le=1e6)] | None = None
    flap_clear: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    flap_half_life: Period | None = None
    alarms_per_device: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    ticket_hold: Seconds | None = None
    ticket_severity: Raised | None = None
    ticket_reopen: Seconds | None = None
    ticket_close: Seconds | None = None
    burn_warnings: tuple[Level, ...] | None = None
    state_holds: Period | None = None
    usage_interval: Annotated[Period, Field(ge=1, le=86400)] | None = None
    checkpoint: Period | None = None
    max_rate_over_speed: Annotated[Number, Field(ge=1, le=100)] | None = None


class RulesFile(BaseModel):
    """rules.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: tuple[Table, ...] = ()
    event: tuple[Table, ...] = ()
    policy: Table = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What one table offers to rules."""

    counters: frozenset[str]
    gauges: frozenset[str]
    labels: frozenset[str]

    def words(self) -> list[str]:
        return sorted(self.counters | self.gauges)


def build_policy(table: PolicyTable, source: Source, problems: Problems) -> Policy:
    """Return the policy; a flap threshold that cannot let go and an odd slot length are noted."""
    given: dict[str, Any] = {}
    for key in table.model_fields_set:
        value = getattr(table, key)
        given[key if key in Policy.__dataclass_fields__ else f"{key}_s"] = value
    if "usage_interval_s" in given:
        given["usage_interval_s"] = _slot(given["usage_interval_s"], source, problems)
    policy = Policy(**given)
    if policy.flap_clear >= policy.flap_raise:
        what = f"must be less than flap_raise, which is {policy.flap_raise:g}"
        problems.add(source, ("policy", "flap_clear"), what)
    if list(policy.burn_warnings) != sorted(set(policy.burn_warnings)):
        problems.add(source, ("policy", "burn_warnings"), "must grow from the first to the last")
    return policy


def _slot(value: float, source: Source, problems: Problems) -> int:
    if value != int(value) or 86400 % int(value):
        what = f"{value:g} s does not divide a day into equal slots"
        problems.add(source, ("policy", "usage_interval"), what, "Use 1m, 5m, 15m or 1h")
    return max(1, int(value))


def build_thresholds(
    rows: Sequence[tuple[int, ThresholdRow]],
    tables: Mapping[str, Columns] | None,
    source: Source,
    problems: Problems,
) -> tuple[Threshold, ...]:
    """Return the thresholds; those that could never be judged are noted."""
    seen: dict[tuple[str, str], int] = {}
    built = []
    for i, row in rows:
        at: KeyPath = ("threshold", i)
        if tables is not None:
            _check_columns(row, tables, (at, source), problems)
        _check_numbers(row, at, source, problems)
        first = seen.setdefault((row.alarm, row.table), i)
        if first != i:
            what = f"alarm {quote(row.alarm)} on table {quote(row.table)} has a threshold already"
            remedy = "Give one of the two another alarm id"
            problems.add(source, (*at, "alarm"), what, remedy)
        built.append(_threshold(row))
    return tuple(built)


def _threshold(row: ThresholdRow) -> Threshold:
    return Threshold(
        alarm=row.alarm,
        table=row.table,
        column=row.column,
        take=row.take,
        bad=frozenset(row.bad),
        raise_above=row.raise_above,
        raise_below=row.raise_below,
        clear_at=row.clear_at,
        scale=row.scale,
        per=row.per or "",
        only_when=tuple(sorted(row.only_when.items())),
        only_rows=row.only_rows,
        only_labels=tuple(sorted(row.only_labels.items())),
        hold_s=row.hold,
        severity=row.severity,
        type=row.type,
        probable_cause=row.probable_cause,
        text=row.text,
    )


def _check_columns(
    row: ThresholdRow,
    tables: Mapping[str, Columns],
    where: tuple[KeyPath, Source],
    problems: Problems,
) -> None:
    at, source = where
    columns = tables.get(row.table)
    if columns is None:
        what = f"unknown table {quote(row.table)}"
        problems.unknown(source, (*at, "table"), what, row.table, list(tables))
        return
    if row.column not in columns.counters | columns.gauges:
        what = f"table {quote(row.table)} has no column {quote(row.column)}"
        problems.unknown(source, (*at, "column"), what, row.column, columns.words())
    elif row.take is Take.VALUE and row.column in columns.counters:
        remedy = 'Write take = "rate" (per second) or take = "delta" (since the last look)'
        what = f"{row.column} is a counter: its value by itself says nothing"
        problems.add(source, (*at, "take"), what, remedy)
    elif row.take is not Take.VALUE and row.column in columns.gauges:
        what = f"{row.column} is not a counter and has no {row.take}"
        problems.add(source, (*at, "take"), what, 'Write take = "value"')
    for key, words in (("per", [row.per] if row.per else []), ("only_when", list(row.only_when))):
        for word in words:
            if word not in columns.gauges:
                what = f"table {quote(row.table)} has no gauge {quote(word)}"
                problems.unknown(source, (*at, key), what, word, sorted(columns.gauges))
    for label in row.only_labels:
        if label not in columns.labels:
            what = f"table {quote(row.table)} has no label {quote(label)}"
            problems.unknown(source, (*at, "only_labels"), what, label, sorted(columns.labels))
    words = sorted({"device", "row", "value", *columns.labels})
    check_text(row.text, words, (*at, "text"), source, problems)


def check_text(
    text: str, words: Sequence[str], at: KeyPath, source: Source, problems: Problems
) -> None:
    """Note places in braces that nothing will fill."""
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in words:
            what = f"nothing is called {{{name}}} here"
            problems.unknown(source, at, what, name, words)


def _check_numbers(row: ThresholdRow, at: KeyPath, source: Source, problems: Problems) -> None:
    above, below, clear = row.raise_above, row.raise_below, row.clear_at
    if not row.bad and above is None and below is None:
        what = "says nothing about when it is bad"
        problems.add(source, at, what, "Write bad = [2], raise_above = … or raise_below = …")
    if above is not None and below is not None and below >= above:
        what = f"raise_below {below:g} must be less than raise_above {above:g}"
        problems.add(source, (*at, "raise_below"), what)
    if clear is None:
        return
    if above is None and below is None:
        what = "only goes with raise_above or raise_below"
        problems.add(source, (*at, "clear_at"), what, "Remove it")
    if above is not None and clear > above:
        problems.add(source, (*at, "clear_at"), f"must be at most raise_above, {above:g}")
    if below is not None and clear < below:
        problems.add(source, (*at, "clear_at"), f"must be at least raise_below, {below:g}")


def build_events(
    rows: Sequence[tuple[int, EventRow]],
    alarms: Sequence[str],
    tables: Sequence[str] | None,
    source: Source,
    problems: Problems,
) -> tuple[EventRule, ...]:
    """Return the event rules. `alarms` are the ids that thresholds and netopsd itself raise."""
    known = sorted({*alarms, *(row.alarm for _, row in rows if row.alarm)})
    ending = {*alarms, *(row.clears for _, row in rows)}
    built = []
    for i, row in rows:
        at: KeyPath = ("event", i)
        if row.clears and row.clears not in known:
            what = f"no rule raises alarm {quote(row.clears)}"
            problems.unknown(source, (*at, "clears"), what, row.clears, known)
        if row.table and tables is not None and row.table not in tables:
            what = f"unknown table {quote(row.table)}"
            problems.unknown(source, (*at, "table"), what, row.table, tables)
        if bool(row.table) != bool(row.row_from):
            lacking = "row_from" if row.table else "table"
            what = "table and row_from go together: which row of which table the event is about"
            problems.add(source, (*at, lacking), "missing", f"{what[:1].upper()}{what[1:]}")
        check_text(row.text, ("device", "row", "source"), (*at, "text"), source, problems)
        if row.alarm and not row.momentary and row.alarm not in ending:
            what = f"nothing would ever end alarm {quote(row.alarm)}"
            remedy = "Write momentary = true, a [[threshold]] or an [[event]] that clears it"
            problems.add(source, (*at, "alarm"), what, remedy)
        built.append(_event(row))
    return tuple(built)


def _event(row: EventRow) -> EventRule:
    return EventRule(
        name=row.name,
        title=row.title,
        alarm=row.alarm or "",
        clears=row.clears or "",
        table=row.table or "",
        row_from=row.row_from or "",
        only_when=tuple(sorted(row.only_when.items())),
        severity=row.severity,
        type=row.type,
        probable_cause=row.probable_cause,
        text=row.text,
        verify_after_s=row.verify_after,
        momentary=row.momentary,
        momentary_s=row.momentary_for,
    )
