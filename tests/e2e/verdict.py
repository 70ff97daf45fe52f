"""What the books must hold after a story, worked out from the simulators' truth log alone.

A daemon that is dead sees nothing: an outage's beginning and end are known no better than the time
until it lived and had looked again. Everything counted is known exactly.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bss_bridge.office.books import Books, open_books
from netopsd.core.beliefs import FINAL, Outage
from netopsd.store.read import Reader
from tests.e2e import story

SEES_WITHIN_S = 4.5  # a living daemon has looked, twice where need be, and said so
EARLY_S = 2.5  # a look counts from when it was begun
Life = tuple[float, float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was so, from the log: when each service was down, and what each port carried."""

    down: dict[str, list[tuple[float, float]]]
    octets: dict[str, tuple[int, int]]  # device/port

    @staticmethod
    def of(lines: Sequence[dict[str, Any]], now: dict[str, Any]) -> Truth:
        """Read it from the log and from the network as it is now."""
        octets = {}
        for name in story.METERED:
            device, _, port = name.partition("/")
            known = now["devices"][device]["ports"][port]
            octets[name] = (known["in"], known["out"])
        return Truth(down={s: _down(lines, story.SERVICES[s][0]) for s in story.SERVICES},
                     octets=octets)  # fmt: skip


def _down(lines: Sequence[dict[str, Any]], where: str) -> list[tuple[float, float]]:
    """Return when a port was down or its device silent, as intervals of wall time."""
    device, _, port = where.partition("/")
    bad: set[str] = set()
    found: list[tuple[float, float]] = []
    since = 0.0
    for line in lines:
        if line.get("device") != device:
            continue
        if line["what"] == "port" and line["port"] == port:
            what, is_bad = "port", line["oper"] != "up"
        elif line["what"] == "device":
            what, is_bad = "device", line["state"] != "answers"
        else:
            continue
        at = datetime.fromisoformat(line["at"]).timestamp()
        before = bool(bad)
        (bad.add if is_bad else bad.discard)(what)
        if bad and not before:
            since = at
        elif before and not bad:
            found.append((since, at))
    assert not bad, f"{where} is still down at the end of the story"
    return found


def sees(lives: Sequence[Life], at: float) -> float:
    """Return by when a daemon with these lives has seen what was so from `at` on."""
    for _, ready, ended in lives:
        if ready is None:
            continue
        done = max(ready, at) + SEES_WITHIN_S
        if ended is None or done <= ended:
            return done
    raise AssertionError("the daemon never lived long enough")


def problems(state: Path, truth: Truth, lives: Sequence[Life], journal: Path) -> list[str]:
    """Return everything in the two databases and the journal that is not as it should be."""
    reader = Reader(f"sqlite:///{state / 'netopsd.db'}")
    with open_books(state / "office.db") as books:
        return [
            *_sound(state),
            *_told(reader, books, journal),
            *_octets(reader, books, truth),
            *_outages(reader, books, truth, lives),
            *_promises(reader, books, truth, lives),
            *_tickets(reader),
        ]


# ---- the databases themselves, and the outbox


