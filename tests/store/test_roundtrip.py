"""What is written is read back equal, whatever it is."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from netopsd.core import beliefs, model, ordered
from netopsd.core.beliefs import FINAL
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.errors import CannotStore, StoreBroken
from netopsd.store import columns, shapes
from netopsd.store.memory import MemoryStore
from netopsd.store.migrations import layout
from netopsd.store.read import Reader, Span
from netopsd.store.shape import Shape
from netopsd.store.sqlite import SqliteStore
from tests.store.contract import T0, alarm, later, message, meter, raised, ticket, usage
from tests.store.strategies import outcomes

SHAPES = [value for value in vars(shapes).values() if isinstance(value, Shape)]


def url(where: Path) -> str:
    return f"sqlite:///{where}/netopsd.db"


def database(where: Path, *written: Outcome, **options: Any) -> tuple[SqliteStore, Beliefs]:
    """Return a closed store that `written` was committed to, and what it believed."""
    store = SqliteStore(url(where), ballast_bytes=0, **options)

    async def tell() -> Beliefs:
        await store.open()
        try:
            for outcome in written:
                await store.commit([outcome], [])
            return await store.load()
        finally:
            await store.close()

    return store, asyncio.run(tell())


def test_every_belief_and_history_has_a_table_that_fits_its_fields() -> None:
    kept = {shape.belief for shape in SHAPES}
    inner = {ordered.Endpoint, ordered.Saved, ordered.Terms}  # kept within their beliefs
    stored = {
        value
        for module in (beliefs, ordered)
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    } - inner
    assert kept == {value for value in stored if hasattr(value, "__dataclass_fields__")}
    for shape in SHAPES:
        assert [name for name, _, _ in shape.fields] == [f.name for f in fields(shape.belief)]


def test_every_outcome_the_core_makes_is_written() -> None:
    told = {f.name for f in fields(Outcome)}
    passing = {
        "notices",
        "verify",
        "private",
        "inventory",
        "index",
        "activate",
    }  # live no longer than the process
    assert told - passing == {
        *("alarms", "changes", "tickets", "ticket_notes", "devices", "services", "outages"),
        *("periods", "violations", "meters", "meters_gone", "usage", "sequences", "events"),
        *("orders", "order_items", "order_notes", "ordered"),
    }
    assert set(layout()["sequences"]) == {"name", "value"}


def test_an_event_s_line_holds_all_its_fields() -> None:
    told = ["at", "device", "source", "name", "values", "authenticated", "confirmed", "count"]
    told += ["alarm", "resource", "severity", "text"]
    assert [f.name for f in fields(model.Event)] == told


def test_a_belief_without_a_column_for_a_field_cannot_even_be_imported() -> None:
    with pytest.raises(TypeError, match=r"without a column .*'key'.* without a field"):
        Shape(beliefs.Alarm, "sequences")


@pytest.mark.timeout(400)  # making a failure small takes time
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(outcomes())
def test_whatever_is_committed_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, outcome: Outcome
) -> None:
    where = tmp_path_factory.mktemp("any")
    _, believed = database(where, outcome)
    twin = MemoryStore()
    asyncio.run(twin.commit([outcome], []))
    assert believed == asyncio.run(twin.load())
    read = Reader(url(where))
    assert read.changes() == outcome.changes[::-1]
    assert sorted(read.tickets(), key=repr) == sorted(outcome.tickets.values(), key=repr)
    assert sorted(read.outages(), key=repr) == sorted(outcome.outages.values(), key=repr)
    assert sorted(read.periods(), key=repr) == sorted(outcome.periods.values(), key=repr)
    assert sorted(read.violations(), key=repr) == sorted(outcome.violations.values(), key=repr)
    assert sorted(read.usage(), key=repr) == sorted(twin.usage.values(), key=repr)
    assert [event_facts(e) for e in read.events()] == [event_facts(e) for e in outcome.events[::-1]]
    assert len(read.disputes()) == len(twin.disputes)


def event_facts(event: model.Event) -> dict[str, Any]:
    return {f.name: getattr(event, f.name) for f in fields(event)}


@pytest.mark.parametrize(
    "outcome",
    [
        raised(alarm(flap_weight=math.nan)),
        raised(alarm(count=2**63)),
        Outcome(meters={("acme-internet", "r"): meter(discontinuity=math.nan)}),
        raised(alarm(text=None)),
    ],
    ids=["a NaN", "an integer beyond 64 bits", "a NaN where nothing would do", "no text at all"],
)
def test_a_value_that_has_no_place_is_refused_whole_and_the_store_goes_on(
    tmp_path: Path, outcome: Outcome
) -> None:
    store = SqliteStore(url(tmp_path), ballast_bytes=0)

    async def tell() -> None:
        await store.open()
        with pytest.raises(CannotStore):
            await store.commit([raised(alarm("fine")), outcome], [message()])
        assert (await store.load()).alarms == {}
        assert await store.pending() == []
        await store.commit([raised(alarm("fine"))], [])
        assert len((await store.load()).alarms) == 1
        await store.close()

    asyncio.run(tell())


def test_octets_and_money_are_text_and_times_are_microseconds(tmp_path: Path) -> None:
    database(tmp_path, Outcome(usage=[usage()]))
    with sqlite3.connect(tmp_path / "netopsd.db") as raw:
        row = raw.execute("SELECT in_octets, completeness, starts FROM usage_records").fetchone()
    raw.close()
    assert row == ("18446744073709551621", "1.0000", 1795428000_000_000)


def test_a_row_no_belief_can_say_is_named_and_not_guessed_at(tmp_path: Path) -> None:
    store, _ = database(tmp_path, raised(alarm()))
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE alarms SET severity = 'catastrophic'")
    raw.close()
    with pytest.raises(StoreBroken, match="catastrophic"):
        database(tmp_path)
    with pytest.raises(StoreBroken, match="catastrophic"):
        Reader(url(tmp_path)).alarms()


def test_a_reader_finds_what_it_is_asked_for_and_no_more(tmp_path: Path) -> None:
    closed = ticket(id="TT-2", status=min(FINAL), opened_at=later(5))
    gone = alarm("osl-gw2", phase=beliefs.Phase.CLEARED, changed_at=later(99))
    traps = [
        model.Event(at=later(n), device=f"gw{n % 3}", source=f"192.0.2.{n}", name="1.3.6")
        for n in range(2500)
    ]
    database(
        tmp_path,
        raised(alarm(), gone),
        Outcome(
            tickets={"TT-1": ticket(id="TT-1"), "TT-2": closed},
            ticket_notes=[
                beliefs.TicketNote(
                    ticket="TT-1", at=T0, by="ann", text=text, status=ticket().status
                )
                for text in ("first", "second")
            ],
            usage=[
                usage(key=str(n), starts=later(300 * n), ends=later(300 * n + 300))
                for n in range(4)
            ],
            outages={
                "o1": beliefs.Outage(id="o1", service="s", starts=T0, ends=later(60)),
                "o2": beliefs.Outage(id="o2", service="s", starts=later(90)),
            },
            events=traps,
        ),
    )
    read = Reader(url(tmp_path))
    assert read.alarms() == [alarm(), gone]  # the worst first, cleared ones last
    assert read.alarms(phases=[beliefs.Phase.ACTIVE], severities=[alarm().severity]) == [alarm()]
    assert read.alarms(device="osl-gw2", limit=5) == [gone]
    assert read.alarms(device="osl-gw3") == []
    assert [change.alarm for change in read.changes(alarm=gone.key)] == [gone.key]
    assert [t.id for t in read.tickets()] == ["TT-2", "TT-1"]
    assert read.ticket("TT-2") == closed
    assert read.ticket("TT-3") is None
    assert [t.id for t in read.tickets(statuses=sorted(FINAL))] == ["TT-2"]
    assert [note.text for note in read.notes("TT-1")] == ["second", "first"]
    assert [u.key for u in read.usage(span=Span(later(300), later(900)))] == ["2", "1"]
    assert [o.id for o in read.outages(span=Span(later(60), later(80)))] == ["o1"]
    assert [o.id for o in read.outages(span=Span(later(100)))] == ["o2"]
    found = read.events(device="gw1", span=Span(later(1000), later(2000)), limit=2)
    assert [event.at for event in found] == [later(1999), later(1996)]
    assert [e.device for e in read.events(source="192.0.2.7", name="1.3.6")] == ["gw1"]
    assert read.events(source="192.0.2") == []
    tally = read.tally()
    assert tally["events"] == 2500
    assert (tally["alarms.active"], tally["changes.raised"], tally["usage_records"]) == (1, 2, 4)


def test_a_time_that_must_be_there_is_never_none(tmp_path: Path) -> None:
    """Times are made once for all columns: what one column may lack another may not."""
    store, _ = database(tmp_path, raised(alarm()))
    with sqlite3.connect(store.path) as raw:
        (row,) = raw.execute(f"SELECT {', '.join(shapes.ALARMS.names)} FROM alarms").fetchall()
    raw.close()
    names = shapes.ALARMS.names
    cleared, changed = names.index("cleared_at"), names.index("changed_at")
    assert row[cleared] is None
    assert shapes.ALARMS.beliefs([row, row])[1].cleared_at is None
    with pytest.raises(TypeError):
        shapes.ALARMS.beliefs([(*row[:changed], None, *row[changed + 1 :])])


def test_what_json_cannot_say_is_read_all_the_same_and_in_order(tmp_path: Path) -> None:
    """A start reads columns as JSON: that has no BLOB, it rounds doubles, and an index has an
    order of its own."""
    weights = (0.1 + 0.2, 5e-324, 1.7976931348623157e308)
    first, second, third = (alarm(f"gw-{n}", flap_weight=w) for n, w in enumerate(weights))
    halves = alarm("gw-\udcff", text="\ud800 half\0")
    open_since = {
        id: beliefs.Outage(id=id, service="S", starts=later(9)) for id in ("S@3", "S@1", "S@2")
    }
    for told in ([third, first, second], [third, halves, first]):
        outcome = Outcome(alarms={one.key: one for one in told}, outages=open_since)
        (where := tmp_path / str(len(told[1].text))).mkdir()
        _, found = database(where, outcome)
        assert list(found.alarms.values()) == told
        assert list(found.outages) == list(open_since)


def test_what_few_rows_have_is_read_with_those_rows(tmp_path: Path) -> None:
    """Only what is unusual is handed over: none, some and all rows, with holes in the numbers."""
    unusual = {"acked_by": "ann", "acked_at": later(5), "flapping": True, "flap_weight": 0.1 + 0.2}
    told = [alarm(f"gw-{n}") for n in range(3)] + [alarm("gw-3", **unusual), alarm("gw-4")]
    told += [alarm("gw-5", root="gw-3!unreachable", occurrence=2, source="trap", **unusual)]
    store, believed = database(tmp_path, raised(*told))
    assert list(believed.alarms.values()) == told
    with sqlite3.connect(store.path) as raw:
        raw.execute("DELETE FROM alarms WHERE resource_device IN ('gw-1', 'gw-4')")
    raw.close()
    left = [one for one in told if one.resource.device not in ("gw-1", "gw-4")]
    assert list(database(tmp_path)[1].alarms.values()) == left
    everyone = [replace(one, acked_by="bob", flap_weight=1.5) for one in left]
    assert list(database(tmp_path, raised(*everyone))[1].alarms.values()) == everyone


@pytest.mark.parametrize("far", [7, 2**62], ids=["many parts", "too many parts"])
def test_a_table_read_in_parts_is_read_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: int
) -> None:
    monkeypatch.setattr(columns, "PART", 3)
    told = [alarm(f"gw-{9 - n}", acked_by="ann" * (n % 2), flap_weight=0.1 * n) for n in range(9)]
    told[4] = alarm("gw-\udcff", text="\ud800 half")  # a BLOB: one part is read by rows
    store, believed = database(tmp_path, raised(*told))
    assert list(believed.alarms.values()) == told
    with sqlite3.connect(store.path) as raw:
        raw.execute("DELETE FROM alarms WHERE rowid IN (1, 4, 5, 6)")
        raw.execute("UPDATE alarms SET rowid = ? WHERE rowid = 3", (far + 100,))
    raw.close()
    left = [told[n - 1] for n in (2, 7, 8, 9, 3)]
    assert list(database(tmp_path)[1].alarms.values()) == left
