"""Every way netopsd can fail, and what each one asks of the caller."""

from __future__ import annotations

from collections.abc import Sequence

from netopsd.core.model import Blind


class NetopsdError(Exception):
    """Base of all our errors."""


class CannotLook(NetopsdError):
    """A collector could not see its device. `why` says whether to look again."""

    def __init__(self, device: str, why: Blind, detail: str) -> None:
        super().__init__(f"{device}: {why}: {detail}")
        self.device = device
        self.why = why
        self.detail = detail


class TryLater(NetopsdError):
    """The other side may accept this message another time. `after_s`: when it said so itself."""

    def __init__(self, detail: str, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.after_s = after_s


class Refused(NetopsdError):
    """The other side will never accept this message; a person must look."""


class StoreBroken(NetopsdError):
    """The database can no longer be trusted to keep what we tell it: stop and exit 74."""


class StoreTooNew(NetopsdError):
    """The database was written by a newer netopsd; this one must not touch it."""


class NotAllowed(NetopsdError):
    """What a person asked for does not fit the state it would change; the message says why."""


class BadConfiguration(NetopsdError):
    """The configuration has mistakes. `problems` holds one line each: file: key: what; remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
