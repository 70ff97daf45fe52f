"""The topics by which collectors and the core speak, and what they say there beside looks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from collectors.mqtt.bounded import BadPayload, load

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}")
HERE, LEFT, LOST = "here", "left", "lost"
SMALL = 4096  # octets of anything but looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """One collector of one site, below the topic `root`."""

    root: str
    site: str
    name: str

    @property
    def looks(self) -> str:
        """Where its parcels go. Only it may publish here (the broker's access list)."""
        return f"{self.root}/looks/{self.site}/{self.name}"

    @property
    def presence(self) -> str:
        """Where it says, retained, that it is alive; also the topic of its will."""
        return f"{self.root}/here/{self.site}/{self.name}"

    @property
    def taken(self) -> str:
        """Where the core says, retained, how far it has taken its parcels."""
        return f"{self.root}/taken/{self.site}/{self.name}"


def collector_of(root: str, topic: str) -> tuple[str, Collector]:
    """Return (what, whose) of a topic below `root`. Raises BadPayload."""
    parts = topic.removeprefix(root + "/").split("/")
    if not topic.startswith(root + "/") or len(parts) != 3:
        raise BadPayload("stranger", topic[:100])
    what, site, name = parts
    if not NAME.fullmatch(site) or not NAME.fullmatch(name):
        raise BadPayload("stranger", topic[:100])
    return what, Collector(root=root, site=site, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How far the core is. A change of `run` or `ask` wants everything after `taken` again."""

    stream: int
    taken: int
    run: str
    ask: int

    def octets(self) -> bytes:
        said = {"stream": f"{self.stream:016x}", "taken": self.taken, "run": self.run}
        return json.dumps({**said, "ask": self.ask}, separators=(",", ":")).encode()

    @staticmethod
    def of(payload: bytes) -> Taken:
        """Raises BadPayload."""
        said = load(payload, SMALL, 2)
        try:
            stream = int(str(said["stream"])[:16], 16)
            taken, run, ask = said["taken"], said["run"], said["ask"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadPayload("malformed", f"{error!r}"[:100]) from None
        good = type(taken) is int and type(ask) is int and isinstance(run, str)
        if not good or not 0 <= taken < 1 << 64 or len(run) > 64:
            raise BadPayload("malformed", "not how far the core is")
        return Taken(stream=stream, taken=taken, run=run, ask=ask)


def presence(state: str, **figures: float) -> bytes:
    """Return what a collector says of itself."""
    return json.dumps({"state": state, **figures}, separators=(",", ":")).encode()


def state_of(payload: bytes) -> str:
    """Return here, left or lost. Raises BadPayload."""
    said = load(payload, SMALL, 2) if payload else {"state": LEFT}
    state = said.get("state") if isinstance(said, dict) else None
    if state not in (HERE, LEFT, LOST):
        raise BadPayload("malformed", "no state")
    return str(state)
