"""What every sink promises, asked of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from bss_bridge.office.store import Office
from bss_bridge.settings import (
    FileSinkSettings,
    OfficeSinkSettings,
    SmtpSinkSettings,
    WebhookSinkSettings,
)
from bss_bridge.sinks import build
from bss_bridge.translate import Route, Translator
from netopsd.clock import ManualClock
from netopsd.ports import Message, Sink
from tests.bss_bridge.peers import billing, mailbox
from tests.bss_bridge.test_translate import EVERYTHING
from tests.bss_bridge.world import T0, contract, customer

Seen = Callable[[], list[str]]
Made = AbstractAsyncContextManager[tuple[Sink, Seen]]
CLOCK = ManualClock(T0)


def nothing() -> Office:
    return Office(Path("/nonexistent/office.db"), CLOCK)


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[tuple[Sink, Seen]]:
    books = Office(folder / "office.db", CLOCK)
    await books.open()
    received: list[str] = []

    def seen() -> list[str]:
        from bss_bridge.office.books import open_books

        with open_books(folder / "office.db") as opened:
            received[:] = opened.received()
        return received

    yield build(OfficeSinkSettings(name="office"), books, CLOCK), seen
    await books.close()


@asynccontextmanager
async def file(folder: Path) -> AsyncIterator[tuple[Sink, Seen]]:
    path = folder / "out.jsonl"
    sink = build(FileSinkSettings(name="file", path=path), nothing(), CLOCK)
    yield sink, lambda: [json.loads(raw)["key"] for raw in path.read_text().splitlines()]
    await sink.close()


@asynccontextmanager
async def webhook(folder: Path) -> AsyncIterator[tuple[Sink, Seen]]:
    async with billing() as stub:
        made = WebhookSinkSettings.model_validate(
            {
                "name": "hook",
                "url": f"http://127.0.0.1:{stub.port}/",
                "secret": "x" * 16,
                "allow": ["127.0.0.1/32"],
            }
        )
        sink = build(made, nothing(), CLOCK)
        yield sink, lambda: [json.loads(body)["eventId"] for body in stub.booked.values()]
        await sink.close()


@asynccontextmanager
async def smtp(folder: Path) -> AsyncIterator[tuple[Sink, Seen]]:
    with mailbox() as box:
        made = SmtpSinkSettings(
            name="care", host="127.0.0.1", port=box.port, tls="none", sender="a@b.c", to=("d@e.f",)
        )
        sink = build(made, nothing(), CLOCK)
        yield sink, lambda: [f"mail {n}" for n in range(len(box.mails))]
        await sink.close()


SINKS = [office, file, webhook, smtp]


def everything() -> list[Message]:
    return Translator([contract()], [Route(sink="sink")], [customer()])(EVERYTHING)


@pytest.mark.parametrize("make", SINKS)
def test_a_sink_takes_every_kind_of_message(make: Callable[[Path], Made], tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as (sink, seen):
            for message in everything():
                await sink.deliver(message)
            assert len(seen()) == len(everything())

    asyncio.run(run())


@pytest.mark.parametrize("make", [office, file, webhook])  # a mail cannot be taken back
def test_delivering_twice_is_delivering_once(make: Callable[[Path], Made], tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as (sink, seen):
            for message in [*everything(), *everything()]:
                await sink.deliver(message)
            assert sorted(seen()) == sorted(message.key for message in everything())

    asyncio.run(run())


@pytest.mark.parametrize("make", SINKS)
def test_a_sink_serves_many_at_once_and_closes_twice(
    make: Callable[[Path], Made], tmp_path: Path
) -> None:
    async def run() -> None:
        async with make(tmp_path) as (sink, seen):
            await asyncio.gather(*(sink.deliver(message) for message in everything()))
            assert len(seen()) == len(everything())
            await sink.close()

    asyncio.run(run())
