"""What a simulated NETCONF server does wrong when told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """One misbehaviour each, as seen in the field or feared of a hostile device."""

    HELLO_NEVER = "hello-never"
    HELLO_HALF = "hello-half"  # never ends
    HELLO_DRIP = "hello-drip"
    HELLO_DOCTYPE = "hello-doctype"
    HELLO_EMPTY = "hello-empty"  # no capabilities
    HELLO_JUNK = "hello-junk"
    SILENT = "silent"  # no reply at all
    HANG = "hang"  # half a reply, then nothing
    DRIP = "drip"  # a byte at a time, for ever
    DROP = "drop"  # the connection ends in the middle of the reply
    MALFORMED = "malformed"
    NOT_UTF8 = "not-utf8"
    HUGE = "huge"  # a reply that never ends, as fast as it goes
    HUGE_CHUNK = "huge-chunk"  # claims 4 GB
    LONG_NUMBER = "long-number"  # a chunk size of 400 digits
    BAD_CHUNK = "bad-chunk"
    DEEP = "deep"  # 10,000 elements in one another
    LONG_TEXT = "long-text"
    NAMES = "names"  # every element has a name of its own
    ENTITY = "entity"  # billion laughs
    EXTERNAL = "external"  # an entity that reads a file of ours
    TINY = "tiny"  # 1,500 messages of three bytes
    SPLIT = "split"  # legal: a chunk per byte
    WRONG_ID = "wrong-id"
    NO_ID = "no-id"
    TWICE = "twice"  # two replies to one request
    RPC_ERROR = "rpc-error"
    LOSE_NOTIFICATIONS = "lose-notifications"  # those just after the reply to create-subscription
    NO_REPLAY = "no-replay"  # refuses startTime
    LOCK_HELD = "lock-held"
    COMMIT_FAILS = "commit-fails"


@dataclass(slots=True, kw_only=True)
class Fault:
    """Misbehave on the next `times` messages to which operation `rpc` applies ("" is any)."""

    kind: FaultKind
    rpc: str = ""
    times: int = 1_000_000
    pause_s: float = 0.05  # between the bytes of a drip
    lasts_s: float = 0.5  # how long after subscribing notifications are lost


@dataclass(slots=True)
class Faults:
    """The faults in force."""

    now: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self.now.append(fault)

    def clear(self) -> None:
        self.now.clear()

    def take(self, rpc: str, *kinds: FaultKind) -> Fault | None:
        """Return the first fault for `rpc` (of `kinds`, where given) and count it down."""
        for fault in self.now:
            if fault.times > 0 and fault.rpc in ("", rpc) and (not kinds or fault.kind in kinds):
                fault.times -= 1
                return fault
        return None
