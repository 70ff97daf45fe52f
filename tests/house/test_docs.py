"""What the documentation says is so: links, commands, metrics, keys, diagrams."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import bss_bridge.settings
import collectors.netconf.settings
import collectors.snmp_poll.settings
import collectors.snmp_trap.settings
import netopsd.settings.models
from collectors.snmp_poll.stats import Stats
from collectors.snmp_trap.ledger import Ledger
from netopsd.cli import build
from netopsd.clock import SystemClock
from netopsd.metrics import Figures, Sources
from tests.house import states

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("*/*/README.md"))
    if not path.relative_to(ROOT).parts[0].startswith((".", "build", "demo-data"))
)
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))

# Pages that other changes bring.
AWAITED: set[str] = set()  # pages linked to and not written yet
COMMAND = re.compile(r"(?:^|[\s/])netopsd\s+(?P<words>[a-z].*)")
USAGE = typer.BadParameter.__mro__[1]  # of the click that typer brings along
METRIC = re.compile(r"netopsd_[a-z0-9_]*[a-z0-9](?![a-z0-9_…])")


@by_name
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        name = str(target.relative_to(ROOT))
        assert target.exists() or name in AWAITED, f"{link} leads nowhere"
        if heading and target.exists():
            assert heading in set(headings(target)), f"{name} has no heading #{heading}"


def headings(page: Path) -> Iterator[str]:
    """Yield the anchors of a page's headings, as forges make them."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            words = line.lstrip("#").strip().lower()
            yield re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def commands(page: Path) -> Iterator[str]:
    """Yield what is typed after `netopsd`: in inline code, and in blocks that are no TOML."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [
        line for kind, body in blocks if kind in ("", "sh", "console") for line in body.splitlines()
    ]
    rest = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(r"`(netopsd [^`\n]+)`", rest)
    for line in lines:
        for part in re.split(r"&&|\|", line.partition("# ")[0]):
            found = COMMAND.search(part.strip().removeprefix("$ "))
            if found and "netopsd.app" not in part:
                yield found["words"]


@by_name
def test_every_command_is_one(page: Path) -> None:
    for words in commands(page):
        understood(words)


def understood(words: str) -> None:
    """Fail where the command line does not know a command or an option."""
    command: Any = typer.main.get_command(build())
    arguments = [word for word in shlex.split(words) if word not in ("…", ">", "&")]
    context = command.context_class(command, info_name="netopsd")
    while True:
        try:
            _, arguments, _ = command.make_parser(context).parse_args(list(arguments))
        except USAGE as error:
            pytest.fail(f"netopsd {words}: {error}")
        if not hasattr(command, "get_command") or not arguments:
            return
        name, *arguments = arguments
        following = command.get_command(context, name)
        assert following is not None, f"netopsd {words}: no command {name}"
        command = following
        context = command.context_class(command, info_name=name, parent=context)


def test_a_command_that_is_none_is_seen() -> None:
    for words in (
        "alrms",
        "alarms --sverity critical",
        "ticket shw TT-1",
        "sla --all",
        "check --config",
    ):
        with pytest.raises((pytest.fail.Exception, AssertionError)):
            understood(words)


@pytest.fixture(scope="module")
def metrics() -> frozenset[str]:
    """Return the names of every series of our own."""
    sources = Sources(
        snmp=lambda: dict.fromkeys((f.name for f in fields(Stats)), 0.0),
        traps=lambda: {name: float(count) for name, count in Ledger().snapshot().items()},
        store_totals=lambda: {"commits": 0.0, "disputes": 0.0},
    )
    scrape = asyncio.run(Figures(clock=SystemClock(), version="0", sources=sources).text()).decode()
    names = set(re.findall(r"^# TYPE (\S+)", scrape, flags=re.MULTILINE))
    for module in (ROOT / "netopsd").rglob("*.py"):
        names |= set(re.findall(r'"(netopsd_\w*[a-z0-9])[" ]', module.read_text(encoding="utf-8")))
    return frozenset(names | {f"{name}_total" for name in names})


def counted_elsewhere(name: str) -> bool:
    """Whether the figure is one of a part's own counts, which are told under the part's prefix."""
    source = (ROOT / "netopsd" / "metrics.py").read_text(encoding="utf-8")
    prefixes = set(re.findall(r'f"(netopsd_[a-z]+_)\{', source))
    exactly = {"netopsd_snmp_", "netopsd_traps_", "netopsd_store_"}  # known one by one, above
    return name.startswith(tuple(prefixes - exactly) or ("-",))


@by_name
def test_every_metric_is_one(page: Path, metrics: frozenset[str]) -> None:
    told = set(METRIC.findall(page.read_text(encoding="utf-8")))
    parts = {re.sub(r"_(bucket|count|sum)$", "", name) for name in told}
    unknown = {name for name in parts if name not in metrics} - LABELS
    assert {name for name in unknown if not counted_elsewhere(name)} == set()


LABELS = {"netopsd_row"}


def keys() -> set[str]:
    """Return every key an operator may write."""
    modules = (
        bss_bridge.settings,
        collectors.netconf.settings,
        collectors.snmp_poll.settings,
        collectors.snmp_trap.settings,
        netopsd.settings.models,
    )
    del modules  # imported so that their models are among the subclasses of BaseModel
    found: set[str] = set()
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if model.__module__.split(".")[0] in ("netopsd", "collectors", "bss_bridge"):
            for name, about in model.model_fields.items():
                found |= {name, about.alias or name}
    return found


def test_every_key_in_the_page_on_configuration_is_known() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    known = keys()
    for table in re.findall(r"`\[+([a-z_.]+)\]+", page):
        for part in table.split("."):
            assert part in known, f"[{table}]"
    for body in re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL):
        for key in re.findall(r"^([a-z_]+) =", body, flags=re.MULTILINE):
            assert key in known, key
    for key in re.findall(r"`([a-z][a-z_]*) = ", page):
        assert key in known, key


def test_the_diagrams_are_those_of_the_tables() -> None:
    page = states.PAGE.read_text(encoding="utf-8")
    for name, block in states.diagrams().items():
        assert block in page, f"{name}: write it anew with `python -m tests.house.states`"
    assert states.drawn(page) == page
