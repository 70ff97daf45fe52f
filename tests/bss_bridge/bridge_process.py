"""A process that tells a known story to the office through a real outbox, to be killed at will.

Each start says the whole story again, as a daemon that does not know what it has said; what the
outbox still knows it ignores, the office must know the rest. With "eager" a bug is planted: a
message is noted as delivered before it is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from bss_bridge.deliver import Deliverer, DeliverySettings
from bss_bridge.office.store import Office
from bss_bridge.sinks.office import OfficeSink
from bss_bridge.translate import Route, Translator
from netopsd.clock import SystemClock
from netopsd.core.outcome import Notice, Outcome
from netopsd.ports import Message, Pending
from netopsd.store.sqlite import SqliteStore
from tests.bss_bridge.world import T0, contract, customer, down, outage, usage, violated

ACCOUNTS = 12
EACH = 40


def story() -> list[Message]:
    """Return usage, outages and broken promises of some customers."""
    translate = Translator(
        [contract(service=f"s{a}", account=f"a{a}") for a in range(ACCOUNTS)],
        [Route(sink="office")],
        [customer(account=[{"id": f"a{a}"} for a in range(ACCOUNTS)])],
    )
    told: list[Notice] = []
    for n in range(1, EACH + 1):
        for a in range(ACCOUNTS):
            told.append(replace(usage(n, f"s{a}", f"a{a}"), at=T0))
            if n % 8 == 0:
                hurt = outage(f"s{a}", T0 + timedelta(hours=n))
                told.append(down(outage=hurt, account=f"a{a}", at=T0))
    for a in range(ACCOUNTS):
        for tier in (1, 2, 3):
            name = f"s{a}/2026-11/tier-{tier}"
            told.append(replace(violated(tier, id=name, service=f"s{a}", account=f"a{a}"), at=T0))
    return translate(told)


class EagerStore(SqliteStore):
    """The planted bug: what is due is noted as delivered at once."""

    async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
        found = await super().due(sink, now, limit)
        await self.delivered([pending.id for pending in found])
        return found


async def main(folder: Path, eager: bool) -> None:
    clock = SystemClock()
    make = EagerStore if eager else SqliteStore
    store = make(
        f"sqlite:///{folder / 'store.db'}", ballast_bytes=0, sent_kept=100_000 if eager else 50
    )
    office = Office(folder / "office.db", clock)
    await store.open()
    await office.open()
    sinks, settings = {"office": OfficeSink(office)}, {"office": DeliverySettings(concurrency=3)}
    deliverer = Deliverer(store, sinks, clock, settings)
    running = asyncio.create_task(deliverer.run())
    said = story()
    print("ready", flush=True)
    for start in range(0, len(said), 50):
        await store.commit([Outcome()], said[start : start + 50])
        deliverer.nudge()
        await asyncio.sleep(0.01)
    while (await store.depth())[0]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await office.close()
    await store.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:] == ["eager"]))
