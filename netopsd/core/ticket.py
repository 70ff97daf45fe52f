"""When a person must act, and when the work is done: TMF621 states, one ticket per root cause."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from netopsd.core import agenda
from netopsd.core.beliefs import (
    FINAL,
    Alarm,
    Phase,
    Severity,
    State,
    Ticket,
    TicketNote,
    TicketStatus,
)
from netopsd.core.model import TicketAct
from netopsd.core.outcome import TicketNotice
from netopsd.core.values import replace
from netopsd.core.world import World

S = TicketStatus
NEXT: dict[TicketStatus, frozenset[TicketStatus]] = {
    S.ACKNOWLEDGED: frozenset({S.IN_PROGRESS, S.REJECTED, S.CANCELLED}),
    S.IN_PROGRESS: frozenset({S.RESOLVED, S.PENDING, S.HELD, S.CANCELLED}),
    S.PENDING: frozenset({S.IN_PROGRESS, S.CANCELLED}),
    S.HELD: frozenset({S.IN_PROGRESS}),
    S.RESOLVED: frozenset({S.CLOSED, S.IN_PROGRESS}),
    S.CLOSED: frozenset(),
    S.CANCELLED: frozenset(),
    S.REJECTED: frozenset(),
}
PRIORITY = {Severity.CRITICAL: 2, Severity.MAJOR: 3}
NETOPSD = "netopsd"


def way(start: TicketStatus, goal: TicketStatus) -> tuple[TicketStatus, ...]:
    """Return the shortest legal steps from `start` to `goal`, () where there are none."""
    found: deque[tuple[TicketStatus, ...]] = deque([(start,)])
    seen = {start}
    while found:
        steps = found.popleft()
        if steps[-1] is goal:
            return steps[1:]
        for status in sorted(NEXT[steps[-1]] - seen):
            seen.add(status)
            found.append((*steps, status))
    return ()


def follow(world: World, at: datetime) -> None:
    """Bring tickets in line with the alarms this input touched."""
    moved = world.out.alarms  # whatever was touched is there
    hold = _hold(world)
    for key in dict.fromkeys(world.touched):
        alarm = moved[key]
        known = world.ticket_of.get(key)
        ticket = world.tickets.get(known) if known else None
        if alarm.phase is not Phase.ACTIVE or alarm.root:
            if ticket is not None or alarm.root:
                _relieve(world, alarm, ticket, at)
        elif ticket is None or ticket.status is S.RESOLVED:
            due = (alarm.raised_at or at) + hold
            agenda.put(world, due if due > at else at, "ticket", key)
        else:
            _refresh(world, alarm, ticket, at)


def _relieve(world: World, alarm: Alarm, ticket: Ticket | None, at: datetime) -> None:
    """An alarm is over, or explained: nobody need work at it, or only at what explains it."""
    if ticket is not None and ticket.status not in FINAL and ticket.status is not S.RESOLVED:
        if alarm.root:
            _move(world, ticket, S.CANCELLED, at, NETOPSD, f"explained by {alarm.root}")
        else:
            _move(world, ticket, S.RESOLVED, at, NETOPSD, f"the alarm has cleared: {alarm.why}")
    if alarm.root:
        root = _ticket(world, alarm.root)
        if root is not None and root.status is not S.RESOLVED:
            _refresh(world, world.alarms[alarm.root], root, at)


def _hold(world: World) -> timedelta:
    return timedelta(seconds=world.inventory.policy.ticket_hold_s)


def _ticket(world: World, cause: str) -> Ticket | None:
    known = world.ticket_of.get(cause)
    return world.tickets.get(known) if known else None


def open_if_due(world: World, key: str, at: datetime) -> None:
    """Open (or reopen) the ticket of an alarm that has stood for the hold time."""
    alarm = world.alarms.get(key)
    if alarm is None or alarm.phase is not Phase.ACTIVE or not _worth_it(world, alarm):
        return
    due = (alarm.raised_at or at) + _hold(world)
    if at < due or world.sequences.get(_settled(key)) == alarm.occurrence:
        return
    ticket = _ticket(world, key)
    if ticket is None:
        _open(world, alarm, at)
        return
    if ticket.status is S.RESOLVED:
        if at - (ticket.resolved_at or at) <= timedelta(
            seconds=world.inventory.policy.ticket_reopen_s
        ):
            _move(world, ticket, S.IN_PROGRESS, at, NETOPSD, f"it is back: {alarm.why}")
        else:
            _move(world, ticket, S.CLOSED, at, NETOPSD, "resolved long ago; a new ticket follows")
            _open(world, alarm, at)


def _settled(cause: str) -> str:
    """Name the number that says which occurrence of an alarm a person has settled."""
    return f"settled|{cause}"


def _worth_it(world: World, alarm: Alarm) -> bool:
    if alarm.root or alarm.flapping or alarm.shelved_until or alarm.maintenance:
        return False
    severe = alarm.severity.rank <= world.inventory.policy.ticket_severity.rank
    return severe or bool(hurt(world, alarm))


def hurt(world: World, alarm: Alarm) -> tuple[str, ...]:
    """Return the services that are down behind this alarm and what it explains, sorted."""
    found: set[str] = set()
    for key in (alarm.key, *(world.symptoms.get(alarm.key) or ())):
        resource = world.alarms[key].resource
        for service in world.index.services.get(resource.device, ()):
            state = world.services.get(service.id)
            if state is None or state.state is not State.DOWN:
                continue
            carried = (r for path in service.paths for r in path)
            if not resource.table or resource in carried:
                found.add(service.id)
    return tuple(sorted(found))


def _weigh(world: World, alarm: Alarm, services: tuple[str, ...]) -> tuple[Severity, int]:
    """Return severity and priority (1 highest … 4) from the services hurt."""
    priorities = [s.priority for i in services if (s := world.inventory.services.get(i))]
    priority = min([PRIORITY.get(alarm.severity, 4), *priorities])
    return (Severity.CRITICAL if priority == 1 else alarm.severity), priority


def _open(world: World, alarm: Alarm, at: datetime) -> None:
    number = (world.sequences.get("ticket") or 0) + 1
    world.sequences["ticket"] = number
    services = hurt(world, alarm)
    severity, priority = _weigh(world, alarm, services)
    ticket = Ticket(
        id=f"TT-{number:06d}",
        cause=alarm.key,
        occurrence=alarm.occurrence,
        title=alarm.text or alarm.key,
        status=S.ACKNOWLEDGED,
        severity=severity,
        priority=priority,
        services=services,
        symptoms=len(world.symptoms.get(alarm.key) or ()),
        opened_at=at,
        changed_at=at,
        why=alarm.why,
    )
    world.ticket_of[alarm.key] = ticket.id
    _keep(world, ticket, "opened", at, NETOPSD, alarm.why)


def _refresh(world: World, alarm: Alarm, ticket: Ticket, at: datetime) -> None:
    """Take up newly hurt services and symptoms; a ticket never forgets one."""
    services = tuple(sorted({*ticket.services, *hurt(world, alarm)}))
    symptoms = max(ticket.symptoms, len(world.symptoms.get(alarm.key) or ()))
    severity, priority = _weigh(world, alarm, services)
    after = replace(
        ticket,
        services=services,
        symptoms=symptoms,
        severity=min(ticket.severity, severity, key=lambda s: s.rank),
        priority=min(ticket.priority, priority),
    )
    if after != ticket:
        note = f"{len(services)} services hurt, {symptoms} alarms explained"
        _keep(world, replace(after, changed_at=at), "updated", at, NETOPSD, note)


def refresh_for_services(world: World, at: datetime) -> None:
    """Take newly hurt services into the tickets of the alarms behind them."""
    for service, state in tuple(world.services.own.items()):
        if state.state is not State.DOWN or not state.outage:
            continue
        outage = world.outages.get(state.outage)
        for occurrence in outage.alarms if outage else ():
            key = occurrence.rpartition("#")[0]
            ticket = _ticket(world, key)
            if (
                ticket is not None
                and ticket.status is not S.RESOLVED
                and (service not in ticket.services)
            ):
                _refresh(world, world.alarms[key], ticket, at)


def _move(
    world: World, ticket: Ticket, goal: TicketStatus, at: datetime, by: str, note: str
) -> None:
    """Take the legal steps to `goal`, each with a line of history; tell of the last."""
    steps = way(ticket.status, goal)
    for status in steps:
        what = {
            S.RESOLVED: "resolved",
            S.CLOSED: "closed",
            S.CANCELLED: "cancelled",
            S.REJECTED: "rejected",
        }.get(status, "reopened" if ticket.status is S.RESOLVED else "updated")
        ticket = replace(
            ticket,
            status=status,
            changed_at=at,
            resolved_at=at if status is S.RESOLVED else ticket.resolved_at,
            why=note,
        )
        _keep(world, ticket, what, at, by, note, quiet=status is not goal)
    if goal is S.RESOLVED and steps:
        closes = at + timedelta(seconds=world.inventory.policy.ticket_close_s)
        agenda.put(world, closes, "close", ticket.id)


def _keep(  # noqa: PLR0913, PLR0917  (one line of history has these parts)
    world: World, ticket: Ticket, what: str, at: datetime, by: str, note: str, quiet: bool = False
) -> None:
    world.tickets[ticket.id] = ticket
    if ticket.status in FINAL:
        world.ticket_of[ticket.cause] = ""
    world.out.ticket_notes.append(
        TicketNote(ticket=ticket.id, at=at, by=by, text=note, status=ticket.status)
    )
    if not quiet:
        world.out.notices.append(TicketNotice(ticket=ticket, what=what, at=at, by=by, note=note))


def close_if_due(world: World, ticket_id: str, at: datetime) -> None:
    """Close a ticket that has stayed resolved for long enough."""
    ticket = world.tickets.get(ticket_id)
    if ticket is None or ticket.status is not S.RESOLVED:
        return
    wait = timedelta(seconds=world.inventory.policy.ticket_close_s)
    if at - (ticket.resolved_at or at) >= wait:
        _move(world, ticket, S.CLOSED, at, NETOPSD, "resolved, and quiet since")


def act(world: World, asked: TicketAct) -> None:
    """Carry out what a person wants of a ticket. The engine has checked that it is legal."""
    ticket = world.tickets[asked.ticket]
    if not asked.status:
        _keep(
            world, replace(ticket, changed_at=asked.at), "updated", asked.at, asked.by, asked.note
        )
        return
    goal = TicketStatus(asked.status)
    cause = world.alarms.get(ticket.cause)
    if cause is not None and cause.phase is Phase.ACTIVE:
        # Their word holds for this occurrence, also after a restart; the next one is news.
        over = goal is S.RESOLVED or goal in FINAL
        if over or world.sequences.get(_settled(cause.key)):
            world.sequences[_settled(cause.key)] = cause.occurrence if over else 0
    _move(world, ticket, goal, asked.at, asked.by, asked.note)
