"""Read this file first. It is the whole of netopsd's judgement, in order.

`decide(world, said)` reads the world, touches nothing and reads no clock; what it returns is
committed and only then believed.
"""

from __future__ import annotations

from datetime import datetime

from netopsd.core import (
    agenda,
    alarm,
    attention,
    cause,
    event,
    look,
    maintenance,
    order,
    outage,
    reach,
    reconfigure,
    sweep,
    ticket,
    usage,
)
from netopsd.core.beliefs import Phase, TicketStatus
from netopsd.core.fleet import batch_of, moment
from netopsd.core.looks import Swept
from netopsd.core.model import (
    Acknowledge,
    Batch,
    Drifted,
    Events,
    Input,
    NotAllowed,
    OrderAct,
    OrderProgress,
    PlaceOrder,
    Reconfigured,
    Shelve,
    Sweep,
    Tick,
    TicketAct,
)
from netopsd.core.outcome import Outcome
from netopsd.core.world import World

SILENCE_EVERY_S = 60


def decide(world: World, said: Input) -> Outcome:
    """Say what one input changes. Raises NotAllowed where a person asks what cannot be."""
    draft = world.draft()
    if isinstance(said, Sweep):
        _sweep(draft, said)
    else:
        _hear(draft, said)
        _follow(draft, said.at)
    return draft.out


def _hear(draft: World, said: Input) -> None:
    match said:
        case Batch():
            _look(draft, said)
        case Events():
            event.hear(draft, said)
        case Tick():
            _tick(draft, said.at)
        case Acknowledge() | Shelve() | TicketAct():
            _act(draft, said)
        case Reconfigured():
            reconfigure.adopt(draft, said.inventory, said.at)
        case PlaceOrder():
            order.place(draft, said)
        case OrderProgress():
            order.progress(draft, said)
        case OrderAct():
            order.act(draft, said)
        case Drifted():
            order.drift(draft, said)


def _look(world: World, batch: Batch) -> None:
    """A look: reachability, then rows against rules, then the services and meters on it."""
    device = world.inventory.devices.get(batch.device)
    if device is None:
        return  # removed from the configuration while the look was under way
    before = world.look(device.name)
    last = before.seen.get(batch.source) if before is not None else None
    if last is not None and batch.at <= last.at:
        return  # older than what we know
    if batch.blind is not None:
        if before is not None and isinstance(world.looks.get(device.name), Swept):
            world.looks[device.name] = before  # what is dead keeps no sweep alive
        reach.missed(world, device, batch)
        outage.settle_device(world, device.name, batch.at)
        return
    reach.answered(world, device, batch)
    now = look.judge(world, device, before, batch)
    world.looks[device.name] = now
    _count(world, device.name)


def _sweep(world: World, said: Sweep) -> None:
    """Many looks, in order: where nothing is new that is noted, the others are judged singly."""
    if not said.present.any():
        return
    judged = sweep.judge(world, said)
    latest = sweep.latest(world, said)
    if latest is not None:
        reach.heard(world, latest)
    sweep.enter(world, judged)
    for i in judged.turns:
        judged.now.upto = i
        name = said.fleet.names[i]
        if judged.calm[i]:
            sweep.note(world, judged, i)
            if not judged.now.counted[i]:
                continue
            part = world.draft()
            _count(part, name)
            _follow(part, moment(said, i))
        else:
            part = world.draft()
            _look(part, batch_of(said, i))
            _follow(part, moment(said, i))
            sweep.settle(part, judged, i)
        world.apply(part.out)
    judged.now.before = None


def _count(world: World, device: str) -> None:
    """What rests on a device that was looked at: states of services, octets of meters."""
    now = world.look(device)
    if now is not None:
        if device in world.index.resources:
            outage.observe(world, device, now)
        if device in world.index.meters:
            usage.observe(world, device, now)


def _tick(world: World, at: datetime) -> None:
    """Time has passed: whatever was waiting for it."""
    last = world.moments.get("tick")
    if last is None:
        world.moments["began"] = at
    world.moments["tick"] = at
    for what, key in agenda.take(world, last, at):
        _due(world, what, key, at)
    if (
        last is None
        or int(at.timestamp()) // SILENCE_EVERY_S != int(last.timestamp()) // SILENCE_EVERY_S
    ):
        reach.watch_silence(world, at)


def _due(world: World, what: str, key: str, at: datetime) -> None:
    """Judge again what waited for this moment."""
    match what:
        case "ticket":
            ticket.open_if_due(world, key, at)
        case "close":
            ticket.close_if_due(world, key, at)
        case "steady":
            alarm.steady(world, key, at)
        case "unshelve":
            attention.unshelve_if_due(world, key, at)
        case "momentary":
            event.end_momentary(world, key, at)
        case "window":
            reconfigure.mark_windows(world, at)
        case "clock":
            usage.put_right(world, at)


def _act(world: World, asked: Acknowledge | Shelve | TicketAct) -> None:
    """A person's wish, refused in words where it does not fit."""
    if isinstance(asked, TicketAct):
        _act_on_ticket(world, asked)
        return
    known = world.alarms.get(asked.alarm)
    if known is None:
        raise NotAllowed(f"there is no alarm {asked.alarm!r}")
    if isinstance(asked, Acknowledge):
        if known.phase is not Phase.ACTIVE and not asked.undo:
            raise NotAllowed(f"{asked.alarm} has cleared; there is nothing to acknowledge")
        attention.acknowledge(world, asked)
        return
    if asked.until is not None and asked.until <= asked.at:
        raise NotAllowed("an alarm can only be shelved until a time to come")
    if asked.until is None and known.shelved_until is None:
        raise NotAllowed(f"{asked.alarm} is not shelved")
    attention.shelve(world, asked)


def _act_on_ticket(world: World, asked: TicketAct) -> None:
    known = world.tickets.get(asked.ticket)
    if known is None:
        raise NotAllowed(f"there is no open ticket {asked.ticket!r}")
    if asked.status:
        if asked.status not in set(TicketStatus):
            raise NotAllowed(f"{asked.status!r} is no ticket status; try {', '.join(TicketStatus)}")
        if TicketStatus(asked.status) not in ticket.NEXT[known.status]:
            allowed = ", ".join(sorted(ticket.NEXT[known.status])) or "nothing: it is final"
            raise NotAllowed(f"{known.id} is {known.status}; from there it can become {allowed}")
    elif not asked.note:
        raise NotAllowed("neither a status nor a note was given")
    ticket.act(world, asked)


def _mark_planned(world: World, at: datetime) -> None:
    for key in tuple(dict.fromkeys(world.touched)):
        moved = world.alarms[key]
        if moved.phase is Phase.ACTIVE and not moved.maintenance:
            window = maintenance.for_device(world.inventory, moved.resource.device, at)
            if window:
                attention.maintain(world, moved, window, at, f"planned: {window}")


def _follow(world: World, at: datetime) -> None:
    """What moved alarms mean: planned or not, explained by what, work for whom."""
    if world.touched:
        if world.inventory.windows:
            _mark_planned(world, at)
        cause.follow(world, at)
        attention.hush(world)
        ticket.follow(world, at)
    if world.services.own:
        ticket.refresh_for_services(world, at)
