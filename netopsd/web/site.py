"""The application: health, /metrics, the API, and two pages that need nothing from elsewhere.

Swagger UI would come from a CDN; /docs is a small page of our own that shows openapi.json.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from netopsd.errors import CannotStore, NotAllowed, NotJudged, StoreBroken
from netopsd.web.api import router
from netopsd.web.exposition import CONTENT_TYPE
from netopsd.web.house import House
from netopsd.web.page import MOST_SCRAPES, Page, Part, gzipped, share_of, wants_gzip
from netopsd.web.reads import Now

ASSETS = {
    "console.js": "text/javascript; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
}


def application(house: House, page: Page, version: str) -> FastAPI:
    """Return the application without its guard: nothing here asks who is calling."""
    register_url_convertor("alarm", _AlarmId())
    app = FastAPI(
        title="netopsd",
        version=version,
        summary="Alarms, tickets, SLA, usage and the outbox of one netopsd.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _health(app, house.now)
    _metrics(app, page)
    _pages(app)
    app.include_router(router(house))
    _refusals(app)
    return app


class _AlarmId(Convertor[str]):
    """An alarm's id in a path: slashes and whatever else a device names its ports with."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def _health(app: FastAPI, now: Now) -> None:
    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        """Say that the daemon lives: its event loop answers."""
        return {"status": "pass"}

    @app.get("/ready", tags=["health"], responses={503: {"description": "not yet"}})
    async def ready(response: Response) -> dict[str, str | dict[str, bool]]:
        """Say whether the daemon works: store open, first looks done."""
        state = now.readiness()
        response.status_code = 200 if state.ready else 503
        return {"status": "pass" if state.ready else "fail", "checks": dict(state.checks)}


def _metrics(app: FastAPI, page: Page) -> None:
    running: set[int] = set()

    @app.get("/metrics", tags=["metrics"], response_class=Response)
    async def metrics(request: Request, part: Part = Part.ALL, shard: str = "1/1") -> Response:
        """Show the network's series and our own in the Prometheus text format 0.0.4.

        `shard` "2/8" shows the network's series of every eighth device: eight scrapes, side by
        side, show all.
        """
        try:
            share = share_of(shard)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        if len(running) >= MOST_SCRAPES:
            raise HTTPException(503, "too many scrapes at once", {"Retry-After": "5"})
        headers = {"vary": "accept-encoding"}
        chunks = page.chunks(part, share)
        if wants_gzip(request.headers.get("accept-encoding", "")):
            headers["content-encoding"] = "gzip"
            chunks = gzipped(chunks)
        return _Scrape(chunks, headers, running)


class _Scrape(StreamingResponse):
    """A streamed answer that is counted while it runs."""

    def __init__(
        self, chunks: AsyncIterator[bytes], headers: dict[str, str], running: set[int]
    ) -> None:
        super().__init__(chunks, headers=headers, media_type=CONTENT_TYPE)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._running.add(id(self))
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._running.discard(id(self))


def _pages(app: FastAPI) -> None:
    folder = files("netopsd.web") / "assets"
    texts = {name: (folder / name).read_bytes() for name in (*ASSETS, "index.html", "docs.html")}

    def html(name: str) -> Response:
        return Response(texts[name], media_type="text/html; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return html("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return html("docs.html")

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404, "no such file")
        return Response(texts[name], media_type=ASSETS[name])


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def misunderstood(_: Request, error: RequestValidationError) -> JSONResponse:
        said = [
            f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}"
            for mistake in error.errors()[:5]
        ]
        return _problem(422, "; ".join(said)[:1000])

    @app.exception_handler(NotAllowed)
    async def not_allowed(_: Request, error: NotAllowed) -> JSONResponse:
        return _problem(409, str(error))

    @app.exception_handler(CannotStore)
    async def unfit(_: Request, error: CannotStore) -> JSONResponse:
        return _problem(422, "something in it has no place in the store")

    @app.exception_handler(StoreBroken)
    async def broken(_: Request, error: StoreBroken) -> JSONResponse:
        return _problem(503, "the store cannot answer")

    @app.exception_handler(NotJudged)
    async def not_judged(_: Request, error: NotJudged) -> JSONResponse:
        return _problem(500, "netopsd failed at this: nothing was changed, the log has the trace")


def _problem(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    # A reason may quote what somebody sent, also halves of surrogate pairs.
    shown = reason.encode("utf-8", "replace").decode()
    return JSONResponse({"code": str(status), "reason": shown}, status, headers)
