"""What the poller counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Plain integers that grow; the poller's own."""

    sent: int = 0
    received: int = 0
    timeouts: int = 0  # tries that got no answer
    late: int = 0  # answers nobody waits for (any more), and second answers
    wrong_source: int = 0
    wrong_community: int = 0  # or version; SNMPv3: not authentic, of somebody else, of the past
    varbinds: int = 0  # values read
    walks: int = 0
    decode_errors: int = 0
    walk_errors: dict[str, int] = field(default_factory=dict)

    def walk_error(self, reason: str) -> None:
        self.walk_errors[reason] = self.walk_errors.get(reason, 0) + 1

    def snapshot(self, in_flight: int = 0, waiting: int = 0) -> Stats:
        """Return the figures as they are now."""
        return Stats(
            sent=self.sent,
            received=self.received,
            timeouts=self.timeouts,
            late=self.late,
            wrong_source=self.wrong_source,
            wrong_community=self.wrong_community,
            varbinds=self.varbinds,
            walks=self.walks,
            decode_errors=self.decode_errors,
            walk_errors=dict(self.walk_errors),
            in_flight=in_flight,
            waiting=waiting,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters since start (but in_flight and waiting: requests out, and held back, right now)."""

    sent: int
    received: int
    timeouts: int
    late: int
    wrong_source: int
    wrong_community: int
    varbinds: int
    walks: int
    decode_errors: int
    walk_errors: Mapping[str, int]
    in_flight: int
    waiting: int
