"""A store that forgets. For tests, replay and the like; held to the same contract tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from netopsd.core.beliefs import FINAL, Change, TicketNote, UsageRecord, Violation
from netopsd.core.model import Event
from netopsd.core.ordered import ENDED
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.ports import Message, Pending
from netopsd.store.merge import MONTH, ZONES_APART, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A permanent key seen again with other contents."""

    kind: str
    key: str
    kept: Any
    refused: Any


class MemoryStore:
    """ports.Store and ports.Outbox without a file. What was committed can be looked at.

    Survives `close` and `open`, so that a test can "restart" on it.
    """

    def __init__(self) -> None:
        self.kept = Outcome()  # the latest value of every key, and all of the history
        self.changes: list[Change] = self.kept.changes
        self.ticket_notes: list[TicketNote] = self.kept.ticket_notes
        self.events: list[Event] = self.kept.events
        self.violations: dict[str, Violation] = self.kept.violations
        self.usage: dict[str, UsageRecord] = {}
        self.disputes: list[Dispute] = []
        self.sent: list[Pending] = []
        self.commits = 0
        self._waiting: dict[int, Pending] = {}
        self._known: dict[tuple[str, str], str] = {}  # (sink, key) → body
        self._last = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def load(self, now: datetime | None = None) -> Beliefs:
        kept = self.kept
        newest = max((period.starts for period in kept.periods.values()), default=None)
        if newest is not None and now is not None:
            newest = min(newest, now - MONTH)
        periods = {
            key: period
            for key, period in kept.periods.items()
            if newest is not None and period.ends >= newest - ZONES_APART
        }
        latest: dict[str, str] = {}
        for outage in sorted(kept.outages.values(), key=lambda outage: outage.starts):
            latest[outage.service] = outage.id
        evidence = {latest.get(p.service) for p in periods.values() if p.down_s > 0}
        return Beliefs(
            alarms=dict(kept.alarms),
            tickets={key: t for key, t in kept.tickets.items() if t.status not in FINAL},
            devices=dict(kept.devices),
            services=dict(kept.services),
            outages={
                key: o for key, o in kept.outages.items() if o.ends is None or o.id in evidence
            },
            periods=periods,
            meters=dict(kept.meters),
            sequences=dict(kept.sequences),
            orders=dict(kept.orders),
            order_items={
                key: item
                for key, item in kept.order_items.items()
                if item.order in kept.orders and kept.orders[item.order].state not in ENDED
            },
            ordered=dict(kept.ordered),
        )

    async def commit(self, outcomes: Sequence[Outcome], messages: Sequence[Message]) -> None:
        more = merge(outcomes)
        for name in ("alarms", "tickets", "devices", "services", "outages", "periods"):
            getattr(self.kept, name).update(getattr(more, name))
        for name in ("violations", "meters", "sequences", "orders", "order_items", "ordered"):
            getattr(self.kept, name).update(getattr(more, name))
        for key in more.meters_gone:
            self.kept.meters.pop(key, None)
        for name in ("changes", "ticket_notes", "order_notes", "events"):
            getattr(self.kept, name).extend(getattr(more, name))
        for record in more.usage:
            first = self.usage.setdefault(record.key, record)
            if first != record:
                self._dispute("usage", record.key, first, record)
        for message in messages:
            self._add(message)
        self.commits += 1

    def _add(self, message: Message) -> None:
        name = (message.sink, message.key)
        self._last += 1  # a known message leaves a hole, as in SQLite
        if name in self._known:
            if self._known[name] != message.body:
                self._dispute("message", message.key, self._known[name], message.body)
            return
        self._known[name] = message.body
        self._waiting[self._last] = Pending(id=self._last, message=message, next_at=message.at)

    def _dispute(self, kind: str, key: str, kept: Any, refused: Any) -> None:
        dispute = Dispute(kind=kind, key=key, kept=kept, refused=refused)
        if dispute not in self.disputes:
            self.disputes.append(dispute)

    # ports.Outbox

    async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
        blocked: set[str] = set()
        found: list[Pending] = []
        for pending in self._ordered():
            message = pending.message
            if message.sink != sink or pending.parked or message.stream in blocked:
                continue
            if pending.next_at > now:
                blocked.add(message.stream)
            else:
                found.append(pending)
        return found[:limit]

    async def delivered(self, ids: Sequence[int]) -> None:
        self.sent += [self._waiting.pop(id_) for id_ in ids if id_ in self._waiting]

    async def postpone(self, id: int, next_at: datetime, reason: str) -> None:
        old = self._waiting.get(id)
        if old is not None and not old.parked:
            more = old.attempts + 1
            self._waiting[id] = replace(old, next_at=next_at, reason=reason, attempts=more)

    async def park(self, id: int, reason: str) -> None:
        old = self._waiting.get(id)
        if old is not None and not old.parked:
            self._waiting[id] = replace(old, parked=True, reason=reason)

    async def retry(self, id: int, now: datetime) -> bool:
        old = self._waiting.get(id)
        if old is None:
            return False
        attempts = 0 if old.parked else old.attempts
        self._waiting[id] = replace(old, parked=False, next_at=now, attempts=attempts)
        return True

    async def pending(self, limit: int = 1000) -> Sequence[Pending]:
        return self._ordered()[:limit]

    async def depth(self) -> tuple[int, int, datetime | None]:
        waiting = [pending for pending in self._waiting.values() if not pending.parked]
        heads: dict[tuple[str, str], datetime] = {}
        for pending in sorted(waiting, key=lambda pending: pending.id):
            message = pending.message
            heads.setdefault((message.sink, message.stream), message.at)
        oldest = min(heads.values(), default=None)
        return len(waiting), len(self._waiting) - len(waiting), oldest

    def _ordered(self) -> list[Pending]:
        return [self._waiting[id_] for id_ in sorted(self._waiting)]
