"""The routes under /api/v1/alarms (TMF642)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from netopsd.core.beliefs import Alarm, Severity
from netopsd.core.model import Acknowledge, Shelve
from netopsd.web.house import House, Limit, Offset, by, counted
from netopsd.web.words import AlarmOut, ChangeOut, NoteIn, ShelveIn, State, alarm_state

T = TypeVar("T")


class AlarmQuery(BaseModel):
    """Which alarms are wanted; everything given must hold."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(default=["raised", "updated"])
    severity: list[Severity] = []
    device: str = Field(default="", max_length=500)
    alarm: str = Field(default="", max_length=500, description="alarm type id")
    acknowledged: bool | None = None
    shelved: bool | None = None
    root: bool | None = Field(default=None, description="true: no symptoms")
    limit: Limit = 100
    offset: Offset = 0

    def wants(self, item: Alarm, now: datetime) -> bool:
        shelved = item.shelved_until is not None and item.shelved_until > now
        return (
            alarm_state(item) in self.state
            and (not self.severity or item.severity in self.severity)
            and self.device in ("", item.resource.device)
            and self.alarm in ("", item.alarm)
            and self.acknowledged in (None, bool(item.acked_by))
            and self.shelved in (None, shelved)
            and self.root in (None, not item.root)
        )


def add(api: APIRouter, house: House) -> None:
    """Add the alarms' routes to `api`."""
    _lists(api, house)
    _acts(api, house)


def _lists(api: APIRouter, house: House) -> None:
    @api.get("/alarms", tags=["alarms"])
    async def list_alarms(
        response: Response, query: Annotated[AlarmQuery, Query()]
    ) -> list[AlarmOut]:
        """List alarms, the worst and newest first."""
        now = house.clock.now()

        def order(item: Alarm) -> tuple[int, float]:
            return item.severity.rank, -item.changed_at.timestamp()

        chosen, total = await _select(
            house.now.alarms(), lambda item: query.wants(item, now), order,
            (query.offset, query.offset + query.limit),
        )  # fmt: skip
        counted(response, len(chosen), total)
        return [AlarmOut.of(item) for item in chosen]

    @api.get("/alarms/history", tags=["alarms"])
    async def list_history(
        response: Response,
        alarm: Annotated[str, Query(max_length=500, description="id of one alarm")] = "",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[ChangeOut]:
        """List what changed, newest first."""
        changes = await house.kept.changes(alarm, limit, offset)
        counted(response, len(changes))
        return [ChangeOut.of(change) for change in changes]

    @api.get("/alarms/{key:alarm}", tags=["alarms"])
    async def one_alarm(key: str) -> AlarmOut:
        """Show one alarm. Its id stands in the path as it is, percent-encoded."""
        return AlarmOut.of(_alarm(house, key))


def _acts(api: APIRouter, house: House) -> None:
    # The id holds slashes, so the route ends in the verb and takes all before it as the id.
    async def acknowledge(key: str, request: Request, note: str, undo: bool) -> AlarmOut:
        _alarm(house, key)
        at, who = house.clock.now(), by(request)
        await house.acts.durable(Acknowledge(at=at, by=who, alarm=key, undo=undo, note=note))
        return AlarmOut.of(_alarm(house, key))

    async def put_away(key: str, request: Request, note: str, until: datetime | None) -> AlarmOut:
        _alarm(house, key)
        at, who = house.clock.now(), by(request)
        await house.acts.durable(Shelve(at=at, by=who, alarm=key, until=until, note=note))
        return AlarmOut.of(_alarm(house, key))

    @api.post("/alarms/{key:alarm}/ack", tags=["alarms"])
    async def ack(key: str, request: Request, body: NoteIn | None = None) -> AlarmOut:
        """Say that a person has seen the alarm."""
        return await acknowledge(key, request, body.note if body else "", False)

    @api.post("/alarms/{key:alarm}/unack", tags=["alarms"])
    async def unack(key: str, request: Request, body: NoteIn | None = None) -> AlarmOut:
        """Take the acknowledgement back."""
        return await acknowledge(key, request, body.note if body else "", True)

    @api.post("/alarms/{key:alarm}/shelve", tags=["alarms"])
    async def shelve(key: str, request: Request, body: ShelveIn) -> AlarmOut:
        """Put the alarm out of sight for some time, at most 30 days."""
        until = body.ends(house.clock.now())
        if until is None:
            raise HTTPException(422, "give `minutes`, or `until` with its zone in the next 30 days")
        return await put_away(key, request, body.note, until)

    @api.post("/alarms/{key:alarm}/unshelve", tags=["alarms"])
    async def unshelve(key: str, request: Request, body: NoteIn | None = None) -> AlarmOut:
        """Bring the alarm back into sight."""
        return await put_away(key, request, body.note if body else "", None)


def _alarm(house: House, key: str) -> Alarm:
    alarm = house.now.alarm(key)
    if alarm is None:
        raise HTTPException(404, "no such alarm")
    return alarm


async def _select(
    items: Sequence[T],
    wanted: Callable[[T], bool],
    order: Callable[[T], Any],
    part: tuple[int, int],
) -> tuple[list[T], int]:
    """Return the asked-for part, and the number of all that are wanted.

    In a thread: a hundred thousand alarms take a few hundred milliseconds, during which the
    interpreter lets the event loop in every few milliseconds.
    """

    def work() -> tuple[list[T], int]:
        chosen = sorted(filter(wanted, items), key=order)
        return chosen[part[0] : part[1]], len(chosen)

    return await asyncio.to_thread(work)
