"""Alarms about collectors: lost ones, and sites nobody watches. Reads a clock, touches nothing."""

from __future__ import annotations

from collectors.mqtt.members import Members
from collectors.mqtt.topics import HERE, LOST, Collector
from netopsd.core.model import Event, Resource
from netopsd.ports import Clock

OURSELVES = "netopsd"
COLLECTOR_LOST, SITE_UNWATCHED = "collector-lost", "site-unwatched"
BROKER_LOST = "broker-lost"


class Watchmen:
    """Who watches which site, judged by heartbeats; says only what has changed."""

    def __init__(self, sites: frozenset[str], heartbeat_s: float, clock: Clock) -> None:
        self.sites = sites
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._members: dict[str, Members] = {}
        self._unwatched: set[str] = set()
        self._seen: set[Collector] = set()  # those whose alarm, if any, we have cleared
        self._up = False
        self._since_s = clock.mono_s()
        self._broker_told: bool | None = None

    def know(self, sites: frozenset[str]) -> None:
        """Take a new configuration."""
        self.sites = sites

    def broker(self, *, up: bool) -> None:
        """The broker is there or not: while it is not, nobody's silence means anything."""
        if up is not self._up:
            self._up, self._since_s = up, self._clock.mono_s()
            for members in self._members.values():
                members.deaf(self._since_s)

    def heard(self, whose: Collector, state: str) -> list[Event]:
        """Take one word of presence; return the events it makes."""
        members = self._members.setdefault(whose.site, Members(self._heartbeat_s))
        if state == HERE:
            members.here(whose.name, self._clock.mono_s())
            if whose in self._seen:
                return []
            self._seen.add(whose)
            return [self._collector(whose, gone=False, why="it is heard again")]
        was = members.gone(whose.name)
        if state == LOST and (was or whose in self._seen):
            self._seen.discard(whose)
            return [self._collector(whose, gone=True, why="the broker lost it")]
        self._seen.discard(whose)
        return []  # it said good-bye

    def look(self) -> list[Event]:
        """Return what has become true by the passing of time."""
        now = self._clock.mono_s()
        patience = 3 * self._heartbeat_s
        settled = now - self._since_s > patience
        events = []
        if settled and self._broker_told is not self._up:
            self._broker_told = self._up
            events.append(self._broker())
        if not self._up:
            return events
        for site, members in self._members.items():
            for name in members.lost(now):
                whose = next(
                    (w for w in self._seen if (w.site, w.name) == (site, name)),
                    Collector(root="", site=site, name=name),
                )
                self._seen.discard(whose)
                why = f"no heartbeat for {patience:g} s"
                events.append(self._collector(whose, gone=True, why=why))
        if settled:
            events += self._sites()
        return events

    def _sites(self) -> list[Event]:
        events = []
        for site in sorted(self.sites | self._unwatched):
            members = self._members.get(site)
            watched = site not in self.sites or (members is not None and bool(members.live))
            if watched is (site in self._unwatched):
                (self._unwatched.discard if watched else self._unwatched.add)(site)
                text = f"nobody watches site {site}" if not watched else f"{site} is watched again"
                resource = Resource(OURSELVES, "site", site)
                events.append(self._event(SITE_UNWATCHED, resource, not watched, text))
        return events

    def _collector(self, whose: Collector, *, gone: bool, why: str) -> Event:
        text = f"collector {whose.name} of {whose.site} is {'lost' if gone else 'here'}: {why}"
        resource = Resource(OURSELVES, "collector", f"{whose.site}/{whose.name}")
        return self._event(COLLECTOR_LOST, resource, gone, text)

    def _broker(self) -> Event:
        text = "the MQTT broker is there" if self._up else "the MQTT broker cannot be reached"
        return self._event(BROKER_LOST, Resource(OURSELVES, "broker", "mqtt"), not self._up, text)

    def _event(self, alarm: str, resource: Resource, bad: bool, text: str) -> Event:
        severity = "critical" if alarm == SITE_UNWATCHED else "major"
        return Event(
            at=self._clock.now(),
            device=OURSELVES,
            source="mqtt",
            name=f"netopsd:{alarm}",
            authenticated=True,
            alarm=alarm,
            resource=resource,
            severity=severity if bad else "cleared",
            text=text,
        )
