"""The devices that have their turn together, and the squads they are asked in. No I/O here.

What a device is asked is found out when something happened to it, or when it may change by time
alone; a turn in which nothing did costs nothing per device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.device import Device
from collectors.snmp_poll.squad import Asked, Rows, Squad
from collectors.snmp_poll.uptime import Uptime

FEWEST = 4  # devices in a squad: for fewer it is no gain
REGROUP = 0.1  # of a turn's devices: so many that could join one, and squads are formed anew
REGROUP_AFTER = 20  # turns after which fewer are enough
PATIENCE = 0.5  # of an interval

Bools = NDArray[np.bool_]


class Team:
    """A squad and its devices, in the squad's order; `at` is where they stand in the roster.

    `uptime` is sysUpTime as last seen, `uptime_s` when (monotonic) that was, `newer` where the
    device does not know that yet; `watchful` are the devices that have to be told of each look they
    had in a sweep.
    """

    def __init__(self, squad: Squad, devices: Sequence[Device], at: Rows) -> None:
        self.squad = squad
        self.devices = tuple(devices)
        self.at = at
        seen = np.array([device.life.seen for device in devices], np.float64)
        self.uptime, self.uptime_s = seen[:, 0].copy(), seen[:, 1].copy()
        self.newer = np.zeros(len(devices), np.bool_)
        self.watchful = np.array([device.watchful for device in devices], np.bool_)
        self.interval_s = min(device.target.interval_s for device in devices)

    def swept(
        self, good: Bools, uptime: NDArray[np.uint64], when_s: NDArray[np.float64]
    ) -> list[int]:
        """Take note of complete looks; return whose question may be another now."""
        self.uptime[good], self.uptime_s[good] = uptime[good], when_s[good]
        self.newer |= good
        told = np.flatnonzero(good & self.watchful).tolist()
        for i in told:
            self.devices[i].swept()
            self.watchful[i] = self.devices[i].watchful
        return told

    def hand_over(self, i: int) -> None:
        """Tell a device what sweeps saw of it."""
        if self.newer[i]:
            self.devices[i].life.saw(Uptime(int(self.uptime[i]), float(self.uptime_s[i])))
            self.newer[i] = False

    def not_swept(self, i: int, silent: bool) -> None:
        """Take note that a device was asked and has to be looked at by itself."""
        self.devices[i].not_swept(silent)
        self.watchful[i] = True


@dataclass(frozen=True, slots=True)
class _Place:
    team: Team
    i: int


class Roster:
    """`names`, in order, and what is known of each."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.index = {name: i for i, name in enumerate(names)}
        self.teams: tuple[Team, ...] = ()
        self.busy = False
        self.enlisted = np.zeros(len(names), np.bool_)  # asked what their squad has of them
        self._ready = np.zeros(len(names), np.bool_)  # could be in a squad
        self._until_s = np.full(len(names), -np.inf)  # monotonic; then it is to be found out anew
        self._asked: list[Asked | None] = [None] * len(names)
        self._places: list[_Place | None] = [None] * len(names)
        self._turns = 0  # since the squads were formed

    def due(self, now: float) -> list[int]:
        """Return whose question may be another by time alone."""
        return np.flatnonzero(self._until_s <= now).tolist()

    def renew(self, i: int, device: Device | None) -> None:
        """Find out what a device is asked now."""
        place = self._places[i]
        if place is not None:
            place.team.hand_over(place.i)
        asked = device.asked() if device is not None else None
        self._asked[i] = asked
        self._ready[i] = asked is not None
        if device is None or asked is None:
            # It is looked at by itself, and that says when there is news of it.
            self._until_s[i], self.enlisted[i] = np.inf, False
            return
        self._until_s[i] = device.sure_until_s()
        self.enlisted[i] = place is not None and place.team.squad.asked[place.i] is asked
        if place is not None:
            place.team.uptime[place.i], place.team.uptime_s[place.i] = device.life.seen
            place.team.watchful[place.i] = device.watchful

    def before_look(self, device: Device) -> None:
        """Tell a device what sweeps saw of it, as it is looked at by itself now."""
        place = self._places[self.index[device.target.name]]
        if place is not None:
            place.team.hand_over(place.i)

    def turn(self, present: Bools) -> bool:
        """Take note of a turn of those `present`; return whether to form the squads anew."""
        self._turns += 1
        ready = int(np.count_nonzero(self._ready & present))
        apart = ready - int(np.count_nonzero(self.enlisted & present))
        enough = max(FEWEST, REGROUP * ready) if self._turns < REGROUP_AFTER else FEWEST
        return apart >= enough

    def squads(self, family: int, most: int, present: Bools) -> Iterator[tuple[list[Asked], Rows]]:
        """Give who could be in one squad, of one address family, and where they stand.

        Those of SNMPv3 are by themselves: their packets are made anew at each look.
        """
        kinds: dict[bool, list[tuple[int, Asked]]] = {False: [], True: []}
        for i in np.flatnonzero(self._ready & present).tolist():
            asked = self._asked[i]
            if asked is not None and asked.peer.sock.family == family:
                kinds[asked.peer.security is not None].append((i, asked))
        for members in kinds.values():
            count = -(-len(members) // most)
            for part in (members[n::count] for n in range(count)):
                if len(part) >= FEWEST:
                    yield [asked for _, asked in part], np.array([i for i, _ in part], np.intp)

    def disband(self) -> None:
        """Let the devices know all that their squads know: others will be formed."""
        for team in self.teams:
            for i in np.flatnonzero(team.newer).tolist():
                team.hand_over(i)

    def form(self, teams: Sequence[Team]) -> None:
        """Have these teams from now on."""
        self.teams = tuple(teams)
        self._turns = 0
        self.enlisted[:] = False
        self._places = [None] * len(self.names)
        for team in teams:
            self.enlisted[team.at] = True
            for place, i in enumerate(team.at.tolist()):
                self._places[i] = _Place(team, place)
