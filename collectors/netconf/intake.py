"""Bytes of one session to whole messages, without I/O: framing and XML together.

Everything a device sends comes through here, so here is where it is bounded.
"""

from __future__ import annotations

from typing import Protocol

from ncclient.devices.default import DefaultDeviceHandler

from collectors.netconf.document import FEED, Document, Element, Vocabulary
from collectors.netconf.errors import BadMessage, DoctypeRefused
from collectors.netconf.framer import End, Framer
from collectors.netconf.operations import Handler

MAX_RAW = 256 * 1024  # a message up to this size is kept to be mended by its device handler


class Reader(Protocol):
    """Who hears of what came in."""

    def row(self, root: Element, element: Element) -> bool:
        """Take a watched element that has ended; True where it may be forgotten."""
        ...

    def message(self, root: Element) -> None:
        """Take a whole message. May raise NetconfError, which ends the session."""
        ...


class Intake:
    """Turns the bytes of a session into calls of its reader. Errors are NetconfErrors."""

    def __init__(
        self, framer: Framer, vocabulary: Vocabulary, handler: Handler, reader: Reader
    ) -> None:
        self._framer = framer
        self._vocabulary = vocabulary
        self._handler = handler
        self._reader = reader
        self._document: Document | None = None
        self._watched: frozenset[str] = frozenset()
        self._raw: list[bytes] | None = None  # None where there is nothing to mend or too much
        self._raw_size = 0
        self._broken: BadMessage | None = None
        own = type(handler).handle_raw_dispatch
        self._mends = own is not DefaultDeviceHandler.handle_raw_dispatch

    @property
    def within(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._document is not None

    def use_chunks(self) -> None:
        """Read everything after the message just taken as base:1.1."""
        self._framer.use_chunks()

    def watch(self, tags: frozenset[str]) -> None:
        """From the next message on, hand out elements of these tags as they end."""
        self._watched |= tags

    def received(self, data: bytes) -> None:
        """Take bytes from the wire. Raises NetconfError; after that the session is over."""
        for start in range(0, len(data), FEED):
            self._framer.feed(data[start : start + FEED])
            while (event := self._framer.next()) is not None:
                if event is End.MESSAGE:
                    self._finish()
                else:
                    self._piece(event)

    def _piece(self, piece: bytes) -> None:
        if self._document is None:
            if not piece.strip():
                return  # line ends that some devices send between messages
            self._document = Document(self._watched, self._vocabulary)
            self._raw, self._raw_size, self._broken = [] if self._mends else None, 0, None
        if self._raw is not None:
            self._raw.append(piece)
            self._raw_size += len(piece)
            if self._raw_size > MAX_RAW:
                self._raw = None
        if self._broken is None:
            try:
                self._document.feed(piece)
                self._take_rows(self._document)
            except DoctypeRefused:
                raise
            except BadMessage as error:
                self._broken = error
        if self._broken is not None and self._raw is None:
            raise self._broken

    def _take_rows(self, document: Document) -> None:
        for element in document.finished():
            if self._reader.row(document.root, element):
                document.release(element)

    def _finish(self) -> None:
        document, self._document = self._document, None
        if document is None:
            raise BadMessage("an empty message")
        raw, self._raw = self._raw, None
        root: Element = None
        if self._broken is None:
            try:
                root = document.close()
            except BadMessage as error:
                self._broken = error
        if self._broken is not None:
            document = self._mend(self._broken, raw)
            root = document.close()
        self._take_rows(document)
        self._reader.message(root)

    def _mend(self, broken: BadMessage, raw: list[bytes] | None) -> Document:
        """Return what the device's handler makes of a message that is not XML as it came."""
        text = None if raw is None else b"".join(raw).decode("utf-8", "replace")
        mended = None if text is None else self._handler.handle_raw_dispatch(text)
        if isinstance(mended, Exception):
            raise BadMessage(f"{broken}; the device says: {mended}")
        if not isinstance(mended, str) or mended == text:
            raise broken
        document = Document(self._watched, self._vocabulary)
        document.feed(mended.encode())
        return document
