"""The office's rows. A row is never a domain value: nothing outside `office` sees one.

Money is an integer of minor units, octets are integers, shares and fees are text; times are ISO
8601 UTC text with microseconds, which sorts as time does. Numbered migrations make the tables; a
test holds them equal to these classes.
"""

from __future__ import annotations

from sqlalchemy.orm import registry
from sqlmodel import Field, Index, SQLModel, UniqueConstraint


class Row(SQLModel, registry=registry()):
    """Base of the office's tables, which share no metadata with those of the daemon's store."""

    model_config = {"defer_build": True}  # never validated, so pydantic need not learn how


class Received(Row, table=True):
    """Every message ever taken. Its key is permanent: a repeat is known years later."""

    __tablename__ = "received"
    key: str = Field(primary_key=True)
    topic: str
    stream: str
    sha256: str
    said_at: str
    received_at: str


class Dispute(Row, table=True):
    """A message whose key was taken with another content, or whose content collides: not booked."""

    __tablename__ = "dispute"
    __table_args__ = (UniqueConstraint("key", "sha256"),)
    id: int | None = Field(default=None, primary_key=True)
    key: str
    topic: str
    stream: str
    sha256: str
    body: str
    why: str
    at: str


class CustomerRow(Row, table=True):
    """A customer, as configured. `active` is False once it left the configuration."""

    __tablename__ = "customer"
    id: str = Field(primary_key=True)
    name: str
    zone: str
    currency: str
    language: str
    active: bool = True


class ContactRow(Row, table=True):
    """How care reaches a customer."""

    __tablename__ = "contact"
    customer: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    name: str
    channel: str
    address: str


class AccountRow(Row, table=True):
    """Who pays."""

    __tablename__ = "account"
    id: str = Field(primary_key=True)
    customer: str = Field(index=True)
    name: str
    bill_day: int
    active: bool = True


class ServiceRow(Row, table=True):
    """What a customer buys."""

    __tablename__ = "service"
    id: str = Field(primary_key=True)
    name: str
    customer: str
    account: str = Field(index=True)
    currency: str
    monthly_fee_minor: int
    target: str
    active: bool = True


class UsageRow(Row, table=True):
    """Octets of one port of one service in one slot (TMF635, status received)."""

    __tablename__ = "usage_record"
    __table_args__ = (
        Index("usage_record_source", "source", "sequence"),
        Index("usage_record_service", "service", "starts"),
    )
    key: str = Field(primary_key=True)
    source: str  # "{service}|{resource}"
    sequence: int
    revision: int
    service: str
    resource: str
    customer: str
    account: str
    starts: str
    ends: str
    in_octets: int
    out_octets: int
    completeness: str
    gaps: str  # JSON list
    reconstructed: bool
    status: str = "received"


class ViolationRow(Row, table=True):
    """A broken promise with its evidence. Never deleted."""

    __tablename__ = "sla_violation"
    id: str = Field(primary_key=True)
    service: str = Field(index=True)
    customer: str
    account: str
    period: str
    tier: int
    below: str
    target: str
    availability: str
    credit_share: str
    down_s: float
    budget_s: float
    detected_at: str
    outage: str
    alarms: str  # JSON list
    samples_sha256: str
    ticket: str
    state: str = "confirmed"


class CreditRow(Row, table=True):
    """A TMF678 AppliedCustomerBillingRate of type appliedBillingCredit."""

    __tablename__ = "credit"
    __table_args__ = (UniqueConstraint("violation", "account"),)
    id: str = Field(primary_key=True)
    violation: str
    account: str = Field(index=True)
    customer: str
    service: str
    amount_minor: int
    currency: str
    name: str
    why: str
    at: str
    covers_from: str
    covers_until: str
    rate_type: str = "appliedBillingCredit"
    is_billed: bool = False


class CareNoticeRow(Row, table=True):
    """What care was told. `body` is the notice itself, JSON."""

    __tablename__ = "care_notice"
    key: str = Field(primary_key=True)
    thread: str = Field(index=True)
    state: str
    customer: str = Field(index=True)
    account: str
    service: str
    subject: str
    impact: str
    ticket: str
    at: str
    body: str


class OutageRow(Row, table=True):
    """One outage of one service (TMF656)."""

    __tablename__ = "outage"
    id: str = Field(primary_key=True)
    service: str = Field(index=True)
    customer: str
    account: str
    starts: str
    ends: str | None = None
    ticket: str
    cause: str
    planned: bool


class TicketRow(Row, table=True):
    """A reference to a trouble ticket (TMF621) and where it stands."""

    __tablename__ = "ticket_reference"
    id: str = Field(primary_key=True)
    title: str
    status: str
    severity: str
    priority: int
    services: str  # JSON list
    opened_at: str
    changed_at: str


class BudgetWarningRow(Row, table=True):
    """A service that used up this share of its month's downtime budget."""

    __tablename__ = "budget_warning"
    service: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    burn: int = Field(primary_key=True)
    customer: str
    account: str
    down_s: float
    at: str
