"""Version 2: service orders, their items and history, and the services active because of them."""

from __future__ import annotations

import sqlite3

STATEMENTS = (
    """
    CREATE TABLE ordered_services (
        id VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        service VARCHAR NOT NULL,
        terms VARCHAR,
        template VARCHAR NOT NULL,
        endpoints VARCHAR NOT NULL,
        "order" VARCHAR NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE service_order_items (
        "order" VARCHAR NOT NULL,
        number VARCHAR NOT NULL,
        action VARCHAR NOT NULL,
        service VARCHAR NOT NULL,
        template VARCHAR NOT NULL,
        endpoints VARCHAR NOT NULL,
        leaving VARCHAR NOT NULL,
        definition VARCHAR,
        terms VARCHAR,
        state VARCHAR NOT NULL,
        step VARCHAR NOT NULL,
        attempt INTEGER NOT NULL,
        saved VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY ("order", number)
    )
    """,
    """
    CREATE TABLE service_order_notes (
        id INTEGER NOT NULL,
        "order" VARCHAR NOT NULL,
        item VARCHAR NOT NULL,
        at INTEGER NOT NULL,
        "by" VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    'CREATE INDEX service_order_notes_order ON service_order_notes ("order", id)',
    """
    CREATE TABLE service_orders (
        id VARCHAR NOT NULL,
        description VARCHAR NOT NULL,
        sha256 VARCHAR NOT NULL,
        items VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        "before" VARCHAR NOT NULL,
        why VARCHAR NOT NULL,
        placed_by VARCHAR NOT NULL,
        placed_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX service_orders_placed ON service_orders (placed_at)",
)


def apply(connection: sqlite3.Connection) -> None:
    """Make every table and index that version 2 adds."""
    for statement in STATEMENTS:
        connection.execute(statement)
