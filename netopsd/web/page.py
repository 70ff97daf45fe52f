"""The whole of /metrics: our own figures, those per service, the network's series."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from netopsd.core import sla
from netopsd.core.beliefs import SlaPeriod
from netopsd.core.inventory import Service
from netopsd.ports import Clock
from netopsd.web.exposition import Family
from netopsd.web.series import WHOLE, Series, Share

MOST_SCRAPES = 16  # at once
MOST_SHARES = 64
QUICK = 1  # zlib level: nearly all of the gain for a third of the time


class Part(StrEnum):
    """Which part of /metrics is wanted."""

    ALL = "all"
    OWN = "own"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where /metrics gets its text from. `own` returns the own figures in the text format."""

    clock: Clock
    series: Series
    own: Callable[[], Awaitable[bytes]]
    families: Sequence[Family] = ()

    async def chunks(self, part: Part = Part.ALL, share: Share = WHOLE) -> AsyncIterator[bytes]:
        """Yield the text in pieces; the event loop gets its turn between them.

        `share` says whose series of the network are told.
        """
        if part is not Part.NETWORK:
            yield await self.own()
            for family in self.families:
                for piece in family.pieces():
                    yield piece.encode("utf-8", "replace")
                    await self.clock.sleep(0)
        if part is not Part.OWN:
            async for chunk in self.series.chunks(share):
                yield chunk


def share_of(said: str) -> Share:
    """Return the share that "2/8" names. Raises ValueError, in words."""
    number, slash, count = said.partition("/")
    if slash and number.isascii() and count.isascii() and number.isdigit() and count.isdigit():
        share = (int(number[:9]), int(count[:9]))
        if 1 <= share[0] <= share[1] <= MOST_SHARES:
            return share
    raise ValueError(f'shard: write "2/8" for the second of eight; at most {MOST_SHARES} of them')


async def gzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield `chunks` as one gzip stream, compressed beside the event loop."""
    packer = zlib.compressobj(QUICK, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    async for chunk in chunks:
        if packed := await asyncio.to_thread(packer.compress, chunk):
            yield packed
    yield packer.flush()


def wants_gzip(accept_encoding: str) -> bool:
    """Say whether an Accept-Encoding header takes gzip (RFC 9110 section 12.5.3)."""
    for item in accept_encoding.lower().split(","):
        name, _, weight = item.partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            quality = weight.replace(" ", "").removeprefix("q=")
            return quality not in ("0", "0.0", "0.00", "0.000")
    return False


def sla_families(
    periods: Callable[[], Iterable[tuple[Service, SlaPeriod]]],
) -> tuple[Family, Family]:
    """Return availability and budget burn per service; `periods` gives the current months."""

    def availability() -> Iterable[tuple[tuple[str, ...], float]]:
        for service, period in periods():
            yield (service.id,), float(sla.availability(service, period)[1])

    def burn() -> Iterable[tuple[tuple[str, ...], float]]:
        for service, period in periods():
            share = sla.burn(service, period)
            yield (service.id,), share if isfinite(share) else float("inf")

    return (
        Family(
            name="netopsd_sla_availability_ratio",
            help="Availability of the current month; unknown time not counted as down.",
            labels=("service",),
            samples=availability,
        ),
        Family(
            name="netopsd_sla_budget_burn_ratio",
            help="Share of the month's downtime budget used; 1 is all of it.",
            labels=("service",),
            samples=burn,
        ),
    )
