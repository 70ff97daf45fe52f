"""What the demo shows and tells, from what it read back. The demo itself runs in tests/e2e."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bss_bridge.office.books import BookedCredit, BrokenPromise, CareNotice
from netopsd.core.beliefs import Change, Severity, Ticket, TicketNote, TicketStatus
from netopsd.demo_figures import Picture, figures
from netopsd.demo_stage import DemoFailed, stage_in
from netopsd.demo_tale import Tale, Told, scene
from netopsd.demo_view import screen

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def tale() -> Tale:
    cut = {"at": at(20).isoformat(), "what": "event", "do": "cut", "link": "fibre-17"}
    why = "told by linkDown"
    ticket = Ticket(
        id="TT-000001", cause="gw1/if/1!link-down", occurrence=1, title="gw1 port 1 is down",
        status=TicketStatus.RESOLVED, severity=Severity.MAJOR, priority=1,
        opened_at=at(23), changed_at=at(38),
    )  # fmt: skip
    note = TicketNote(
        ticket="TT-000001", at=at(38), by="netopsd", text="cleared", status=TicketStatus.RESOLVED
    )
    return Tale(
        began=BEGAN,
        truth=[cut],
        changes=[
            Change(alarm="gw1/if/1!link-down", occurrence=1, at=at(t), what=what, by="netopsd",
                   why=why, severity=Severity.MAJOR)
            for t, what in ((20, "raised"), (21, "pending"), (38, "cleared"))
        ],
        tickets=[(ticket, [note])],
        violations=[
            BrokenPromise(
                id="v", service="S-1", customer="acme", account="A", period="2026-11", tier=1,
                below=Decimal("0.999"), target=Decimal("0.999"),
                availability=Decimal("0.99810000"), detected_at=at(33), outage="o",
                ticket="TT-000001", state="confirmed",
            )
        ],
        credits=[
            BookedCredit(
                id="c", violation="v", account="ACC-1", customer="acme", service="S-1",
                amount_minor=129000, currency="NOK", why="tier 1", at=at(33),
                covers_from=BEGAN, covers_until=at(60), is_billed=False,
            )
        ],
        notices=[
            CareNotice(key="n", thread="t", state="down", customer="acme", account="ACC-1",
                       service="S-1", subject="Acme: it is down", impact="", ticket="", at=at(22))
        ],
    )  # fmt: skip


def test_the_story_is_told_in_the_order_it_happened_each_cause_before_its_effect() -> None:
    told = [(one.t, one.who) for one in tale().told()]
    assert told == [
        (20.0, "network"), (20.0, "alarm"), (22.0, "care"), (23.0, "ticket"), (33.0, "SLA"),
        (33.0, "credit"), (38.0, "alarm"), (38.0, "ticket"),
    ]  # fmt: skip


def test_money_and_shares_are_written_as_people_do() -> None:
    texts = [one.text for one in tale().told()]
    assert "1,290.00 NOK to ACC-1 for S-1" in texts
    assert "S-1 (acme) broken: 99.81 % is below 99.9 %" in texts


def test_a_scene_has_words_and_an_unknown_one_has_its_own() -> None:
    assert scene({"do": "repair", "link": "f1"}) == "f1 is spliced: what was dark comes back"
    assert scene({"do": "reboot", "device": "gw1", "after": "3s"}) == "reboot gw1"


def picture(**more: Any) -> Picture:
    def alarm(n: int) -> dict[str, Any]:
        return {
            "state": "raised", "isRootCause": n < 2, "perceivedSeverity": "major",
            "alarmDetails": f"gw{n} port ge-0/0/{n} to a customer with a long name is down \x1b[2J",
            "flapping": n == 1, "parentAlarm": [{"id": "gw0/if/ge-0/0/0!link-down"}],
        }  # fmt: skip

    said: dict[str, Any] = {
        "past_s": 34.0, "for_s": 60.0, "metrics": 'netopsd_device_up{device="a"} 1\n',
        "alarms": [alarm(n) for n in range(40)],
        "tickets": [
            {"id": f"TT-00000{n}", "status": "acknowledged", "priority": 1, "name": "down " * 30,
             "relatedEntity": [{"role": "affectedService"}], "symptoms": 7} for n in range(5)
        ],
        "sla": [
            {"service": f"SERVICE-{n}", "budgetBurnRatio": 1.3, "downSeconds": 18.0,
             "budgetSeconds": 13.0, "tiersBroken": 1} for n in range(9)
        ],
        "devices": [{"name": f"a-device-{n}", "site": "x", "reach": "silent"} for n in range(30)],
        "tally": {"tickets.resolved": 2, "changes.raised": 3}, "office": {"credit": 2},
        "credit_totals": {"NOK": 178500},
        "told": [Told(t=float(n), order=0, who="care", text="told " * 40) for n in range(50)],
        "coming": [(38.0, "something that takes many words to say " * 5)],
    }  # fmt: skip
    return Picture(**(said | more))


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (100, 30), (120, 36), (160, 50), (200, 60)]
)
def test_the_screen_fits_into_the_terminal(width: int, height: int) -> None:
    empty = picture(alarms=[], tickets=[], sla=[], devices=[], told=[], coming=[])
    for shown in (picture(), empty):
        console = Console(width=width, height=height, record=True, file=io.StringIO())
        console.print(screen(shown, width, height))
        lines = console.export_text().splitlines()
        assert len(lines) < height
        assert max(map(len, lines)) <= width
        assert "\x1b" not in "".join(lines)


def test_the_figures_are_read_back_and_currencies_are_never_added_up() -> None:
    told = figures(picture())
    assert (told["devices"], told["tickets_opened"], told["tickets_resolved"]) == (1, 2, 2)
    assert told["credit_total"] == 1785.0
    both = figures(picture(credit_totals={"EUR": 4450, "NOK": 129000}))
    assert both["credit_total"] == {"EUR": 44.5, "NOK": 1290.0}
    json.dumps(both)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("dear")
    with pytest.raises(DemoFailed, match="not a demo's"), stage_in(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "dear"
