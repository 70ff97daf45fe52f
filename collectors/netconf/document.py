"""One message, from pieces of bytes to elements, under a hardened parser.

What a hostile device can do with XML is bounded before libxml2 sees it: no document type, no
encoding but UTF-8, a limit on marks that are not released again (the tree's memory) and on the
names a device may use (libxml2 keeps every name of every document until the process ends).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from collectors.netconf.errors import BadMessage, DoctypeRefused, TooBig

Element = Any  # lxml ships no types

NETCONF = "urn:ietf:params:xml:ns:netconf:base:1.0"
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
ROOTS = frozenset({"rpc-reply", "hello", "notification"})

MAX_PROLOG = 4096
MAX_TAG = 64 * 1024  # bytes held back to see a tag whole; more than this is text
MAX_MARKS = 2_000_000  # "<" and "=" of a tree: about 200 MB where every one is a node
MAX_NAMES = 20_000  # distinct names of one device; large vendor models use a few thousand
FEED = 32 * 1024  # bytes parsed in one go: about half a millisecond

_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?(?:[^?]|\?(?!>))*\?>|<!--(?:[^-]|-(?!->))*-->)*")
_ROOT_BEGUN = re.compile(rb"<[A-Za-z_:\x80-\xff]")
_UNDECIDED = re.compile(rb"(?:<(?:\?.*|!(?:-(?:-.*)?)?)?|\xef|\xef\xbb|)", re.DOTALL)
_NAMES = re.compile(rb"<([^\s/>!?]+)|\s([^\s=<>\"'/]+)\s*=\s*[\"']")


class Vocabulary:
    """The names one device has used so far. Bounded, because the XML library forgets none."""

    def __init__(self, most: int = MAX_NAMES) -> None:
        self._most = most
        self._names: set[bytes] = set()

    def learn(self, text: bytes) -> None:
        """Note the element and attribute names in `text`. Raises TooBig past the limit.

        A device that is past it may go on using the names it has.
        """
        said = {pair[0] or pair[1] for pair in set(_NAMES.findall(text))}
        fresh = said - self._names
        if fresh:
            if len(self._names) + len(fresh) > self._most:
                raise TooBig(f"a device that uses over {self._most} distinct names")
            self._names |= fresh


def hardened(**more: Any) -> dict[str, Any]:
    """Return the options every parser of device XML is made with."""
    return {
        "resolve_entities": False,
        "no_network": True,
        "load_dtd": False,
        "dtd_validation": False,
        "attribute_defaults": False,
        "huge_tree": False,
        "encoding": "utf-8",  # whatever the message itself declares
        **more,
    }


class Document:
    """A message being read. Feed its pieces; `root` is there as soon as its first tag is whole.

    Elements whose tag is in `watched` are handed out by `finished` when they end, so that the
    reader can take them and `release` them while the rest is still coming.
    """

    def __init__(self, watched: frozenset[str], vocabulary: Vocabulary) -> None:
        self._parser = etree.XMLPullParser(
            **hardened(events=("start", "end"), tag=[*(f"{{*}}{name}" for name in ROOTS), *watched])
        )
        self._watched = watched
        self._vocabulary = vocabulary
        self._prolog: bytes | None = b""
        self._open: list[bytes] = []  # bytes since the last ">"
        self._open_size = 0
        self._marks = 0
        self.root: Element | None = None

    def feed(self, piece: bytes) -> None:
        """Read `piece`. Raises BadMessage, DoctypeRefused, TooBig."""
        if self._prolog is not None:
            self._prolog += piece
            piece = self._begin()
        if piece:
            self._measure(piece)
            self._parse(piece)

    def finished(self) -> Iterator[Element]:
        """Yield the watched elements that have ended since the last call, in document order."""
        for event, element in self._parser.read_events():
            if event == "start":
                if self.root is None and element.getparent() is None:
                    self.root = element
            elif element.tag in self._watched:
                yield element

    def release(self, element: Element) -> None:
        """Forget `element` and what stands before it: the reader has taken what it wanted."""
        element.clear()
        parent = element.getparent()
        while parent is not None and element.getprevious() is not None:
            del parent[0]
        self._marks = 0

    def close(self) -> Element:
        """Return the root of the whole message. Raises BadMessage where it is not whole."""
        if self._prolog is not None:
            raise BadMessage("a message without an element")
        try:
            return self._parser.close()
        except etree.XMLSyntaxError as error:
            raise BadMessage(str(error)) from None

    def _begin(self) -> bytes:
        """Return what follows the prolog once the root has begun, else nothing."""
        prolog = self._prolog or b""
        end = _PROLOG.match(prolog)
        rest = prolog[end.end() :] if end else prolog
        if _ROOT_BEGUN.match(rest):
            self._prolog = None
            return rest
        if rest.startswith(b"<!") and len(rest) > 2 and rest[2:3] != b"-":
            raise DoctypeRefused(f"a document type declaration: {rest[:64]!r}")
        if not _UNDECIDED.fullmatch(rest):
            raise BadMessage(f"not XML in UTF-8: {rest[:64]!r}")
        if len(prolog) > MAX_PROLOG:
            raise BadMessage(f"no element in the first {MAX_PROLOG} bytes")
        return b""

    def _measure(self, piece: bytes) -> None:
        last = piece.rfind(b">")
        if last < 0:
            self._open.append(piece)
            self._open_size += len(piece)
            if self._open_size <= MAX_TAG:
                return
            last = len(piece) - 1
            self._open.pop()
        text = b"".join([*self._open, piece[: last + 1]]) if self._open else piece[: last + 1]
        self._open = [piece[last + 1 :]]
        self._open_size = len(piece) - last - 1
        self._vocabulary.learn(text)
        self._marks += text.count(b"<") + text.count(b"=")
        if self._marks > MAX_MARKS:
            raise TooBig(f"a tree of over {MAX_MARKS} elements and attributes")

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.feed(piece)
        except etree.XMLSyntaxError as error:
            raise BadMessage(str(error)) from None
