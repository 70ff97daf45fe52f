"""How a service order moves (TMF641), and what becomes active, changes or ends by it.

The devices are talked to elsewhere; here stands what is believed of an order. Between PREPARING
and DECIDED lies the decision: it is durable before any device is told to keep what it holds, so
whoever starts anew knows whether to go forward or back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from netopsd.core import alarm as alarms
from netopsd.core import reconfigure
from netopsd.core.alarm import Seen, Sight
from netopsd.core.beliefs import AlarmType, Phase, Severity, alarm_key
from netopsd.core.model import Drifted, NotAllowed, OrderAct, OrderProgress, PlaceOrder, Resource
from netopsd.core.ordered import (
    ENDED,
    Action,
    Order,
    Ordered,
    OrderItem,
    OrderNote,
    OrderState,
    Progress,
    ServiceLife,
    Step,
)
from netopsd.core.outcome import OrderNotice, ServiceNotice
from netopsd.core.world import World

S = OrderState
P = Progress
DRIFT = "service-drift"
NETOPSD = "netopsd"

_OPEN = {S.ACKNOWLEDGED, S.IN_PROGRESS, S.PENDING, S.HELD}
NEXT: dict[OrderState, frozenset[OrderState]] = {
    S.ACKNOWLEDGED: frozenset({S.IN_PROGRESS, S.REJECTED, S.CANCELLED, S.ASSESSING_CANCELLATION}),
    S.IN_PROGRESS: frozenset(
        {
            *(S.COMPLETED, S.FAILED, S.PARTIAL, S.PENDING, S.HELD, S.CANCELLED),
            S.ASSESSING_CANCELLATION,
        }
    ),
    S.PENDING: frozenset({S.IN_PROGRESS, S.CANCELLED, S.ASSESSING_CANCELLATION}),
    S.HELD: frozenset({S.IN_PROGRESS, S.CANCELLED, S.ASSESSING_CANCELLATION}),
    S.ASSESSING_CANCELLATION: frozenset({S.PENDING_CANCELLATION, *_OPEN}),
    S.PENDING_CANCELLATION: frozenset({S.CANCELLED}),
    **{state: frozenset() for state in ENDED},
}
# An item is one service: it is never partly done.
NEXT_ITEM = {state: after - {S.PARTIAL} for state, after in NEXT.items() if state is not S.PARTIAL}
NEXT_STEP: dict[tuple[Step, Progress], Step] = {
    (Step.WAITING, P.BEGUN): Step.PREPARING,
    (Step.WAITING, P.FAILED): Step.ENDED,  # nothing was begun, nothing is to be undone
    (Step.PREPARING, P.DECIDED): Step.DECIDED,
    (Step.PREPARING, P.UNDOING): Step.UNDOING,
    (Step.DECIDED, P.WAITS): Step.DECIDED,
    (Step.DECIDED, P.CONFIRMED): Step.ENDED,
    (Step.UNDOING, P.WAITS): Step.UNDOING,
    (Step.UNDOING, P.AGAIN): Step.WAITING,
    (Step.UNDOING, P.FAILED): Step.ENDED,
}
AT_WORK = frozenset({Step.PREPARING, Step.DECIDED, Step.UNDOING})


def way(start: OrderState, goal: OrderState) -> tuple[OrderState, ...]:
    """Return the shortest legal steps from `start` to `goal`, () where there are none."""
    found: deque[tuple[OrderState, ...]] = deque([(start,)])
    seen = {start}
    while found:
        steps = found.popleft()
        if steps[-1] is goal:
            return steps[1:]
        for state in sorted(NEXT[steps[-1]] - seen - {S.ASSESSING_CANCELLATION}):
            seen.add(state)
            found.append((*steps, state))
    return ()


def outcome(states: Iterable[OrderState]) -> OrderState:
    """Return what items that have all ended make of their order: mixed is partial."""
    ends = set(states)
    return ends.pop() if len(ends) == 1 else S.PARTIAL


def items_of(world: World, order: Order) -> list[OrderItem]:
    """Return the items of an open order, in the order they are worked on."""
    return [world.order_items[order.id, number] for number in order.items]


# ---- placing


def place(world: World, said: PlaceOrder) -> None:
    """Take an order in; the same one again changes nothing. Raises NotAllowed, in words."""
    known = world.orders.get(said.order.id)
    if known is not None:
        if known.sha256 != said.order.sha256:
            raise NotAllowed(f"order {known.id} is known with other contents; it is {known.state}")
        return
    fresh = replace(
        said.order,
        state=S.ACKNOWLEDGED,
        items=tuple(item.number for item in said.items),
        placed_by=said.by,
        placed_at=said.at,
        changed_at=said.at,
    )
    if not said.items or len(set(fresh.items)) != len(fresh.items):
        raise NotAllowed("an order has at least one item, and each its own number")
    services: set[str] = set()
    for item in said.items:
        if item.service in services:
            raise NotAllowed(f"service {item.service!r} is ordered twice in one order")
        services.add(item.service)
        whole = replace(_whole(world, item), order=fresh.id, changed_at=said.at)
        world.order_items[fresh.id, item.number] = whole
    world.orders[fresh.id] = fresh
    _note(world, fresh, "", said.at, said.by, "placed")
    _tell(world, fresh, "created", said.at, "placed")
    world.out.activate.append(fresh.id)


def _whole(world: World, item: OrderItem) -> OrderItem:
    """Return the item with what is known of its service. Raises NotAllowed where it cannot be."""
    busy = _open_item(world, item.service)
    if busy is not None:
        raise NotAllowed(f"service {item.service!r} is in order {busy.order}, which is not ended")
    known = world.ordered.get(item.service)
    if item.action is Action.ADD:
        if known is not None:
            raise NotAllowed(f"service {item.service!r} is {known.state} already ({known.order})")
        return _checked(world, item)
    if known is None or known.state is not ServiceLife.ACTIVE:
        what = "configured, not ordered" if item.service in world.inventory.services else "not"
        raise NotAllowed(f"service {item.service!r} is {what} active by an order")
    if item.action is Action.DELETE:
        return replace(item, template=known.template, endpoints=known.endpoints, definition=None)
    if item.template != known.template:
        raise NotAllowed(f"service {item.service!r} is of template {known.template!r}")
    stays = {end.device for end in item.endpoints}
    leaving = tuple(end for end in known.endpoints if end.device not in stays)
    return _checked(world, replace(item, leaving=leaving))


def _checked(world: World, item: OrderItem) -> OrderItem:
    service = item.definition
    if service is None or service.id != item.service or not item.endpoints:
        raise NotAllowed(f"service {item.service!r}: no definition, or no device to carry it")
    if item.action is Action.ADD and item.service in world.inventory.services:
        raise NotAllowed(f"service {item.service!r} is in services.toml")
    devices = [end.device for end in item.endpoints]
    if len(set(devices)) != len(devices):
        raise NotAllowed(f"service {item.service!r}: one endpoint for each device")
    rests = {resource.device for path in service.paths for resource in path}
    for device in sorted({*devices, *rests, *(meter.device for meter in service.meters)}):
        if device not in world.inventory.devices:
            raise NotAllowed(f"service {item.service!r}: there is no device {device!r}")
    return item


def _open_item(world: World, service: str) -> OrderItem | None:
    found = (item for _, item in world.order_items.items() if item.service == service)
    return next((item for item in found if item.state not in ENDED), None)


# ---- what the devices make of it


def progress(world: World, said: OrderProgress) -> None:
    """Move one item as those who talk to its devices report. Raises NotAllowed."""
    order = world.orders.get(said.order)
    item = world.order_items.get((said.order, said.item))
    if order is None or item is None or order.state in ENDED:
        raise NotAllowed(f"order {said.order} has no open item {said.item!r}")
    step = NEXT_STEP.get((item.step, said.what))
    if step is None:
        raise NotAllowed(f"item {item.number} of {order.id} is {item.step}: not {said.what}")
    if said.attempt != item.attempt + (said.what is P.BEGUN):
        raise NotAllowed(f"item {item.number} of {order.id} is at attempt {item.attempt}")
    if said.what in (P.BEGUN, P.DECIDED) and order.state in (S.HELD, S.PENDING_CANCELLATION):
        raise NotAllowed(f"order {order.id} is {order.state}")
    if said.what in (P.BEGUN, P.DECIDED) and item.action is not Action.DELETE:
        _checked(world, item)  # the configuration may be another than when it was ordered
    after = replace(
        item,
        step=step,
        attempt=said.attempt,
        saved=said.saved if said.what is P.BEGUN else item.saved,
        why=said.why,
        changed_at=said.at,
    )
    _step(world, order, replace(after, state=_item_state(order, item, said.what)), said)


def _item_state(order: Order, item: OrderItem, what: Progress) -> OrderState:
    if what is P.CONFIRMED:
        return S.COMPLETED
    if what is P.FAILED:
        return S.CANCELLED if order.state is S.PENDING_CANCELLATION else S.FAILED
    return S.IN_PROGRESS if what is P.BEGUN else item.state


def _step(world: World, order: Order, item: OrderItem, said: OrderProgress) -> None:
    was = world.order_items[order.id, item.number]
    world.order_items[order.id, item.number] = item
    if said.what is P.WAITS:
        if order.state is S.IN_PROGRESS:
            _move(world, order, S.PENDING, (said.at, NETOPSD, said.why))
        elif said.why != was.why:
            _note(world, order, item.number, said.at, NETOPSD, said.why)
        return
    text = f"{said.what}: {said.why}" if said.why else str(said.what)
    _note(world, order, item.number, said.at, NETOPSD, text)
    for remark in said.remarks:
        _note(world, order, item.number, said.at, NETOPSD, remark)
    if said.what is P.CONFIRMED:
        _enact(world, item, said.at)
    if order.state in (S.ACKNOWLEDGED, S.PENDING):
        order = _move(world, order, S.IN_PROGRESS, (said.at, NETOPSD, text))
    if said.what in (P.CONFIRMED, P.FAILED, P.AGAIN):
        _follow(world, order, said.at, said.why)


def _follow(world: World, order: Order, at: datetime, why: str) -> None:
    """End the order with its last item; else its next item is to be worked on."""
    items = items_of(world, order)
    if order.state is S.PENDING_CANCELLATION:
        for item in items:
            if item.step is Step.WAITING and item.state not in ENDED:
                end = replace(item, state=S.CANCELLED, step=Step.ENDED, why=why, changed_at=at)
                world.order_items[order.id, item.number] = end
        if all(item.state in ENDED for item in items_of(world, order)):
            _move(world, order, S.CANCELLED, (at, NETOPSD, "nothing of it is on any device"))
        return
    if all(item.state in ENDED for item in items):
        told = "; ".join(f"{item.number}: {item.why}" for item in items if item.why)
        _move(world, order, outcome(item.state for item in items), (at, NETOPSD, told or "done"))
    else:
        world.out.activate.append(order.id)


def _enact(world: World, item: OrderItem, at: datetime) -> None:
    """Make the service active, changed or ended: monitored, measured and billed from now."""
    known = world.ordered.get(item.service)
    if item.action is Action.DELETE:
        if known is not None:
            ended = replace(known.service, active_until=at)
            reconfigure.drop_service(world, item.service, at)
            _become(world, replace(known, service=ended, order=item.order), "terminated", at)
            _end_drift(world, item, at)
        return
    service = item.definition
    if service is None:
        return
    since = known.service.active_from if known is not None else at
    ordered = Ordered(
        id=item.service,
        state=ServiceLife.ACTIVE,
        service=replace(service, active_from=since),
        terms=item.terms,
        template=item.template,
        endpoints=item.endpoints,
        order=item.order,
        changed_at=at,
    )
    reconfigure.put_service(world, ordered.service, at)
    _become(world, ordered, "changed" if known is not None else "activated", at)
    _end_drift(world, item, at)


def _become(world: World, ordered: Ordered, what: str, at: datetime) -> None:
    state = ServiceLife.TERMINATED if what == "terminated" else ServiceLife.ACTIVE
    ordered = replace(ordered, state=state, changed_at=at)
    world.ordered[ordered.id] = ordered
    world.out.notices.append(ServiceNotice(ordered=ordered, what=what, at=at))


# ---- what a person or the BSS asks


def act(world: World, said: OrderAct) -> None:
    """Cancel, hold or resume an order. Raises NotAllowed."""
    order = world.orders.get(said.order)
    if order is None:
        raise NotAllowed(f"there is no order {said.order!r}")
    if order.state in ENDED or order.state is S.PENDING_CANCELLATION:
        raise NotAllowed(f"order {order.id} is {order.state}")
    if said.what == "cancel":
        _cancel(world, order, said)
    elif said.what == "hold":
        if any(item.step in AT_WORK for item in items_of(world, order)):
            raise NotAllowed(
                f"order {order.id}: its devices are being worked on; cancel it instead"
            )
        _move(world, order, S.HELD, (said.at, said.by, said.note or "held"))
    elif said.what == "resume":
        if order.state is not S.HELD:
            raise NotAllowed(f"order {order.id} is {order.state}, not held")
        _move(world, order, S.IN_PROGRESS, (said.at, said.by, said.note or "resumed"))
        world.out.activate.append(order.id)
    else:
        raise NotAllowed(f"{said.what!r} is none of: cancel, hold, resume")


def _cancel(world: World, order: Order, said: OrderAct) -> None:
    """Cancel what can be; an order of which something is active or decided goes on as it was."""
    because = (said.at, said.by, said.note or "to be cancelled")
    where = order.state
    order = _move(world, replace(order, before=where.value), S.ASSESSING_CANCELLATION, because)
    items = items_of(world, order)
    done = [item for item in items if item.state is S.COMPLETED or item.step is Step.DECIDED]
    if done:
        numbers = ", ".join(item.number for item in done)
        words = f"cannot be cancelled: item {numbers} is in force; order its deletion"
        _move(world, replace(order, before=""), where, (said.at, NETOPSD, words))
        return
    order = _move(world, replace(order, before=""), S.PENDING_CANCELLATION, because)
    _follow(world, order, said.at, "cancelled")
    world.out.activate.append(order.id)


# ---- drift


def drift(world: World, said: Drifted) -> None:
    """Raise, or clear, that a device no longer holds what was ordered. It is never repaired."""
    known = world.ordered.get(said.service)
    if known is None or known.state is not ServiceLife.ACTIVE or _open_item(world, said.service):
        return
    shown = "; ".join(said.lines[:5]) + (f"; {len(said.lines) - 5} more" * (len(said.lines) > 5))
    sight = Sight(
        resource=Resource(said.device),
        alarm=DRIFT,
        qualifier=said.service,
        type=AlarmType.INTEGRITY,
        severity=Severity.MAJOR,
        probable_cause="unexpectedInformation",
        text=f"{said.device} no longer holds service {said.service} as ordered by {known.order}",
        why=shown or "the device holds what was ordered",
        at=said.at,
        source="netconf",
    )
    alarms.see(world, Seen.BAD_FOR_LONG if said.lines else Seen.GOOD, sight)


def _end_drift(world: World, item: OrderItem, at: datetime) -> None:
    """Clear drift alarms of a service that was put right by an order, or is no more."""
    for device in item.devices:
        alarm = world.alarms.get(alarm_key(Resource(device), DRIFT, item.service))
        if alarm is not None and alarm.phase is Phase.ACTIVE:
            alarms.end(world, alarm, at, "the service was ordered anew or ended")


# ---- writing it down

Because = tuple[datetime, str, str]  # when, who, why


def _move(world: World, order: Order, goal: OrderState, because: Because) -> Order:
    """Move an order by legal steps, each noted with who and why."""
    at, by, why = because
    steps = (goal,) if goal in NEXT[order.state] else way(order.state, goal)
    if not steps:
        raise NotAllowed(f"order {order.id} is {order.state}; from there it cannot be {goal}")
    for state in steps:
        order = replace(order, state=state, why=why, changed_at=at)
        world.orders[order.id] = order
        _note(world, order, "", at, by, why)
    _tell(world, order, "changed", at, why)
    return order


def _note(world: World, order: Order, item: str, at: datetime, by: str, text: str) -> None:
    note = OrderNote(order=order.id, item=item, at=at, by=by, text=text, state=order.state)
    world.out.order_notes.append(note)


def _tell(world: World, order: Order, what: str, at: datetime, note: str) -> None:
    items = tuple(items_of(world, order))
    notice = OrderNotice(order=order, items=items, what=what, at=at, note=note)
    world.out.notices.append(notice)
