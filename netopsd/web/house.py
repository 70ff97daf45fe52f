"""What every route works on, and the few words they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request, Response

from netopsd.ports import Clock
from netopsd.web.access import Caller
from netopsd.web.guard import CALLER
from netopsd.web.reads import Acts, Kept, Messages, Now, Orders

Limit = Annotated[int, Query(ge=1, le=1000, description="at most this many")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="after this many")]
Word = Annotated[str, Query(max_length=500)]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the routes work on."""

    clock: Clock
    now: Now
    kept: Kept
    messages: Messages
    acts: Acts
    orders: Orders


def by(request: Request) -> str:
    """Return the name of the token that asks: whoever acts has one."""
    caller: Caller = request.scope[CALLER]
    return caller.name


def counted(response: Response, shown: int, total: int | None = None) -> None:
    """Say how many there are (TMF630)."""
    response.headers["X-Result-Count"] = str(shown)
    if total is not None:
        response.headers["X-Total-Count"] = str(total)
