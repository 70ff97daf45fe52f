"""Bytes to messages, without I/O: the framing of RFC 6242, bounded and incremental.

Feed what arrived, then take events until there are none. A message is never held here: it leaves
in pieces as it comes, so what stays in memory is at most the last feed. Where the bytes were cut
makes no difference to the messages or to the error. Bytes are not decoded here, so a character
cut in two is nothing special.
"""

from __future__ import annotations

import re
from enum import Enum

from collectors.netconf.errors import BadFrame, BadRequest, TooBig

END_OF_MESSAGE = b"]]>]]>"
MAX_CHUNK = 16 * 1024 * 1024
MAX_MESSAGE = 64 * 1024 * 1024

_HEADER_LENGTH = 13  # LF HASH ten digits LF
_HEADER = re.compile(rb"\n#(?:([1-9][0-9]{0,9})|#)\n")
_HEADER_BEGUN = re.compile(rb"(?:\n(?:#(?:#|[1-9][0-9]{0,9})?)?)?")


class End(Enum):
    """The event that ends a message."""

    MESSAGE = "end of message"


class Framer:
    """Cuts a stream of bytes into messages: end-of-message marks first, chunks once told to.

    After an error the stream has no meaning any more: every further call raises it again.
    """

    def __init__(self, *, max_chunk: int = MAX_CHUNK, max_message: int = MAX_MESSAGE) -> None:
        self._max_chunk = max_chunk
        self._max_message = max_message
        self._buffer = b""
        self._at = 0
        self._size = 0  # of the message so far
        self._left = 0  # of the chunk we are in
        self._chunks = 0  # of the message so far
        self._chunked = False
        self._broken: BadFrame | TooBig | None = None

    @property
    def within(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._size > 0 or self._chunks > 0 or self._at < len(self._buffer)

    def use_chunks(self) -> None:
        """Read everything after the last event as base:1.1 (RFC 6242 section 4.1)."""
        self._chunked = True

    def feed(self, data: bytes) -> None:
        """Take `data`. All events of the feed before must have been taken."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next(self) -> bytes | End | None:
        """Return a piece of the message, its End, or None where more bytes are needed.

        Raises BadFrame and TooBig.
        """
        if self._broken is not None:
            raise self._broken
        try:
            return self._next_chunked() if self._chunked else self._next_marked()
        except (BadFrame, TooBig) as error:
            self._broken = error
            self._buffer = b""
            raise

    def _next_marked(self) -> bytes | End | None:
        found = self._buffer.find(END_OF_MESSAGE, self._at)
        if found == self._at:
            self._at += len(END_OF_MESSAGE)
            self._size = 0
            return End.MESSAGE
        end = found if found >= 0 else len(self._buffer) - self._held_back()
        if end <= self._at:
            return None
        self._grow(end - self._at)
        return self._piece(end)

    def _held_back(self) -> int:
        """Return how many last bytes may be the beginning of a mark."""
        longest = min(len(END_OF_MESSAGE) - 1, len(self._buffer) - self._at)
        for length in range(longest, 0, -1):
            if self._buffer.endswith(END_OF_MESSAGE[:length]):
                return length
        return 0

    def _next_chunked(self) -> bytes | End | None:
        if self._left == 0:
            header = self._header()
            if header is None or isinstance(header, End):
                return header
            self._left = header
        if self._at == len(self._buffer):
            return None
        end = min(len(self._buffer), self._at + self._left)
        self._left -= end - self._at
        return self._piece(end)

    def _header(self) -> int | End | None:
        """Return the size of the chunk that begins here (RFC 6242 section 4.2)."""
        line = self._buffer[self._at : self._at + _HEADER_LENGTH]
        whole = _HEADER.match(line)
        if whole is None:
            if len(line) < _HEADER_LENGTH and _HEADER_BEGUN.fullmatch(line):
                return None
            raise BadFrame(f"expected a chunk header, got {line!r}")
        self._at += whole.end()
        if whole[1] is None:
            if self._chunks == 0:
                raise BadFrame("a message without a chunk")
            self._size = self._chunks = 0
            return End.MESSAGE
        size = int(whole[1])
        if size > self._max_chunk:
            raise TooBig(f"a chunk of {size} bytes; at most {self._max_chunk} are taken")
        self._grow(size)
        self._chunks += 1
        return size

    def _grow(self, by: int) -> None:
        self._size += by
        if self._size > self._max_message:
            raise TooBig(f"a message of over {self._max_message} bytes")

    def _piece(self, end: int) -> bytes:
        piece = self._buffer[self._at : end]
        self._at = end
        return piece


def frame(message: bytes, *, chunked: bool) -> bytes:
    """Return `message` as it goes on the wire. Raises BadRequest where base:1.0 cannot carry it."""
    if chunked:
        return b"\n#%d\n%b\n##\n" % (len(message), message)
    if END_OF_MESSAGE in message:
        raise BadRequest("the message contains the end-of-message mark of base:1.0")
    return message + END_OF_MESSAGE
