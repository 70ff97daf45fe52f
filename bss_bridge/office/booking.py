"""How a message becomes rows: each wholly and once. Runs on the writer's thread, inside its
transaction; looks before it writes, so that no constraint ever has to say no.

tables.py is imported with the first message (SQLModel is slow to import): what is configured is
written without it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from bss_bridge.canonical import digest
from bss_bridge.money import to_minor
from bss_bridge.office.stamp import stamp
from bss_bridge.settings import Contract, Customer
from netopsd.errors import Refused
from netopsd.ports import Message

if TYPE_CHECKING:
    from sqlalchemy import Table

    from bss_bridge.office import tables


class Booked(Enum):
    """What became of a message."""

    NEW = "new"
    KNOWN = "known"  # the same key and content was booked before: nothing was added
    DISPUTED = "disputed"  # its key or name was taken with another content: set aside, not booked


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message and the rows it means, read before any transaction began."""

    message: Message
    sha256: str
    rows: Sequence[tables.Row]


def entry(message: Message, rows: Sequence[tables.Row]) -> Entry:
    """Return `message` ready to be booked. Raises Refused for text that is not Unicode."""
    content = "\n".join((message.topic, message.stream, message.body))
    try:
        (message.key + content).encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{message.topic}: a key or body that is not Unicode") from error
    return Entry(message=message, sha256=digest(content), rows=rows)


_REPLACE = {
    # A later message of these says where the same thing stands now; an older one changes nothing.
    # What was said by a clock that was ahead of ours (?) is older than what is said with it right.
    "outage": "starts = min(excluded.starts, starts), ends = coalesce(excluded.ends, ends),"
    " cause = excluded.cause,"
    " ticket = CASE excluded.ticket WHEN '' THEN ticket ELSE excluded.ticket END",
    "ticket_reference": "title = excluded.title, status = excluded.status,"
    " severity = excluded.severity, priority = excluded.priority, services = excluded.services,"
    " changed_at = excluded.changed_at WHERE excluded.changed_at >= changed_at OR changed_at > ?",
    # Messages of one account come in order, so the latest is what is true.
    "service": "name = excluded.name, customer = excluded.customer,"
    " account = excluded.account, currency = excluded.currency,"
    " monthly_fee_minor = excluded.monthly_fee_minor, target = excluded.target,"
    " active = excluded.active",
}


def book(connection: sqlite3.Connection, entry: Entry, at: str) -> Booked:
    """Write `entry` once; return what became of it. Raises only sqlite3.Error."""
    from bss_bridge.office import tables

    message = entry.message
    known = connection.execute(
        "SELECT sha256 FROM received WHERE key = ?", (message.key,)
    ).fetchone()
    if known is not None:
        if known[0] == entry.sha256:
            return Booked.KNOWN
        return _dispute(connection, entry, at, "the same key was received with another content")
    for row in entry.rows:
        why = _collision(connection, row)
        if why:
            return _dispute(connection, entry, at, why)
    received = tables.Received(
        key=message.key,
        topic=message.topic,
        stream=message.stream,
        sha256=entry.sha256,
        said_at=stamp(message.at),
        received_at=at,
    )
    for row in (received, *entry.rows):
        _insert(connection, _table(row).name, _values(row), at)
    return Booked.NEW


def _collision(connection: sqlite3.Connection, row: tables.Row) -> str:
    """Why `row` cannot be booked though its message is new; "" where it can."""
    if _table(row).name in _REPLACE:
        return ""
    for names in _unique(_table(row)):
        where = " AND ".join(f"{name} = ?" for name in names)
        found = connection.execute(
            f"SELECT 1 FROM {_table(row).name} WHERE {where}",
            tuple(getattr(row, name) for name in names),
        ).fetchone()
        if found:
            return f"another message booked the same {_table(row).name} ({', '.join(names)})"
    return ""


def _unique(table: Table) -> Iterable[tuple[str, ...]]:
    yield tuple(column.name for column in table.primary_key.columns)
    for constraint in table.constraints:
        if type(constraint).__name__ == "UniqueConstraint":
            yield tuple(column.name for column in constraint.columns)  # type: ignore[attr-defined]


def _dispute(connection: sqlite3.Connection, entry: Entry, at: str, why: str) -> Booked:
    message = entry.message
    connection.execute(
        "INSERT INTO dispute (key, topic, stream, sha256, body, why, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (message.key, message.topic, message.stream, entry.sha256, message.body, why, at),
    )
    return Booked.DISPUTED


def _values(row: tables.Row) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in _table(row).columns}


def _insert(
    connection: sqlite3.Connection, table: str, values: Mapping[str, Any], now: str
) -> None:
    marks = ", ".join("?" * len(values))
    statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
    changes = _REPLACE.get(table, "")
    if changes:
        statement += f" ON CONFLICT (id) DO UPDATE SET {changes}"
    connection.execute(statement, (*values.values(), *[now] * changes.count("?")))


def _table(row: tables.Row) -> Table:
    table: Table = type(row).__table__  # type: ignore[attr-defined]
    return table


def synchronise(
    connection: sqlite3.Connection, customers: Sequence[Customer], contracts: Sequence[Contract]
) -> None:
    """Make the office's customers, accounts and services those configured.

    What left the configuration stays, inactive: bills still name it.
    """
    connection.execute("DELETE FROM contact")
    for name in ("customer", "account", "service"):
        connection.execute(f"UPDATE {name} SET active = 0")
    for customer in customers:
        for table, values in _rows_of_customer(customer):
            _put(connection, table, values)
    for contract in contracts:
        _put(connection, "service", _row_of_contract(contract))


def _rows_of_customer(customer: Customer) -> Iterable[tuple[str, Mapping[str, Any]]]:
    yield (
        "customer",
        {
            "id": customer.id,
            "name": customer.name,
            "zone": customer.zone,
            "currency": customer.currency,
            "language": customer.language,
            "active": True,
        },
    )
    for place, contact in enumerate(customer.contact):
        yield "contact", {"customer": customer.id, "place": place, **contact.model_dump()}
    for account in customer.account:
        yield (
            "account",
            {
                "id": account.id,
                "customer": customer.id,
                "name": account.name,
                "bill_day": account.bill_day,
                "active": True,
            },
        )


def _row_of_contract(contract: Contract) -> Mapping[str, Any]:
    return {
        "id": contract.service,
        "name": contract.name,
        "customer": contract.customer,
        "account": contract.account,
        "currency": contract.currency,
        "monthly_fee_minor": to_minor(contract.monthly_fee, contract.currency),
        "target": f"{contract.target:f}",
        "active": True,
    }


def _put(connection: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> None:
    """Write a row in place of the one with its `id`, if any."""
    statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    if "id" in values:
        changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != "id")
        statement += f" ON CONFLICT (id) DO UPDATE SET {changes}"
    connection.execute(statement, tuple(values.values()))
