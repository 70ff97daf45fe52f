"""What the demo shows in a terminal: a pure function from what was read back to a screen."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from netopsd.demo_figures import Json, Picture, figures, money
from netopsd.logs import plain

COLOURS = {
    "critical": "bold red",
    "major": "red",
    "minor": "yellow",
    "warning": "cyan",
    "resolved": "green",
    "closed": "green",
    "answering": "green",
    "unreachable": "bold red",
    "silent": "yellow",
    "network": "bold magenta",
    "alarm": "red",
    "ticket": "yellow",
    "SLA": "cyan",
    "credit": "green",
    "care": "blue",
}
WIDE, TALL = 120, 36


def screen(picture: Picture, width: int, height: int) -> RenderableType:
    """Return the picture for a terminal of that size; it fits without scrolling."""
    if width >= WIDE and height >= TALL:
        return _wide(picture, height)
    return _narrow(picture, height)


def _head(picture: Picture) -> list[RenderableType]:
    f = figures(picture)
    now = next((one for one in reversed(picture.told) if one.who == "network"), None)
    soon = next(((t, text) for t, text in picture.coming if t > picture.past_s), None)
    happened = f"{now.t:4.0f} s  {now.text}" if now else "   0 s  traffic flows"
    awaited = f"{soon[0]:4.0f} s  {soon[1]}" if soon else f"{picture.for_s:4.0f} s  the end"
    return [
        _line(
            ("netopsd demo ", "bold"),
            f"{picture.past_s:4.0f} s   {f['devices']} devices   {f['polls']:,} looks"
            f"   {f['varbinds']:,} values   {f['traps']} traps",
        ),
        _line(("now  ", "bold magenta"), happened),
        _line(("next ", "dim"), (awaited, "dim")),
    ]


def _narrow(picture: Picture, height: int) -> Group:
    """Sections one below the other; alarms and news take the rows that are left."""
    sla, tickets = len(picture.sla[:4]), max(1, len(picture.tickets[:2]))
    left = height - 1 - 3 - 3 - (1 + sla) - (1 + tickets) - 3 - 1
    alarms = max(2, left - 2)
    rows = _alarms(picture, alarms)
    news = max(1, left - _rows(picture, alarms))
    return Group(
        *_head(picture),
        _rule("devices"),
        _dots(picture),
        _rule(_alarm_title(picture)),
        rows,
        _rule("trouble tickets"),
        _tickets(picture, 2),
        _rule("SLA: downtime budget used this month"),
        _sla(picture, 4),
        _rule("office: billing and CRM"),
        _office(picture),
        *_news(picture, news, ("SLA", "credit", "care")),
    )


def _wide(picture: Picture, height: int) -> Group:
    """Panels side by side, and below them the story so far."""
    top, middle = Table.grid(expand=True), Table.grid(expand=True)
    for grid, ratios in ((top, (2, 5)), (middle, (3, 4))):
        for ratio in ratios:
            grid.add_column(ratio=ratio)
    most = max(4, min(10, height - 32))
    top.add_row(
        _panel("devices", _devices(picture, 10), 12),
        _panel(_alarm_title(picture), _alarms(picture, 10), 12),
    )
    office = Group(_office(picture), *_news(picture, 3, ("care",)))
    middle.add_row(
        _panel("SLA: downtime budget used this month", _sla(picture, 4), 6),
        _panel("office: billing and CRM", office, 6),
    )
    return Group(
        *_head(picture),
        top,
        _panel("trouble tickets", _tickets(picture, 3), 5),
        middle,
        _panel("the story so far", Group(*_news(picture, most)), most + 2),
    )


def _panel(title: str, content: RenderableType, height: int) -> Panel:
    return Panel(content, title=title, title_align="left", height=height, border_style="dim")


def _rule(title: str) -> Rule:
    return Rule(Text(title, "bold"), align="left", style="dim")


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, ""))


def _grid(*columns: str) -> Table:
    """Return a table without lines whose column "…" alone gives way where there is no room."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(no_wrap=column != "…", overflow="ellipsis")
    return table


