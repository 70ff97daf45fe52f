"""The routes under /api/v1/orders (TMF641), and what they say."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import Field

from netopsd.core.model import OrderAct
from netopsd.core.ordered import Action, Order, OrderItem, OrderNote, OrderState, Step
from netopsd.ports import Difference
from netopsd.web.house import House, Limit, Offset, by, counted
from netopsd.web.words import Asked, NoteIn, Ref, Said

Scalar = str | int | bool
Text = Annotated[str, Field(max_length=500)]


class IdIn(Asked):
    id: Text


class ServiceIn(Asked):
    """The service an item is about. `endpoint` is a device and the inputs of its template there.

    `paths`, `meters`, `priority` and `unreachableIsDown` as in services.toml (by default what the
    template says), `contract` as in customers.toml.
    """

    id: Text
    name: Text | None = None
    service_specification: IdIn | None = None
    billing_account: IdIn | None = None
    endpoint: list[dict[str, Scalar]] = Field(default=[], max_length=100)
    paths: list[str | list[str]] | None = None
    meters: list[str] | None = None
    priority: int | None = None
    unreachable_is_down: bool | None = None
    contract: dict[str, Any] | None = None


class OrderItemIn(Asked):
    id: Text | None = None
    action: Literal["add", "modify", "delete"] = "add"
    service: ServiceIn


class OrderIn(Asked):
    """A service order (TMF641). `externalId` names it for ever: the same again adds nothing."""

    external_id: Text
    description: Text = ""
    service_order_item: list[OrderItemIn] = Field(min_length=1, max_length=100)

    def document(self) -> dict[str, Any]:
        """Return the order in the words of an order file."""
        items = [_item(item, i) for i, item in enumerate(self.service_order_item)]
        return {"id": self.external_id, "description": self.description, "item": items}


def _item(item: OrderItemIn, i: int) -> dict[str, Any]:
    said = item.service
    row: dict[str, Any] = {
        "number": item.id or str(i + 1),
        "action": item.action,
        "service": said.id,
        "template": said.service_specification and said.service_specification.id,
        "name": said.name,
        "account": said.billing_account and said.billing_account.id,
        "endpoint": said.endpoint,
        "paths": said.paths,
        "meters": said.meters,
        "priority": said.priority,
        "unreachable_is_down": said.unreachable_is_down,
        "contract": said.contract,
    }
    return {key: value for key, value in row.items() if value is not None}


class OrderItemOut(Said):
    """One item: one service. `step` is how far its devices are."""

    id: str
    action: Action
    state: OrderState
    step: Step
    service: Ref
    service_specification: Ref
    supporting_resource: list[Ref]
    attempt: int
    reason: str

    @staticmethod
    def of(item: OrderItem) -> OrderItemOut:
        return OrderItemOut(
            id=item.number,
            action=item.action,
            state=item.state,
            step=item.step,
            service=Ref(id=item.service),
            service_specification=Ref(id=item.template),
            supporting_resource=[Ref(id=device) for device in item.devices],
            attempt=item.attempt,
            reason=item.why,
        )


class OrderNoteOut(Said):
    date: datetime
    author: str
    text: str
    state: OrderState
    item: str

    @staticmethod
    def of(note: OrderNote) -> OrderNoteOut:
        return OrderNoteOut(
            date=note.at, author=note.by, text=note.text, state=note.state, item=note.item
        )


class OrderOut(Said):
    """A service order (TMF641)."""

    id: str
    external_id: str
    description: str
    state: OrderState
    reason: str
    order_date: datetime
    last_update: datetime
    requester: str
    service_order_item: list[OrderItemOut]
    note: list[OrderNoteOut]

    @staticmethod
    def of(
        order: Order, items: list[OrderItem] | None = None, notes: list[OrderNote] | None = None
    ) -> OrderOut:
        return OrderOut(
            id=order.id,
            external_id=order.id,
            description=order.description,
            state=order.state,
            reason=order.why,
            order_date=order.placed_at,
            last_update=order.changed_at,
            requester=order.placed_by,
            service_order_item=[OrderItemOut.of(item) for item in items or ()],
            note=[OrderNoteOut.of(note) for note in notes or ()],
        )


class DifferenceOut(Said):
    """What an item would change on one device: "+ leaf" comes, "- leaf" goes."""

    item: str
    service: str
    device: str
    lines: list[str]
    why: str = Field(description="why nobody knows, where nobody does")

    @staticmethod
    def of(item: str, service: str, said: Difference) -> DifferenceOut:
        return DifferenceOut(
            item=item, service=service, device=said.device, lines=list(said.lines), why=said.why
        )


def add(api: APIRouter, house: House) -> None:
    """Add the orders' routes to `api`."""
    _lists(api, house)
    _acts(api, house)


async def _shown(house: House, id: str) -> OrderOut:
    order = await house.kept.order(id)
    if order is None:
        raise HTTPException(404, "no such order")
    items = list(await house.kept.order_items(id))
    return OrderOut.of(order, items, list(await house.kept.order_notes(id)))


def _lists(api: APIRouter, house: House) -> None:
    @api.get("/orders", tags=["orders"])
    async def list_orders(
        response: Response,
        state: Annotated[list[OrderState] | None, Query()] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[OrderOut]:
        """List service orders, newest first; their items and notes only when one is shown."""
        orders = await house.kept.orders(state or [], limit, offset)
        counted(response, len(orders))
        return [OrderOut.of(order) for order in orders]

    @api.post("/orders", tags=["orders"], status_code=201)
    async def place_order(body: OrderIn, request: Request) -> OrderOut:
        """Take a service order in; it is carried out from then on. The same again adds nothing."""
        return await _shown(house, await house.orders.place(body.document(), by(request)))

    @api.post("/orders/compare", tags=["orders"])
    async def compare_order(body: OrderIn) -> list[DifferenceOut]:
        """Show what an order would change on each device. Nothing is changed."""
        found = await house.orders.compare(body.document())
        return [DifferenceOut.of(item, service, one) for item, service, one in found]

    @api.get("/orders/{id}", tags=["orders"])
    async def one_order(id: str) -> OrderOut:
        """Show one order with its items and everything that happened to it."""
        return await _shown(house, id)


def _acts(api: APIRouter, house: House) -> None:
    async def act(id: str, what: str, body: NoteIn, request: Request) -> OrderOut:
        await _shown(house, id)
        at = house.clock.now()
        said = OrderAct(at=at, by=by(request), order=id, what=what, note=body.note)
        await house.acts.durable(said)
        return await _shown(house, id)

    @api.post("/orders/{id}/cancel", tags=["orders"])
    async def cancel_order(id: str, body: NoteIn, request: Request) -> OrderOut:
        """Cancel an order of which nothing is in force; else it goes on, and says why."""
        return await act(id, "cancel", body, request)

    @api.post("/orders/{id}/hold", tags=["orders"])
    async def hold_order(id: str, body: NoteIn, request: Request) -> OrderOut:
        """Begin nothing more of an order until it is resumed."""
        return await act(id, "hold", body, request)

    @api.post("/orders/{id}/resume", tags=["orders"])
    async def resume_order(id: str, body: NoteIn, request: Request) -> OrderOut:
        """Go on with an order that is held."""
        return await act(id, "resume", body, request)
