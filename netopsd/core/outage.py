"""Is a service up: from the states of its ports and devices to outages with evidence.

A state holds from its sample to the next; a look that saw nothing is no sample. While a device is
silent and not yet known unreachable, a service that hangs on it is not booked further: when the
answer comes the time since the first failed sample is booked as what it was.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from netopsd.core import maintenance, missing, sla
from netopsd.core.beliefs import Outage, Phase, Reach, ServiceState, State
from netopsd.core.inventory import Service
from netopsd.core.looks import Look, TableLook
from netopsd.core.model import Resource
from netopsd.core.outcome import OutageNotice
from netopsd.core.values import replace
from netopsd.core.world import ResourceState, World

# What makes a row of a table usable: column and value (RFC 2863, RFC 4273).
UP_WHEN: tuple[tuple[str, float], ...] = (("ifOperStatus", 1.0), ("bgpPeerState", 6.0))
CUT_OFF = "we were cut off"
# From the states of the members: any one up carries a path; every path must be up.
Verdict = tuple[State, datetime]


def observe(world: World, device: str, look: Look) -> None:
    """Take the states of the device's resources from a look that saw something."""
    for resource in world.index.resources.get(device, ()):
        now, why = _state(world, resource, look)
        if now is None:
            continue
        missing.say(world, resource, why == missing.WHY, look.at)
        was = world.states.get(resource)
        if was is None or was.state is not now or was.why == CUT_OFF:
            world.states[resource] = ResourceState(now, look.at, look.at, why)
    settle_device(world, device, look.at)


def _state(world: World, resource: Resource, look: Look) -> tuple[State | None, str]:
    if not resource.table:
        return State.UP, "it answers"
    table = look.tables.get(resource.table)
    if table is None:
        return None, ""
    at = table.where.get(resource.row)
    if at is None:
        known = world.states.get(resource)
        if known is not None and known.why == CUT_OFF:
            known = None
        if known is None and not missing.known(world, resource):
            return State.UNKNOWN, "no such row"
        lost = known is None or known.state is not State.UNKNOWN
        return (State.DOWN, missing.WHY) if lost else (None, "")
    return _row_state(table, at)


def _row_state(table: TableLook, at: int) -> tuple[State | None, str]:
    layout = table.table.layout
    for column, up in UP_WHEN:
        if column in layout.gauges:
            value = table.table.gauges[layout.gauges.index(column), at]
            if value != value:  # noqa: PLR0124  (NaN: this column was not read)
                return None, ""
            return (State.UP if value == up else State.DOWN), f"{column} {value:g}"
    return State.UP, "present"


def lose_device(
    world: World, device: str, state: State, since: datetime, at: datetime, why: str
) -> None:
    """Book everything on `device` as `state` since the first failed sample."""
    for resource in world.index.resources.get(device, ()):
        was = world.states.get(resource)
        if was is None or was.state is not state:
            begins = since if was is None else max(since, was.since)
            world.states[resource] = ResourceState(state, begins, at, why)
    settle_device(world, device, at)


def settle_device(world: World, device: str, at: datetime) -> None:
    """Bring every service that rests on `device` up to `at`."""
    for service in world.index.services.get(device, ()):
        settle(world, service, at)


def settle(world: World, service: Service, at: datetime, *, now: bool = False) -> None:
    """Book the service's time up to `at` as far as it is known, and move its outage.

    What has not changed is booked only now and then, unless it must be `now`.
    """
    verdict = _verdict(world, service, at)
    if verdict is None:
        return
    state, since = verdict
    was = world.services.get(service.id) or _first(world, service, state, since)
    if was is None:
        return
    changed = state is not was.state
    if at <= was.until:
        if not changed:
            return
        at = was.until  # booked that far already, by another device's look or a tick
    lag_s = (at - was.until).total_seconds()
    later = not now and lag_s < world.inventory.policy.checkpoint_s
    if not changed and state is not State.DOWN and later:
        return
    booked = was.until
    turned = min(max(since, was.until), at) if changed else at
    was = _fill_silence(world, service, was, turned)
    sla.account(world, service, was.state, (was.until, turned))
    outage = _leave(world, service, was, state, turned)
    if state is not was.state:
        was = replace(was, state=state, since=turned)
        sla.account(world, service, state, (turned, at))
    if state is State.DOWN:
        outage = _suffer(world, service, outage, was.since, at)
    world.services[service.id] = replace(was, until=at, outage=outage.id if outage else "")
    # Of a month with planned work less is left to be up in: what was down before weighs more.
    evidence = outage or world.ended.get(service.id)
    if evidence is not None:
        sla.judge(world, service, evidence, (booked, at))


