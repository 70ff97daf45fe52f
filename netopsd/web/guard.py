"""What stands before every route: host, origin, access, size, time; and headers on every answer.

Plain ASGI, so that streamed answers pass through untouched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from netopsd.web.access import SAFE, Access, Denied

LARGEST_BODY = 64 * 1024
LARGEST_HEAD = 16 * 1024
DEADLINE_S = 30.0
SCRAPE_DEADLINE_S = 120.0  # a slow reader of a million series
CALLER = "netopsd.caller"  # key in the ASGI scope

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'"
)
HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Wraps the application. `count` is told the status of every answer."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        hosts: Sequence[str] = (),
        count: Callable[[str], None] = lambda status: None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._app = app
        self._access = access
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._count = count
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._count)
        limit = SCRAPE_DEADLINE_S if scope["path"] == "/metrics" else self._deadline_s
        try:
            async with asyncio.timeout(limit):
                await self._admit(scope)
                receive = await _whole_body(scope, receive)
                await self._app(scope, receive, answer)
        except Denied as denied:
            await answer.refuse(denied.status, denied.reason)
        except TimeoutError:
            if not answer.started:  # else the server closes the connection on the half answer
                await answer.refuse(504, f"not done within {limit:g} s")

    async def _admit(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        head = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if head + sum(len(name) + len(value) for name, value in headers) > LARGEST_HEAD:
            raise Denied(431, f"at most {LARGEST_HEAD} bytes of headers, please")
        host = _host([value for name, value in headers if name == b"host"])
        if host not in self._hosts and not _is_address(host):
            raise Denied(421, "this name is not ours; add it to the hosts of [http]")
        if scope["method"] not in SAFE:
            _check_origin(headers)
        client = scope.get("client") or ("", 0)
        authorization = [value for name, value in headers if name == b"authorization"]
        scope[CALLER] = self._access.admit(scope["method"], scope["path"], authorization, client[0])


class _Answer:
    """The way back: puts our headers on, remembers whether anything was sent."""

    def __init__(self, send: Send, count: Callable[[str], None]) -> None:
        self._send = send
        self._count = count
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._count(str(message["status"]))
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await self._send(message)

    async def refuse(self, status: int, reason: str) -> None:
        body = json.dumps({"code": str(status), "reason": reason}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="netopsd"'))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _host(values: Sequence[bytes]) -> str:
    """Return the name in the one Host header, lower case, without port. Raises Denied."""
    if len(values) != 1:
        raise Denied(400, "one Host header, please")
    try:
        parts = urlsplit("//" + values[0].decode("ascii"))
        port = parts.port
    except ValueError:
        raise Denied(400, "the Host header cannot be read") from None
    if parts.path or parts.query or parts.fragment or parts.username is not None or port == 0:
        raise Denied(400, "the Host header cannot be read")
    return (parts.hostname or "").lower()


def _is_address(host: str) -> bool:
    """An address cannot be rebound to another one by somebody's name server."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_origin(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what a page from elsewhere makes a browser send. Raises Denied."""
    said: dict[bytes, Any] = dict(headers)
    if said.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        raise Denied(403, "requests from other sites are refused")
    origin = said.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != said.get(b"host"):
        raise Denied(403, "requests from other origins are refused")


async def _whole_body(scope: Scope, receive: Receive) -> Receive:
    """Read a small body at once, so that no route sees half of one. Raises Denied."""
    if scope["method"] in SAFE:
        return receive
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # gone; let the route find out
            return receive
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise Denied(413, f"at most {LARGEST_BODY} bytes, please")
        if not message.get("more_body", False):
            break
    kept: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return kept.pop() if kept else await receive()

    return again
