"""Version 3: whether people were told of an alarm; which tier of a promise is broken, not how many.

Until now nobody noted who was told. What stands for itself was told, by and large; what is
explained or planned was told where that came later than the alarm, which its history says. A
"cleared" too many does no harm; one too few leaves an alarm standing at the receivers for ever.
Violations say which tiers were broken.
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

# Not in quotes: SQLite takes a quoted name that is no column for a text.
_NAMES = """
    key, resource_device, resource_table, resource_row, alarm, qualifier, type, severity,
    probable_cause, text, why, phase, occurrence, since, raised_at, cleared_at, changed_at, source,
    count, acked_by, acked_at, shelved_until, shelved_by, flapping, flap_weight, flap_at, root,
    maintenance
"""
_ANNOUNCED = """
    (root = '' AND maintenance = '') OR EXISTS (
        SELECT 1 FROM alarm_changes AS marked
        WHERE marked.alarm = alarms_before.key
        AND marked.occurrence = alarms_before.occurrence
        AND marked.what IN ('suppressed', 'maintenance')
        AND marked.at > alarms_before.raised_at
    )
"""

# A column added to a table stands behind its constraints: made anew, the table is as declared.
STATEMENTS = (
    "ALTER TABLE alarms RENAME TO alarms_before",
    """
    CREATE TABLE alarms (
        "key" VARCHAR NOT NULL,
        resource_device VARCHAR NOT NULL,
        resource_table VARCHAR NOT NULL,
        resource_row VARCHAR NOT NULL,
        alarm VARCHAR NOT NULL,
        qualifier VARCHAR NOT NULL,
        type VARCHAR NOT NULL,
        severity VARCHAR NOT NULL,
        probable_cause VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        phase VARCHAR NOT NULL,
        occurrence INTEGER NOT NULL,
        since INTEGER NOT NULL,
        raised_at INTEGER,
        cleared_at INTEGER,
        changed_at INTEGER NOT NULL,
        source VARCHAR NOT NULL,
        count INTEGER NOT NULL,
        acked_by VARCHAR NOT NULL,
        acked_at INTEGER,
        shelved_until INTEGER,
        shelved_by VARCHAR NOT NULL,
        flapping BOOLEAN NOT NULL,
        flap_weight FLOAT NOT NULL,
        flap_at INTEGER,
        root VARCHAR NOT NULL,
        maintenance VARCHAR NOT NULL,
        announced BOOLEAN NOT NULL,
        PRIMARY KEY ("key")
    )
    """,
    f"""
    INSERT INTO alarms ({_NAMES}, announced)
    SELECT {_NAMES}, {_ANNOUNCED} FROM alarms_before ORDER BY rowid
    """,
    "DROP TABLE alarms_before",
    "CREATE INDEX alarms_device ON alarms (resource_device)",
    "CREATE INDEX alarms_open ON alarms (severity) WHERE phase != 'cleared'",
    "ALTER TABLE sla_periods RENAME TO sla_periods_before",
    """
    CREATE TABLE sla_periods (
        service VARCHAR NOT NULL,
        period VARCHAR NOT NULL,
        starts INTEGER NOT NULL,
        ends INTEGER NOT NULL,
        target VARCHAR NOT NULL,
        up_s FLOAT NOT NULL,
        down_s FLOAT NOT NULL,
        unknown_s FLOAT NOT NULL,
        excused_s FLOAT NOT NULL,
        burn_told INTEGER NOT NULL,
        tiers_broken INTEGER NOT NULL,
        broken_below VARCHAR,
        credited VARCHAR NOT NULL,
        PRIMARY KEY (service, period)
    )
    """,
    """
    INSERT INTO sla_periods
    SELECT service, period, starts, ends, target, up_s, down_s, unknown_s, excused_s, burn_told,
    tiers_broken, NULL, '0' FROM sla_periods_before ORDER BY rowid
    """,
    "DROP TABLE sla_periods_before",
    "CREATE INDEX sla_periods_ends ON sla_periods (ends)",
    "CREATE INDEX sla_periods_starts ON sla_periods (starts)",
)


def apply(connection: sqlite3.Connection) -> None:
    """Make the tables of alarms and of SLA periods anew, with the columns that version 3 adds."""
    for statement in STATEMENTS:
        connection.execute(statement)
    broken: dict[tuple[Any, Any], list[tuple[Decimal, Decimal]]] = {}
    for service, period, below, share in connection.execute(
        "SELECT service, period, below, credit_share FROM violations"
    ):
        broken.setdefault((service, period), []).append((Decimal(below), Decimal(share)))
    connection.executemany(
        "UPDATE sla_periods SET broken_below = ?, credited = ? WHERE service = ? AND period = ?",
        [
            (str(min(below for below, _ in tiers)), str(sum(share for _, share in tiers)), *of)
            for of, tiers in broken.items()
        ],
    )
