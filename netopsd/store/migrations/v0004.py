"""Version 4: whose the open slot of a meter is, and how fast its port was at the last sample.

Until now that was whoever had the service when the slot was told. What was told last says whose the
service was; of a meter that told nothing yet nobody knows. The speed is not known until it is read.
"""

from __future__ import annotations

import sqlite3

LAST_TOLD = """
    coalesce((
        SELECT {column} FROM usage_records AS told
        WHERE told.service = was.service AND told.resource_device = was.resource_device
            AND told.resource_table = was.resource_table AND told.resource_row = was.resource_row
        ORDER BY told.starts DESC LIMIT 1
    ), '')
"""
STATEMENTS = (
    "ALTER TABLE meters RENAME TO meters_before",
    """
    CREATE TABLE meters (
        service VARCHAR NOT NULL,
        resource VARCHAR NOT NULL,
        resource_device VARCHAR NOT NULL,
        resource_table VARCHAR NOT NULL,
        resource_row VARCHAR NOT NULL,
        customer VARCHAR NOT NULL,
        account VARCHAR NOT NULL,
        handed_over INTEGER,
        at INTEGER NOT NULL,
        in_octets VARCHAR NOT NULL,
        out_octets VARCHAR NOT NULL,
        width INTEGER NOT NULL,
        speed FLOAT NOT NULL,
        clock_ticks INTEGER,
        discontinuity FLOAT,
        slot INTEGER NOT NULL,
        slot_in VARCHAR NOT NULL,
        slot_out VARCHAR NOT NULL,
        slot_covered_s FLOAT NOT NULL,
        slot_gaps VARCHAR NOT NULL,
        slot_reconstructed BOOLEAN NOT NULL,
        sequence INTEGER NOT NULL,
        opened_at INTEGER NOT NULL,
        PRIMARY KEY (service, resource)
    )
    """,
    f"""
    INSERT INTO meters
    SELECT service, resource, resource_device, resource_table, resource_row,
        {LAST_TOLD.format(column="customer")}, {LAST_TOLD.format(column="account")}, NULL,
        at, in_octets, out_octets, width, 0.0, clock_ticks, discontinuity, slot, slot_in, slot_out,
        slot_covered_s, slot_gaps, slot_reconstructed, sequence, opened_at
    FROM meters_before AS was ORDER BY rowid
    """,
    "DROP TABLE meters_before",
)


def apply(connection: sqlite3.Connection) -> None:
    """Make the table of meters anew, with an owner and a speed for each."""
    for statement in STATEMENTS:
        connection.execute(statement)
