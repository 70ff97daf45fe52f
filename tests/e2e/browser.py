"""A headless Chromium, driven over its DevTools pipe: opens pages, and tells what they did."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST = 64 << 20  # one message; screenshots are the large ones
ANSWER_S = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--password-store=basic",
)  # fmt: skip
# Chromium reads commands from descriptor 3 and writes to 4, each message ended by NUL.
ONTO_3_AND_4 = 'in=$1 out=$2; shift 2; exec "$@" 3<&"$in" 4>&"$out"'


@dataclass(eq=False)
class Tab:
    """One page. `said` is what it wrote to the console and the log: errors, violations, dialogs."""

    browser: Browser
    session: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # addresses it loaded or tried to

    async def do(self, method: str, **given: Any) -> dict[str, Any]:
        return await self.browser.do(method, self.session, **given)

    async def open(self, url: str) -> None:
        """Go there, and return when the page and what it names has loaded."""
        loaded = self.browser.await_event(self.session, "Page.loadEventFired")
        went = await self.do("Page.navigate", url=url)
        assert "errorText" not in went, f"{url}: {went['errorText']}"
        await asyncio.wait_for(loaded, ANSWER_S)

    async def ask(self, script: str) -> Any:
        """Return the JSON value of a JavaScript expression, seen from inside the page."""
        told = await self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str, within_s: float = 15.0) -> Any:
        """Return the first true value of an expression."""
        value = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (value := await self.ask(script)):  # noqa: ASYNC110 the page's own time
                    await asyncio.sleep(0.05)
        assert value, f"not within {within_s:g} s: {script}; the page said {self.said}"
        return value

    async def picture(self) -> bytes:
        """Return a PNG of the window."""
        told = await self.do("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])

    def hear(self, method: str, told: dict[str, Any]) -> None:
        if method == "Log.entryAdded":
            entry = told["entry"]
            self.said.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Runtime.consoleAPICalled":
            self.said.append(f"console: {told['args']}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(f"exception: {told['exceptionDetails']}")
        elif method == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {told['message']}")
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])


class Browser:
    """The process, and the messages to and from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._awaited: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._tabs: dict[str, Tab] = {}
        self._last = 0

    async def do(self, method: str, session: str = "", **given: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\0")
        return await asyncio.wait_for(answer, ANSWER_S)

    def await_event(self, session: str, method: str) -> asyncio.Future[None]:
        """Return what is done when the event comes next."""
        future = asyncio.get_running_loop().create_future()
        self._awaited[session, method] = future
        return future

    async def tab(self, width: int = 1200, height: int = 900) -> Tab:
        """Open a tab that listens to everything its page does."""
        made = await self.do("Target.createTarget", url="about:blank")
        told = await self.do("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = self._tabs[told["sessionId"]] = Tab(self, told["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.do(f"{domain}.enable")
        await tab.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        return tab

    async def listen(self) -> None:
        """Take what the browser says until it is gone."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                self._take(json.loads((await self._reader.readuntil(b"\0"))[:-1]))
        for answer in self._answers.values():
            answer.cancel()

    def _take(self, message: dict[str, Any]) -> None:
        answer = self._answers.pop(message.get("id", 0), None)
        if answer is not None and not answer.done():
            if "error" in message:
                answer.set_exception(AssertionError(message["error"]))
            else:
                answer.set_result(message["result"])
        if "method" not in message:
            return
        session = message.get("sessionId", "")
        awaited = self._awaited.pop((session, message["method"]), None)
        if awaited is not None and not awaited.done():
            awaited.set_result(None)
        if session in self._tabs:
            self._tabs[session].hear(message["method"], message["params"])


@contextlib.asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Browser]:
    """Run a browser with a new profile; it and its children are gone afterwards."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = (
        "chromium", *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
    )  # fmt: skip
    with (profile.parent / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", ONTO_3_AND_4, "bash", str(theirs_in), str(theirs_out), *command,
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            pass_fds=(theirs_in, theirs_out), start_new_session=True,
            env={**os.environ, "HOME": str(profile.parent)},
        )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LARGEST)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb")
    )
    outgoing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(ours_out, "wb"))
    browser = Browser(reader, outgoing)
    listening = asyncio.create_task(browser.listen())
    try:
        yield browser
    finally:
        with contextlib.suppress(TimeoutError, AssertionError, asyncio.CancelledError):
            await asyncio.wait_for(browser.do("Browser.close"), 5)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        listening.cancel()
        await asyncio.wait([listening])
        incoming.close()
        outgoing.close()
