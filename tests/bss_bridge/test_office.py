"""The office books each message once, for ever, and knows what does not add up."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bss_bridge.office.booking import Booked
from bss_bridge.office.books import Books, open_books
from bss_bridge.office.connect import connect_writer, database_path
from bss_bridge.office.inbound import rows_of
from bss_bridge.office.migrations import STEPS, Step, migrate, version
from bss_bridge.office.revenue import assure
from bss_bridge.office.store import Office
from bss_bridge.office.tables import Row
from bss_bridge.translate import Route, Translator
from netopsd.clock import ManualClock
from netopsd.core.outcome import BudgetNotice, Notice
from netopsd.errors import Refused, StoreBroken, StoreTooNew, TryLater
from netopsd.ports import Message
from tests.bss_bridge.test_translate import EVERYTHING, PERIOD, TICKET
from tests.bss_bridge.world import T0, contract, customer, down, outage, usage, violated

OFFICE = Route(sink="office")


def messages(*notices: Notice) -> list[Message]:
    return Translator([contract()], [OFFICE], [customer()])(notices)


def with_office(path: Path, story: Callable[[Office], Awaitable[Any]], now: datetime = T0) -> Any:
    async def run() -> Any:
        office = Office(path, ManualClock(now))
        await office.open()
        try:
            return await story(office)
        finally:
            await office.close()

    return asyncio.run(run())


async def take_all(office: Office, *notices: Notice) -> list[Booked]:
    return list(await asyncio.gather(*(office.take(m) for m in messages(*notices))))


def booked(path: Path) -> dict[str, int]:
    with open_books(path) as books:
        return books.counts()


def test_everything_finds_its_place(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    with_office(path, lambda office: take_all(office, *EVERYTHING))
    counts = booked(path)
    assert counts | {"customer": 0, "account": 0, "service": 0} == {
        "received": 9,
        "usage_record": 1,
        "sla_violation": 1,
        "credit": 1,
        "care_notice": 2,
        "outage": 1,
        "ticket_reference": 1,
        "budget_warning": 1,
        "dispute": 0,
        "customer": 0,
        "account": 0,
        "service": 0,
    }
    with open_books(path) as books:
        (credit,) = books.credits()
        (promise,) = books.violations(period="2026-11")
        (day,) = books.usage_by_day("Europe/Oslo")
    assert (credit.amount_minor, credit.currency, credit.is_billed) == (14900, "NOK", False)
    assert (promise.state, promise.ticket) == ("confirmed", "TT-000001")
    assert (day.day, day.in_octets, day.out_octets) == (date(2026, 11, 23), 1000, 10)


def test_a_repeat_adds_nothing_even_years_later(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    with_office(path, lambda office: take_all(office, *EVERYTHING))
    before = booked(path)
    again = with_office(path, lambda office: take_all(office, *EVERYTHING))
    assert set(again) == {Booked.KNOWN}
    assert booked(path) == before


def test_duplicates_that_arrive_together_are_booked_once(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    together = [notice for notice in EVERYTHING for _ in range(3)]
    results = with_office(path, lambda office: take_all(office, *together))
    assert results.count(Booked.NEW) == 9
    assert booked(path)["usage_record"] == 1


def test_the_same_key_with_another_content_is_a_dispute_and_not_booked(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    results = with_office(
        path,
        lambda office: take_all(office, usage(), usage(in_octets=9), usage(in_octets=9), usage()),
    )
    assert results == [Booked.NEW, Booked.DISPUTED, Booked.DISPUTED, Booked.KNOWN]
    with open_books(path) as books:
        assert [record.in_octets for record in books.usage()] == [1000]
        (dispute,) = books.disputes()
        found = assure(books).findings
    assert '"inOctets":9' in dispute.body
    assert [finding.check for finding in found] == ["dispute"]


def test_a_second_credit_for_one_violation_and_account_is_a_dispute(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> Booked:
        await take_all(office, violated())
        (credit,) = [m for m in messages(violated()) if m.topic == "sla.credit"]
        body = json.loads(credit.body)
        body["event"]["appliedCustomerBillingRate"]["id"] = "another"
        return await office.take(replace(credit, key="another", body=json.dumps(body)))

    assert with_office(path, story) is Booked.DISPUTED
    assert booked(path)["credit"] == 1


def test_an_outage_ends_in_its_own_row_and_an_old_word_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    ended = down(what="ended", outage=outage(ends=T0 + timedelta(hours=1)), ticket="TT-000001")

    async def story(office: Office) -> None:
        await take_all(office, ended)
        await take_all(office, down())

    with_office(path, story)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT ends, ticket FROM outage").fetchall()
    connection.close()
    assert rows == [("2026-11-23T11:00:00.000000Z", "TT-000001")]


def test_a_ticket_stands_where_it_was_last_said_to(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    from netopsd.core.beliefs import TicketStatus
    from netopsd.core.outcome import TicketNotice

    later = replace(TICKET, status=TicketStatus.RESOLVED, changed_at=T0 + timedelta(hours=1))

    async def story(office: Office) -> None:
        await take_all(office, TicketNotice(ticket=later, what="resolved", at=T0))
        await take_all(office, TicketNotice(ticket=TICKET, what="opened", at=T0))

    with_office(path, story, now=T0 + timedelta(hours=2))
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT status FROM ticket_reference").fetchall()
    connection.close()
    assert rows == [("resolved",)]


def test_what_is_said_once_the_clock_is_right_counts_though_it_was_ahead(tmp_path: Path) -> None:
    path, ahead = tmp_path / "office.db", timedelta(days=90)
    from netopsd.core.beliefs import TicketStatus
    from netopsd.core.outcome import TicketNotice

    wrong = replace(TICKET, changed_at=T0 + ahead)
    right = replace(TICKET, status=TicketStatus.RESOLVED, changed_at=T0)
    begun = outage(starts=T0 + ahead)
    ended = replace(begun, starts=T0, ends=T0 + timedelta(minutes=9))
    began, over = down(outage=begun), down(what="ended", outage=ended)

    async def before(office: Office) -> None:
        await take_all(office, TicketNotice(ticket=wrong, what="opened", at=T0 + ahead), began)

    async def after(office: Office) -> None:
        await take_all(office, TicketNotice(ticket=right, what="resolved", at=T0), over)

    with_office(path, before, now=T0 + ahead)
    with_office(path, after, now=T0 + timedelta(minutes=10))
    with sqlite3.connect(path) as connection:
        tickets = connection.execute("SELECT status FROM ticket_reference").fetchall()
        outages = connection.execute("SELECT starts, ends FROM outage").fetchall()
    connection.close()
    assert tickets == [("resolved",)]
    assert outages == [("2026-11-23T10:00:00.000000Z", "2026-11-23T10:09:00.000000Z")]


def test_customers_are_those_configured_and_nobody_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> None:
        await office.synchronise(
            [customer(), customer(id="c2", name="Old", account=[])], [contract()]
        )
        await office.synchronise([customer(name="Fjord ASA")], [contract(monthly_fee="99.50")])

    with_office(path, story)
    with sqlite3.connect(path) as connection:
        customers = connection.execute(
            "SELECT id, name, active FROM customer ORDER BY id"
        ).fetchall()
        contacts = connection.execute("SELECT count(*) FROM contact").fetchone()
        fee = connection.execute("SELECT monthly_fee_minor FROM service").fetchone()
    connection.close()
    assert customers == [("c1", "Fjord ASA", 1), ("c2", "Old", 0)]
    assert (contacts, fee) == ((1,), (9950,))


def test_a_hole_in_a_sources_sequence_shows(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    with_office(path, lambda o: take_all(o, usage(1), usage(2), usage(5), usage(7, service="s2")))
    with open_books(path) as books:
        result = assure(books)
    assert [(f.check, f.detail) for f in result.findings] == [
        ("usage-gap", "sequence 3 to 4 missing"),
        ("usage-gap", "sequence 1 to 6 missing"),
    ]
    assert result.totals.in_octets == 15000


def test_a_violation_without_credit_shows(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> None:
        for message in messages(violated(1), violated(2)):
            if message.key != "sla.credit|s1/2026-11/tier-2|a1":
                await office.take(message)

    with_office(path, story)
    with open_books(path) as books:
        result = assure(books)
    assert [(f.check, f.subject) for f in result.findings] == [
        ("credit-missing", "s1/2026-11/tier-2")
    ]
    assert result.totals.credit_minor == {"NOK": 14900}


def test_a_credit_of_nothing_shows() -> None:
    from bss_bridge.office.books import BookedCredit
    from bss_bridge.office.revenue import check_credits

    credit = BookedCredit(
        id="x",
        violation="gone",
        account="a1",
        customer="c1",
        service="s1",
        amount_minor=1,
        currency="NOK",
        why="",
        at=T0,
        covers_from=T0,
        covers_until=T0,
        is_billed=False,
    )
    assert [f.check for f in check_credits([], [credit])] == ["credit-without-violation"]
    assert [f.check for f in check_credits([], [credit, credit])] == ["credit-without-violation"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        '{"event":null}',
        '{"event":{"usage":[]}}',
        '{"event":{"usage":{"id":1}}}',
        "[" * 100_000,
        '{"event":' * 50_000,
        '"' + "x" * (1 << 20) + '"',
    ],
)
@pytest.mark.parametrize("topic", ["usage.record", "sla.credit", "ticket.opened", "care.notice"])
def test_nonsense_is_refused_and_nothing_else(topic: str, body: str) -> None:
    nonsense = Message(key="k", sink="office", topic=topic, stream="a", body=body, at=T0)
    with pytest.raises(Refused):
        rows_of(nonsense)


WHOLE = {m.topic: m for m in messages(*EVERYTHING) if m.topic != "alarm.raised"}
BROKEN = st.one_of(
    st.none(),
    st.text(alphabet=st.characters()),
    st.integers(),
    st.floats(),
    st.just("9999-12-31T23:59:59-23:59"),
    st.just("\ud800"),
    st.just([]),
    st.just({}),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, ...]] = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += _places(inner, (*path, key))
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_one_field_gone_wrong_is_booked_or_refused(topic: str, data: st.DataObject) -> None:
    message = WHOLE[topic]
    body = json.loads(message.body)
    *path, last = data.draw(st.sampled_from(_places(body)))
    inner = body
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(BROKEN)
    try:
        rows = rows_of(replace(message, body=json.dumps(body)))
    except Refused:
        return
    connection = sqlite3.connect(":memory:")
    for row in rows:
        for value in row.model_dump().values():
            connection.execute("SELECT ?", (value,))
    connection.close()


def test_a_key_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        with pytest.raises(Refused, match="not Unicode"):
            await office.take(replace(messages(usage())[0], key="\ud800"))

    with_office(tmp_path / "office.db", story)


def test_a_database_locked_by_another_is_tried_later(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> None:
        office._writing.execute("PRAGMA busy_timeout = 10")  # type: ignore[union-attr]
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryLater, match="locked"):
            await take_all(office, usage())
        other.execute("ROLLBACK")
        other.close()
        assert await take_all(office, usage()) == [Booked.NEW]

    with_office(path, story)


def test_a_full_disk_is_tried_later_and_nothing_is_half_booked(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> None:
        connection = office._writing
        assert connection is not None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(TryLater, match="full"):
            for n in range(1, 200):
                await take_all(office, usage(n))
        connection.execute("PRAGMA max_page_count = 1000000")
        await take_all(office, *(usage(n) for n in range(1, 200)))

    with_office(path, story)
    with open_books(path) as books:
        assert not assure(books).findings
        assert books.counts()["usage_record"] == books.counts()["received"] == 199


def test_a_closed_office_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        office = Office(tmp_path / "office.db", ManualClock(T0))
        with pytest.raises(StoreBroken, match="not open"):
            await office.take(messages(usage())[0])
        with pytest.raises(StoreBroken, match="not open"):
            await office.ask(Books.counts)
        await office.close()

    asyncio.run(story())


def test_questions_are_answered_while_messages_come_in(tmp_path: Path) -> None:
    async def story(office: Office) -> dict[str, int]:
        await take_all(office, usage())
        assert await office.ask(lambda books: [r.sequence for r in books.usage()]) == [1]
        return await office.ask(Books.counts)

    assert with_office(tmp_path / "office.db", story)["usage_record"] == 1


def test_the_migrations_make_exactly_the_tables_of_the_classes(tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    def schema(path: Path) -> dict[tuple[str, str], list[Any]]:
        connection = sqlite3.connect(path)
        found: dict[tuple[str, str], list[Any]] = {}
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            found[name, "columns"] = connection.execute(f"PRAGMA table_info({name})").fetchall()
            indexes = connection.execute(f"PRAGMA index_list({name})").fetchall()
            found[name, "indexes"] = sorted(
                [unique, origin, connection.execute(f"PRAGMA index_info({index})").fetchall()]
                for _, index, unique, origin, _ in indexes
            )
        connection.close()
        return found

    migrated, made = tmp_path / "migrated.db", tmp_path / "made.db"
    connection = connect_writer(migrated)
    assert migrate(connection) == STEPS[-1].number
    connection.close()
    engine = create_engine(f"sqlite:///{made}")
    Row.metadata.create_all(engine)
    engine.dispose()
    got = {key: value for key, value in schema(migrated).items() if key[0] != "migration"}
    assert got == schema(made)


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    connection = connect_writer(tmp_path / "office.db")
    broken = Step(number=2, name="broken", statements=("CREATE TABLE x (y)", "nonsense"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*STEPS, broken))
    assert version(connection) == 1
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'x'").fetchone() == (
        0,
    )
    assert migrate(connection) == 1
    connection.close()


def test_an_older_program_does_not_touch_a_newer_database(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    connection = connect_writer(path)
    migrate(connection, (*STEPS, Step(number=99, name="future", statements=())))
    connection.close()
    with pytest.raises(StoreTooNew, match="99"):
        with_office(path, take_all)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE customer (x)")
    theirs.close()
    with pytest.raises(StoreBroken, match="another program"):
        with_office(path, take_all)
    (tmp_path / "text.db").write_text("not a database at all, but long enough to look" * 20)
    with pytest.raises(StoreBroken, match="not a database"):
        with_office(tmp_path / "text.db", take_all)


def test_the_writer_is_durable_and_the_reader_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "office.db"

    async def story(office: Office) -> None:
        writing, reading = office._writing, office._reading
        assert writing is not None and reading is not None
        assert writing.execute("PRAGMA synchronous").fetchone() == (2,)
        assert writing.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reading.execute("DELETE FROM usage_record")

    with_office(path, story)


@pytest.mark.parametrize("url", ["postgresql://x/y", "sqlite://", "sqlite:///:memory:", "x", ""])
def test_an_office_that_is_not_a_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the office needs"):
        database_path(url)


def test_a_budget_warning_is_one_row_per_threshold(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    notices = [
        BudgetNotice(period=PERIOD, customer="c1", account="a1", burn=burn, at=T0)
        for burn in (50, 80, 50)
    ]
    with_office(path, lambda office: take_all(office, *notices))
    assert booked(path)["budget_warning"] == 2
