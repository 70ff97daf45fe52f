"""What really happened, line by line: a JSON object each, written and flushed at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Line = dict[str, Any]
Keep = Callable[[str], object]


class Truth:
    """Says what happens, stamped with wall time and scenario seconds. `keep` takes a JSON line."""

    def __init__(self, began: datetime, keep: Keep) -> None:
        self.began = began
        self._keep = keep

    def at(self, now: float) -> str:
        """Return the wall time of a scenario's second, ISO 8601 UTC with microseconds."""
        moment = self.began + timedelta(seconds=now)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")

    def say(self, what: str, now: float, **more: object) -> None:
        line: Line = {"at": self.at(now), "t": round(now, 6), "what": what, **more}
        self._keep(json.dumps(line, separators=(",", ":"), default=str))
