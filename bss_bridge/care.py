"""What customer care needs to know, in plain words. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bss_bridge.canonical import local, utc
from bss_bridge.credit import Credit
from bss_bridge.money import as_text
from bss_bridge.settings import Account, Contract, Customer
from netopsd.core.outcome import OutageNotice, ViolationNotice

UPDATE_EVERY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Whom it concerns: as configured, or bare ids where nothing is."""

    customer_id: str
    account_id: str
    customer: Customer | None = None
    account: Account | None = None
    contract: Contract | None = None

    @property
    def name(self) -> str:
        """The customer's name, else its id."""
        return self.customer.name if self.customer else self.customer_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One thing to tell about one incident."""

    state: str  # started | ended | violated
    at: datetime
    thread: str  # the incident: every notice of it carries the same
    service: str
    service_name: str
    zone: str
    starts: datetime
    ends: datetime | None
    subject: str
    impact: str
    say: str
    more: dict[str, Any] = field(default_factory=dict)


def of_outage(notice: OutageNotice, party: Party) -> dict[str, Any]:
    """Return the care notice of an outage that started or ended."""
    outage, name = notice.outage, notice.service_name or notice.outage.service
    started = outage.ends is None
    planned = "planned work" if notice.planned else "a fault"
    since = _clock(outage.starts, notice.zone)
    if started:
        subject = f"{party.name}: {name} is down"
        impact = f"{name} has been down since {since} because of {planned}."
        say = (
            f"We know that {name} is down since {since} and are working on it. "
            f"We will be back with news by {_clock(notice.at + UPDATE_EVERY, notice.zone)}."
        )
    else:
        lasted = _duration((outage.ends or notice.at) - outage.starts)
        subject = f"{party.name}: {name} works again"
        impact = f"{name} was down from {since} for {lasted} because of {planned}; it works again."
        say = f"{name} works again. It was down for {lasted}. We are sorry for the trouble."
    return _notice(
        Telling(
            state=notice.what,
            at=notice.at,
            thread=outage.id,
            service=outage.service,
            service_name=name,
            zone=notice.zone,
            starts=outage.starts,
            ends=outage.ends,
            subject=subject,
            impact=impact,
            say=say,
            more={
                "ticket": notice.ticket,
                "planned": notice.planned,
                "cause": notice.cause or outage.why,
                "target": f"{party.contract.target:f}" if party.contract else None,
                "breach": None,
                "nextUpdateBy": _both(notice.at + UPDATE_EVERY, notice.zone) if started else None,
            },
        ),
        party,
    )


def of_violation(notice: ViolationNotice, party: Party, credit: Credit | None) -> dict[str, Any]:
    """Return the care notice of a broken promise, with what the customer gets for it."""
    said = notice.violation
    name = party.contract.name if party.contract else said.service
    got, target = _percent(said.availability), _percent(said.target)
    impact = (
        f"{name} has been available {got} % of {said.period}; we promised {target} % "
        f"(tier {said.tier}, below {_percent(said.below)} %)."
    )
    say = f"We did not keep our promise for {name} in {said.period}, and we are sorry."
    more: dict[str, Any] = {
        "ticket": said.ticket,
        "planned": False,
        "target": f"{said.target:f}",
        "measured": f"{said.availability:f}",
        "budgetLeftSeconds": max(0.0, said.budget_s - said.down_s),
        "breach": True,
        "evidence": {"violation": said.id, "outage": said.outage, "alarms": list(said.alarms)},
    }
    if credit is not None:
        bill = next_bill(said.detected_at, notice.zone, party.account)
        amount = f"{credit.currency} {as_text(credit.minor, credit.currency)}"
        more["credit"] = {
            "amount": as_text(credit.minor, credit.currency),
            "currency": credit.currency,
            "nextBill": bill.isoformat(),
        }
        if credit.minor:
            say += f" A credit of {amount} comes with the bill of {bill.isoformat()} by itself."
    outage = notice.outage
    return _notice(
        Telling(
            state="violated",
            at=notice.at,
            thread=said.outage,
            service=said.service,
            service_name=name,
            zone=notice.zone,
            starts=said.outage_starts,
            ends=outage.ends,
            subject=f"{party.name}: SLA of {name} broken in {said.period}",
            impact=impact,
            say=say,
            more=more,
        ),
        party,
    )


def of_many(cause: str, told: Sequence[tuple[OutageNotice, Party]]) -> dict[str, Any]:
    """Return one digest of outages with one cause. `told` is not empty; nobody is left out."""
    first = told[0][0]
    started = first.what == "started"
    customers = sorted({party.name for _, party in told})
    services = "services" if len(told) > 1 else "service"
    head = f"{len(told)} {services} of {len(customers)} customers"
    word = "down" if started else "working again"
    return {
        "careDigest": {
            "state": first.what,
            "thread": _thread(cause, first),
            "subject": f"{head} {word}",
            "impact": f"{head} {word} because of one cause: {first.cause or first.outage.why}.",
            "ticket": first.ticket,
            "affected": [
                {
                    "customer": {"id": party.customer_id, "name": party.name},
                    "account": party.account_id,
                    "contacts": _contacts(party),
                    "service": {"id": notice.outage.service, "name": notice.service_name},
                    "outage": notice.outage.id,
                    "since": _both(notice.outage.starts, notice.zone),
                }
                for notice, party in told
            ],
            "nextUpdateBy": _both(first.at + UPDATE_EVERY, "UTC") if started else None,
        }
    }


def _thread(cause: str, first: OutageNotice) -> str:
    return f"cause|{first.ticket or cause}"


def _notice(telling: Telling, party: Party) -> dict[str, Any]:
    account = party.account
    return {
        "careNotice": {
            "state": telling.state,
            "thread": telling.thread,
            "subject": telling.subject,
            "impact": telling.impact,
            "say": telling.say,
            "customer": {"id": party.customer_id, "name": party.name},
            "language": party.customer.language if party.customer else "en",
            "account": {"id": party.account_id, "name": account.name if account else ""},
            "contacts": _contacts(party),
            "service": {"id": telling.service, "name": telling.service_name},
            "zone": telling.zone,
            "starts": _both(telling.starts, telling.zone),
            "ends": _both(telling.ends, telling.zone) if telling.ends else None,
            **telling.more,
        }
    }


def _contacts(party: Party) -> list[dict[str, str]]:
    return [contact.model_dump() for contact in party.customer.contact] if party.customer else []


def next_bill(at: datetime, zone: str, account: Account | None) -> date:
    """Return the first bill day after `at`, on the calendar of `zone`.

    A bill day of 29 to 31 is the last day of a shorter month and comes back in a longer one.
    """
    today = at.astimezone(ZoneInfo(zone)).date()
    day = account.bill_day if account else 1
    this = _clamped(today.year, today.month, day)
    if this > today:
        return this
    return _clamped(today.year + today.month // 12, today.month % 12 + 1, day)


def _clamped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def _both(at: datetime, zone: str) -> dict[str, str]:
    return {"utc": utc(at), "local": local(at, zone)}


def _clock(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z")


def _percent(share: Any) -> str:
    return f"{share * 100:.4f}".rstrip("0").rstrip(".")


def _duration(lasted: timedelta) -> str:
    seconds = max(0, round(lasted.total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
