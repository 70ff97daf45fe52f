"""Whatever is done to an outbox, in whatever order, both stores say the same of it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netopsd.store import connect
from netopsd.store.memory import MemoryStore
from netopsd.store.sqlite import SqliteStore
from tests.store.contract import Both, later, message

IDS = st.integers(1, 12)
TIMES = st.integers(0, 30)
STREAMS = st.sampled_from(["A-1", "A-2", "network"])
SINKS = st.sampled_from(["office", "file"])


def heads(connection: sqlite3.Connection) -> list[int]:
    return [id_ for (id_,) in connection.execute("SELECT id FROM outbox WHERE head ORDER BY id")]


def test_a_message_retried_at_its_old_place_is_the_only_head_of_its_stream(tmp_path: Path) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path}/netopsd.db", ballast_bytes=0)

    async def story() -> None:
        await store.open()
        await store.commit([], [message(n) for n in (1, 2, 3)])
        await store.park(1, "refused")
        await store.park(3, "refused")
        await store.retry(1, later(0))
        await store.retry(3, later(0))
        await store.close()

    asyncio.run(story())
    with closing(connect.reader(store.path)) as connection:
        assert heads(connection) == [1]


class Outboxes(RuleBasedStateMachine):
    """The same things done to the real store and to its twin."""

    def __init__(self) -> None:
        super().__init__()
        self.where = Path(tempfile.mkdtemp(prefix="netopsd-outbox-"))
        self.loop = asyncio.new_event_loop()
        self.store = SqliteStore(f"sqlite:///{self.where}/netopsd.db", ballast_bytes=0)
        self.twin = MemoryStore()

    @initialize()
    def open(self) -> None:
        self.loop.run_until_complete(self.store.open())

    def both(self, do: Callable[[Both], Awaitable[Any]]) -> None:
        """Do it to both and see them answer the same."""

        async def told(store: Both) -> Any:
            return await do(store)

        ours = self.loop.run_until_complete(told(self.store))
        assert ours == self.loop.run_until_complete(told(self.twin))

    @rule(numbers=st.lists(IDS, max_size=4), stream=STREAMS, sink=SINKS, at=TIMES)
    def commit(self, numbers: list[int], stream: str, sink: str, at: int) -> None:
        messages = [message(n, stream=stream, sink=sink, at=later(at)) for n in numbers]
        self.both(lambda store: store.commit([], messages))

    @rule(ids=st.lists(IDS, max_size=3))
    def delivered(self, ids: list[int]) -> None:
        self.both(lambda store: store.delivered(ids))

    @rule(id_=IDS, at=TIMES)
    def postpone(self, id_: int, at: int) -> None:
        self.both(lambda store: store.postpone(id_, later(at), f"until {at}"))

    @rule(id_=IDS)
    def park(self, id_: int) -> None:
        self.both(lambda store: store.park(id_, "refused"))

    @rule(id_=IDS, at=TIMES)
    def retry(self, id_: int, at: int) -> None:
        self.both(lambda store: store.retry(id_, later(at)))

    @rule(sink=SINKS, at=TIMES, limit=st.integers(0, 6))
    def due(self, sink: str, at: int, limit: int) -> None:
        self.both(lambda store: store.due(sink, later(at), limit))

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.store.open())

    @invariant()
    def they_agree(self) -> None:
        self.both(lambda store: store.pending())
        self.both(lambda store: store.pending(2))
        self.both(lambda store: store.depth())
        with closing(connect.reader(self.store.path)) as connection:
            oldest = connection.execute(
                "SELECT min(id) FROM outbox WHERE state = 'waiting' GROUP BY sink, stream"
            ).fetchall()
            assert heads(connection) == sorted(id_ for (id_,) in oldest)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        shutil.rmtree(self.where)


TestOutboxes = pytest.mark.timeout(400)(Outboxes.TestCase)  # making a failure small takes time
TestOutboxes.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
