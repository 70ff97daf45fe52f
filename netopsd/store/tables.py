"""Every table, as SQLModel classes: the schema, and nothing that behaves.

How values are kept:
- a time is an INTEGER, microseconds since 1970-01-01 UTC (exact for every datetime);
- a Decimal is TEXT, digit for digit (SQLite has no decimal type and would make it a double);
- octets are TEXT, decimal digits: a uint64 counter does not fit SQLite's signed 64 bits;
- a tuple of texts is TEXT, a JSON array; an enum is its word; a Resource is three columns;
  a value made of values (a service's definition) is TEXT, JSON as plain.py writes it.

Texts are compared byte for byte. One that is not Unicode (lone surrogates from a device's bytes) is
kept as a BLOB of its "surrogatepass" UTF-8. No foreign keys: identities are derived names which
history outlives; the pragma is on for the day one is added.

Indexes marked "where" are partial: they hold only what is open, so they stay small for ever.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class Row(SQLModel):
    """Base of all tables; its metadata is the schema."""

    model_config = {"defer_build": True}  # never validated, so pydantic need not learn how
    metadata: ClassVar[sa.MetaData] = sa.MetaData()
    __tablename__: ClassVar[Any]


class MigrationRow(Row, table=True):
    __tablename__ = "migrations"

    version: int = Field(primary_key=True)
    name: str


class AlarmRow(Row, table=True):
    __tablename__ = "alarms"
    __table_args__ = (
        sa.Index("alarms_open", "severity", sqlite_where=sa.text("phase != 'cleared'")),
        sa.Index("alarms_device", "resource_device"),
    )

    key: str = Field(primary_key=True)
    resource_device: str
    resource_table: str
    resource_row: str
    alarm: str
    qualifier: str
    type: str
    severity: str
    probable_cause: str
    text: str
    why: str
    phase: str
    occurrence: int
    since: int
    raised_at: int | None
    cleared_at: int | None
    changed_at: int
    source: str
    count: int
    acked_by: str
    acked_at: int | None
    shelved_until: int | None
    shelved_by: str
    flapping: bool
    flap_weight: float
    flap_at: int | None
    root: str
    maintenance: str
    announced: bool


class ChangeRow(Row, table=True):
    __tablename__ = "alarm_changes"
    __table_args__ = (
        sa.Index("alarm_changes_alarm", "alarm", "id"),
        sa.Index("alarm_changes_at", "at"),
    )

    id: int | None = Field(primary_key=True)
    alarm: str
    occurrence: int
    at: int
    what: str
    by: str
    why: str
    severity: str


class TicketRow(Row, table=True):
    __tablename__ = "tickets"
    __table_args__ = (
        sa.Index("tickets_status", "status", "opened_at"),
        sa.Index("tickets_cause", "cause"),
    )

    id: str = Field(primary_key=True)
    cause: str
    occurrence: int
    title: str
    status: str
    severity: str
    priority: int
    services: str
    symptoms: int
    opened_at: int
    changed_at: int
    resolved_at: int | None
    why: str


class TicketNoteRow(Row, table=True):
    __tablename__ = "ticket_notes"
    __table_args__ = (
        sa.Index("ticket_notes_ticket", "ticket", "id"),
        sa.Index("ticket_notes_at", "at"),
    )

    id: int | None = Field(primary_key=True)
    ticket: str
    at: int
    by: str
    text: str
    status: str


class DeviceRow(Row, table=True):
    __tablename__ = "devices"

    name: str = Field(primary_key=True)
    reach: str
    since: int | None
    missed: int
    first_missed_at: int | None
    answered_at: int | None
    boots: int
    blind: str


class ServiceRow(Row, table=True):
    __tablename__ = "services"

    service: str = Field(primary_key=True)
    state: str
    since: int
    until: int
    outage: str


class OutageRow(Row, table=True):
    __tablename__ = "outages"
    __table_args__ = (
        sa.Index("outages_open", "id", sqlite_where=sa.text("ends IS NULL")),
        sa.Index("outages_service", "service", "starts"),
    )

    id: str = Field(primary_key=True)
    service: str
    starts: int
    ends: int | None
    uncertainty_s: float
    alarms: str
    excused_s: float
    samples: int
    samples_sha256: str
    why: str
    told: bool


class SlaPeriodRow(Row, table=True):
    __tablename__ = "sla_periods"
    __table_args__ = (
        sa.Index("sla_periods_starts", "starts"),
        sa.Index("sla_periods_ends", "ends"),
    )

    service: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    starts: int
    ends: int
    target: str
    up_s: float
    down_s: float
    unknown_s: float
    excused_s: float
    burn_told: int
    tiers_broken: int
    broken_below: str | None
    credited: str


class ViolationRow(Row, table=True):
    __tablename__ = "violations"
    __table_args__ = (
        sa.Index("violations_service", "service", "period"),
        sa.Index("violations_customer", "customer", "period"),
    )

    id: str = Field(primary_key=True)
    service: str
    customer: str
    account: str
    period: str
    tier: int
    below: str
    credit_share: str
    target: str
    availability: str
    down_s: float
    budget_s: float
    detected_at: int
    outage: str
    outage_starts: int
    alarms: str
    samples_sha256: str
    ticket: str


class MeterRow(Row, table=True):
    __tablename__ = "meters"

    service: str = Field(primary_key=True)
    resource: str = Field(primary_key=True)  # str(Resource): the meter's name in Outcome.meters
    resource_device: str
    resource_table: str
    resource_row: str
    customer: str
    account: str
    handed_over: int | None
    at: int
    in_octets: str
    out_octets: str
    width: int
    speed: float
    clock_ticks: int | None
    discontinuity: float | None
    slot: int
    slot_in: str
    slot_out: str
    slot_covered_s: float
    slot_gaps: str
    slot_reconstructed: bool
    sequence: int
    opened_at: int


class UsageRow(Row, table=True):
    __tablename__ = "usage_records"
    __table_args__ = (
        sa.Index("usage_records_service", "service", "starts"),
        sa.Index("usage_records_customer", "customer", "starts"),
    )

    id: int | None = Field(primary_key=True)
    key: str = Field(unique=True)
    service: str
    customer: str
    account: str
    resource_device: str
    resource_table: str
    resource_row: str
    starts: int
    ends: int
    in_octets: str
    out_octets: str
    covered_s: float
    completeness: str
    gaps: str
    reconstructed: bool
    sequence: int
    revision: int


class SequenceRow(Row, table=True):
    __tablename__ = "sequences"

    name: str = Field(primary_key=True)
    value: int


class OrderRow(Row, table=True):
    __tablename__ = "service_orders"
    __table_args__ = (sa.Index("service_orders_placed", "placed_at"),)

    id: str = Field(primary_key=True)
    description: str
    sha256: str
    items: str
    state: str
    before: str
    why: str
    placed_by: str
    placed_at: int
    changed_at: int


class OrderItemRow(Row, table=True):
    """`endpoints`, `leaving`, `definition`, `terms` and `saved` are JSON, as in plain.py."""

    __tablename__ = "service_order_items"

    order: str = Field(primary_key=True)
    number: str = Field(primary_key=True)
    action: str
    service: str
    template: str
    endpoints: str
    leaving: str
    definition: str | None
    terms: str | None
    state: str
    step: str
    attempt: int
    saved: str
    why: str
    changed_at: int


class OrderNoteRow(Row, table=True):
    __tablename__ = "service_order_notes"
    __table_args__ = (sa.Index("service_order_notes_order", "order", "id"),)

    id: int | None = Field(primary_key=True)
    order: str
    item: str
    at: int
    by: str
    text: str
    state: str


class OrderedRow(Row, table=True):
    """Services that are, or were, active because they were ordered."""

    __tablename__ = "ordered_services"

    id: str = Field(primary_key=True)
    state: str
    service: str  # JSON
    terms: str | None  # JSON
    template: str
    endpoints: str  # JSON
    order: str
    changed_at: int


class EventBatchRow(Row, table=True):
    """Traps and notifications that were committed together (see events.py for the blob)."""

    __tablename__ = "event_batches"
    __table_args__ = (sa.Index("event_batches_last_at", "last_at"),)

    id: int | None = Field(primary_key=True)
    first_at: int
    last_at: int
    count: int  # events in `lines`
    devices: str  # distinct, each between newlines
    sources: str
    names: str
    format: int
    lines: bytes  # zlib over JSON lines


class OutboxRow(Row, table=True):
    """A message: `waiting`, `parked`, or `sent` (the bounded log of what was said to whom).

    `head` marks the oldest waiting message of its (sink, stream): who is due is found among the
    heads alone, however long the queues behind them.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        sa.UniqueConstraint("sink", "key"),
        sa.Index("outbox_heads", "sink", "next_at", sqlite_where=sa.text("head")),
        sa.Index(
            "outbox_waiting", "sink", "stream", "id", sqlite_where=sa.text("state = 'waiting'")
        ),
        sa.Index("outbox_parked", "id", sqlite_where=sa.text("state = 'parked'")),
        sa.Index("outbox_sent", "id", sqlite_where=sa.text("state = 'sent'")),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(primary_key=True)
    sink: str
    key: str
    topic: str
    stream: str
    body: str
    at: int
    next_at: int
    attempts: int
    state: str
    reason: str
    head: bool


class DisputeRow(Row, table=True):
    """The same permanent key with other contents: what we keep, and what we refused."""

    __tablename__ = "disputes"
    __table_args__ = (sa.UniqueConstraint("kind", "sink", "key", "refused_sha256"),)

    id: int | None = Field(primary_key=True)
    kind: str  # usage | message
    sink: str
    key: str
    at: int
    kept: str
    refused: str
    refused_sha256: str
