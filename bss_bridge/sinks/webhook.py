"""HTTP POST of each message's body, signed, to one address that was judged first."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from bss_bridge.canonical import digest
from bss_bridge.settings import WebhookSinkSettings
from bss_bridge.sinks.address import resolve
from netopsd.errors import Refused, TryLater
from netopsd.ports import Clock, Message

MOST_REPLY = 2048  # octets read of a reply, to be shown escaped in a reason
SPARE_S = 1.0  # spent at most on the text of a 2xx
# Not the message's fault, and none after it would fare better: it waits for the operator.
_ENDPOINT_AT_FAULT = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429, 451})


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of "timestamp.body" in hex: what a receiver recomputes."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookSink:
    """Posts to one URL. At least once; `Idempotency-Key` is the same on every attempt.

    No redirect is followed, no proxy of the environment used, no cookie kept.
    """

    def __init__(self, settings: WebhookSinkSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._url = httpx.URL(settings.url)
        self._client: httpx.AsyncClient | None = None

    async def deliver(self, message: Message) -> None:
        """Return once the other side said 2xx. Raises Refused or TryLater.

        A 4xx about the message is Refused. Timeouts, 5xx, redirects, and 4xx about the endpoint
        (401, 403, 404, 408, 429 …) are TryLater, with what Retry-After says.
        """
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        address = await resolve(self._url.host, port, self._settings.allow)
        try:
            async with asyncio.timeout(self._settings.timeout_s) as limit:
                response, reply = await self._post(message, address, limit)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"[:300]
            raise TryLater(f"{self._url.host}: {why}") from error
        if not response.is_success:
            self._judge(response, reply)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(
        self, message: Message, address: str, limit: asyncio.Timeout
    ) -> tuple[httpx.Response, str]:
        async with self._connected().stream(
            "POST",
            self._url.copy_with(host=address),
            content=message.body.encode(),
            headers=self._headers(message),
            extensions={"sni_hostname": self._url.host},
        ) as response:
            if not response.is_success:
                return response, await _bounded(response)
            limit.reschedule(None)  # it is taken, whatever becomes of the rest of the reply
            with suppress(httpx.HTTPError, TimeoutError):  # read only to keep the connection
                async with asyncio.timeout(SPARE_S):
                    await _bounded(response)
            return response, ""

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            verify: ssl.SSLContext = ssl.create_default_context(
                cafile=str(self._settings.ca_file) if self._settings.ca_file else None
            )
            self._client = httpx.AsyncClient(
                verify=verify,
                trust_env=False,
                follow_redirects=False,
                timeout=self._settings.timeout_s,
                limits=httpx.Limits(max_connections=self._settings.concurrency),
            )
        return self._client

    def _headers(self, message: Message) -> dict[str, str]:
        """Everything a receiver needs to trust, sort and recognise a message.

        Keys hold names from the network, so the header carries the key's SHA-256; the key itself
        is the body's eventId.
        """
        timestamp = str(int(self._clock.now().timestamp()))
        secret = self._settings.secret.get_secret_value().encode()
        signed = signature(secret, timestamp, message.body.encode())
        return {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "netopsd",
            "Accept-Encoding": "identity",
            "Idempotency-Key": digest(message.key),
            "Netopsd-Topic": message.topic,
            "Netopsd-Timestamp": timestamp,
            "Netopsd-Signature": f"keyid={self._settings.key_id},alg=hmac-sha256,sig={signed}",
        }

    def _judge(self, response: httpx.Response, reply: str) -> None:
        status = response.status_code
        why = f"{self._url.host} answered {status}" + (f": {reply}" if reply else "")
        if 400 <= status < 500 and status not in _ENDPOINT_AT_FAULT:
            raise Refused(why)
        raise TryLater(why, retry_after_s(response.headers.get("Retry-After"), self._clock.now()))


async def _bounded(response: httpx.Response) -> str:
    """The reply's first octets, as printable ASCII: it is a stranger's text."""
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk[: MOST_REPLY - len(read)]
        if len(read) >= MOST_REPLY:
            break
    text = read.decode("utf-8", "replace")
    return ascii(text)[1:-1][:MOST_REPLY] if text else ""


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110 section 10.2.3), if readable."""
    if value is None or len(value) > 64:
        return None
    if value.strip().isdecimal() and value.strip().isascii():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