def _dots(picture: Picture) -> Table:
    """All devices on two lines, a dot of their colour before each."""
    table = Table.grid(padding=(0, 2, 0, 0))
    shown = [
        Text.assemble(("● ", COLOURS.get(d["reach"], "dim")), d["name"])
        for d in picture.devices[:10]
    ]
    for start in range(0, len(shown), 5):
        table.add_row(*shown[start : start + 5])
    return table


def _devices(picture: Picture, most: int) -> Table:
    table = _grid("", "", "")
    for device in picture.devices[:most]:
        table.add_row(Text(device["name"]), Text(device["site"], "dim"), _coloured(device["reach"]))
    return table


def _active(picture: Picture) -> list[Json]:
    """Return active alarms, each root cause before what it explains."""
    active = [a for a in picture.alarms if a["state"] not in ("cleared", "pending")]
    return sorted(active, key=lambda a: not a["isRootCause"])


def _alarm_title(picture: Picture) -> str:
    active = _active(picture)
    roots = sum(1 for a in active if a["isRootCause"])
    return f"alarms: {roots} to look at, {len(active) - roots} explained by them"


def _rows(picture: Picture, most: int) -> int:
    """Return how many rows `_alarms` takes."""
    return max(1, min(most, len(_active(picture))))


def _alarms(picture: Picture, most: int) -> Table:
    table = _grid("", "…")
    active = _active(picture)
    cut = len(active) > most
    for alarm in active[: most - 1 if cut else most]:
        text = plain(alarm["alarmDetails"]) + ("  (flapping: damped)" if alarm["flapping"] else "")
        if alarm["isRootCause"]:
            table.add_row(_coloured(alarm["perceivedSeverity"]), _line(text))
        else:
            cause = alarm["parentAlarm"][0]["id"].split("!")[0]
            table.add_row(Text("  symptom", "dim"), _line((f"{text}  ← {cause}", "dim")))
    if cut:
        table.add_row("", Text(f"… and {len(active) - most + 1} more", "dim"))
    if not active:
        table.add_row(Text("none", "green"), "")
    return table


def _tickets(picture: Picture, most: int) -> Table:
    table = _grid("", "", "", "…", "")
    for ticket in picture.tickets[:most]:
        hurt = sum(1 for r in ticket["relatedEntity"] if r["role"] == "affectedService")
        table.add_row(
            ticket["id"],
            _coloured(ticket["status"]),
            f"P{ticket['priority']}",
            _line(plain(ticket["name"])),
            Text(f"{hurt} services, {ticket['symptoms']} symptoms", "dim"),
        )
    if not picture.tickets:
        table.add_row(Text("none", "green"), "", "", "", "")
    return table


def _sla(picture: Picture, most: int) -> Table:
    table = _grid("", "", "", "")
    for period in picture.sla[:most]:
        burn = period["budgetBurnRatio"] or 0.0
        style = "red" if burn >= 1 else "yellow" if burn >= 0.5 else "green"
        bar = ProgressBar(total=1.0, completed=min(1.0, burn), width=20, complete_style=style)
        down = f"{period['downSeconds']:.0f} of {period['budgetSeconds']:.0f} s"
        word = "broken" if period["tiersBroken"] else "kept"
        table.add_row(Text(period["service"]), bar, Text(f"{burn:5.0%} {word}", style), down)
    return table


def _office(picture: Picture) -> Text:
    f = figures(picture)
    return _line(
        f"{f['usage_records']} usage records   {f['sla_breaches']} breaches   ",
        (f"{f['credits']} credits {money(picture)}", "bold green" if f["credits"] else ""),
        f"   {f['notices']} notices   outbox {f['outbox_pending']}",
    )


def _news(picture: Picture, most: int, who: Iterable[str] = ()) -> list[Text]:
    """Return the latest of what was told, of those in `who` (all of them: nobody named)."""
    wanted = set(who)
    told = [one for one in picture.told if not wanted or one.who in wanted][-most:]
    return [
        _line(
            (f"{one.t:5.1f} s ", "dim"),
            (f"{one.who:8}", COLOURS.get(one.who, "")),
            plain(one.text),
        )
        for one in told
    ]
