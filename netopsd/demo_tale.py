"""The demo's story in words: what will happen, and what did. Pure.

What will happen is read from the scenario file. What did happen is read back: from the simulators'
truth log what befell the network, from the daemon's store and the office what became of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bss_bridge.money import from_minor
from bss_bridge.office.books import BookedCredit, BrokenPromise, CareNotice
from netopsd.core.beliefs import Change, Ticket, TicketNote
from netopsd.core.ordered import OrderNote

WORDS = {
    "port_flap": "a bad connector: {device} {port} goes down and up {times} times",
    "cut": "an excavator finds the fibre: {link} is cut, what is behind it goes dark",
    "repair": "{link} is spliced: what was dark comes back",
    "alarm_raise": "{device} says by NETCONF: {text}",
    "alarm_clear": "{device} says by NETCONF: {text}",
}
ALARMS = {
    "raised": "raised, {severity}: {why}",
    "cleared": "cleared: {why}",
    "flapping": "flaps: changes are counted and no longer told",
    "steady": "is steady again",
    "suppressed": "is a symptom: {why}",
    "severity": "is {severity} now: {why}",
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Told:
    """One thing that happened, `t` seconds into the story. `who` says whose news it is."""

    t: float
    order: int  # among those of one moment: a cause before what became of it
    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tale:
    """Everything read back that can be told."""

    began: datetime
    truth: Sequence[Mapping[str, Any]] = ()
    changes: Sequence[Change] = ()
    tickets: Sequence[tuple[Ticket, Sequence[TicketNote]]] = ()
    violations: Sequence[BrokenPromise] = ()
    credits: Sequence[BookedCredit] = ()
    orders: Sequence[OrderNote] = ()
    notices: Sequence[CareNotice] = ()

    def told(self) -> list[Told]:
        """Return all of it in the order it happened."""
        lines = [
            Told(t=round((at - self.began).total_seconds(), 3), order=order, who=who, text=text)
            for order, (who, part) in enumerate(
                (
                    ("network", self._network()),
                    ("order", self._orders()),
                    ("alarm", self._alarms()),
                    ("ticket", self._tickets()),
                    ("SLA", self._promises()),
                    ("credit", self._credits()),
                    ("care", ((n.at, n.subject) for n in self.notices)),
                )
            )
            for at, text in part
        ]
        return sorted(lines, key=lambda line: (line.t, line.order))

    def _network(self) -> Iterator[tuple[datetime, str]]:
        for line in self.truth:
            yield datetime.fromisoformat(line["at"]), scene(line)

    def _alarms(self) -> Iterator[tuple[datetime, str]]:
        for change in self.changes:
            words = ALARMS.get(change.what)
            if words is not None:
                text = words.format(severity=change.severity.value, why=change.why)
                yield change.at, f"{change.alarm.replace('!', ' ')} {text}"

    def _tickets(self) -> Iterator[tuple[datetime, str]]:
        for ticket, notes in self.tickets:
            yield ticket.opened_at, f"{ticket.id} opened: {ticket.title}"
            for note in notes:
                if note.at > ticket.opened_at:
                    yield note.at, f"{ticket.id} {note.status.value}: {note.text}"

    def _orders(self) -> Iterator[tuple[datetime, str]]:
        for note in self.orders:
            item = f" item {note.item}" if note.item else ""
            yield note.at, f"{note.order}{item} {note.state.value}: {note.text}"

    def _promises(self) -> Iterator[tuple[datetime, str]]:
        for broken in self.violations:
            kept, promised = (
                f"{(share * 100).normalize():f}" for share in (broken.availability, broken.below)
            )
            text = f"{broken.service} ({broken.customer}) broken: {kept} % is below {promised} %"
            yield broken.detected_at, text

    def _credits(self) -> Iterator[tuple[datetime, str]]:
        for credit in self.credits:
            amount = from_minor(credit.amount_minor, credit.currency)
            text = f"{amount:,.2f} {credit.currency} to {credit.account} for {credit.service}"
            yield credit.at, text


def scene(event: Mapping[str, Any]) -> str:
    """Return one event of a scenario file, or of the truth log, in words."""
    said: defaultdict[str, str] = defaultdict(str, {k: str(v) for k, v in event.items()})
    words = WORDS.get(said["do"], "{do} {device} {port} {link}")
    return " ".join(words.format_map(said).split())
