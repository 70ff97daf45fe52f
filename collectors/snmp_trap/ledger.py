"""Where every datagram went. One of these for each; `Ledger.unaccounted` is zero, always."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """Counts of datagrams since the start. `kernel_dropped` never reached us and is beside."""

    received: int = 0
    malformed: int = 0  # or not a notification
    unknown_source: int = 0
    wrong_community: int = 0
    rate_limited: int = 0
    overflow: int = 0  # no room in the backlog or the inbox
    repeated: int = 0  # an inform sent again: answered again, not told again
    unacknowledged: int = 0  # an inform that was not made durable, or not judged: no answer
    emitted: int = 0  # told to the inbox, folded ones included
    v3_refused: Counter[str] = field(default_factory=Counter)  # by reason
    folded: int = 0  # of the emitted: told as the count of an equal one
    informs_acked: int = 0  # answers sent, repeated ones included
    v3_accepted: int = 0  # passed every check of SNMPv3; counted where they end as well
    kernel_dropped: int = 0

    def ended(self) -> int:
        """Return how many datagrams are dealt with, each in exactly one way."""
        return (
            self.malformed
            + self.unknown_source
            + self.wrong_community
            + self.rate_limited
            + self.overflow
            + self.repeated
            + self.unacknowledged
            + self.emitted
            + self.v3_refused.total()
        )

    def snapshot(self) -> dict[str, int]:
        """Return all counts by name; refusals of SNMPv3 as v3_<reason>, their sum as v3_refused."""
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "v3_refused"}
        refused = {f"v3_{reason}": count for reason, count in self.v3_refused.items()}
        return {**counts, **refused, "v3_refused": self.v3_refused.total()}
