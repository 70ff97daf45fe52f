"""Servers the sinks talk to: a billing system over HTTP with bad days, and a real SMTP server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class BillingStub:
    """An HTTP server that keeps what it booked by Idempotency-Key. `mood` is how it answers next.

    ok | 503 | 409 | 429 | 302 | 401 | timeout (nothing done) | accepted-then-timeout (booked, reply
    lost) | garbage (bytes that are no HTTP) | babble (200 with an endless body) | drip (200 with a
    body of twenty octets a second) | reset
    """

    mood: str = "ok"
    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    booked: dict[str, bytes] = field(default_factory=dict)
    followed: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def end(self) -> None:
        """Hang up on everybody."""
        self.over.set()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.tasks)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (r.partition(":") for r in rest if r)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append((line, headers, body))
        if line.split()[1] == "/elsewhere":
            self.followed += 1
        return await self._moody(writer, headers, body)

    async def _moody(
        self, writer: asyncio.StreamWriter, headers: dict[str, str], body: bytes
    ) -> bool:
        if self.mood in ("ok", "accepted-then-timeout", "babble", "drip"):
            self.booked.setdefault(headers["idempotency-key"], body)
        if self.mood in ("timeout", "accepted-then-timeout"):
            await self.over.wait()
            return False
        if self.mood == "reset":
            return False
        if self.mood == "garbage":
            writer.write(b"\x00\xff SSH-2.0-nope\r\n\r\n")
            await writer.drain()
            return False
        if self.mood == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            while not self.over.is_set():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
            return False
        if self.mood == "babble":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.write(_REPLIES[self.mood])
        await writer.drain()
        return True


_REPLIES = {
    "ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "503": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 17\r\n\r\n",
    "409": b"HTTP/1.1 409 Conflict\r\nContent-Length: 23\r\n\r\n<script>no</script>\x1b[31m",
    "422": b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n"
    b"Retry-After: Mon, 23 Nov 2026 10:02:00 GMT\r\n\r\n",
    "401": b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
}


@asynccontextmanager
async def billing(
    mood: str = "ok", tls: ssl.SSLContext | None = None
) -> AsyncIterator[BillingStub]:
    """A billing system on a free port of 127.0.0.1, speaking HTTPS where `tls` is given."""
    stub = BillingStub(mood=mood)
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=tls)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        await stub.end()


@dataclass
class Mailbox:
    """What an SMTP server took, and how it answers."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    mail_reply: str = "250 OK"
    data_reply: str = "250 OK"
    rcpt_replies: dict[str, str] = field(default_factory=dict)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_reply.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return self.mail_reply

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.rcpt_replies.get(address, "250 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_reply.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(envelope.content)
            self.recipients.append(list(envelope.rcpt_tos))
        return self.data_reply


class _FreePort(Controller):
    """A controller that learns which port it was given before it tries it."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()


@contextmanager
def mailbox(**options: Any) -> Iterator[Mailbox]:
    """A real SMTP server in a thread of its own, on a free port of 127.0.0.1."""
    box = Mailbox()
    controller = _FreePort(box, hostname="127.0.0.1", port=0, **options)
    controller.start()
    try:
        box.port = controller.port
        yield box
    finally:
        controller.stop()
