"""Which devices are asked together, turn after turn, and the sweeps that come of it.

A device joins a squad once it has been looked at by itself and all is known of it; it leaves when
what it is asked for changes. Whoever is in no squad, or does not answer as it always does, is named
to be looked at by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.device import Device
from collectors.snmp_poll.line import Line
from collectors.snmp_poll.roster import PATIENCE, Roster, Team
from collectors.snmp_poll.settings import SnmpPollSettings
from collectors.snmp_poll.squad import Squad
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.volley import Volley
from netopsd.core.model import Sweep
from netopsd.ports import Clock

Found = Callable[[str], Device | None]


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
        self._rosters: dict[tuple[str, ...], Roster] = {}
        self._latest: dict[int, Roster] = {}  # by the identity of their names
        self._of: dict[str, Roster] = {}  # device → the roster it is in
        self._news: set[str] = set()  # devices something happened to

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
        self.forget()

    def forget(self) -> None:
        """Form all squads anew: the configuration is another."""
        for roster in self._rosters.values():
            roster.disband()
        self._rosters.clear()
        self._latest.clear()
        self._of.clear()
        self._news.clear()

    def before_look(self, device: Device) -> None:
        """Take note that a device will be looked at by itself."""
        roster = self._of.get(device.target.name)
        if roster is not None:
            roster.before_look(device)
        self._news.add(device.target.name)

    def after_look(self, device: Device) -> None:
        """Take note that a device was looked at by itself."""
        self._news.add(device.target.name)

    def _roster(self, names: tuple[str, ...]) -> Roster:
        roster = self._latest.get(id(names))
        if roster is not None and roster.names is names:
            return roster
        roster = self._rosters.get(names)
        if roster is None:
            roster = self._rosters[names] = Roster(names)
            for former in {id(r): r for name in names if (r := self._of.get(name))}.values():
                self._drop(former)
            self._of.update(dict.fromkeys(names, roster))
        self._latest.pop(id(roster.names), None)
        roster.names = names  # alive as long as we know it by its identity
        self._latest[id(names)] = roster
        return roster

    def _drop(self, roster: Roster) -> None:
        """Forget a roster whose devices have their turn with others now: what it knows of what they
        are asked is out of date by the time they are together again."""
        roster.disband()
        self._latest.pop(id(roster.names), None)
        if self._rosters.get(roster.names) is roster:
            del self._rosters[roster.names]
        for name in roster.names:
            if self._of.get(name) is roster:
                del self._of[name]

    async def sweep(
        self, devices: tuple[str, ...], under_way: frozenset[str]
    ) -> AsyncIterator[Sweep | str]:
        """Look at `devices` together, but for those `under_way`. Yields sweeps, and the names of
        those to be looked at by themselves: each device is in one or the other."""
        roster = self._roster(devices)
        if roster.busy:  # the turn before is not over: its squads are in use
            for name in devices:
                if name not in under_way:
                    yield name
            return
        roster.busy = True
        try:
            present = np.ones(len(devices), np.bool_)
            present[[roster.index[name] for name in under_way if name in roster.index]] = False
            self._renew(roster)
            if roster.turn(present):
                roster.disband()
                roster.form(await self._teams(roster, present))
            wanted = roster.enlisted & present
            for i in np.flatnonzero(present & ~wanted).tolist():
                yield devices[i]
            async for told in self._run(roster, wanted):
                yield told
        finally:
            roster.busy = False
            if self._rosters.get(roster.names) is not roster:  # forgotten meanwhile
                roster.disband()

    def _renew(self, roster: Roster) -> None:
        """Find out anew what devices are asked that something happened to."""
        news = self._news & roster.index.keys()
        self._news -= news
        due = roster.due(self._clock.mono_s())
        for i in {*due, *(roster.index[name] for name in news)}:
            roster.renew(i, self._device(roster.names[i]))

    async def _run(self, roster: Roster, asked: NDArray[np.bool_]) -> AsyncIterator[Sweep | str]:
        """Fire all squads of a roster side by side; yield what comes of it."""
        told: asyncio.Queue[Sweep | str | None] = asyncio.Queue()
        tasks = [
            asyncio.ensure_future(self._fire(team, wanted, told))
            for team in roster.teams
            if (wanted := asked[team.at]).any()
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
        self, team: Team, wanted: NDArray[np.bool_], told: asyncio.Queue[Sweep | str | None]
    ) -> None:
        line = self._lines[team.squad.asked[0].peer.sock.family]
        names = team.squad.fleet.names
        try:
            async for volley, what in line.fire(team.squad, wanted, self._most_s(team)):
                sweep, others = (
                    (None, [what]) if isinstance(what, int) else self._sweep(team, volley, what)
                )
                if sweep is not None:
                    told.put_nowait(sweep)
                for i in others:
                    team.not_swept(i, bool(volley.silent[i]))
                    self._news.add(names[i])
                    told.put_nowait(names[i])
        finally:
            told.put_nowait(None)

    def _most_s(self, team: Team) -> float:
        """Return how long a device of a squad may take: the others' next turn must not wait."""
        return min(self._settings.look_max_s, PATIENCE * team.interval_s)

    def _sweep(
        self, team: Team, volley: Volley, done: NDArray[np.bool_]
    ) -> tuple[Sweep | None, list[int]]:
        """Return what the devices that are `done` said, and whose rows may have changed."""
        squad = team.squad
        now, mono_s = self._clock.now(), self._clock.mono_s()
        ahead_s = mono_s - asyncio.get_running_loop().time()  # the loop's clock may be another
        when_s = volley.when_s + ahead_s
        good = done & squad.unchanged(volley.numbers, team.uptime, when_s - team.uptime_s)
        for i in team.swept(good, volley.numbers[squad.uptime], when_s):
            self._news.add(squad.fleet.names[i])
        others = np.flatnonzero(done & ~good).tolist()
        if not good.any():
            return None, others
        sweep = Sweep(
            at=now,
            mono_s=mono_s,
            fleet=squad.fleet,
            present=good,
            when_s=when_s,
            took_s=volley.done_s - volley.began_s,
            numbers=volley.numbers[:-1],
        )
        return sweep, others

    async def _teams(self, roster: Roster, present: NDArray[np.bool_]) -> list[Team]:
        teams = []
        for family in self._lines:
            most = self._settings.sweep_devices
            for asked, at in roster.squads(family, most, present):
                devices = [self._device(one.member.device) for one in asked]
                known = [device for device in devices if device is not None]
                if len(known) == len(asked):
                    teams.append(Team(Squad(asked), known, at))
                    await self._clock.sleep(0)  # it took some milliseconds
        return teams
