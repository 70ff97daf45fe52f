"""RFC 6242 framing: what the bytes say does not depend on where they were cut."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.netconf.errors import BadFrame, BadRequest, NetconfError, TooBig
from collectors.netconf.framer import END_OF_MESSAGE, End, Framer, frame


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted({spot % (len(data) + 1) for spot in at}), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]


def messages(feeds: list[bytes], chunked: bool, **limits: int) -> tuple[list[bytes], str]:
    """Return the messages in `feeds`, and the error that ended them."""
    framer, found, pieces = Framer(**limits), [], []
    if chunked:
        framer.use_chunks()
    try:
        for data in feeds:
            framer.feed(data)
            while (event := framer.next()) is not None:
                if event is End.MESSAGE:
                    found.append(b"".join(pieces))
                    pieces = []
                else:
                    pieces.append(event)
    except NetconfError as error:
        return found, type(error).__name__
    return found, ""


texts = st.text(alphabet="<>ab]é漢🙂\n#", max_size=40).map(str.encode)


@given(
    st.lists(texts.filter(lambda t: END_OF_MESSAGE not in t + b"]]>]]"), max_size=5),
    st.lists(st.integers(0, 999)),
)
def test_any_cut_of_marked_messages_gives_the_same_messages(
    said: list[bytes], at: list[int]
) -> None:
    # A message must not end in the beginning of a mark, or the mark would begin earlier.
    said = [message.rstrip(b"]>") for message in said]
    data = b"".join(frame(message, chunked=False) for message in said)
    assert messages(cut(data, at), chunked=False) == (said, "")


@given(
    st.lists(st.lists(texts.filter(bool), min_size=1, max_size=5), max_size=4),
    st.lists(st.integers(0, 999)),
)
def test_any_cut_of_chunked_messages_gives_the_same_messages(
    said: list[list[bytes]], at: list[int]
) -> None:
    data = b"".join(
        b"".join(b"\n#%d\n%b" % (len(chunk), chunk) for chunk in chunks) + b"\n##\n"
        for chunks in said
    )
    expected = [b"".join(chunks) for chunks in said]
    assert messages(cut(data, at), chunked=True) == (expected, "")


@given(
    st.binary(max_size=60) | st.text(alphabet="\n#1290x", max_size=30).map(str.encode),
    st.lists(st.integers(0, 99)),
)
def test_junk_gives_the_same_error_however_it_is_cut(junk: bytes, at: list[int]) -> None:
    for chunked in (False, True):
        whole = messages([junk], chunked, max_message=20, max_chunk=9)
        assert messages(cut(junk, at), chunked, max_message=20, max_chunk=9) == whole
        assert messages([bytes((b,)) for b in junk], chunked, max_message=20, max_chunk=9) == whole


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\n#4294967295\n", "TooBig"),
        (b"\n#" + b"9" * 400, "BadFrame"),
        (b"\n#0\n", "BadFrame"),
        (b"\n#01\n", "BadFrame"),
        (b"\n#-5\n", "BadFrame"),
        (b"\n##\n", "BadFrame"),
        (b"hello", "BadFrame"),
        (b"\n#3\nabc#", "BadFrame"),
        (b"\n#3\nabc\n#3\nabc\n#3\nabc", "TooBig"),
    ],
)
def test_a_framing_lie_is_a_typed_error(data: bytes, error: str) -> None:
    assert messages([data], chunked=True, max_message=8)[1] == error


def test_a_chunk_has_a_limit_of_its_own() -> None:
    assert messages([b"\n#10\n"], chunked=True, max_chunk=9) == ([], "TooBig")
    assert messages([b"\n#9\n"], chunked=True, max_chunk=9) == ([], "")


def test_an_error_is_for_ever() -> None:
    framer = Framer()
    framer.use_chunks()
    framer.feed(b"x")
    for _ in range(2):
        with pytest.raises(BadFrame):
            framer.next()
        framer.feed(b"\n#1\na\n##\n")


def test_a_marked_message_past_the_limit_is_refused_before_it_is_whole() -> None:
    assert messages([b"x" * 9, b"x" * 9], chunked=False, max_message=10) == ([], "TooBig")


def test_framing_changes_after_the_hello_within_one_feed() -> None:
    framer = Framer()
    framer.feed(b"<hello/>]]>]]>\n#5\n<rpc>\n##\n")
    assert framer.next() == b"<hello/>"
    assert framer.next() is End.MESSAGE
    framer.use_chunks()
    assert framer.next() == b"<rpc>"
    assert framer.next() is End.MESSAGE
    assert framer.next() is None
    assert not framer.within


def test_a_declared_chunk_takes_no_memory_before_it_comes() -> None:
    framer = Framer()
    framer.use_chunks()
    framer.feed(b"\n#16777216\nab")
    assert framer.next() == b"ab"
    assert framer.next() is None
    assert framer.within


@pytest.mark.parametrize("unit", [b"\n#1\nx", b"x", b"]", b"]]>]]"])
def test_work_grows_with_the_bytes_and_no_faster(unit: bytes) -> None:
    def cost(times: int) -> float:
        data = unit * times
        feeds = [data[i : i + 4096] for i in range(0, len(data), 4096)]
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            messages(feeds, chunked=unit.startswith(b"\n#"))
            best = min(best, time.process_time() - began)
        return best

    assert cost(80_000) < 10 * max(cost(20_000), 0.002)


def test_the_mark_cannot_travel_inside_a_marked_message() -> None:
    with pytest.raises(BadRequest):
        frame(b"a]]>]]>b", chunked=False)
    assert messages([frame(b"a]]>]]>b", chunked=True)], chunked=True) == ([b"a]]>]]>b"], "")


def test_too_big_is_not_a_framing_error() -> None:
    assert not issubclass(TooBig, BadFrame)
