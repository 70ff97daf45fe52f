"""A disk that fills up, stays full and gets room again; a failed assertion is the exit status.

`python -m tests.store.full_disk FOLDER`, where FOLDER is a 16 MiB file system of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from netopsd.core.model import Event
from netopsd.core.outcome import Outcome
from netopsd.store.sqlite import SqliteStore
from tests.store.contract import T0, message
from tests.store.teller import GROUP, fact, stored

BALLAST = 2 * 2**20


def trap(confirmed: bool = False) -> Outcome:
    values = {"1.3.6.1": os.urandom(400).hex()}
    trap = Event(at=T0, device="d", source="s", name="n", values=values, confirmed=confirmed)
    return Outcome(events=[trap])


async def fill(path: Path) -> None:
    """Somebody else takes all the room there is."""
    with path.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                pass


async def tell(store: SqliteStore, first: int) -> int:
    """Commit one group of facts with a trap and an inform; return the number of the next."""
    group = range(first, first + GROUP)
    outcomes = [*map(fact, group), trap(), trap(confirmed=True)]
    body = "x" * 20_000
    await store.commit(outcomes, [message(number, body=body) for number in group])
    return first + GROUP


async def story(folder: Path) -> None:
    store = SqliteStore(f"sqlite:///{folder}/netopsd.db", ballast_bytes=BALLAST)
    ballast, filler = folder / "netopsd.db.ballast", folder / "filler"
    await store.open()
    assert ballast.stat().st_size == BALLAST
    first = await tell(store, 1)
    assert not store.health().tight

    await fill(filler)
    for _ in range(10):
        first = await tell(store, first)
    health = store.health()
    assert health.tight and not health.broken and not ballast.exists(), health
    assert health.events_dropped == 10, health

    await fill(filler)  # the ballast's room as well
    telling = asyncio.create_task(tell(store, first))
    for _ in range(400):
        if store.health().waiting:
            break
        if telling.done():  # some pages of the WAL were to spare
            first = await telling
            telling = asyncio.create_task(tell(store, first))
        await asyncio.sleep(0.05)
    assert store.health().waiting and not telling.done(), store.health()

    filler.unlink()
    first = await asyncio.wait_for(telling, 40)
    kept = store.health().events_dropped
    first = await tell(store, first)
    health = store.health()
    assert not health.tight and not health.waiting and not health.broken, health
    assert health.events_dropped == kept and ballast.stat().st_size == BALLAST
    await store.close()
    found, wrong = stored(store.path)
    assert (found, wrong) == (set(range(1, first)), ""), wrong


if __name__ == "__main__":
    asyncio.run(story(Path(sys.argv[1])))
