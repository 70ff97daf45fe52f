"""A device as the socket sees it, and one request to it on its way."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collectors.snmp_poll.security import Security

Address = tuple[Any, ...]
SMALLEST_ID = 1 << 23  # below it a request-id would take fewer than four octets


def new_ids(count: int, taken: Iterable[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Return random request-ids of four octets, each another, and none of those `taken`.

    Who sees one must not know the next.
    """
    taken = tuple(taken)
    while True:
        found = np.frombuffer(os.urandom(4 * count), np.uint32) & np.uint32(0x7FFFFFFF)
        found |= np.uint32(SMALLEST_ID)
        ordered = np.sort(found)
        if not (ordered[1:] == ordered[:-1]).any() and not any(
            np.isin(found, ids).any() for ids in taken
        ):
            return found


class Verdict(Enum):
    """What became of an SNMPv3 message that is no answer to be read."""

    AGAIN = auto()  # the engine, or its clock, is known now: ask again
    REFUSED = auto()  # a report says why there will be no answer
    NOT_BELIEVED = auto()  # not authentic, of another engine or level, or of the past
    MALFORMED = auto()  # not what it should be inside


class Peer:
    """A device as the socket sees it. Made by `Transport.peer`."""

    __slots__ = ("address", "any_source", "check", "retries", "security", "sock", "timeout_s")

    def __init__(self, sock: socket.socket, address: Address, check: bytes) -> None:
        self.sock = sock
        self.address = address
        self.check = check  # how the contents of its messages begin: version, community
        self.timeout_s = 2.0
        self.retries = 2
        self.any_source = False
        self.security: Security | None = None  # SNMPv3's; then `check` is what is inside

    def speaks(self, source: Address) -> bool:
        """Return whether a datagram from `source` may be this device's."""
        if source == self.address or self.any_source:
            return True
        return len(source) == 4 and (source[0], source[1], source[3]) == (
            self.address[0],
            self.address[1],
            self.address[3],
        )


class Owner(Protocol):
    """Who asked. Each call is about a request that is no longer in flight."""

    garbled: bool  # set where the device sent something unreadable

    def answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        """Take the answer; `span` is where its request-id stands."""

    def timed_out(self, request: Request) -> None:
        """Send it again (the same id may still be answered), or forget it."""

    def failed(self, request: Request, why: str) -> None:
        """The machine could not send it at all."""


class Request:
    """One datagram on its way."""

    __slots__ = (
        "again",
        "due",
        "gone",
        "head",
        "id",
        "mark",
        "others",
        "out",
        "owner",
        "packet",
        "peer",
        "tail",
        "tries",
        "wait_s",
    )

    def __init__(self, owner: Owner, peer: Peer, head: bytes, tail: bytes) -> None:
        self.owner = owner
        self.peer = peer
        self.head = head
        self.tail = tail
        self.packet: Any = None  # the owner's
        self.mark = 0  # the owner's
        self.id = 0
        self.others: tuple[int, ...] = ()  # SNMPv3: msgIDs of tries after the first
        self.again = 0  # SNMPv3: how often it was asked anew at once, since a report said how
        self.tries = 0
        self.wait_s = peer.timeout_s
        self.due = 0
        self.out = False  # on its way: sent, neither answered nor timed out
        self.gone = False  # answered or forgotten: never to be sent again