def _first(world: World, service: Service, state: State, since: datetime) -> ServiceState | None:
    """Return a service as of its first sample, None before there is one."""
    if state is State.UNKNOWN:
        return None
    first = ServiceState(service=service.id, state=State.UNKNOWN, since=since, until=since)
    if state is State.UP:  # from its first good sample on
        first = world.services[service.id] = replace(first, state=State.UP)
    return first


def holds_s(world: World, service: Service) -> float:
    """Return for how long without a new sample the service's state is believed, in seconds."""
    devices = (world.inventory.devices.get(r.device) for path in service.paths for r in path)
    longest = max((d.interval_s for d in devices if d is not None), default=0.0)
    return max(world.inventory.policy.state_holds_s, 3 * longest)


def _fill_silence(
    world: World, service: Service, was: ServiceState, turned: datetime
) -> ServiceState:
    """Book as unknown what nobody sampled for longer than a state is believed."""
    # `until` may lag behind the last sample by as much as a checkpoint.
    lag_s = world.inventory.policy.checkpoint_s
    believed = was.until + timedelta(seconds=holds_s(world, service) + lag_s)
    if turned <= believed or was.state is State.UNKNOWN:
        return was
    sla.account(world, service, was.state, (was.until, believed))
    left = _leave(world, service, was, State.UNKNOWN, believed)
    after = replace(was, state=State.UNKNOWN, since=believed, until=believed)
    return replace(after, outage=left.id if left else "")


def _verdict(world: World, service: Service, at: datetime) -> Verdict | None:
    """Return the service's state and since when; None while it hangs on an undecided silence."""
    silent = any(
        (state := world.devices.get(r.device)) is not None and state.reach is Reach.SILENT
        for path in service.paths
        for r in path
    )
    if not silent:
        return _combine(world, service, at, None)
    best = _combine(world, service, at, State.UP)
    worst = _combine(world, service, at, State.DOWN)
    if best is None or worst is None or best[0] is not worst[0]:
        return None
    # Down either way, but since when hangs on the silence: it is booked when that is decided.
    return best if best == worst or best[0] is not State.DOWN else None


def _combine(world: World, service: Service, at: datetime, assume: State | None) -> Verdict | None:
    paths = [_path(world, service, path, at, assume) for path in service.paths]
    known = [path for path in paths if path is not None]
    if len(known) < len(paths) or not known:
        return None
    down = [since for state, since in known if state is State.DOWN]
    if down:
        return State.DOWN, min(down)
    unknown = [since for state, since in known if state is State.UNKNOWN]
    if unknown:
        return State.UNKNOWN, min(unknown)
    return State.UP, max(since for _, since in known)


def _path(
    world: World, service: Service, path: tuple[Resource, ...], at: datetime, assume: State | None
) -> Verdict | None:
    members = [_member(world, service, r, at, assume) for r in path]
    known = [m for m in members if m is not None]
    up = [since for state, since in known if state is State.UP]
    if up:
        return State.UP, min(up)
    if len(known) < len(members) or not known:
        return None
    if all(state is State.DOWN for state, _ in known):
        return State.DOWN, max(since for _, since in known)
    return State.UNKNOWN, max(since for state, since in known if state is State.UNKNOWN)


def _member(
    world: World, service: Service, resource: Resource, at: datetime, assume: State | None
) -> Verdict | None:
    known = world.states.get(resource)
    if known is None:
        return None
    device = world.devices.get(resource.device)
    reach = device.reach if device is not None else Reach.NEW
    if reach is Reach.SILENT and assume is not None and known.state is State.UP:
        # What was down stays down until a sample says otherwise.
        first = device.first_missed_at if device is not None else None
        lost = assume is State.DOWN and first is not None
        return assume, max(first or known.since, known.since) if lost else known.since
    if reach is Reach.UNREACHABLE:
        if known.state is State.DOWN and not service.unreachable_is_down:
            return State.UNKNOWN, known.since
        return known.state, known.since
    seen_at = world.seen_at(resource.device)
    holds = timedelta(seconds=holds_s(world, service))
    if seen_at is not None and at - seen_at > holds and known.state is not State.UNKNOWN:
        return State.UNKNOWN, seen_at + holds
    return known.state, known.since


