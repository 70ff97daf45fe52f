"""The routes under /api/v1. Access was decided by the guard before any of them runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.security import HTTPBearer

from netopsd.core.beliefs import Reach, TicketStatus
from netopsd.core.model import TicketAct
from netopsd.web import alarms, orders
from netopsd.web.house import House, Limit, Offset, Word, by, counted
from netopsd.web.words import (
    DeviceOut,
    MessageOut,
    NoteOut,
    ParkIn,
    Problem,
    SlaOut,
    TicketNoteIn,
    TicketOut,
    TicketStatusIn,
    UsageOut,
)

MOST_MESSAGES = 100_000
MessageId = Annotated[int, Path(ge=1, le=2**63 - 1)]  # what a row of the store can be

PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
# FastAPI builds each `model` anew for each route: one of ten makes the schema known.
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem},
    **{status: {"content": PROBLEM} for status in (401, 403, 404, 409, 413, 421, 422, 503, 504)},
}


def router(house: House) -> APIRouter:
    """Return all routes of the API, wired to `house`."""
    api = APIRouter(
        prefix="/api/v1",
        responses=REFUSALS,
        dependencies=[Depends(HTTPBearer(auto_error=False, description="see docs/metrics.md"))],
    )
    alarms.add(api, house)
    orders.add(api, house)
    _tickets(api, house)
    _sla_and_usage(api, house)
    _outbox(api, house)
    return api


def _tickets(api: APIRouter, house: House) -> None:
    @api.get("/tickets", tags=["tickets"])
    async def list_tickets(
        response: Response,
        status: Annotated[list[TicketStatus] | None, Query()] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[TicketOut]:
        """List trouble tickets, newest first."""
        tickets = await house.kept.tickets(status or [], limit, offset)
        counted(response, len(tickets))
        return [TicketOut.of(ticket) for ticket in tickets]

    async def shown(id: str) -> TicketOut:
        ticket = await house.kept.ticket(id)
        if ticket is None:
            raise HTTPException(404, "no such ticket")
        return TicketOut.of(ticket, [NoteOut.of(note) for note in await house.kept.notes(id)])

    @api.get("/tickets/{id}", tags=["tickets"])
    async def one_ticket(id: str) -> TicketOut:
        """Show one ticket with its notes."""
        return await shown(id)

    @api.post("/tickets/{id}/notes", tags=["tickets"])
    async def add_note(id: str, body: TicketNoteIn, request: Request) -> TicketOut:
        """Add a note."""
        await shown(id)
        at = house.clock.now()
        await house.acts.durable(TicketAct(at=at, by=by(request), ticket=id, note=body.text))
        return await shown(id)

    @api.post("/tickets/{id}/status", tags=["tickets"])
    async def set_status(id: str, body: TicketStatusIn, request: Request) -> TicketOut:
        """Move the ticket; 409 where TMF621 knows no way from its state to that one."""
        await shown(id)
        at, who = house.clock.now(), by(request)
        said = TicketAct(at=at, by=who, ticket=id, status=body.status.value, note=body.note)
        await house.acts.durable(said)
        return await shown(id)


def _sla_and_usage(api: APIRouter, house: House) -> None:
    @api.get("/sla", tags=["services"])
    async def list_sla(
        response: Response,
        service: Word = "",
        customer: Word = "",
        period: Annotated[str, Query(pattern=r"^(\d{4}-\d{2})?$")] = "",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[SlaOut]:
        """List services with their months, the most endangered promise first."""
        chosen = [
            SlaOut.of(item, month)
            for item, month in house.now.sla()
            if service in ("", item.id)
            and customer in ("", item.customer)
            and period in ("", month.period)
        ]

        def danger(item: SlaOut) -> float:
            ratio = item.budget_burn_ratio
            return -(float("inf") if ratio is None else ratio)

        chosen.sort(key=danger)
        some = chosen[offset : offset + limit]
        counted(response, len(some), len(chosen))
        return some

    @api.get("/usage", tags=["services"])
    async def list_usage(
        response: Response,
        service: Word = "",
        since: datetime | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[UsageOut]:
        """List usage records, newest first."""
        if since is not None and since.tzinfo is None:
            raise HTTPException(422, "`since` needs its zone, as in 2026-11-23T12:00:00Z")
        records = await house.kept.usage(service, since, limit, offset)
        counted(response, len(records))
        return [UsageOut.of(record) for record in records]

    @api.get("/devices", tags=["devices"])
    async def list_devices(
        response: Response,
        site: Word = "",
        reach: Annotated[list[Reach] | None, Query()] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[DeviceOut]:
        """List configured devices by name."""
        chosen = [
            (device, state)
            for device, state in house.now.devices()
            if site in ("", device.site)
            and (not reach or (state.reach if state else Reach.NEW) in reach)
        ]
        chosen.sort(key=lambda pair: pair[0].name)
        some = chosen[offset : offset + limit]
        counted(response, len(some), len(chosen))
        return [DeviceOut.of(device, state) for device, state in some]


def _outbox(api: APIRouter, house: House) -> None:
    @api.get("/outbox", tags=["outbox"])
    async def list_outbox(
        response: Response,
        sink: Word = "",
        parked: bool | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[MessageOut]:
        """List messages not delivered yet, oldest first."""
        waiting = await house.messages.pending(MOST_MESSAGES)
        chosen = [
            item
            for item in waiting
            if sink in ("", item.message.sink) and parked in (None, item.parked)
        ]
        some = chosen[offset : offset + limit]
        counted(response, len(some), len(chosen))
        return [MessageOut.of(item) for item in some]

    @api.post("/outbox/{id}/retry", tags=["outbox"], status_code=204)
    async def retry(id: MessageId) -> None:
        """Deliver a parked or postponed message now."""
        if not await house.messages.retry(id, house.clock.now()):
            raise HTTPException(404, "no such message is waiting")

    @api.post("/outbox/{id}/park", tags=["outbox"], status_code=204)
    async def park(id: MessageId, body: ParkIn, request: Request) -> None:
        """Put a message aside; it stays in the outbox with who did so, and why."""
        waiting = await house.messages.pending(MOST_MESSAGES)
        if not any(item.id == id for item in waiting):
            raise HTTPException(404, "no such message is waiting")
        await house.messages.park(id, f"{by(request)}: {body.reason}")
