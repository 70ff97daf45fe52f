"""A session over a wire that a test holds: whoever asks is told how it ended, nobody else is."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from lxml import etree

from collectors.netconf import operations
from collectors.netconf.document import Vocabulary
from collectors.netconf.errors import BadReply, NotConnected
from collectors.netconf.framer import frame
from collectors.netconf.session import Session

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
HELLO = (
    f'<hello xmlns="{NC}"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability>'
    "</capabilities><session-id>1</session-id></hello>"
).encode()


class Wire:
    """Keeps what is written until its other end has closed it; from then on it takes nothing."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.broken = False
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.broken:
            raise NotConnected("the channel is closed: Channel not open for sending")
        self.written.append(data)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def with_session(story: Callable[[Session, Wire], Awaitable[None]]) -> list[dict[str, Any]]:
    """Tell a story of a greeted session; return what the loop had to complain of."""
    complaints: list[dict[str, Any]] = []

    async def go() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        handler, wire = operations.device_handler("default"), Wire()
        session = Session("r1", handler=handler, vocabulary=Vocabulary(1000))
        session.received(frame(HELLO, chunked=False))
        await session.greet(wire)
        await story(session, wire)
        del session
        gc.collect()

    asyncio.run(go())
    gc.collect()
    return complaints


async def get(session: Session) -> None:
    await session.call("get")


def test_closing_a_session_whose_device_has_just_gone_complains_of_nothing() -> None:
    async def story(session: Session, wire: Wire) -> None:
        wire.broken = True  # and nobody has told the session yet
        await session.close()
        assert wire.closed

    assert with_session(story) == []


def test_a_request_that_cannot_be_sent_ends_the_session() -> None:
    async def story(session: Session, wire: Wire) -> None:
        waiting = asyncio.create_task(get(session))
        await asyncio.sleep(0)
        wire.broken = True
        with pytest.raises(NotConnected, match="the channel is closed"):
            await get(session)
        with pytest.raises(NotConnected, match="the channel is closed"):
            await waiting
        assert session.error is not None and wire.closed

    assert with_session(story) == []


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_request_cancelled_in_the_turn_the_session_ends_complains_of_nothing(
    cancelled_first: bool,
) -> None:
    async def story(session: Session, _: Wire) -> None:
        waiting = asyncio.create_task(get(session))
        await asyncio.sleep(0)
        if cancelled_first:
            waiting.cancel()
        session.end(NotConnected("r1: the session is closed"))
        if not cancelled_first:
            waiting.cancel()
        with pytest.raises((asyncio.CancelledError, NotConnected)):
            await waiting

    assert with_session(story) == []


def hello(count: int, octets: int) -> Any:
    said = "".join(f"<capability>urn:{n:0{octets - 4}d}</capability>" for n in range(count))
    return etree.fromstring(f'<hello xmlns="{NC}"><capabilities>{said}</capabilities></hello>')


@pytest.mark.parametrize(("count", "octets"), [(10_001, 20), (3_000, 1_000)])
def test_a_hello_with_more_capabilities_than_a_device_has_is_refused(
    count: int, octets: int
) -> None:
    with pytest.raises(BadReply, match="more capabilities"):
        operations.read_hello(hello(count, octets))


def test_only_small_hellos_are_kept_for_others_of_their_kind() -> None:
    for count, kept in ((2_000, True), (4_000, False)):
        (_, first), (_, second) = (operations.read_hello(hello(count, 100)) for _ in range(2))
        assert list(first) == list(second) and len(list(first)) == count
        assert (first is second) is kept
