"""The HTTP server inside the daemon's event loop: uvicorn without its signals and its logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from functools import partial
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from netopsd.web.access import Access, Token
from netopsd.web.guard import LARGEST_HEAD, Guard
from netopsd.web.house import House
from netopsd.web.page import Page
from netopsd.web.site import application

MOST_CONNECTIONS = 256
HEAD_WITHIN_S = 10.0
KEEP_ALIVE_S = 30
LAST_WORDS_S = 2


class HttpSettings(Protocol):
    """The [http] section. Port 0 takes a free one."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def hosts(self) -> Sequence[str]: ...

    @property
    def token(self) -> Sequence[Token]: ...


class _Connection(H11Protocol):
    """One connection that must say what it wants in time, and makes room when it does not."""

    def __init__(self, *, head_within_s: float, **given: Any) -> None:
        super().__init__(**given)
        self._head_within_s = head_within_s
        self._slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._expect()
        self._tell_date()
        super().data_received(data)
        if self.busy and self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        super().connection_lost(exc)

    def _tell_date(self) -> None:
        """Renew the Date of answers when one is due, where uvicorn would every second."""
        date = formatdate(usegmt=True).encode()
        self.server_state.default_headers = [(b"date", date), *self.config.encoded_headers]

    @property
    def busy(self) -> bool:
        """A request is complete enough to be worked on."""
        return self.cycle is not None and not self.cycle.response_complete

    def _expect(self) -> None:
        """Start the time a request head may take, unless it runs already."""
        if self._slow is None and not self.busy:
            self._slow = self.loop.call_later(self._head_within_s, self._give_up)

    def _give_up(self) -> None:
        self._slow = None
        if not self.busy:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close a connection that waits for its request, or this one where all are at work."""
        for other in self.connections:
            if other is not self and isinstance(other, _Connection) and not other.busy:
                other.transport.abort()
                return
        self.transport.abort()


class _Quiet(uvicorn.Server):
    """uvicorn that leaves signals to the daemon, says when it listens, and sleeps until it ends."""

    def __init__(self, config: uvicorn.Config, listening: asyncio.Event) -> None:
        super().__init__(config)
        self._listening = listening
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let `serve` finish what it answers and return."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        await self._ending.wait()  # uvicorn would look ten times a second

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()


class WebServer:
    """Serves /metrics, health, the API and the pages.

    `port` is the real one once `listening` is set. The settings' `hosts` are further names this
    server goes by; localhost and any address are always accepted. `count` hears the status of every
    answer.
    """

    head_within_s = HEAD_WITHIN_S  # how long a request head may take

    def __init__(
        self,
        settings: HttpSettings,
        house: House,
        page: Page,
        *,
        version: str,
        count: Callable[[str], None] = lambda status: None,
    ) -> None:
        self._settings = settings
        self._app = Guard(
            application(house, page, version),
            Access(settings.token),
            hosts=settings.hosts,
            count=count,
        )
        self.listening = asyncio.Event()
        self.port = settings.port

    async def serve(self) -> None:
        """Serve until cancelled; then finish running answers within two seconds.

        Raises OSError where the address cannot be had.
        """
        sock = _bound(self._settings.host, self._settings.port)
        self.port = sock.getsockname()[1]
        server = _Quiet(_config(self._app, self.head_within_s), self.listening)
        running = asyncio.ensure_future(server.serve(sockets=[sock]))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            server.end()
            await running
            raise
        finally:
            self.listening.clear()
            for connection in list(server.server_state.connections):
                connection.transport.abort()  # whoever did not take the last words in time
            sock.close()


def _config(app: Any, head_within_s: float) -> uvicorn.Config:
    # uvicorn asks only that this makes a protocol when called.
    connection: Any = partial(_Connection, head_within_s=head_within_s)
    return uvicorn.Config(
        app,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",  # that it starts and ends is said by the daemon
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_WORDS_S,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        where = f"netopsd.toml: http.listen: {host}:{port}"
        raise OSError(error.errno, f"{where}: {error.strerror}; choose another") from error
    return sock
