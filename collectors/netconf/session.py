"""One NETCONF session on the event loop: hello, requests and replies, notifications.

Bytes come from a wire (SSH, or whatever a test holds) and go to one. A session that met an error
is over: every request in flight fails with it, the wire is closed, and a new session is needed.
A request that passes its deadline also ends the session, so no late answer can be taken for
another one's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from lxml import etree
from ncclient.capabilities import Capabilities

from collectors.netconf import operations
from collectors.netconf.document import Element, Vocabulary
from collectors.netconf.errors import BadReply, DeadlinePassed, NetconfError, NotConnected
from collectors.netconf.framer import MAX_CHUNK, MAX_MESSAGE, Framer, frame
from collectors.netconf.intake import Intake


class Wire(Protocol):
    """Where a session's bytes go."""

    def write(self, data: bytes) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one device may cost us. Sizes in bytes, times in seconds."""

    max_chunk: int = MAX_CHUNK
    max_message: int = MAX_MESSAGE
    in_flight: int = 8
    hello_s: float = 20.0
    rpc_s: float = 60.0


@dataclass(slots=True, eq=False)
class _Asked:
    """A request waiting for its reply."""

    reply: asyncio.Future[Element]
    take: Callable[[Element], None] | None


class Session:
    """A NETCONF session over a wire. `greet` first; then `call` and `ask`; `close` at the end."""

    def __init__(
        self,
        peer: str,
        *,
        handler: operations.Handler,
        vocabulary: Vocabulary,
        limits: Limits | None = None,
        on_notification: Callable[[Element], None] | None = None,
    ) -> None:
        self.peer = peer
        self.handler = handler
        self.id = ""
        self.capabilities = Capabilities([])
        self.error: NetconfError | None = None
        self._limits = limits or Limits()
        self._on_notification = on_notification
        framer = Framer(max_chunk=self._limits.max_chunk, max_message=self._limits.max_message)
        self._intake = Intake(framer, vocabulary, handler, self)
        self._wire: Wire | None = None
        self._chunked = False
        self._greeted = False
        self._asked: dict[str, _Asked] = {}
        self._free = asyncio.Semaphore(self._limits.in_flight)
        self._ids = count(1)
        self._hello: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    # --- what the user of a session calls

    async def greet(self, wire: Wire) -> None:
        """Exchange hellos over `wire` and settle the framing. Raises NetconfError."""
        loop = asyncio.get_running_loop()
        self._wire = wire
        if self.error is not None:
            wire.close()
            raise self.error
        wire.write(frame(operations.hello(self.handler), chunked=False))
        if not self._greeted:
            self._hello = loop.create_future()
            await self._within(self._hello, self._limits.hello_s, "hello")

    async def call(self, name: str, *args: Any, deadline_s: float = 0.0, **options: Any) -> Any:
        """Do operation `name` as ncclient knows it and return ncclient's reply object.

        Raises NotOffered, BadRequest, RpcRefused, and whatever ends the session.
        """
        kind = operations.operation(name, self.handler)
        request = operations.build(kind, self.capabilities, self.handler, *args, **options)
        root = await self._exchange(request, None, deadline_s)
        return operations.read(request, root, self.handler)

    async def ask(
        self,
        request: operations.Request,
        *,
        rows: Iterable[str] = (),
        take: Callable[[Element], None] | None = None,
        deadline_s: float = 0.0,
    ) -> Element:
        """Send a request built before and return the root of its reply.

        Elements with a tag in `rows` are given to `take` as they end and are gone afterwards, so
        a large reply is never held whole. Raises RpcRefused and whatever ends the session.
        """
        self._intake.watch(frozenset(rows))
        root = await self._exchange(request, take, deadline_s)
        operations.refuse(operations.rpc_errors(root), self.handler)
        return root

    async def close(self) -> None:
        """Say close-session where that is still possible, then close the wire."""
        if self.error is None and self._greeted:
            with contextlib.suppress(NetconfError):  # closing anyway: nobody is left to tell
                await self.call("close_session", deadline_s=2.0)
        self.end(NotConnected(f"{self.peer}: the session is closed"))

    def pause(self) -> None:
        """Take no more bytes until `resume`: the device has to wait."""
        if self._wire is not None:
            self._wire.pause()

    def resume(self) -> None:
        if self._wire is not None and self.error is None:
            self._wire.resume()

    def end(self, error: NetconfError) -> None:
        """End the session; whatever waits fails with `error`. Only the first call counts."""
        if self.error is not None:
            return
        self.error = error
        waiting = [asked.reply for asked in self._asked.values()]
        self._asked.clear()
        for future in (*waiting, self._hello):
            if future is not None and not future.done():
                future.set_exception(error)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        if self._wire is not None:
            self._wire.close()

    async def ended(self) -> NetconfError:
        """Return what ended the session, once it has ended."""
        if self.error is None:
            self._ended = self._ended or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)
        assert self.error is not None
        return self.error

    # --- what the wire calls

    def received(self, data: bytes) -> None:
        """Take bytes from the wire. Never raises: an error ends the session."""
        if self.error is not None:
            return
        try:
            self._intake.received(data)
        except NetconfError as error:
            self.end(error)

    def lost(self, reason: str) -> None:
        """The wire is gone."""
        where = " in the middle of a message" if self._intake.within else ""
        self.end(NotConnected(f"{self.peer}: connection lost{where}{reason and ': ' + reason}"))

    # --- how it works

    async def _exchange(
        self, request: operations.Request, take: Callable[[Element], None] | None, deadline_s: float
    ) -> Element:
        if self.error is not None:
            raise self.error
        if not self._greeted:
            raise NotConnected(f"{self.peer}: no hello yet")
        deadline_s = deadline_s or self._limits.rpc_s
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline_s) as limit, self._free:
                message_id = str(next(self._ids))
                message = request.message(message_id)
                self._asked[message_id] = asked = _Asked(loop.create_future(), take)
                try:
                    self._send(message)
                except NetconfError as error:
                    self._asked.pop(message_id, None)  # nobody will wait for this reply
                    self.end(error)
                    raise
                return await asked.reply
        except TimeoutError:
            if not limit.expired():
                raise
            what = f"{self.peer}: no whole reply in {deadline_s:g} s"
            self.end(DeadlinePassed(what))
            raise DeadlinePassed(what) from None
        except asyncio.CancelledError:
            self.end(NotConnected(f"{self.peer}: a request was cancelled"))
            raise

    async def _within(self, future: asyncio.Future[None], seconds: float, what: str) -> None:
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            error = DeadlinePassed(f"{self.peer}: no whole {what} in {seconds:g} s")
            self.end(error)
            raise error from None
        except asyncio.CancelledError:
            self.end(NotConnected(f"{self.peer}: {what} was cancelled"))
            raise

    def _send(self, message: bytes) -> None:
        if self._wire is None or self.error is not None:
            raise self.error or NotConnected(f"{self.peer}: no connection")
        self._wire.write(frame(message, chunked=self._chunked))

    def row(self, root: Element, element: Element) -> bool:
        """Give a row to whoever asked for it (called by the intake)."""
        asked = self._asked.get(root.get("message-id", ""))
        if asked is None or asked.take is None:
            return False
        asked.take(element)
        return True

    def message(self, root: Element) -> None:
        """Take a whole message (called by the intake)."""
        name = etree.QName(root).localname
        if not self._greeted:
            self._settle(root)
        elif name == "rpc-reply":
            asked = self._asked.pop(root.get("message-id", ""), None)
            if asked is None:
                raise BadReply(f"a reply to {root.get('message-id')!r:.64}, which was not asked")
            if not asked.reply.done():
                asked.reply.set_result(root)
        elif name == "notification":
            if self._on_notification is not None:
                self._on_notification(root)
        else:
            raise BadReply(f"a message nobody asked for: {root.tag!r:.128}")

    def _settle(self, root: Element) -> None:
        self.id, self.capabilities = operations.read_hello(root)
        self._greeted = True
        ours = self.handler.get_capabilities()
        if operations.BASE_1_1 in self.capabilities and operations.BASE_1_1 in ours:
            self._chunked = True
            self._intake.use_chunks()
        if self._hello is not None and not self._hello.done():
            self._hello.set_result(None)