def _suffer(
    world: World, service: Service, outage: Outage | None, since: datetime, at: datetime
) -> Outage:
    """Continue (or begin) an outage with one more sample; tell of it once alarms confirm it."""
    fresh = outage is None
    outage = outage or _begin(world, service, since)
    line = f"{service.id}|{at.isoformat()}|down\n"
    digest = hashlib.sha256((outage.samples_sha256 + line).encode()).hexdigest()
    alarms = tuple(dict.fromkeys((*outage.alarms, *_evidence(world, service))))
    windows = maintenance.windows_of(world.inventory, service)
    excused = maintenance.excused(windows, outage.starts, at)
    after = replace(
        outage,
        alarms=alarms,
        samples=outage.samples + 1,
        samples_sha256=digest,
        excused_s=sum((b - a).total_seconds() for a, b in excused),
    )
    planned = any(a <= at <= b for a, b in excused)
    if alarms and not planned and (fresh or not outage.told):
        after = replace(after, told=True)
        _tell(world, service, after, "started", at)
    world.outages[after.id] = after
    return after


def _begin(world: World, service: Service, since: datetime) -> Outage:
    devices = {r.device for path in service.paths for r in path}
    intervals = [d.interval_s for n in devices if (d := world.inventory.devices.get(n))]
    down = [
        f"{resource}: {known.why}"
        for path in service.paths
        for resource in path
        if (known := world.states.get(resource)) is not None and known.state is State.DOWN
    ]
    return Outage(
        id=f"{service.id}@{since:%Y%m%dT%H%M%S.%fZ}",
        service=service.id,
        starts=since,
        uncertainty_s=max(intervals, default=0.0),
        why="; ".join(down[:8]),
    )


def _leave(
    world: World, service: Service, was: ServiceState, state: State, at: datetime
) -> Outage | None:
    """Return the open outage; end it where the service is no longer down.

    That we are cut off ends no outage: nobody may be told that the service works again.
    """
    outage = world.outages.get(was.outage) if was.outage else None
    if outage is None or state is State.DOWN:
        return outage
    if state is State.UNKNOWN and _cut_off(world, service):
        return outage
    _end(world, service, was, outage, at)
    return None


def _end(world: World, service: Service, was: ServiceState, outage: Outage, at: datetime) -> None:
    unseen_s = (at - was.since).total_seconds() if was.state is State.UNKNOWN else 0.0
    ended = replace(outage, ends=at, uncertainty_s=max(outage.uncertainty_s, unseen_s))
    world.outages[outage.id] = world.ended[service.id] = ended
    sla.judge(world, service, ended, (was.until, at))
    if outage.told:
        _tell(world, service, ended, "ended", at)


def _cut_off(world: World, service: Service) -> bool:
    """Whether something the service rests on is unknown because we were cut off."""
    states = (world.states.get(resource) for path in service.paths for resource in path)
    return any(one is not None and one.why == CUT_OFF for one in states)


def end(world: World, service: Service, was: ServiceState, at: datetime, why: str) -> None:
    """End the open outage of a service that is watched no longer."""
    outage = world.outages.get(was.outage) if was.outage else None
    if outage is not None:
        outage = replace(outage, why=f"{outage.why}; {why}".lstrip("; "))
        _end(world, service, was, outage, at)


def _evidence(world: World, service: Service) -> list[str]:
    """Return the occurrence ids of the active alarms behind the service's dead resources."""
    found: list[str] = []
    for resource in (r for path in service.paths for r in path):
        known = world.states.get(resource)
        if known is None or known.state is not State.DOWN:
            continue
        for key in sorted(world.by_device.get(resource.device) or ()):
            alarm = world.alarms[key]
            if alarm.phase is Phase.ACTIVE and alarm.resource in (
                resource,
                Resource(resource.device),
            ):
                root = world.alarms.get(alarm.root) if alarm.root else None
                found += [root.occurrence_id] if root is not None else []
                found.append(alarm.occurrence_id)
    return found


def _tell(world: World, service: Service, outage: Outage, what: str, at: datetime) -> None:
    cause = outage.alarms[0].rpartition("#")[0] if outage.alarms else ""
    world.out.notices.append(
        OutageNotice(
            outage=outage,
            customer=service.customer,
            account=service.account,
            service_name=service.name,
            zone=service.zone,
            what=what,
            at=at,
            ticket=world.ticket_of.get(cause) or "",
            cause=cause,
            planned=outage.excused_s > 0,
        )
    )
