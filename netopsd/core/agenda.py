"""What must be judged again when time has passed, kept by second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from netopsd.core.world import World

LONGEST_STEP = 3600  # seconds walked one by one; a longer sleep is caught up by looking at all


def put(world: World, at: datetime, what: str, key: str) -> None:
    """Ask for (`what`, `key`) to come up at the first tick not before `at`.

    What is due already (an input may be older than the latest tick) comes up at the next one.
    """
    second = math.ceil(at.timestamp())
    last = world.moments.get("tick")
    if last is not None:
        second = max(second, int(last.timestamp()) + 1)
    # What is due in one second hangs together like a list in Lisp: a storm puts thousands there.
    world.due[second] = (what, key, world.due.get(second) or ())


def fill(world: World, items: Iterable[tuple[datetime, str, str]]) -> None:
    """Ask for each (`what`, `key`) in a world that is being restored: no tick, nothing below."""
    due = world.due.own
    for at, what, key in items:
        second = math.ceil(at.timestamp())
        due[second] = (what, key, due.get(second, ()))


def take(world: World, since: datetime | None, now: datetime) -> Iterator[tuple[str, str]]:
    """Give each thing due by `now` and forget it. `since` is the tick before this one."""
    last = int(now.timestamp())
    first = int(since.timestamp()) + 1 if since is not None else None
    if first is None or last - first > LONGEST_STEP:
        seconds = sorted(second for second, _ in world.due.items() if second <= last)
    else:
        seconds = [s for s in range(first, last + 1) if world.due.get(s)]
    for second in seconds:
        chain = world.due.get(second) or ()
        world.due[second] = ()
        items: list[tuple[str, str]] = []
        while chain:
            what, key, chain = chain
            items.append((what, key))
        yield from reversed(items)


def seconds(number: float) -> timedelta:
    """Return a duration of `number` seconds."""
    return timedelta(seconds=number)