def _sound(state: Path) -> Iterator[str]:
    for name in ("netopsd.db", "office.db"):
        with closing(sqlite3.connect(state / name)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            yield f"{name}: {verdict}"


def _told(reader: Reader, books: Books, journal: Path) -> Iterator[str]:
    left = reader.outbox(states=("waiting", "parked"))
    if left:
        yield f"outbox: {len(left)} messages left, the first {left[0]}"
    if disputes := [*reader.disputes(), *books.disputes()]:
        yield f"disputes: {disputes[0]}"
    sent = {"office": set[str](), "journal": set[str]()}
    for posted in reader.outbox(states=("sent",), limit=100_000):
        sent[posted.pending.message.sink].add(posted.pending.message.key)
    if lost := sent["office"] - set(books.received()):
        yield f"said to be delivered and not in the office: {sorted(lost)[:5]}"
    if lost := sent["office"] - sent["journal"]:  # which hears everything
        yield f"not in the journal: {sorted(lost)[:5]}"
    lines = Counter(json.loads(line)["key"] for line in journal.read_text().splitlines())
    if lines.keys() != sent["journal"]:
        yield f"journal and outbox differ: {sorted(lines.keys() ^ sent['journal'])[:5]}"
    if twice := [key for key, count in lines.items() if count > 1]:
        yield f"twice in the journal: {twice[:5]}"


# ---- octets


def _octets(reader: Reader, books: Books, truth: Truth) -> Iterator[str]:
    meters = {str(m.resource): m for m in reader.meters()}
    stored = {record.key for record in reader.usage(limit=100_000)}
    booked = list(books.usage())
    if len({u.key for u in booked}) != len(booked) or {u.key for u in booked} != stored:
        yield f"usage: {len(booked)} booked, {len(stored)} measured"
    for name, carried in truth.octets.items():
        resource = name.replace("/", "/if/", 1)
        mine = sorted((u for u in booked if u.resource == resource), key=lambda u: u.sequence)
        if [u.sequence for u in mine] != list(range(1, len(mine) + 1)) or not mine:
            yield f"{name}: sequence {[u.sequence for u in mine]}"
            continue
        for one, after in pairwise(mine):
            if after.starts != one.ends:
                yield f"{name}: a hole between {one.ends} and {after.starts}"
        meter = meters.get(resource)
        if meter is None:
            yield f"{name}: no meter"
            continue
        if meter.slot != int(mine[-1].ends.timestamp()):
            yield f"{name}: a hole before the open slot"
        gaps = {gap for u in mine for gap in u.gaps if not gap.endswith("not yet metered")}
        gaps |= set(meter.slot_gaps)
        fastest = next(max(i, o) for d, p, i, o in story.RATES if f"{d}/{p}" == name) / 8 * 1.5
        for way, true, counted in (
            ("in", carried[0], sum(u.in_octets for u in mine) + meter.slot_in),
            ("out", carried[1], sum(u.out_octets for u in mine) + meter.slot_out),
        ):
            named = int(sum(_length_s(gap) for gap in gaps) * fastest)
            if not true - named <= counted <= true or not true:
                yield f"{name} {way}: counted {counted}, carried {true}, gaps {sorted(gaps)}"


def _length_s(gap: str) -> float:
    starts, _, ends = gap.partition(" ")[0].partition("/")
    return (datetime.fromisoformat(ends) - datetime.fromisoformat(starts)).total_seconds()


# ---- outages and their notices


def _outages(reader: Reader, books: Books, truth: Truth, lives: Sequence[Life]) -> Iterator[str]:
    notices = Counter((n.thread, n.state) for n in books.notices())
    if twice := [key for key, count in notices.items() if count > 1 and "outage" in key[0]]:
        yield f"care was told twice: {twice}"
    told = Counter(key for key in books.received() if key.startswith("care.notice|outage."))
    for service, intervals in truth.down.items():
        recorded = sorted(reader.outages(service=service), key=lambda o: o.starts)
        for since, until in intervals:
            mine = [o for o in recorded if _began_in(o, since - EARLY_S, until + EARLY_S)]
            seen = sees(lives, since) < until
            if len(mine) > 1 or (seen and not mine):
                yield f"{service}: down {_span(since, until)}, known as {[o.id for o in mine]}"
            for outage in mine:
                recorded.remove(outage)
                yield from _outage(outage, (since, until), lives, told)
        for outage in recorded:
            yield f"{service}: outage {outage.id} that never was: {outage.why}"


def _began_in(outage: Outage, since: float, until: float) -> bool:
    return since <= outage.starts.timestamp() <= until


def _outage(
    outage: Outage, true: tuple[float, float], lives: Sequence[Life], told: Counter[str]
) -> Iterator[str]:
    starts = outage.starts.timestamp()
    if not true[0] - EARLY_S <= starts <= sees(lives, true[0]):
        yield f"{outage.id} began at {_span(true[0], starts)}"
    if outage.ends is None or not true[1] - EARLY_S <= outage.ends.timestamp() <= sees(
        lives, true[1]
    ):
        yield f"{outage.id} ended at {outage.ends}, truly {_span(*true)}"
    times = [told[f"care.notice|outage.{what}|{outage.id}"] for what in ("started", "ended")]
    if times != ([1, 1] if outage.told else [0, 0]):
        yield f"{outage.id}: care was told {times}"
    if not outage.told and true[1] - sees(lives, true[0]) > 0:
        yield f"{outage.id}: care was never told"


def _span(since: float, until: float) -> str:
    zone = ZoneInfo("UTC")
    return " to ".join(f"{datetime.fromtimestamp(t, zone):%H:%M:%S.%f}" for t in (since, until))


# ---- promises and credits


def _promises(reader: Reader, books: Books, truth: Truth, lives: Sequence[Life]) -> Iterator[str]:
    booked = {v.id: v for v in books.violations()}
    known = {v.id for v in reader.violations()}
    if booked.keys() != known:
        yield f"violations: booked {sorted(booked)}, judged {sorted(known)}"
    by_violation = Counter(c.violation for c in books.credits())
    if by_violation != Counter(dict.fromkeys(booked, 1)):
        yield f"credits {dict(by_violation)} for violations {sorted(booked)}"
    amounts = {c.violation: (c.amount_minor, c.currency) for c in books.credits()}
    expected: set[str] = set()
    for service, (_, fee, currency, tiers) in story.SERVICES.items():
        period, month_s = _month()
        least = sum(max(0.0, b - sees(lives, a) - EARLY_S) for a, b in truth.down[service])
        most = sum(sees(lives, b) - a + EARLY_S for a, b in truth.down[service])
        share = 0
        for n, (below, credit) in enumerate(tiers, start=1):
            budget_s = month_s * float(1 - Decimal(below) / 100)
            id = f"{service}/{period}/tier-{n}"
            expected.add(id)
            if id in booked:
                owed = int(Decimal(fee) * 100 * (credit - share) / 100 + Decimal("0.5"))
                if most <= budget_s:
                    yield f"{id}: down {most:.1f} s at most, budget {budget_s:.1f} s"
                if abs(amounts.get(id, (0, ""))[0] - owed) > 0 or amounts[id][1] != currency:
                    yield f"{id}: credit {amounts.get(id)}, owed {owed} {currency}"
            elif least > budget_s:
                yield f"{id}: not booked, down {least:.1f} s at least, budget {budget_s:.1f} s"
            share = credit
    if strange := booked.keys() - expected:
        yield f"violations of nothing promised: {sorted(strange)}"


def _month() -> tuple[str, float]:
    now = datetime.now(ZoneInfo(story.zone()))
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return f"{now:%Y-%m}", (following - first).total_seconds()


# ---- tickets


def _tickets(reader: Reader) -> Iterator[str]:
    tickets = reader.tickets()
    by_cause = Counter(ticket.cause for ticket in tickets)
    for cause, count in by_cause.items():
        if count > 1:  # resolved ones are reopened, so there is never a second
            yield f"{count} tickets for {cause}"
        if cause not in story.CAUSES:
            yield f"a ticket for {cause}"
    if len({ticket.id for ticket in tickets}) != len(tickets):
        yield "ticket ids are not unique"
    for ticket in tickets:
        if ticket.status not in FINAL and ticket.status != "resolved":
            yield f"{ticket.id} ({ticket.cause}) is still {ticket.status}"
    for alarm in reader.alarms():
        if alarm.phase != "cleared":
            yield f"{alarm.key} is still {alarm.phase}: {alarm.why}"
