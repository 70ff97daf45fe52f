"""What every engine can do for one device: GET what was planned, walk columns, be closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.parse import Packet
from collectors.snmp_poll.plan import Wanted
from collectors.snmp_poll.request import Peer

Cell = tuple[int, int | bytes | str | None]  # tag, value; tag 0 where an engine does not tell it


@dataclass(slots=True, eq=False)
class Values:
    """What a planned GET brought. `raw` has one element per slot, negative numbers in two's
    complement; slots in `wrong` were not read, for that reason, and are 0."""

    raw: NDArray[np.uint64]
    wrong: dict[int, str]
    at: datetime  # when the first answer came
    mono_s: float
    shrink: bool = False  # packets were too big for the device or the way to it


@dataclass(slots=True)
class Walked:
    """What a walk brought: per column, instance to value, in the agent's order. `errors` names
    the columns that ended other than by their end; their rows up to there are good."""

    columns: Mapping[str, Mapping[str, Cell]]
    errors: dict[str, str] = field(default_factory=dict)
    repetitions: int = 0  # what the device could take, for next time; 0: not learnt


class Session(Protocol):
    """One device through one engine. Every method raises CannotLook and nothing else."""

    def plan(self, wanted: Wanted, most: int) -> Any:
        """Return the engine's own form of a GET of `wanted`, `most` variables a packet."""

    async def get(self, plan: Any) -> Values:
        """Return what could be read. CannotLook only where the device gave no answer at all."""

    async def walk(self, columns: Sequence[str], repetitions: int) -> Walked:
        """Return the instances of each column. CannotLook only where no answer came at all."""

    async def probe(self) -> None:
        """Return where the device answers one small request; raises CannotLook where not."""

    def together(self, plan: Any) -> tuple[Peer, tuple[Packet, ...]] | None:
        """Return whom to ask and the packets of `plan`, for a squad; None where that cannot be."""

    async def close(self) -> None: ...
