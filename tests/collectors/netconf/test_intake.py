"""What a device may say in XML, and what is refused before the XML library sees it."""

from __future__ import annotations

import contextlib
import resource
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.netconf import document
from collectors.netconf.document import Vocabulary
from collectors.netconf.errors import BadMessage, DoctypeRefused, NetconfError, TooBig
from collectors.netconf.framer import Framer, frame
from collectors.netconf.intake import Intake
from collectors.netconf.operations import device_handler

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
REPLY = f'<rpc-reply xmlns="{NC}" message-id="1">'.encode()


class Heard:
    """Keeps what came in."""

    def __init__(self) -> None:
        self.roots: list[Any] = []
        self.rows: list[str] = []

    def row(self, root: Any, element: Any) -> bool:
        assert root.get("message-id") == "1"
        self.rows.append(element.findtext("{*}name"))
        return True

    def message(self, root: Any) -> None:
        self.roots.append(root)


def intake(heard: Heard, handler: str = "default", names: int = 1000) -> Intake:
    return Intake(Framer(), Vocabulary(names), device_handler(handler), heard)


def said(*messages: bytes) -> Heard:
    heard = Heard()
    reader = intake(heard)
    for message in messages:
        reader.received(frame(message, chunked=False))
    return heard


@given(st.lists(st.integers(1, 200), max_size=8))
def test_where_the_bytes_are_cut_changes_nothing(sizes: list[int]) -> None:
    text = '<?xml version="1.0"?><!-- é --><data>grå漢🙂</data>'.encode()
    data = frame(b"\xef\xbb\xbf  " + text, chunked=False) * 2
    heard, at = Heard(), 0
    reader = intake(heard)
    for size in [*sizes, len(data)]:
        reader.received(data[at : at + size])
        at += size
    assert [root.text for root in heard.roots] == ["grå漢🙂"] * 2


@pytest.mark.parametrize(
    "message",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<?xml version="1.0"?>\n<!-- c -->\n<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<!DOCTYPE a><a/>",
        b"<!doctype a><a/>",
    ],
)
def test_a_document_type_is_refused_wherever_it_is_cut(message: bytes) -> None:
    for step in (1, 7, len(message)):
        reader = intake(Heard())
        with pytest.raises(DoctypeRefused):
            for at in range(0, len(message), step):
                reader.received(message[at : at + step])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"Welcome",
        b"<a>",
        b"<a></b>",
        b"<a>&undefined;</a>",
        b"<a>\xff\xfe</a>",
        "<a/>".encode("utf-16"),
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-',
        b"<a/><b/>",
        b"<a><!DOCTYPE b></a>",
        b"<a " + b"x" * 70_000,
        b"<?pi " + b"x" * 5000,
        b"<a>" * 300 + b"</a>" * 300,
        b"<data>" + b"x" * 10_500_000 + b"</data>",
    ],
    ids=lambda message: repr(message[:20]),
)
def test_what_is_no_message_is_a_typed_error(message: bytes) -> None:
    with pytest.raises(BadMessage):
        said(message)


@given(st.binary(max_size=200) | st.text(alphabet="<>/!?-[]&;ab='\" ", max_size=60).map(str.encode))
def test_junk_never_raises_anything_else(junk: bytes) -> None:
    reader = intake(Heard())
    with contextlib.suppress(NetconfError):
        reader.received(junk + b"]]>]]>")


def test_rows_are_handed_over_while_the_reply_is_still_coming() -> None:
    heard = Heard()
    reader = intake(heard)
    reader.watch(frozenset({f"{{{NC}}}row"}))
    reader.received(REPLY + b"<data><row><name>a</name></row><row><name>b</na")
    assert heard.rows == ["a"]
    reader.received(b"me></row></data></rpc-reply>]]>]]>")
    assert heard.rows == ["a", "b"]
    assert len(heard.roots[0][0]) <= 1, "rows that were taken are gone from the tree"


def test_a_large_reply_taken_row_by_row_holds_little_memory() -> None:
    heard = Heard()
    reader = intake(heard)
    reader.watch(frozenset({f"{{{NC}}}row"}))
    reader.received(REPLY + b"<data>")
    block = b"<row><name>a</name><in>1</in><out>2</out></row>" * 700
    for _ in range(20):
        reader.received(block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        reader.received(block)
        heard.rows.clear()
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 20_000, f"{grown_kb} KB for {200 * len(block) // 1024} KB of rows"


def test_a_tree_that_nobody_takes_apart_is_bounded() -> None:
    reader = intake(Heard())
    reader.received(REPLY)
    with pytest.raises(TooBig, match="elements and attributes"):
        for _ in range(document.MAX_MARKS // 5000):
            reader.received(b'<a b="c"/>' * 5000)


def test_a_device_cannot_fill_us_with_names() -> None:
    reader = intake(Heard(), names=500)
    reader.received(REPLY)
    with pytest.raises(TooBig, match="distinct names"):
        for number in range(501):
            reader.received(b"<n%d/>" % number)


def test_names_cut_by_the_network_count_as_well() -> None:
    reader = intake(Heard(), names=100)
    with pytest.raises(TooBig, match="distinct names"):
        for byte in REPLY + b"".join(b"<a%d b%d='1'/>" % (n, n) for n in range(60)):
            reader.received(bytes((byte,)))


def test_a_device_handler_mends_what_its_device_is_known_to_break() -> None:
    heard = Heard()
    reader = intake(heard, "huawei")
    reader.received(b"<rpc-reply message-id='1'><ok/></rpc-reply>\0]]>]]>")
    assert [root.tag for root in heard.roots] == ["rpc-reply"]
    with pytest.raises(BadMessage):
        reader.received(b"<rpc-reply></wrong>]]>]]>")
