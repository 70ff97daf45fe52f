"""Questions to the office, answered from what is committed. Reads only; values are frozen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bss_bridge.office.connect import connect_reader
from bss_bridge.office.rating import Slot
from bss_bridge.office.stamp import stamp, unstamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Octets of one port of one service in one slot."""

    key: str
    source: str
    sequence: int
    revision: int
    service: str
    resource: str
    account: str
    starts: datetime
    ends: datetime
    in_octets: int
    out_octets: int
    completeness: Decimal
    gaps: tuple[str, ...]
    reconstructed: bool

    def slot(self) -> Slot:
        """As the rating sees it."""
        return Slot(
            starts=self.starts,
            ends=self.ends,
            in_octets=self.in_octets,
            out_octets=self.out_octets,
            completeness=self.completeness,
            reconstructed=self.reconstructed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One service's octets of one local day. `completeness`: of the time its records span."""

    service: str
    day: date
    in_octets: int
    out_octets: int
    records: int
    completeness: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPromise:
    """An SLA violation as booked."""

    id: str
    service: str
    customer: str
    account: str
    period: str
    tier: int
    below: Decimal
    target: Decimal
    availability: Decimal
    detected_at: datetime
    outage: str
    ticket: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedCredit:
    """A credit as booked: an applied billing rate the next bill run takes up."""

    id: str
    violation: str
    account: str
    customer: str
    service: str
    amount_minor: int
    currency: str
    why: str
    at: datetime
    covers_from: datetime
    covers_until: datetime
    is_billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CareNotice:
    """What care was told."""

    key: str
    thread: str
    state: str
    customer: str
    account: str
    service: str
    subject: str
    impact: str
    ticket: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A message that was set aside because its key or name was taken with another content."""

    key: str
    topic: str
    why: str
    body: str
    at: datetime


TABLES = (
    "received",
    "usage_record",
    "sla_violation",
    "credit",
    "care_notice",
    "outage",
    "ticket_reference",
    "budget_warning",
    "dispute",
    "customer",
    "account",
    "service",
)


@contextmanager
def open_books(path: Path) -> Iterator[Books]:
    """Give the books of the office at `path`, also while the daemon runs. Raises StoreBroken."""
    connection = connect_reader(path)
    try:
        connection.execute("BEGIN")
        yield Books(connection)
    finally:
        connection.close()


class Books:
    """Answers from one read-only connection, in whose transaction all are of one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def counts(self) -> dict[str, int]:
        """Return the number of rows per table."""
        return {
            name: int(self._connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])
            for name in TABLES
        }

    def usage(
        self, service: str = "", starts: datetime | None = None, ends: datetime | None = None
    ) -> Iterator[Usage]:
        """Yield usage starting in [starts, ends), by source and sequence."""
        where: dict[str, str] = {}
        if service:
            where["service = ?"] = service
        if starts:
            where["starts >= ?"] = stamp(starts)
        if ends:
            where["starts < ?"] = stamp(ends)
        for row in self._rows("usage_record", where, "source, sequence"):
            yield _usage(row)

    def usage_by_day(
        self,
        zone: str,
        service: str = "",
        starts: datetime | None = None,
        ends: datetime | None = None,
    ) -> list[Day]:
        """Return octets per service and day on the calendar of `zone`, by day and service."""
        where = ZoneInfo(zone)
        days: dict[tuple[date, str], list[Usage]] = {}
        for record in self.usage(service, starts, ends):
            day = record.starts.astimezone(where).date()
            days.setdefault((day, record.service), []).append(record)
        return [_day(name, day, records) for (day, name), records in sorted(days.items())]

    def violations(self, service: str = "", period: str = "") -> list[BrokenPromise]:
        """Return violations, oldest first."""
        return [
            BrokenPromise(
                id=row["id"],
                service=row["service"],
                customer=row["customer"],
                account=row["account"],
                period=row["period"],
                tier=row["tier"],
                below=Decimal(row["below"]),
                target=Decimal(row["target"]),
                availability=Decimal(row["availability"]),
                detected_at=unstamp(row["detected_at"]),
                outage=row["outage"],
                ticket=row["ticket"],
                state=row["state"],
            )
            for row in self._rows(
                "sla_violation", _given(service=service, period=period), "detected_at, id"
            )
        ]

    def credits(self, account: str = "", service: str = "") -> list[BookedCredit]:
        """Return credits, oldest first."""
        return [
            BookedCredit(
                id=row["id"],
                violation=row["violation"],
                account=row["account"],
                customer=row["customer"],
                service=row["service"],
                amount_minor=row["amount_minor"],
                currency=row["currency"],
                why=row["why"],
                at=unstamp(row["at"]),
                covers_from=unstamp(row["covers_from"]),
                covers_until=unstamp(row["covers_until"]),
                is_billed=bool(row["is_billed"]),
            )
            for row in self._rows("credit", _given(account=account, service=service), "at, id")
        ]

    def credit_totals(self) -> dict[str, int]:
        """Return the sum of all credits per currency, in minor units."""
        totals: dict[str, int] = {}
        for currency, minor in self._connection.execute(
            "SELECT currency, amount_minor FROM credit"
        ):
            totals[currency] = totals.get(currency, 0) + minor
        return dict(sorted(totals.items()))

    def notices(self, customer: str = "", thread: str = "") -> list[CareNotice]:
        """Return care notices, oldest first."""
        return [
            CareNotice(
                key=row["key"],
                thread=row["thread"],
                state=row["state"],
                customer=row["customer"],
                account=row["account"],
                service=row["service"],
                subject=row["subject"],
                impact=row["impact"],
                ticket=row["ticket"],
                at=unstamp(row["at"]),
            )
            for row in self._rows(
                "care_notice", _given(customer=customer, thread=thread), "at, key"
            )
        ]

    def disputes(self) -> list[Disputed]:
        """Return what was set aside, oldest first."""
        return [
            Disputed(
                key=row["key"],
                topic=row["topic"],
                why=row["why"],
                body=row["body"],
                at=unstamp(row["at"]),
            )
            for row in self._rows("dispute", {}, "id")
        ]

    def received(self) -> dict[str, str]:
        """Return every key ever taken with the SHA-256 of topic, stream and body, by newlines."""
        return dict(self._connection.execute("SELECT key, sha256 FROM received ORDER BY key"))

    def _rows(self, table: str, where: Mapping[str, str], order: str) -> Iterator[dict[str, Any]]:
        """Rows of `table`; the texts of `where` and `order` are this module's own."""
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        cursor = self._connection.execute(
            f"SELECT * FROM {table}{clause} ORDER BY {order}", tuple(where.values())
        )
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))


def _given(**equal: str) -> dict[str, str]:
    return {f"{name} = ?": value for name, value in equal.items() if value}


def _usage(row: Mapping[str, Any]) -> Usage:
    return Usage(
        key=row["key"],
        source=row["source"],
        sequence=row["sequence"],
        revision=row["revision"],
        service=row["service"],
        resource=row["resource"],
        account=row["account"],
        starts=unstamp(row["starts"]),
        ends=unstamp(row["ends"]),
        in_octets=row["in_octets"],
        out_octets=row["out_octets"],
        completeness=Decimal(row["completeness"]),
        gaps=tuple(json.loads(row["gaps"])),
        reconstructed=bool(row["reconstructed"]),
    )


def _day(service: str, day: date, records: Sequence[Usage]) -> Day:
    spans = [Decimal(str((r.ends - r.starts).total_seconds())) for r in records]
    covered = sum((s * r.completeness for s, r in zip(spans, records, strict=True)), Decimal(0))
    return Day(
        service=service,
        day=day,
        in_octets=sum(record.in_octets for record in records),
        out_octets=sum(record.out_octets for record in records),
        records=len(records),
        completeness=(covered / sum(spans)).quantize(Decimal("0.0001")),
    )
