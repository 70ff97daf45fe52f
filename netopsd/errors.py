"""Every way netopsd can fail, and what each one asks of the caller."""

from __future__ import annotations

from collections.abc import Sequence

from netopsd.core.model import Blind, NotAllowed

__all__ = [
    "BadConfiguration",
    "CannotActivate",
    "CannotLook",
    "NetopsdError",
    "NotAllowed",
    "NotJudged",
    "Refused",
    "StoreBroken",
    "StoreTooNew",
    "TryLater",
]


class NetopsdError(Exception):
    """Base of all our errors."""


class CannotLook(NetopsdError):
    """A collector could not see its device. `why` says whether to look again."""

    def __init__(self, device: str, why: Blind, detail: str) -> None:
        super().__init__(f"{device}: {why}: {detail}")
        self.device = device
        self.why = why
        self.detail = detail


class CannotActivate(NetopsdError):
    """A device would not take a change, or could not be asked. `words` are its own.

    `away`: it could not be reached or was busy, and may be another time.
    """

    def __init__(self, device: str, words: str, *, away: bool = False) -> None:
        super().__init__(f"{device}: {words}")
        self.device = device
        self.words = words
        self.away = away


class NotJudged(NetopsdError):
    """Judgement stumbled over an input: a bug of ours, in the log with its trace.

    Nothing of the input was kept, what came before it is committed, and the watch goes on. The same
    input again would most likely fare the same.
    """


class TryLater(NetopsdError):
    """The other side may accept this message another time. `after_s`: when it said so itself."""

    def __init__(self, detail: str, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.after_s = after_s


class Refused(NetopsdError):
    """The other side will never accept this message; a person must look."""


class JobFailed(NetopsdError):
    """A worker process could not do this job (too long, too large, it died of it, it was refused).

    The worker goes on with the next one; asking again gives the same.
    """


class StoreBroken(NetopsdError):
    """The database can no longer be trusted to keep what we tell it: stop and exit 74."""


class CannotStore(NetopsdError):
    """A value has no exact place in the database (NaN, an integer beyond 64 bits): a bug of ours.

    Nothing of its transaction was written; the store goes on.
    """


class StoreTooNew(NetopsdError):
    """The database was written by a newer netopsd; this one must not touch it."""


class BadConfiguration(NetopsdError):
    """The configuration has mistakes. `problems` holds one line each: file: key: what; remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
