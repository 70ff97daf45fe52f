"""`netopsd demo`: the main job on a simulated network, with the real daemon and real databases.

It starts the simulators and the daemon as processes of their own, watches them from outside (API,
databases, /metrics) and ends both. Every figure it prints is read back from those.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from bss_bridge.office.books import open_books
from netopsd.demo_figures import Picture, ending, figures
from netopsd.demo_order import Purchase
from netopsd.demo_stage import DemoFailed, Stage, stage_in
from netopsd.demo_tale import Tale, scene
from netopsd.demo_view import screen
from netopsd.logs import plain
from netopsd.settings.words import duration
from netopsd.store.read import Reader

STORY_S = 62.0  # the scripted story, and time for what it causes to be told
DRAIN_S = 10.0
CANNOT, INTERRUPTED = 1, 130


def main(for_s: float | None = None, json_out: bool = False, folder: Path | None = None) -> int:
    """Run the story, for `for_s` seconds where given. Returns the exit code."""
    console = Console(stderr=json_out, highlight=False)
    where = folder or Path.cwd() / "demo-data"
    try:
        with _ended_by_signal(), stage_in(where) as stage:
            picture = _play(stage, for_s or STORY_S, console)
    except DemoFailed as failed:
        console.print(f"[red]The demo cannot run:[/] {escape(str(failed))}")
        return CANNOT
    except KeyboardInterrupt:
        console.print("\nended by hand; daemon and simulators are down", soft_wrap=True)
        return INTERRUPTED
    if json_out:
        print(json.dumps(figures(picture)))
        return 0
    console.print(f"\nDone: {picture.past_s:.0f} seconds.\n", ending(picture), sep="")
    console.print(_onward(stage, picture), soft_wrap=True)
    return 0


def _onward(stage: Stage, picture: Picture) -> str:
    """Return what to look at next, as commands that work where the user stands."""
    netopsd = "netopsd" if shutil.which("netopsd") else _near(Path(sys.argv[0]))
    config = f"--config {_near(stage.config)}"
    first = picture.tickets[-1]["id"] if picture.tickets else ""
    ticket = f"  {netopsd} ticket show {first} {config}\n" if first else ""
    return f"""
The databases, logs and what really happened (truth.jsonl) stay in\n{_near(stage.folder)}/. Look on:
  {netopsd} tickets {config}
{ticket}  {netopsd} alarms --all {config}
  {netopsd} sla {config}
  {netopsd} outbox --all {config}
The same with time to look at metrics, API and console: {netopsd} demo --for 10m
Your own network: docs/first-ten-minutes.md"""


def _near(path: Path) -> str:
    """Return a path as seen from here, where that is shorter."""
    return min(str(path.absolute()), os.path.relpath(path.absolute()), key=len)


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let a hang-up or SIGTERM end the story as Ctrl-C does, both processes first."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _play(stage: Stage, for_s: float, console: Console) -> Picture:
    """Show the story until its time is up and what it caused is delivered."""
    purchase = Purchase(stage.config)
    coming = _scenes(stage, purchase, for_s)
    console.print(_opening(stage, coming, for_s), soft_wrap=True)
    said: set[tuple[str, float, str]] = set()
    calling = httpx.Client(base_url=stage.http, timeout=5.0, trust_env=False)
    with calling as api, contextlib.ExitStack() as showing:
        seen = console.is_terminal and not console.is_dumb_terminal
        live = Live(console=console, auto_refresh=False) if seen else None
        if live is not None:
            showing.enter_context(live)
        while True:
            stage.alive()
            past = time.monotonic() - stage.began
            if past < for_s:
                purchase.place(api, past)
            picture = replace(_look(stage, api, past, for_s), coming=coming)
            if live is not None:
                live.update(screen(picture, console.width, console.height), refresh=True)
            else:
                _say_new(picture, said, console)
            drained = picture.tally_prefixed("outbox.waiting") == 0 or past > for_s + DRAIN_S
            if past >= for_s and drained:
                return picture
            time.sleep(0.5)


def _say_new(picture: Picture, said: set[tuple[str, float, str]], console: Console) -> None:
    """Print what was not said before, a line each."""
    for one in picture.told:
        if (one.who, one.t, one.text) not in said:
            said.add((one.who, one.t, one.text))
            text = f"{one.t:6.1f} s  {one.who:8} {plain(one.text)}"
            console.print(text, soft_wrap=True, markup=False)


def _opening(stage: Stage, coming: Sequence[tuple[float, str]], for_s: float) -> str:
    """Return what there is to see, where, and what will happen."""
    scenes = "\n".join(f"  {t:4.0f} s  {text}" for t, text in coming)
    return f"""netopsd demo: a simulated network of ten devices, the real daemon, real databases.

metrics    {stage.http}/metrics
API        {stage.http}/docs
console    {stage.http}/
databases  {_near(stage.state)}/netopsd.db (alarms, tickets, SLA, outbox)
           {_near(stage.state)}/office.db (billing and CRM)

What will happen:
     0 s  traffic flows, usage is counted
{scenes}
  {for_s:4.0f} s  the end; Ctrl-C ends it before
"""


def _scenes(stage: Stage, purchase: Purchase, for_s: float) -> tuple[tuple[float, str], ...]:
    """Return the events of the first `for_s` seconds: when, and in words."""
    with (stage.folder / "scenario.toml").open("rb") as file:
        events = tomllib.load(file).get("at", [])
    scenes = [(duration(event["after"]), scene(event)) for event in events]
    return tuple(sorted((t, text) for t, text in [*scenes, purchase.scene()] if t < for_s))


def _look(stage: Stage, api: httpx.Client, past: float, for_s: float) -> Picture:
    """Read back everything the picture shows."""
    try:
        metrics = api.get("/metrics").text
        alarms = api.get("/api/v1/alarms", params={"limit": 200}).json()
        tickets = api.get("/api/v1/tickets").json()
        sla = api.get("/api/v1/sla").json()
        devices = api.get("/api/v1/devices").json()
    except httpx.HTTPError as error:
        stage.alive()
        raise DemoFailed(f"the daemon does not answer at {stage.http}: {error}") from error
    reader = Reader(f"sqlite:///{stage.state / 'netopsd.db'}")
    truth = _truth(stage)
    with open_books(stage.state / "office.db") as books:
        tale = Tale(
            began=datetime.fromisoformat(truth[0]["at"]),
            truth=[line for line in truth if line["what"] == "event"],
            changes=reader.changes()[::-1],
            tickets=[(ticket, reader.notes(ticket.id)[::-1]) for ticket in reader.tickets()],
            violations=books.violations(),
            credits=books.credits(),
            orders=[note for o in reader.orders() for note in reader.order_notes(o.id)[::-1]],
            notices=books.notices(),
        )
        counts, totals = books.counts(), books.credit_totals()
    return Picture(
        past_s=past,
        for_s=for_s,
        metrics=metrics,
        alarms=alarms,
        tickets=tickets,
        sla=sla,
        devices=devices,
        tally=dict(reader.tally()),
        office=counts,
        credit_totals=totals,
        sources=Counter(alarm.source for alarm in reader.alarms()),
        told=tale.told(),
    )


def _truth(stage: Stage) -> list[dict[str, Any]]:
    """Return what befell the network. A line that is being written is read the next time."""
    text = (stage.folder / "truth.jsonl").read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in whole if '"what":"octets"' not in line]
