"""Notices become messages: frozen, keyed by content, one per sink that wants them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bss_bridge.care import next_bill
from bss_bridge.settings import Account, FileSinkSettings, OfficeSinkSettings, SmtpSinkSettings
from bss_bridge.translate import Route, Translator, month, routes
from netopsd.core.beliefs import (
    Alarm,
    AlarmType,
    Phase,
    Severity,
    SlaPeriod,
    Ticket,
    TicketStatus,
)
from netopsd.core.model import Resource
from netopsd.core.outcome import AlarmNotice, BudgetNotice, Notice, TicketNotice
from netopsd.ports import Message
from tests.bss_bridge.world import (
    T0,
    contract,
    customer,
    down,
    outage,
    usage,
    violated,
    violation,
)

ALL = Route(sink="all")
GW = Resource("osl-gw1", "if", "ge-0/0/1")
ALARM = Alarm(
    key=f"{GW}!link-down",
    resource=GW,
    alarm="link-down",
    type=AlarmType.COMMUNICATIONS,
    severity=Severity.MAJOR,
    probable_cause="lossOfSignal",
    text="osl-gw1 ge-0/0/1 is down",
    why="ifOperStatus down for 60 s",
    phase=Phase.ACTIVE,
    since=T0,
    raised_at=T0,
    changed_at=T0,
)
TICKET = Ticket(
    id="TT-000001",
    cause=ALARM.key,
    occurrence=1,
    title="osl-gw1 ge-0/0/1 is down",
    status=TicketStatus.ACKNOWLEDGED,
    severity=Severity.MAJOR,
    priority=2,
    services=("s1",),
    opened_at=T0,
    changed_at=T0,
    why="service s1 is down",
)
PERIOD = SlaPeriod(
    service="s1",
    period="2026-11",
    starts=T0.replace(day=1),
    ends=T0.replace(month=12, day=1),
    target=contract().target,
    down_s=1300.0,
)
EVERYTHING: list[Notice] = [
    AlarmNotice(alarm=ALARM, what="raised", at=T0),
    TicketNotice(ticket=TICKET, what="opened", at=T0),
    down(),
    BudgetNotice(period=PERIOD, customer="c1", account="a1", burn=50, at=T0),
    violated(),
    usage(),
]


def translate(*notices: Notice, route: Route = ALL) -> list[Message]:
    return Translator([contract()], [route], [customer()])(notices)


def event(message: Message) -> dict[str, Any]:
    said = json.loads(message.body)["event"]
    assert isinstance(said, dict)
    return next(iter(said.values()))  # type: ignore[no-any-return]


def test_each_notice_says_all_it_means() -> None:
    assert [message.topic for message in translate(*EVERYTHING)] == [
        "alarm.raised",
        "ticket.opened",
        "outage.started",
        "care.notice",
        "sla.budget",
        "sla.violation",
        "sla.credit",
        "care.notice",
        "usage.record",
    ]


def test_a_replay_gives_the_same_bytes_and_keys() -> None:
    assert translate(*EVERYTHING) == translate(*EVERYTHING)


def test_no_two_messages_share_a_key() -> None:
    ended = down(what="ended", outage=outage(ends=T0 + timedelta(hours=1)))
    said = [
        *EVERYTHING,
        ended,
        violated(2),
        usage(2),
        AlarmNotice(alarm=ALARM, what="cleared", at=T0),
    ]
    keys = [message.key for message in translate(*said)]
    assert len(set(keys)) == len(keys)


def test_two_changes_of_one_alarm_at_one_instant_are_two_messages() -> None:
    worse = replace(ALARM, severity=Severity.CRITICAL)
    first, second = translate(
        AlarmNotice(alarm=ALARM, what="changed", at=T0),
        AlarmNotice(alarm=worse, what="changed", at=T0),
    )
    assert first.key != second.key


def test_a_usage_key_depends_on_what_was_measured_when_and_not_on_how_much() -> None:
    (one,), (other,) = translate(usage()), translate(usage(in_octets=5))
    assert one.key == other.key
    assert one.body != other.body


def test_bodies_are_canonical_and_times_are_utc() -> None:
    for message in translate(*EVERYTHING):
        body = json.loads(message.body)
        assert message.body == json.dumps(
            body, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert body["eventId"] == message.key
        assert body["eventTime"].endswith("Z")


def test_what_concerns_an_account_travels_in_its_stream() -> None:
    streams = {message.topic: message.stream for message in translate(*EVERYTHING)}
    assert {topic for topic, stream in streams.items() if stream == "network"} == {
        "alarm.raised",
        "ticket.opened",
    }


def test_a_sink_hears_the_topics_it_wants() -> None:
    wants = Route(sink="care", topics=("sla.credit", "care.*"))
    heard = translate(*EVERYTHING, route=wants)
    assert [message.topic for message in heard] == ["care.notice", "sla.credit", "care.notice"]
    assert {message.sink for message in heard} == {"care"}


def test_each_sink_gets_its_own_copy_under_the_same_key() -> None:
    two = Translator([contract()], [ALL, Route(sink="other")], [customer()])([usage()])
    assert [message.sink for message in two] == ["all", "other"]
    assert two[0].key == two[1].key


def test_a_credit_is_an_applied_billing_rate_that_no_bill_has_taken() -> None:
    (credit,) = [event(m) for m in translate(violated()) if m.topic == "sla.credit"]
    assert credit["appliedBillingRateType"] == "appliedBillingCredit"
    assert credit["isBilled"] is False
    assert credit["amountMinor"] == 14900
    assert credit["taxExcludedAmount"] == {"unit": "NOK", "value": "149.00"}
    assert credit["periodCoverage"] == {
        "startDateTime": "2026-10-31T23:00:00Z",
        "endDateTime": "2026-11-30T23:00:00Z",
    }


def test_care_learns_of_an_outage_at_once_and_in_plain_words() -> None:
    (notice,) = [event(m) for m in translate(down()) if m.topic == "care.notice"]
    assert notice["impact"] == (
        "Fibre Bergen has been down since 2026-11-23 11:00 CET because of a fault."
    )
    assert notice["customer"] == {"id": "c1", "name": "Fjord AS"}
    assert notice["contacts"][0]["address"] == "kari@fjord.example"
    assert notice["starts"] == {
        "utc": "2026-11-23T10:00:00Z",
        "local": "2026-11-23T11:00:00+01:00",
    }
    assert notice["nextUpdateBy"]["utc"] == "2026-11-23T10:31:00Z"
    assert notice["target"] == "0.999"


def test_care_learns_what_a_broken_promise_is_worth_and_on_which_bill() -> None:
    (notice,) = [event(m) for m in translate(violated()) if m.topic == "care.notice"]
    assert notice["breach"] is True
    assert notice["credit"] == {"amount": "149.00", "currency": "NOK", "nextBill": "2026-11-30"}
    assert "99.8999999 %" not in notice["say"]
    assert "NOK 149.00" in notice["say"]


def test_one_incident_is_one_thread() -> None:
    ended = down(what="ended", outage=outage(ends=T0 + timedelta(hours=1)))
    notices = [event(m) for m in translate(down(), violated(), ended) if m.topic == "care.notice"]
    assert {notice["thread"] for notice in notices} == {outage().id}
    assert "It was down for 1 h 0 min" in notices[-1]["say"]


def test_a_violation_without_a_contract_is_told_but_not_priced() -> None:
    told = Translator([], [ALL], [])([violated()])
    assert [message.topic for message in told] == ["sla.violation", "care.notice"]


@pytest.mark.parametrize(("hurt", "mails"), [(4, 4), (5, 1), (500, 1)])
def test_many_customers_with_one_cause_are_one_digest_to_who_wants_digests(
    hurt: int, mails: int
) -> None:
    both = [Route(sink="mail", topics=("care.*",), digest_from=5), Route(sink="office")]
    notices = [down(f"s{n}", customer=f"c{n}", account=f"a{n}") for n in range(hurt)]
    told = Translator([], both, [])(notices)
    mailed = [message for message in told if message.sink == "mail"]
    assert len(mailed) == mails
    named = [event(m).get("affected") or [event(m)] for m in mailed]
    assert sum(len(names) for names in named) == hurt  # nobody is left out
    assert sum(m.sink == "office" and m.topic == "care.notice" for m in told) == hurt


def test_outages_of_different_causes_are_never_one_digest() -> None:
    mail = Route(sink="mail", topics=("care.*",), digest_from=2)
    told = Translator([], [mail], [])([down("s1", cause="cut"), down("s2", cause="power")])
    assert [message.topic for message in told] == ["care.notice", "care.notice"]


def test_hostile_text_from_devices_survives_as_valid_utf8() -> None:
    evil = "\x00\x1b[31m\ud800\udcff<script>\u202e\r\n"
    alarm = replace(ALARM, text=evil, key=f"{GW}!{evil}")
    (message,) = translate(AlarmNotice(alarm=alarm, what="raised", at=T0))
    message.body.encode()
    message.key.encode()
    json.dumps(json.loads(message.body), ensure_ascii=False).encode()
    assert json.loads(message.body)["eventId"] == message.key
    assert "<script>" in event(message)["alarmDetails"]


def test_routes_come_from_the_sinks_settings() -> None:
    made = routes(
        [
            OfficeSinkSettings(name="office"),
            FileSinkSettings.model_validate({"name": "file", "path": "x"}),
            SmtpSinkSettings(name="care", host="mx", sender="noc@x.y", to=("care@x.y",)),
        ]
    )
    assert [(route.sink, route.digest_from) for route in made] == [
        ("office", None),
        ("file", None),
        ("care", 5),
    ]
    assert not made[0].wants("alarm.raised")
    assert made[1].wants("alarm.raised")


@pytest.mark.parametrize(
    ("today", "day", "bill"),
    [
        ("2026-11-23", 31, "2026-11-30"),
        ("2026-11-30", 31, "2026-12-31"),
        ("2027-01-31", 31, "2027-02-28"),
        ("2027-02-28", 31, "2027-03-31"),
        ("2026-12-05", 5, "2027-01-05"),
        ("2026-12-04", 5, "2026-12-05"),
    ],
)
def test_a_bill_day_clamps_to_a_short_month_and_comes_back(today: str, day: int, bill: str) -> None:
    at = datetime.fromisoformat(today).replace(hour=12, tzinfo=UTC)
    assert next_bill(at, "Europe/Oslo", Account(id="a", bill_day=day)) == date.fromisoformat(bill)


def test_a_months_end_is_where_its_zone_says() -> None:
    span = month(violation(period="2026-12"), "Pacific/Auckland")
    assert span == {"startDateTime": "2026-11-30T11:00:00Z", "endDateTime": "2026-12-31T11:00:00Z"}
