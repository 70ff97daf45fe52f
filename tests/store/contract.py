"""What every store does. test_memory.py and test_sqlite.py hold both to it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol

from netopsd.core.beliefs import (
    Alarm,
    AlarmType,
    Change,
    DeviceState,
    Meter,
    Outage,
    Phase,
    Reach,
    Severity,
    SlaPeriod,
    Ticket,
    TicketStatus,
    UsageRecord,
)
from netopsd.core.model import Resource
from netopsd.core.outcome import Outcome
from netopsd.ports import Message, Outbox, Pending, Store

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)


class Both(Store, Outbox, Protocol):
    """A store that is an outbox."""


def later(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def alarm(device: str = "osl-gw1", **what: Any) -> Alarm:
    resource = Resource(device, "if", "ge-0/0/1")
    values: dict[str, Any] = {
        "key": f"{resource}!link-down",
        "resource": resource,
        "alarm": "link-down",
        "type": AlarmType.COMMUNICATIONS,
        "severity": Severity.MAJOR,
        "probable_cause": "lossOfSignal",
        "text": f"{device} ge-0/0/1 is down",
        "why": "ifOperStatus down for 60 s, seen twice",
        "phase": Phase.ACTIVE,
        "since": T0,
        "raised_at": later(60),
        "changed_at": later(60),
    }
    return Alarm(**(values | what))


def raised(*alarms: Alarm) -> Outcome:
    """The outcome that raises `alarms`."""
    return Outcome(
        alarms={a.key: a for a in alarms},
        changes=[
            Change(
                alarm=a.key,
                occurrence=a.occurrence,
                at=a.changed_at,
                what="raised",
                by="netopsd",
                why=a.why,
                severity=a.severity,
            )
            for a in alarms
        ],
    )


def ticket(**what: Any) -> Ticket:
    values: dict[str, Any] = {
        "id": "TT-000001",
        "cause": "osl-gw1/if/ge-0/0/1!link-down",
        "occurrence": 1,
        "title": "link down",
        "status": TicketStatus.ACKNOWLEDGED,
        "severity": Severity.MAJOR,
        "priority": 2,
        "opened_at": T0,
        "changed_at": T0,
    }
    return Ticket(**(values | what))


def meter(**what: Any) -> Meter:
    values: dict[str, Any] = {
        "service": "acme-internet",
        "customer": "acme",
        "account": "A-1",
        "resource": Resource("osl-gw1", "if", "ge-0/0/1"),
        "at": T0,
        "in_octets": 2**64 - 1,
        "out_octets": 0,
        "width": 64,
        "speed": math.inf,
        "clock_ticks": 4_294_967_295,
        "discontinuity": None,
        "slot": 1_000_000,
        "opened_at": T0,
    }
    return Meter(**(values | what))


def usage(**what: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "key": "acme-internet|osl-gw1/if/ge-0/0/1|octets|1|2|0",
        "service": "acme-internet",
        "customer": "acme",
        "account": "A-1",
        "resource": Resource("osl-gw1", "if", "ge-0/0/1"),
        "starts": T0,
        "ends": later(300),
        "in_octets": 2**64 + 5,
        "out_octets": 7,
        "covered_s": 300.0,
        "completeness": Decimal("1.0000"),
    }
    return UsageRecord(**(values | what))


def message(number: int = 1, **what: Any) -> Message:
    values: dict[str, Any] = {
        "key": f"usage/{number}",
        "sink": "office",
        "topic": "usage.record",
        "stream": "A-1",
        "body": f'{{"number":{number}}}',
        "at": later(number),
    }
    return Message(**(values | what))


def keys(found: Sequence[Pending]) -> list[str]:
    return [pending.message.key for pending in found]


class StoreContract:
    """Inherit, and say how a store is made; `again` returns the same store after a restart."""

    def make(self, where: Any) -> Both:
        raise NotImplementedError

    def again(self, store: Both, where: Any) -> Both:
        raise NotImplementedError

    def told(self, where: Any, story: Callable[[Both], Awaitable[None]]) -> Both:
        """Tell `story` to a new store, close it, and return what a restart finds, unopened."""
        store = self.make(where)

        async def tell() -> None:
            await store.open()
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(tell())
        return self.again(store, where)

    def test_nothing_is_believed_at_first(self, tmp_path: Any) -> None:
        async def story(store: Both) -> None:
            beliefs = await store.load()
            assert not any(getattr(beliefs, name) for name in beliefs.__slots__)
            assert await store.pending() == []
            assert await store.depth() == (0, 0, None)

        self.told(tmp_path, story)

    def test_what_was_committed_is_believed_after_a_restart(self, tmp_path: Any) -> None:
        told = Outcome(
            alarms={alarm().key: alarm()},
            tickets={"TT-000001": ticket(services=("acme", "ø"))},
            devices={"osl-gw1": DeviceState(name="osl-gw1", reach=Reach.ANSWERING, since=T0)},
            meters={("acme-internet", str(meter().resource)): meter()},
            sequences={"ticket": 1},
        )

        async def write(store: Both) -> None:
            await store.commit([told], [message()])

        async def read(store: Both) -> None:
            beliefs = await store.load()
            assert beliefs.alarms == told.alarms
            assert beliefs.tickets == told.tickets
            assert beliefs.devices == told.devices
            assert beliefs.meters == told.meters
            assert beliefs.sequences == {"ticket": 1}
            assert [p.message for p in await store.pending()] == [message()]

        again = self.told(tmp_path, write)
        asyncio.run(self._open_and(again, read))

    async def _open_and(self, store: Both, story: Callable[[Both], Awaitable[None]]) -> None:
        await store.open()
        try:
            await story(store)
        finally:
            await store.close()

    def test_the_later_of_two_outcomes_in_a_group_stands(self, tmp_path: Any) -> None:
        first, last = alarm(), alarm(phase=Phase.CLEARED, cleared_at=later(90))

        async def story(store: Both) -> None:
            await store.commit([raised(first), raised(last)], [])
            assert (await store.load()).alarms == {last.key: last}
            await store.commit([raised(first)], [])
            assert (await store.load()).alarms == {first.key: first}

        self.told(tmp_path, story)

    def test_a_meter_that_is_gone_is_gone_until_a_later_outcome_starts_it(
        self, tmp_path: Any
    ) -> None:
        key = ("acme-internet", str(meter().resource))
        on, off = Outcome(meters={key: meter()}), Outcome(meters_gone=[key])
        torn = Outcome(meters={key: meter()}, meters_gone=[key])

        async def story(store: Both) -> None:
            for group, there in (
                ([on], True),
                ([off], False),
                ([on, off], False),
                ([off, on], True),
                ([torn], False),
                ([on, torn], False),
                ([torn, on], True),
            ):
                await store.commit(group, [])
                assert (key in (await store.load()).meters) is there

        self.told(tmp_path, story)

    def test_final_tickets_ended_outages_and_old_months_are_history(self, tmp_path: Any) -> None:
        def period(name: str, starts: datetime, ends: datetime) -> SlaPeriod:
            target = Decimal("99.9")
            return SlaPeriod(service="s", period=name, starts=starts, ends=ends, target=target)

        months = [datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11, 12)]
        periods = [
            period(f"2026-{starts.month:02}", starts, ends) for starts, ends in pairwise(months)
        ]
        closed = ticket(id="TT-000002", status=TicketStatus.CLOSED)
        ended = Outage(id="s@1", service="s", starts=T0, ends=later(9))
        open_ = Outage(id="s@2", service="s", starts=later(10))

        async def story(store: Both) -> None:
            outcome = Outcome(
                tickets={"TT-000001": ticket(), closed.id: closed},
                outages={ended.id: ended, open_.id: open_},
                periods={(p.service, p.period): p for p in periods},
            )
            await store.commit([outcome], [])
            beliefs = await store.load()
            assert list(beliefs.tickets) == ["TT-000001"]
            assert list(beliefs.outages) == ["s@2"]
            assert list(beliefs.periods) == [("s", "2026-10"), ("s", "2026-11")]
            for now in (months[-2], later(3600)):
                read = (await store.load(now)).periods
                assert {("s", "2026-10"), ("s", "2026-11")} <= read.keys()
            at_the_first = await store.load(datetime(2026, 9, 20, tzinfo=UTC))
            assert len(at_the_first.periods) == 3, "the clock was ahead: also those of that day"

        self.told(tmp_path, story)

    def test_the_latest_outage_of_a_service_that_was_down_is_read_back_as_evidence(
        self, tmp_path: Any
    ) -> None:
        def period(service: str, month: int, down_s: float) -> SlaPeriod:
            starts, ends = (datetime(2026, month + n, 1, tzinfo=UTC) for n in (0, 1))
            name, target = f"2026-{month:02}", Decimal("99.9")
            return SlaPeriod(
                service=service, period=name, starts=starts, ends=ends, target=target, down_s=down_s
            )

        periods = [period(*of) for of in (("s", 11, 9.0), ("never", 11, 0.0), ("long-ago", 8, 9.0))]
        outages = [
            Outage(id=f"{name}@{n}", service=name, starts=later(n), ends=later(n + 9))
            for name, n in (("s", 20), ("s", 40), ("s", 0), ("never", 20), ("long-ago", 20))
        ]

        async def story(store: Both) -> None:
            kept = {(p.service, p.period): p for p in periods}
            await store.commit([Outcome(outages={o.id: o for o in outages}, periods=kept)], [])
            assert list((await store.load()).outages) == ["s@40"]

        self.told(tmp_path, story)

    def test_an_order_within_a_stream_is_kept_and_streams_do_not_wait_for_each_other(
        self, tmp_path: Any
    ) -> None:
        async def story(store: Both) -> None:
            await store.commit([], [message(1), message(2), message(3, stream="A-2")])
            await store.commit([], [message(4), message(5, sink="file")])
            due = await store.due("office", later(9), 10)
            assert keys(due) == ["usage/1", "usage/2", "usage/3", "usage/4"]
            assert [p.id for p in due] == sorted(p.id for p in due)
            assert keys(await store.due("office", later(9), 2)) == ["usage/1", "usage/2"]
            await store.postpone(due[0].id, later(60), "503")
            assert keys(await store.due("office", later(9), 10)) == ["usage/3"]
            due = await store.due("office", later(60), 10)
            assert keys(due) == ["usage/1", "usage/2", "usage/3", "usage/4"]
            assert (due[0].attempts, due[0].reason, due[0].next_at) == (1, "503", later(60))
            await store.postpone(due[1].id, later(90), "slow")
            assert keys(await store.due("office", later(60), 10)) == ["usage/1", "usage/3"]
            assert keys(await store.due("file", later(60), 10)) == ["usage/5"]

        self.told(tmp_path, story)

    def test_a_parked_message_holds_nobody_up_and_can_be_retried_at_its_old_place(
        self, tmp_path: Any
    ) -> None:
        async def story(store: Both) -> None:
            await store.commit([], [message(n) for n in (1, 2, 3)])
            first, second, _ = await store.due("office", later(9), 10)
            await store.park(first.id, "account unknown")
            assert keys(await store.due("office", later(9), 10)) == ["usage/2", "usage/3"]
            assert await store.depth() == (2, 1, later(2))
            parked = [p for p in await store.pending() if p.parked]
            assert [(p.id, p.reason) for p in parked] == [(first.id, "account unknown")]
            await store.delivered([second.id])
            assert await store.retry(first.id, later(20))
            assert keys(await store.due("office", later(19), 10)) == []
            assert keys(await store.due("office", later(20), 10)) == ["usage/1", "usage/3"]

        self.told(tmp_path, story)

    def test_what_is_delivered_is_gone_and_may_be_said_twice(self, tmp_path: Any) -> None:
        async def write(store: Both) -> None:
            await store.commit([], [message(1), message(2)])
            first, _ = await store.due("office", later(9), 10)
            await store.delivered([first.id, first.id, 999])
            await store.delivered([first.id])
            await store.delivered([])
            await store.park(first.id, "too late")
            await store.postpone(first.id, later(9), "too late")
            assert not await store.retry(first.id, later(9))
            assert not await store.retry(999, later(9))

        async def read(store: Both) -> None:
            assert keys(await store.pending()) == ["usage/2"]
            assert await store.depth() == (1, 0, later(2))
            await store.commit([], [message(3)])
            assert [p.id for p in await store.pending()] == [2, 3]

        asyncio.run(self._open_and(self.told(tmp_path, write), read))

    def test_the_same_message_is_told_once_even_after_it_was_delivered(self, tmp_path: Any) -> None:
        async def story(store: Both) -> None:
            await store.commit([], [message(1), message(1)])
            await store.commit([], [message(1), message(1, sink="file")])
            assert len(await store.pending()) == 2
            await store.delivered([p.id for p in await store.pending()])
            await store.commit([], [message(1)])
            assert await store.pending() == []
            assert self.disputes(store) == 0

        self.told(tmp_path, story)

    def test_a_known_key_with_other_contents_is_refused_and_kept_as_a_dispute(
        self, tmp_path: Any
    ) -> None:
        async def story(store: Both) -> None:
            more = usage(in_octets=2**64 + 6)
            await store.commit([Outcome(usage=[usage()])], [message(1)])
            await store.commit([Outcome(usage=[usage(), usage()])], [message(1)])
            assert self.disputes(store) == 0
            await store.commit([Outcome(usage=[more])], [message(1, body="{}")])
            await store.commit([Outcome(usage=[more, usage()])], [message(1, body="{}")])
            assert self.disputes(store) == 2
            assert [p.message for p in await store.pending()] == [message(1)]

        self.told(tmp_path, story)

    def disputes(self, store: Both) -> int:
        raise NotImplementedError

    def test_an_outcome_that_changes_nothing_changes_nothing(self, tmp_path: Any) -> None:
        async def story(store: Both) -> None:
            await store.commit([raised(alarm())], [])
            before = await store.load()
            await store.commit([], [])
            await store.commit([Outcome(), Outcome()], [])
            assert await store.load() == before

        self.told(tmp_path, story)

    def test_texts_of_any_kind_are_kept_to_the_byte(self, tmp_path: Any) -> None:
        odd = ["a\0b", "\udcff\ud800", "ø☃\U0001f525", "x" * 1_000_000, "'\";--", "\x1b[31m\r\n"]
        told = [alarm(text, text=text) for text in odd]

        async def write(store: Both) -> None:
            await store.commit([raised(*told)], [message(1, stream=text, key=text) for text in odd])
            await store.commit([raised(*told)], [message(1, stream=text, key=text) for text in odd])

        async def read(store: Both) -> None:
            assert (await store.load()).alarms == {a.key: a for a in told}
            assert keys(await store.due("office", later(9), 10)) == odd
            await store.delivered([p.id for p in await store.pending()])
            assert await store.depth() == (0, 0, None)

        asyncio.run(self._open_and(self.told(tmp_path, write), read))
