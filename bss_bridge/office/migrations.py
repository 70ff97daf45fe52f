"""The office's schema, step by step. A released step is never changed: the next one follows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from netopsd.errors import StoreBroken, StoreTooNew

APPLICATION_ID = 0x6E6F6666  # "noff": PRAGMA application_id of the office's files


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One numbered change; its statements and its version row are one transaction."""

    number: int
    name: str
    statements: tuple[str, ...]


_FIRST = (
    """
CREATE TABLE account (
    id VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    bill_day INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)
    """,
    "CREATE INDEX ix_account_customer ON account (customer)",
    """
CREATE TABLE budget_warning (
    service VARCHAR NOT NULL,
    period VARCHAR NOT NULL,
    burn INTEGER NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    down_s FLOAT NOT NULL,
    at VARCHAR NOT NULL,
    PRIMARY KEY (service, period, burn)
)
    """,
    """
CREATE TABLE care_notice (
    "key" VARCHAR NOT NULL,
    thread VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    impact VARCHAR NOT NULL,
    ticket VARCHAR NOT NULL,
    at VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    PRIMARY KEY ("key")
)
    """,
    "CREATE INDEX ix_care_notice_customer ON care_notice (customer)",
    "CREATE INDEX ix_care_notice_thread ON care_notice (thread)",
    """
CREATE TABLE contact (
    customer VARCHAR NOT NULL,
    place INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    channel VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    PRIMARY KEY (customer, place)
)
    """,
    """
CREATE TABLE credit (
    id VARCHAR NOT NULL,
    violation VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    at VARCHAR NOT NULL,
    covers_from VARCHAR NOT NULL,
    covers_until VARCHAR NOT NULL,
    rate_type VARCHAR NOT NULL,
    is_billed BOOLEAN NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (violation, account)
)
    """,
    "CREATE INDEX ix_credit_account ON credit (account)",
    """
CREATE TABLE customer (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    zone VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    language VARCHAR NOT NULL,
    active BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE dispute (
    id INTEGER NOT NULL,
    "key" VARCHAR NOT NULL,
    topic VARCHAR NOT NULL,
    stream VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    at VARCHAR NOT NULL,
    PRIMARY KEY (id),
    UNIQUE ("key", sha256)
)
    """,
    """
CREATE TABLE outage (
    id VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    starts VARCHAR NOT NULL,
    ends VARCHAR,
    ticket VARCHAR NOT NULL,
    cause VARCHAR NOT NULL,
    planned BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)
    """,
    "CREATE INDEX ix_outage_service ON outage (service)",
    """
CREATE TABLE received (
    "key" VARCHAR NOT NULL,
    topic VARCHAR NOT NULL,
    stream VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    said_at VARCHAR NOT NULL,
    received_at VARCHAR NOT NULL,
    PRIMARY KEY ("key")
)
    """,
    """
CREATE TABLE service (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    monthly_fee_minor INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    active BOOLEAN NOT NULL,
    PRIMARY KEY (id)
)
    """,
    "CREATE INDEX ix_service_account ON service (account)",
    """
CREATE TABLE sla_violation (
    id VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    period VARCHAR NOT NULL,
    tier INTEGER NOT NULL,
    below VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    availability VARCHAR NOT NULL,
    credit_share VARCHAR NOT NULL,
    down_s FLOAT NOT NULL,
    budget_s FLOAT NOT NULL,
    detected_at VARCHAR NOT NULL,
    outage VARCHAR NOT NULL,
    alarms VARCHAR NOT NULL,
    samples_sha256 VARCHAR NOT NULL,
    ticket VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    PRIMARY KEY (id)
)
    """,
    "CREATE INDEX ix_sla_violation_service ON sla_violation (service)",
    """
CREATE TABLE ticket_reference (
    id VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    priority INTEGER NOT NULL,
    services VARCHAR NOT NULL,
    opened_at VARCHAR NOT NULL,
    changed_at VARCHAR NOT NULL,
    PRIMARY KEY (id)
)
    """,
    """
CREATE TABLE usage_record (
    "key" VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    sequence INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    service VARCHAR NOT NULL,
    resource VARCHAR NOT NULL,
    customer VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    starts VARCHAR NOT NULL,
    ends VARCHAR NOT NULL,
    in_octets INTEGER NOT NULL,
    out_octets INTEGER NOT NULL,
    completeness VARCHAR NOT NULL,
    gaps VARCHAR NOT NULL,
    reconstructed BOOLEAN NOT NULL,
    status VARCHAR NOT NULL,
    PRIMARY KEY ("key")
)
    """,
    "CREATE INDEX usage_record_service ON usage_record (service, starts)",
    "CREATE INDEX usage_record_source ON usage_record (source, sequence)",
)
STEPS: tuple[Step, ...] = (Step(number=1, name="first", statements=_FIRST),)
_VERSIONS = "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last step taken, 0 for an empty database."""
    found = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'migration'"
    if not connection.execute(found).fetchone()[0]:
        return 0
    (number,) = connection.execute("SELECT max(number) FROM migration").fetchone()
    return int(number or 0)


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> int:
    """Take every step not taken yet and return the version reached.

    A process that dies in a step leaves the database as it was before that step. Raises
    StoreTooNew, having touched nothing, where a newer netopsd has been at work, and StoreBroken
    where the file is another program's.
    """
    check(connection, steps)
    for step in steps:
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back and raises
            if version(connection) >= step.number:
                continue
            connection.execute(_VERSIONS)
            for statement in step.statements:
                connection.execute(statement)
            connection.execute("INSERT INTO migration VALUES (?, ?)", (step.number, step.name))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    return version(connection)


def check(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Raise StoreTooNew or StoreBroken where this program must not touch the database."""
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if owner not in (0, APPLICATION_ID) or (owner == 0 and _in_use(connection)):
        raise StoreBroken("this database is not the office's: another program made it")
    found, known = version(connection), steps[-1].number
    if found > known:
        raise StoreTooNew(f"the office's database has schema {found}; this netopsd knows {known}")


def _in_use(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
