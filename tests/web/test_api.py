"""What the API tells and does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from netopsd.core.beliefs import Phase, Severity
from netopsd.core.model import Acknowledge, Shelve, TicketAct
from netopsd.errors import CannotStore, NotAllowed, NotJudged, StoreBroken

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANNA = "operator-token-0001"
KEY = "osl-gw1/if/ge-0/0/1!link-down"
ALARM = f"/api/v1/alarms/{quote(KEY, safe='')}"


def test_an_alarm_has_the_words_of_tmf642(site: Any) -> None:
    (alarm,) = site.ask("GET", "/api/v1/alarms").json()
    assert alarm["id"] == KEY
    assert alarm["alarmType"] == "communicationsAlarm"
    assert alarm["perceivedSeverity"] == "major"
    assert alarm["alarmedObject"] == {"id": "osl-gw1/if/ge-0/0/1"}
    assert alarm["state"] == "raised"
    assert alarm["ackState"] == "unacknowledged"
    assert alarm["isRootCause"] is True
    assert alarm["why"] == "ifOperStatus down for 60 s"
    assert site.ask("GET", ALARM).json() == alarm


def test_alarms_are_found_by_what_they_are_and_the_worst_come_first(site: Any) -> None:
    first = site.beliefs.alarm_list[0]
    site.beliefs.alarm_list = [
        replace(first, key="old", changed_at=NOON - timedelta(hours=1)),
        replace(first, key="new"),
        replace(first, key="worst", severity=Severity.CRITICAL, acked_by="anna"),
        replace(first, key="gone", phase=Phase.CLEARED),
        replace(first, key="perhaps", phase=Phase.PENDING),
        replace(first, key="symptom", root="worst", severity=Severity.MINOR),
        replace(first, key="shelved", shelved_until=NOON + timedelta(1), severity=Severity.WARNING),
    ]

    def found(query: str) -> list[str]:
        return [alarm["id"] for alarm in site.ask("GET", f"/api/v1/alarms?{query}").json()]

    assert found("") == ["worst", "new", "old", "symptom", "shelved"]
    assert found("state=cleared") == ["gone"]
    assert found("state=pending&state=cleared") == ["gone", "perhaps"]
    assert found("severity=critical") == ["worst"]
    assert found("acknowledged=true") == ["worst"]
    assert found("root=false") == ["symptom"]
    assert found("shelved=true") == ["shelved"]
    assert found("device=elsewhere") == []
    assert found("limit=2&offset=1") == ["new", "old"]
    answer = site.ask("GET", "/api/v1/alarms?limit=2")
    assert (answer.headers["x-result-count"], answer.headers["x-total-count"]) == ("2", "5")


LONG = "device=" + "x" * 999


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "offset=-1",
        "severity=bad",
        "state=x",
        "typo=1",
        "device=" + "x" * 999,
    ],
)
def test_a_query_out_of_bounds_is_explained_and_not_repeated(site: Any, query: str) -> None:
    answer = site.ask("GET", f"/api/v1/alarms?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "422"
    assert "x" * 50 not in answer.text


def test_acknowledging_is_done_in_the_name_of_the_token(site: Any) -> None:
    answer = site.ask("POST", f"{ALARM}/ack", token=ANNA, json={"note": "on my way"})
    assert answer.status_code == 200
    expected = Acknowledge(at=NOON, by="anna", alarm=KEY, undo=False, note="on my way")
    assert site.beliefs.acts == [expected]


@pytest.mark.parametrize("port", ["a/b", "a%2Fb", "ge 0#1?x=1&y", "ø\n\u202e", "a/ack", "/unack"])
def test_any_port_name_can_be_acted_on(site: Any, port: str) -> None:
    first = site.beliefs.alarm_list[0]
    key = f"osl-gw1/if/{port}!link-down"
    site.beliefs.alarm_list = [replace(first, key=key)]
    path = f"/api/v1/alarms/{quote(key, safe='')}/ack"
    assert site.ask("POST", path, token=ANNA).status_code == 200
    assert site.beliefs.acts[0].alarm == key


def test_shelving_takes_minutes_or_a_moment_within_thirty_days(site: Any) -> None:
    until = "2026-11-23T14:00:00+00:00"
    assert site.ask("POST", f"{ALARM}/shelve", token=ANNA, json={"minutes": 60}).is_success
    assert site.ask("POST", f"{ALARM}/shelve", token=ANNA, json={"until": until}).is_success
    assert site.ask("POST", f"{ALARM}/unshelve", token=ANNA).is_success
    assert site.beliefs.acts == [
        Shelve(at=NOON, by="anna", alarm=KEY, until=NOON + timedelta(hours=1)),
        Shelve(at=NOON, by="anna", alarm=KEY, until=NOON + timedelta(hours=2)),
        Shelve(at=NOON, by="anna", alarm=KEY, until=None),
    ]
    for wrong in (
        {}, {"minutes": 0}, {"minutes": 60, "until": until}, {"until": "2026-11-23T14:00:00"},
        {"until": "2026-11-23T11:00:00Z"}, {"until": "2027-11-23T11:00:00Z"},
        {"minutes": 1, "x": 1},
    ):  # fmt: skip
        assert site.ask("POST", f"{ALARM}/shelve", token=ANNA, json=wrong).status_code == 422
    assert len(site.beliefs.acts) == 3


def test_a_ticket_has_the_words_of_tmf621_and_takes_notes_and_moves(site: Any) -> None:
    (listed,) = site.ask("GET", "/api/v1/tickets?status=acknowledged").json()
    assert listed["status"] == "acknowledged"
    assert listed["relatedEntity"][0] == {"id": KEY, "role": "cause"}
    assert site.ask("GET", "/api/v1/tickets?status=closed").json() == []
    path = "/api/v1/tickets/TT-000001"
    assert site.ask("GET", path).json()["note"][0]["author"] == "anna"
    assert site.ask("POST", f"{path}/notes", token=ANNA, json={"text": "spliced"}).is_success
    move = {"status": "inProgress", "note": "crew sent"}
    assert site.ask("POST", f"{path}/status", token=ANNA, json=move).is_success
    assert site.beliefs.acts == [
        TicketAct(at=NOON, by="anna", ticket="TT-000001", note="spliced"),
        TicketAct(at=NOON, by="anna", ticket="TT-000001", status="inProgress", note="crew sent"),
    ]
    assert site.ask("POST", f"{path}/status", token=ANNA, json={"status": "x"}).status_code == 422


def test_what_does_not_fit_the_state_is_a_conflict_with_its_reason(site: Any) -> None:
    site.beliefs.refusal = NotAllowed("resolved → pending is no way of TMF621")
    body = {"status": "pending"}
    answer = site.ask("POST", "/api/v1/tickets/TT-000001/status", token=ANNA, json=body)
    assert answer.status_code == 409
    assert answer.json()["reason"] == "resolved → pending is no way of TMF621"


def test_a_broken_store_is_said_without_its_secrets(site: Any) -> None:
    site.beliefs.refusal = StoreBroken("disk I/O error on /var/lib/netopsd/secret.db")
    answer = site.ask("POST", f"{ALARM}/ack", token=ANNA)
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_what_netopsd_fails_at_is_said_and_nothing_is_told_of_its_inside(site: Any) -> None:
    site.beliefs.refusal = NotJudged("no judgement could be made: KeyError in secret.py")
    answer = site.ask("POST", f"{ALARM}/ack", token=ANNA)
    assert answer.status_code == 500
    assert "nothing was changed" in answer.json()["reason"]
    assert "secret" not in answer.text


def test_what_the_store_has_no_place_for_is_the_askers_mistake(site: Any) -> None:
    site.beliefs.refusal = CannotStore("/var/lib/netopsd/secret.db: int too large")
    answer = site.ask("POST", f"{ALARM}/ack", token=ANNA)
    assert answer.status_code == 422
    assert "secret" not in answer.text


def test_what_is_not_there_is_not_found_and_nothing_is_done(site: Any) -> None:
    for path in (
        "/api/v1/alarms/none/ack", "/api/v1/tickets/TT-9/notes", "/api/v1/tickets/TT-9/status",
        "/api/v1/outbox/99/retry", "/api/v1/outbox/99/park",
    ):  # fmt: skip
        body = {"text": "x"} if "notes" in path else {"status": "closed"}
        body = {"reason": "x"} if "park" in path else body if "ticket" in path else {}
        assert site.ask("POST", path, token=ANNA, json=body).status_code == 404, path
    assert site.beliefs.acts == []
    assert site.beliefs.parked == []


def test_services_months_devices_usage_and_outbox_are_listed(site: Any) -> None:
    (month,) = site.ask("GET", "/api/v1/sla?customer=acme&period=2026-11").json()
    assert month["budgetBurnRatio"] == 0.5
    assert month["availability"] == "0.999500000"
    (record,) = site.ask("GET", "/api/v1/usage?since=2026-11-23T00:00:00Z").json()
    assert record["inOctets"] == "9223372036854775809"
    assert site.ask("GET", "/api/v1/usage?since=2026-11-23T00:00:00").status_code == 422
    devices = site.ask("GET", "/api/v1/devices").json()
    assert [(d["name"], d["reach"]) for d in devices] == [
        ("brg-gw1", "new"),
        ("osl-gw1", "answering"),
    ]
    assert len(site.ask("GET", "/api/v1/devices?site=oslo&reach=answering").json()) == 1
    (message,) = site.ask("GET", "/api/v1/outbox").json()
    assert message["id"] == 7
    assert "body" not in message
    assert site.ask("GET", "/api/v1/outbox?parked=true").json() == []


@pytest.mark.parametrize("number", [10**20, 2**63, 0, -1])
def test_what_no_message_can_be_numbered_is_refused_before_the_store(
    site: Any, number: int
) -> None:
    for act in ("retry", "park"):
        path = f"/api/v1/outbox/{number}/{act}"
        assert site.ask("POST", path, token=ANNA, json={"reason": "x"}).status_code == 422


def test_the_outbox_obeys_and_remembers_who_parked(site: Any) -> None:
    assert site.ask("POST", "/api/v1/outbox/7/retry", token=ANNA).status_code == 204
    body = {"reason": "account closed"}
    assert site.ask("POST", "/api/v1/outbox/7/park", token=ANNA, json=body).status_code == 204
    assert site.beliefs.retried == [7]
    assert site.beliefs.parked == [(7, "anna: account closed")]


def test_alive_is_not_ready(site: Any) -> None:
    assert site.ask("GET", "/ready").status_code == 200
    site.beliefs.first_looks = False
    answer = site.ask("GET", "/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"store": True, "first_looks": False}
    assert site.ask("GET", "/health").status_code == 200


def test_a_body_of_more_than_64_kib_is_refused(site: Any) -> None:
    body = {"note": "x" * 70_000}
    assert site.ask("POST", f"{ALARM}/ack", token=ANNA, json=body).status_code == 413
    assert site.beliefs.acts == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"[" * 60_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"note": 5}', "application/json"),
        (b'{"note": "x"}', "text/plain"),
        (b"note=x", "application/x-www-form-urlencoded"),
        (b'{"note": "a", "by": "root"}', "application/json"),
    ],
)
def test_a_body_that_is_no_good_json_does_nothing(site: Any, content: bytes, kind: str) -> None:
    headers = {"content-type": kind}
    answer = site.ask("POST", f"{ALARM}/ack", token=ANNA, content=content, headers=headers)
    assert answer.status_code in (400, 415, 422)
    assert site.beliefs.acts == []


def test_a_route_that_hangs_is_given_up(make_site: Callable[..., Any]) -> None:
    import asyncio

    site = make_site(deadline_s=0.05)

    async def for_ever(alarm: str, limit: int, offset: int) -> Any:
        await asyncio.Event().wait()

    site.beliefs.changes = for_ever
    assert site.ask("GET", "/api/v1/alarms/history").status_code == 504


HOSTILE = [
    "<script>alert(1)</script>", "'; DROP TABLE alarm; --", "\x1b[31m\x00\x07", "\u202egnp.exe",
    '"} 1\nnetopsd_device_up{device="x"} 0', "{{7*7}}${7*7}%s%n", "\ud800x",
    "🦊" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_string_is_data_in_every_answer(site: Any, text: str) -> None:
    site.beliefs.text = text
    first = site.beliefs.alarm_list[0]
    site.beliefs.alarm_list = [replace(first, text=text, why=text, probable_cause=text)]
    for path in ("alarms", "alarms/history", "tickets", "tickets/TT-000001", "sla", "usage",
                 "devices", "outbox"):  # fmt: skip
        answer = site.ask("GET", f"/api/v1/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "application/json"
        answer.json()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_string_as_a_parameter_is_just_not_found(site: Any, text: str) -> None:
    shown = quote(text.encode("utf-8", "replace"))
    for path in (f"alarms?device={shown}", f"sla?service={shown}", f"devices?site={shown}"):
        answer = site.ask("GET", f"/api/v1/{path}")
        assert answer.status_code in (200, 422)
        assert answer.status_code == 422 or answer.json() == []
    assert site.ask("GET", f"/api/v1/alarms/{shown}").status_code == 404


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/page.css", "x%00", "index.html"]
)
def test_only_the_shipped_files_are_served(site: Any, path: str) -> None:
    assert site.ask("GET", f"/assets/{path}").status_code == 404


def test_the_pages_need_nothing_from_elsewhere(site: Any) -> None:
    api = site.ask("GET", "/openapi.json").json()
    assert "/api/v1/alarms/{key}/ack" in api["paths"]
    for path in ("/", "/docs", "/assets/docs.js", "/assets/console.js", "/assets/page.css"):
        text = site.ask("GET", path).text
        assert "http:" not in text
        assert "https:" not in text
        for banned in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="):
            assert banned not in text
