"""Events that must be durable: where judgement stumbles over one, the others are told still."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from netopsd.core.model import Event, Events
from netopsd.errors import NotJudged
from netopsd.ports import Inbox


async def tell(inbox: Inbox, at: datetime, events: Sequence[Event]) -> list[int]:
    """Return once `events` are judged in their order and committed; give the places of those lost.

    Together where that goes. Where no judgement could be made of a group nothing of it was kept, so
    its halves are told by themselves, down to the one over which judgement stumbles: that is lost,
    and told again it would be lost again.
    """
    lost: list[int] = []
    left = [(0, len(events))] if events else []
    while left:
        first, end = left.pop()
        try:
            await inbox.durable(Events(at=at, items=tuple(events[first:end])))
        except NotJudged:
            if end - first == 1:
                lost.append(first)
            else:
                middle = (first + end) // 2
                left += [(middle, end), (first, middle)]
    return lost
