"""Which devices are asked together, turn after turn, and the sweeps that come of it.

A device joins a squad once it has been looked at by itself and all is known of it; it leaves when
what it is asked for changes. Whoever is in no squad, or does not answer as it always does, is named
to be looked at by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.device import Device
from collectors.snmp_poll.line import Line
from collectors.snmp_poll.settings import SnmpPollSettings
from collectors.snmp_poll.squad import Asked, Squad
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.volley import Volley
from netopsd.core.model import Sweep
from netopsd.ports import Clock

FEWEST = 4  # devices in a squad: for fewer it is no gain
REGROUP = 0.1  # of a turn's devices: so many that could join one, and squads are formed anew
REGROUP_AFTER = 20  # turns after which fewer are enough
PATIENCE = 0.5  # of an interval
Found = Callable[[str], Device | None]


@dataclass(slots=True)
class _Team:
    """A squad and its devices, in the squad's order."""

    squad: Squad
    devices: list[Device]


@dataclass(slots=True)
class _Roster:
    """The squads of the devices that have their turn together."""

    teams: list[_Team] = field(default_factory=list)
    turns: int = 0  # since they were formed
    busy: bool = False


class Sweeper:
    """Looks at many devices at once. `device` gives what is known of one, None for nothing."""

    def __init__(
        self, settings: SnmpPollSettings, counts: Counts, clock: Clock, device: Found
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._device = device
        self._lines = {
            family: Line(family, settings, counts) for family in (socket.AF_INET, socket.AF_INET6)
        }
        self._rosters: dict[tuple[str, ...], _Roster] = {}

    @property
    def in_flight(self) -> int:
        return sum(line.in_flight for line in self._lines.values())

    @property
    def waiting(self) -> int:
        return sum(line.queued for line in self._lines.values())

    def start(self) -> None:
        """Open the sockets. IPv6 is left out on a machine that has none."""
        self._lines[socket.AF_INET].start()
        try:
            self._lines[socket.AF_INET6].start()
        except OSError:
            del self._lines[socket.AF_INET6]

    def close(self) -> None:
        """Close the sockets; who is under way is named."""
        for line in self._lines.values():
            line.close()
        self._rosters.clear()

    def forget(self) -> None:
        """Form all squads anew: the configuration is another."""
        self._rosters.clear()

    async def sweep(
        self, devices: tuple[str, ...], under_way: frozenset[str]
    ) -> AsyncIterator[Sweep | str]:
        """Look at `devices` together, but for those `under_way`. Yields sweeps, and the names of
        those to be looked at by themselves: each device is in one or the other."""
        roster = self._rosters.setdefault(devices, _Roster())
        if roster.busy:  # the turn before is not over: its squads are in use
            for name in devices:
                if name not in under_way:
                    yield name
            return
        roster.busy = True
        try:
            asked = await self._ask(roster, devices, under_way)
            for name in devices:
                if name not in asked and name not in under_way:
                    yield name
            async for told in self._run(roster, asked):
                yield told
        finally:
            roster.busy = False

    async def _run(self, roster: _Roster, asked: set[str]) -> AsyncIterator[Sweep | str]:
        """Fire all squads of a roster side by side; yield what comes of it."""
        told: asyncio.Queue[Sweep | str | None] = asyncio.Queue()
        tasks = [
            asyncio.ensure_future(self._fire(team, wanted, told))
            for team in roster.teams
            if (wanted := np.array([d.target.name in asked for d in team.devices])).any()
        ]
        left = len(tasks)
        try:
            while left:
                one = await told.get()
                if one is None:
                    left -= 1
                else:
                    yield one
            for task in tasks:
                await task  # what went wrong in it is told here
        finally:
            for task in tasks:
                task.cancel()

    async def _fire(
        self, team: _Team, wanted: NDArray[np.bool_], told: asyncio.Queue[Sweep | str | None]
    ) -> None:
        line = self._lines[team.squad.asked[0].peer.sock.family]
        names = team.squad.fleet.names
        try:
            async for volley, what in line.fire(team.squad, wanted, self._most_s(team)):
                if isinstance(what, int):
                    team.devices[what].not_swept()
                    told.put_nowait(names[what])
                    continue
                sweep, others = self._sweep(team, volley, what)
                if sweep is not None:
                    told.put_nowait(sweep)
                for i in others:
                    told.put_nowait(names[i])
        finally:
            told.put_nowait(None)

    def _most_s(self, team: _Team) -> float:
        """Return how long a device of a squad may take: the others' next turn must not wait."""
        interval_s = min(device.target.interval_s for device in team.devices)
        return min(self._settings.look_max_s, PATIENCE * interval_s)

    def _sweep(
        self, team: _Team, volley: Volley, done: NDArray[np.bool_]
    ) -> tuple[Sweep | None, list[int]]:
        """Return what the devices that are `done` said, and whose rows may have changed."""
        squad, devices = team.squad, team.devices
        uptime = np.array([device.uptime for device in devices], np.uint64)
        good = done & squad.unchanged(volley.numbers, uptime)
        ticks = volley.numbers[squad.uptime].tolist()
        for i in np.flatnonzero(good).tolist():
            devices[i].swept(ticks[i])
        others = np.flatnonzero(done & ~good).tolist()
        for i in others:
            devices[i].not_swept()
        if not good.any():
            return None, others
        now, mono_s = self._clock.now(), self._clock.mono_s()
        ahead_s = mono_s - asyncio.get_running_loop().time()  # the loop's clock may be another
        sweep = Sweep(
            at=now,
            mono_s=mono_s,
            fleet=squad.fleet,
            present=good,
            when_s=volley.when_s + ahead_s,
            took_s=volley.done_s - volley.began_s,
            numbers=volley.numbers[:-1],
        )
        return sweep, others

    async def _ask(
        self, roster: _Roster, names: tuple[str, ...], under_way: frozenset[str]
    ) -> set[str]:
        """Return which devices can be asked in their squads now; forms the squads anew at times."""
        ready: dict[str, Asked] = {}
        known: dict[str, Device] = {}
        for name in names:
            device = self._device(name) if name not in under_way else None
            asked = device.asked() if device is not None else None
            if device is not None and asked is not None:
                ready[name], known[name] = asked, device
        roster.turns += 1
        enlisted = _enlisted(roster.teams, ready)
        apart = len(ready) - len(enlisted)
        enough = max(FEWEST, REGROUP * len(ready)) if roster.turns < REGROUP_AFTER else FEWEST
        if apart >= enough:
            roster.teams, roster.turns = await self._teams(ready, known), 0
            enlisted = _enlisted(roster.teams, ready)
        return enlisted

    async def _teams(self, ready: Mapping[str, Asked], known: Mapping[str, Device]) -> list[_Team]:
        teams = []
        for family in self._lines:
            names = [name for name, one in ready.items() if one.peer.sock.family == family]
            count = -(-len(names) // self._settings.sweep_devices)
            for part in range(count):
                some = names[part::count]
                if len(some) >= FEWEST:
                    squad = Squad([ready[name] for name in some])
                    teams.append(_Team(squad, [known[name] for name in some]))
                    await self._clock.sleep(0)  # it took some milliseconds
        return teams


def _enlisted(teams: Sequence[_Team], ready: Mapping[str, Asked]) -> set[str]:
    """Return who can be asked as the squads have it."""
    return {
        one.member.device
        for team in teams
        for one in team.squad.asked
        if ready.get(one.member.device) is one
    }
