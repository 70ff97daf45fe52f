"""The console and the docs page in a real browser: what devices and people wrote is only text."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from netopsd.clock import ManualClock
from netopsd.core.beliefs import Alarm, DeviceState, Reach, Severity, Ticket, TicketNote
from netopsd.core.beliefs import TicketStatus as Status
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Layout, Resource, Table
from netopsd.metrics import Figures
from netopsd.web.house import House
from netopsd.web.page import Page
from netopsd.web.series import Series
from netopsd.web.server import WebServer
from tests.e2e.browser import Tab, chromium
from tests.e2e.hostile import HOSTILE, SCRIPTS
from tests.web.conftest import NOON, READER, Beliefs, ConfiguredToken, alarm

pytestmark = [pytest.mark.e2e, pytest.mark.peer("chromium")]

LONGEST = 500  # characters of one text that the console shows
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
WORST = ("critical", "major", "minor", "warning")
OWN = {
    "BODY", "H1", "H2", "H3", "NAV", "A", "FORM", "LABEL", "INPUT", "BUTTON", "P", "TABLE", "THEAD",
    "TBODY", "TR", "TH", "TD", "TIME", "SPAN", "MAIN", "SECTION", "HEADER",
}  # fmt: skip


class Bad(Beliefs):
    """A network whose devices, customers and people call everything by hostile names."""

    def __init__(self, texts: Sequence[str] = HOSTILE) -> None:
        super().__init__(alarm_list=[_alarm(n, text) for n, text in enumerate(texts)])
        self.texts = texts

    def devices(self) -> Sequence[tuple[Device, DeviceState | None]]:
        state = DeviceState(name="x", reach=Reach.ANSWERING, since=NOON)
        return [
            (Device(name=text or "-", site=text, labels={text: text}), state) for text in self.texts
        ]

    async def tickets(self, statuses: Sequence[Status], limit: int, offset: int) -> list[Ticket]:
        first = await super().ticket("TT-000001")
        assert first is not None
        return [
            replace(first, id=f"TT-{n:06}", title=text, why=text)
            for n, text in enumerate(self.texts, start=1)
        ][offset : offset + limit]

    async def notes(self, ticket: str) -> Sequence[TicketNote]:
        return [
            TicketNote(ticket=ticket, at=NOON, by=text, text=text, status=Status.ACKNOWLEDGED)
            for text in self.texts
        ]


def _alarm(number: int, text: str) -> Alarm:
    worst = tuple(Severity)[number % 4]
    return alarm(
        key=f"{number:03}!{text}", resource=Resource("osl-gw1", "if", text), text=text, why=text,
        alarm=text, probable_cause=text, severity=worst,
        changed_at=NOON - timedelta(seconds=number),
    )  # fmt: skip


def labelled(texts: Sequence[str]) -> Batch:
    """Return a look at a device whose ports have those names and aliases."""
    numbers = tuple(str(n) for n in range(len(texts)))
    layout = Layout(
        table="if", rows=tuple(f"{n}{text}" for n, text in enumerate(texts)), index=numbers,
        labels={"ifIndex": numbers, "ifAlias": tuple(texts), "ifDescr": tuple(texts)},
        counters=("ifHCInOctets",), widths=(64,), gauges=(),
    )  # fmt: skip
    rows = len(texts)
    table = Table(layout, np.ones((1, rows), dtype=np.uint64), np.empty((0, rows)))
    return Batch(device="osl-gw1", at=NOON, mono_s=0.0, tables=(table,))


BAD = Bad()


@dataclass(frozen=True)
class Http:
    host: str = "127.0.0.1"
    port: int = 0
    hosts: tuple[str, ...] = ()
    token: tuple[Any, ...] = ()


@contextlib.asynccontextmanager
async def served(beliefs: Beliefs, http: Http) -> AsyncIterator[str]:
    """Serve `beliefs` on a free port; gives the address."""
    clock = ManualClock(NOON)
    series = Series(clock)
    series.take(labelled(HOSTILE), Device(name=HOSTILE[0], site=HOSTILE[1]))
    figures = Figures(clock=clock, version="0.1.0")
    house = House(
        clock=clock, now=beliefs, kept=beliefs, messages=beliefs, acts=beliefs, orders=beliefs
    )
    page = Page(clock=clock, series=series, own=figures.text)
    web = WebServer(http, house, page, version="0.1.0")
    task = asyncio.create_task(web.serve())
    try:
        await asyncio.wait_for(web.listening.wait(), 10)
        yield f"http://127.0.0.1:{web.port}"
    finally:
        task.cancel()
        await asyncio.wait([task])


@dataclass(eq=False)
class Visit:
    tab: Tab
    site: str

    async def open(self, path: str) -> None:
        await self.tab.open(f"{self.site}{path}")

    async def rows(self, table: str) -> list[list[str]]:
        """Return the text of every cell of a table, by rows, once there are any."""
        await self.tab.until(f"document.getElementById('{table}').rows.length")
        script = (
            f"[...document.getElementById('{table}').rows]"
            ".map(row => [...row.cells].map(cell => cell.textContent))"
        )
        cells: list[list[str]] = await self.tab.ask(script)
        return cells

    async def keep_picture(self, path: Path) -> None:
        """Keep what a person would see, to be looked at when a test fails."""
        await asyncio.to_thread(path.write_bytes, await self.tab.picture())

    async def unharmed(self, title: str = "netopsd") -> None:
        """Nothing ran, nothing was built of what was said, nothing fetched from elsewhere."""
        assert await self.tab.ask("[document.title, window.ran ?? 0]") == [title, 0]
        built = await self.tab.ask(
            "[...document.querySelectorAll('body, body *')].map(e => e.tagName)"
        )
        assert set(built) <= OWN
        attributes = await self.tab.ask(
            "[...document.querySelectorAll('td, td *')].flatMap(e => e.getAttributeNames())"
        )
        assert set(attributes) <= {"class", "data-word", "colspan"}
        assert [url for url in self.tab.asked if not url.startswith(f"{self.site}/")] == []
        assert self.tab.said == []


Story = Callable[[Visit], Awaitable[None]]


def visiting(folder: Path, story: Story, *, http: Http = Http(), beliefs: Beliefs = BAD) -> None:
    """Run `story` in a tab of a new browser beside a server of its own."""

    async def run() -> None:
        async with served(beliefs, http) as site, chromium(folder / "profile") as browser:
            await story(Visit(await browser.tab(), site))

    asyncio.run(run())


def shown(text: str) -> str:
    """Return what the console is to show: cut, and what cannot be seen written out."""
    carried = text.encode("utf-8", "replace").decode()
    cut = carried if len(carried) <= LONGEST else carried[:LONGEST] + "…"

    def written(odd: re.Match[str]) -> str:
        code = ord(odd.group())
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return UNSEEN.sub(written, cut)


AT = "2026-11-23 12:00:00"


def test_the_console_shows_what_the_network_says_and_runs_none_of_it(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/")
        alarms = await visit.rows("alarms")
        assert sorted(alarms) == sorted(
            [
                one.severity.value, shown(str(one.resource)), shown(one.alarm), AT,
                shown(one.text), shown(one.why), "",
            ]
            for one in BAD.alarm_list
        )  # fmt: skip
        assert [row[0] for row in alarms] == sorted((row[0] for row in alarms), key=WORST.index)
        tickets = await visit.rows("tickets")
        assert [row[4:] for row in tickets] == [[shown(text)] * 2 for text in HOSTILE]
        devices = await visit.rows("devices")
        assert sorted(devices) == sorted(
            [shown(text or "-"), shown(text), "answering", AT] for text in HOSTILE
        )
        number = len(HOSTILE)
        assert await visit.tab.ask("document.getElementById('state').textContent") == (
            f"{number} alarms, {number} open tickets, {number} devices"
        )
        await visit.keep_picture(tmp_path / "console.png")
        await visit.unharmed()

    visiting(tmp_path, story)


def test_the_notes_of_a_ticket_are_shown_when_it_is_chosen_and_are_text_too(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/")
        await visit.rows("tickets")
        assert await visit.tab.ask("document.getElementById('ticket').hidden")
        await visit.tab.ask("document.querySelector('#tickets button').click()")
        notes = await visit.rows("notes")
        assert notes == [[AT, shown(text), "acknowledged", shown(text)] for text in HOSTILE]
        assert not await visit.tab.ask("document.getElementById('ticket').hidden")
        await visit.unharmed()

    visiting(tmp_path, story)


def test_no_text_however_long_pushes_the_severity_out_of_sight(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/")
        await visit.rows("alarms")
        wide, high, least = await visit.tab.ask(
            "[document.documentElement.scrollWidth - innerWidth,"
            " Math.max(...[...document.querySelectorAll('td')].map(c => c.offsetHeight)),"
            " Math.min(...[...document.querySelectorAll('td[data-word], th')]"
            ".filter(c => c.offsetParent).map(c => c.offsetWidth))]"
        )
        assert wide <= 0
        assert high < 900
        assert least >= 40

    visiting(tmp_path, story)


def test_where_there_is_nothing_the_console_says_so(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/")
        assert await visit.rows("alarms") == [["none"]]
        assert await visit.rows("devices") == [["none"]]
        await visit.unharmed()

    visiting(tmp_path, story, beliefs=Bad(()))


def test_a_reader_s_token_opens_the_console_and_stays_in_the_page(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/")
        await visit.tab.until("!document.getElementById('access').hidden")
        assert await visit.tab.ask("document.getElementById('alarms').rows.length") == 0
        refusals = len(visit.tab.said)
        assert all("401" in line for line in visit.tab.said)
        await visit.tab.ask(f"document.getElementById('token').value = {json.dumps(READER)}")
        await visit.tab.ask("document.querySelector('#access button').click()")
        assert len(await visit.rows("alarms")) == len(HOSTILE)
        await visit.tab.until("document.getElementById('access').hidden")
        assert not [url for url in visit.tab.asked if READER in url]
        assert await visit.tab.ask("[localStorage.length, document.cookie]") == [0, ""]
        assert len(visit.tab.said) == refusals
        visit.tab.said.clear()
        await visit.unharmed()

    visiting(tmp_path, story, http=Http(token=(ConfiguredToken("grafana", "reader", READER),)))


def test_the_page_on_the_api_shows_every_operation(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        await visit.open("/docs")
        await visit.tab.until("document.querySelectorAll('section').length > 30")
        titles = await visit.tab.ask("[...document.querySelectorAll('h3')].map(h => h.textContent)")
        assert {"GET /metrics", "POST /api/v1/alarms/{key}/ack", "AlarmOut"} <= set(titles)
        await visit.keep_picture(tmp_path / "docs.png")
        await visit.unharmed("netopsd API")

    visiting(tmp_path, story)


def test_an_answer_opened_as_a_page_is_no_page(tmp_path: Path) -> None:
    async def story(visit: Visit) -> None:
        for path in (
            "/metrics", "/api/v1/alarms", "/api/v1/tickets/TT-000001", "/api/v1/devices",
            f"/api/v1/alarms/{quote(SCRIPTS[0], safe='')}", f"/{quote(SCRIPTS[0], safe='')}",
            f"/api/v1/alarms?device={quote(SCRIPTS[3])}", f"/api/v1/alarms?{quote(SCRIPTS[0])}=1",
        ):  # fmt: skip
            await visit.open(path)
            assert await visit.tab.ask("[document.title, window.ran ?? 0]") == ["", 0]
            kind = await visit.tab.ask("document.contentType")
            assert kind in ("application/json", "text/plain")
            built = await visit.tab.ask("document.querySelectorAll('script, img, iframe').length")
            assert built == 0

    visiting(tmp_path, story)


def test_what_these_texts_would_do_is_seen_where_it_is_done_and_our_policy_refuses_it(
    tmp_path: Path,
) -> None:
    """The control: without it the tests above could be green because nothing can go red."""

    async def story(visit: Visit) -> None:
        await visit.tab.open("data:text/html,<body></body>")
        await visit.tab.ask(f"document.body.innerHTML = {json.dumps(''.join(SCRIPTS[3:7]))}")
        await visit.tab.until("window.ran === 1 && document.title === 'RAN'")
        await visit.open("/")
        markup = f"document.body.innerHTML = {json.dumps(SCRIPTS[3])}"
        refusal = await visit.tab.ask(f"try {{ {markup} }} catch (e) {{ e.message }}")
        assert "TrustedHTML" in refusal
        await visit.tab.until("document.title === 'netopsd'")
        assert any("TrustedHTML" in line for line in visit.tab.said)

    visiting(tmp_path, story)
