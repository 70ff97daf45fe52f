"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from netopsd.cli import COMMANDS as MODULES
from netopsd.cli import build, discovery, guarded, main
from netopsd.core.beliefs import Severity
from netopsd.core.engine import decide
from netopsd.core.model import Batch, Blind, Clocks, Input, Layout, Table, Tick
from netopsd.core.ordered import Ordered, ServiceLife
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.core.restore import restore
from netopsd.errors import NetopsdError
from netopsd.ports import Message
from netopsd.settings import load
from netopsd.store.read import Reader
from netopsd.store.sqlite import SqliteStore
from netopsd.story import Recorder

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).parent / "good_config"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
END = START + timedelta(days=1)
HEAVY = ("pydantic", "sqlalchemy", "fastapi", "httpx", "uvloop", "pysnmp", "tomlkit")
Captured = pytest.CaptureFixture[str]


def netopsd(*arguments: object) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    assert isinstance(done.value.code, int)
    return done.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "config"
    shutil.copytree(GOOD, copy)
    return copy


LAYOUT = Layout(
    table="if",
    rows=("ge-0/0/0",),
    index=("1",),
    labels={"ifName": ("\x1b[31mge-0/0/0\x1b[0m",)},
    counters=("ifHCInOctets", "ifHCOutOctets"),
    widths=(64, 64),
    gauges=("ifOperStatus", "ifAdminStatus"),
)


def look(device: str, second: int, oper: float) -> Batch:
    octets = np.array([[1000 * second], [2000 * second]], np.uint64)
    return Batch(
        device=device,
        at=START + timedelta(seconds=second),
        mono_s=float(second),
        tables=(Table(LAYOUT, octets, np.array([[oper], [1.0]])),),
        clocks=Clocks(sys_uptime_ticks=100_000 + 100 * second),
    )


def story() -> list[Input]:
    """A port that carries a service goes down for good; another device falls silent."""
    said: list[Input] = [Tick(START)]
    for second in range(30, 630, 30):
        at = START + timedelta(seconds=second)
        said.append(look("osl-gw2", second, 1 if second < 120 else 2))
        said.append(look("osl-gw1", second, 1))
        blind = Batch(device="osl-sw1", at=at, mono_s=0.0, blind=Blind.UNREACHABLE, why="no answer")
        said += [blind, Tick(at + timedelta(seconds=1))]
    return said


@pytest.fixture
def lived(folder: Path) -> Path:
    """A configuration whose daemon has seen the story and ended."""
    settings = load(folder)
    settings.state.mkdir()

    async def live() -> None:
        store = SqliteStore(settings.store_url, ballast_bytes=0)
        await store.open()
        world = restore(settings.inventory, Beliefs())
        outcomes = []
        for said in story():
            outcome = decide(world, said)
            world.apply(outcome)
            outcomes.append(outcome)
        waiting = Message(
            key="k1", sink="desk", topic="ticket.opened", stream="network", body="{}", at=START
        )
        await store.commit(outcomes, [waiting])
        await store.close()

    asyncio.run(live())
    return folder


# --- help -------------------------------------------------------------------------------------


def test_help_comes_without_loading_what_is_slow() -> None:
    code = (
        "import sys\n"
        "from netopsd.cli import guarded, build\n"
        "guarded(lambda: build()(args=['--help']))\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "discover" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_is_built_alone_and_is_the_same_as_among_all_others() -> None:
    whole = built("")
    assert set(whole) == {name for names in MODULES.values() for name in names}
    for names in MODULES.values():
        for name in names:
            assert list(alone := built(name)) == list(names)
            assert [p.opts for p in alone[name].params] == [p.opts for p in whole[name].params]
    for other in ("rnu", "--version"):
        assert list(built(other)) == list(whole)


def built(word: str) -> dict[str, Any]:
    command: Any = typer.main.get_command(build(word))
    return dict(command.commands)


def test_a_start_builds_no_other_commands() -> None:
    code = (
        "import sys\n"
        "from netopsd.cli import guarded, build\n"
        "guarded(lambda: build('run')(args=['run', '--help']))\n"
        "print([name for name in sys.modules if name.startswith('netopsd.cli.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "['netopsd.cli.options', 'netopsd.cli.daemon']"


COMMANDS = [
    ["run"], ["demo"], ["check"], ["dump"], ["discover"], ["poll"], ["alarms"], ["tickets"],
    ["sla"], ["usage"], ["outbox"], ["outbox", "retry"], ["outbox", "park"], ["ack"], ["shelve"],
    ["unshelve"], ["ticket", "show"], ["ticket", "note"], ["ticket", "move"], ["replay"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_teaches_with_an_example(command: list[str], capsys: Captured) -> None:
    assert netopsd(*command, "--help") == 0
    assert "Example: netopsd" in capsys.readouterr().out


def test_every_list_speaks_json(capsys: Captured) -> None:
    lists = ["alarms", "tickets", "sla", "usage", "outbox", "check", "dump", "poll", "discover"]
    for command in lists:
        assert netopsd(command, "--help") == 0
        assert "--json" in capsys.readouterr().out, command


def test_the_version_is_told(capsys: Captured) -> None:
    assert netopsd("--version") == 0
    assert capsys.readouterr().out.startswith("netopsd 0.")


@pytest.mark.parametrize("arguments", [["frobnicate"], ["ack"], ["alarms", "--limit", "many"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: Captured) -> None:
    assert netopsd(*arguments) == 2
    assert capsys.readouterr().err


# --- check, dump ------------------------------------------------------------------------------


def test_check_says_what_is_there(capsys: Captured) -> None:
    assert netopsd("check", "--config", GOOD) == 0
    assert "is in order: 3 devices" in capsys.readouterr().out
    assert netopsd("check", "--config", GOOD, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["services"] == 1


def test_check_tells_all_mistakes_on_stderr_and_ends_with_2(folder: Path, capsys: Captured) -> None:
    text = (folder / "devices.toml").read_text()
    text = text.replace("community =", "comunity =").replace('"osl-gw1/ge', '"osl-gw9/ge')
    (folder / "devices.toml").write_text(text)
    assert netopsd("check", "--config", folder) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert 'credentials.readonly.comunity: unknown key (line 7). Did you mean "community"?' in (
        said.err
    )
    assert "2 mistakes found" in said.err
    assert "Traceback" not in said.err
    assert netopsd("check", "--config", folder, "--json") == 2
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2


def test_run_refuses_a_bad_configuration_before_it_opens_anything(
    folder: Path, capsys: Captured
) -> None:
    (folder / "rules.toml").write_text("oops")
    assert netopsd("run", "--config", folder) == 2
    assert "rules.toml: not TOML" in capsys.readouterr().err
    assert not (folder / "state").exists()


def test_the_folder_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("NETOPSD_CONFIG", str(GOOD))
    assert netopsd("check") == 0
    assert str(GOOD) in capsys.readouterr().out


def test_dump_hides_secrets_and_knows_overrides(capsys: Captured) -> None:
    assert netopsd("dump", "--config", GOOD, "--json", "--set", "log.level=debug") == 0
    out = capsys.readouterr().out
    assert json.loads(out)["log"]["level"] == "debug"
    assert "s3cret" not in out
    assert netopsd("dump", "--config", GOOD) == 0
    assert 'store_url = "sqlite:///' in capsys.readouterr().out


# --- lists ------------------------------------------------------------------------------------


def test_lists_read_what_the_daemon_left(lived: Path, capsys: Captured) -> None:
    assert netopsd("alarms", "--config", lived) == 0
    out = capsys.readouterr().out
    assert "osl-gw2/if/ge-0/0/0!link-down" in out
    assert "osl-sw1!device-unreachable" in out
    assert netopsd("tickets", "--config", lived) == 0
    assert "TT-000001" in capsys.readouterr().out
    assert netopsd("sla", "--config", lived) == 0
    out = capsys.readouterr().out
    assert "ACME-1" in out
    assert "99.9 %" in out
    assert netopsd("usage", "--config", lived) == 0
    assert "osl-gw2/if/ge-0/0/0" in capsys.readouterr().out
    assert netopsd("outbox", "--config", lived) == 0
    assert "ticket.opened" in capsys.readouterr().out


def left_behind(url: str, outcome: Outcome) -> None:
    """Put beliefs where a daemon left its own."""
    store = SqliteStore(url, ballast_bytes=0)

    async def commit() -> None:
        await store.open()
        await store.commit([outcome], [])
        await store.close()

    asyncio.run(commit())


def test_a_list_that_is_cut_says_so_and_keeps_the_worst(lived: Path, capsys: Captured) -> None:
    url = load(lived).store_url
    known = Reader(url).alarms()[0]
    critical = replace(known, key="osl-gw9!old", severity=Severity.CRITICAL, since=START)
    warned = [
        replace(known, key=f"osl-gw{n}!new", severity=Severity.WARNING, changed_at=END)
        for n in range(20)
    ]
    outcome = Outcome()
    outcome.alarms.update({one.key: one for one in [*warned, critical]})
    left_behind(url, outcome)
    assert netopsd("alarms", "--config", lived, "--limit", 5) == 0
    told = capsys.readouterr()
    assert "osl-gw9!old" in told.out
    assert "more than the 5 shown; --limit shows more" in told.err
    assert netopsd("alarms", "--config", lived, "--all") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.index("osl-gw9!old") < told.out.index("osl-gw0!new")


def test_a_service_that_was_ordered_has_its_month_in_the_list(
    lived: Path, capsys: Captured
) -> None:
    settings = load(lived)
    month = Reader(settings.store_url).periods()[0]
    mine = replace(settings.inventory.services["ACME-1"], id="VPN-1")
    bought = Ordered(
        id="VPN-1", state=ServiceLife.ACTIVE, service=mine, terms=None, template="l2vpn",
        endpoints=(), order="SO-1", changed_at=END,
    )  # fmt: skip
    outcome = Outcome()
    outcome.ordered["VPN-1"] = bought
    for name in ("VPN-1", "GONE-1"):
        outcome.periods[name, month.period] = replace(month, service=name)
    left_behind(settings.store_url, outcome)
    assert netopsd("sla", "--config", lived) == 0
    told = capsys.readouterr()
    assert "VPN-1" in told.out
    assert told.err == "netopsd: neither configured nor ordered any longer, left out: GONE-1\n"


def test_lists_are_json_with_the_words_of_the_api(lived: Path, capsys: Captured) -> None:
    def listed(*arguments: str) -> Any:
        assert netopsd(*arguments, "--config", lived, "--json") == 0
        return json.loads(capsys.readouterr().out)

    alarms = listed("alarms", "--device", "osl-gw2")
    assert [one["perceivedSeverity"] for one in alarms] == ["major"]
    assert alarms[0]["why"].startswith("ifOperStatus")
    history = listed("alarms", "--history", alarms[0]["id"])
    assert [one["what"] for one in history] == ["raised"]
    assert listed("tickets")[0]["status"] == "acknowledged"
    assert listed("ticket", "show", "TT-000001")["note"]
    (sla,) = listed("sla", "--period", "2026-11")
    assert sla["downSeconds"] > 400
    assert listed("usage", "--limit", "1")[0]["service"] == "ACME-1"
    (message,) = listed("outbox")
    assert (message["sink"], message["state"]) == ("desk", "waiting")
    assert listed("outbox", "--parked") == []


def test_what_a_device_calls_itself_cannot_steer_the_terminal(
    lived: Path, capsys: Captured
) -> None:
    assert netopsd("alarms", "--config", lived) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[31mge-0/0/0" in out


def test_a_database_that_is_not_there_is_said_so(folder: Path, capsys: Captured) -> None:
    assert netopsd("alarms", "--config", folder) == 1
    assert "there is no database" in capsys.readouterr().err


def test_a_file_that_is_no_database_is_no_traceback(folder: Path, capsys: Captured) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "netopsd.db").write_bytes(b"not a database" * 1000)
    assert netopsd("alarms", "--config", folder) == 1
    err = capsys.readouterr().err
    assert err.startswith("netopsd: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alarms", "--severity", "awful"], "critical, major"),
        (["tickets", "--status", "done"], "inProgress"),
        (["ticket", "show", "TT-9"], "no ticket TT-9"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    lived: Path, capsys: Captured, arguments: list[str], says: str
) -> None:
    assert netopsd(*arguments, "--config", lived) in (1, 2)
    assert says in " ".join(capsys.readouterr().err.split())


# --- acting -----------------------------------------------------------------------------------


class Fake(BaseHTTPRequestHandler):
    """A daemon that remembers what it was asked."""

    asked: list[tuple[str, dict[str, Any], str]] = []  # noqa: RUF012 - emptied by `daemon`
    status = 200
    answer: Any = {}  # noqa: RUF012

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self.asked.append((self.path, body, self.headers.get("Authorization", "")))
        self.send_response(self.status)
        self.end_headers()
        said = self.answer
        self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def daemon(answer: Any, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    Fake.asked, Fake.status, Fake.answer = [], status, answer
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Fake.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


ALARM = "osl-gw1/if/ge-0/0/1!link-down"


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["ack", ALARM, "--note", "seen"], "alarms/{}/ack", {"note": "seen"}),
        (["ack", ALARM, "--undo"], "alarms/{}/unack", {"note": ""}),
        (["shelve", ALARM, "--for", "2h"], "alarms/{}/shelve", {"minutes": 120, "note": ""}),
        (["shelve", ALARM, "--for", "61s"], "alarms/{}/shelve", {"minutes": 2, "note": ""}),
        (["unshelve", ALARM], "alarms/{}/unshelve", {"note": ""}),
        (["ticket", "note", "TT-1", "on it"], "tickets/TT-1/notes", {"text": "on it"}),
        (
            ["ticket", "move", "TT-1", "held"],
            "tickets/TT-1/status",
            {"status": "held", "note": ""},
        ),
        (["outbox", "retry", "7"], "outbox/7/retry", {}),
        (["outbox", "park", "7", "--why", "poison"], "outbox/7/park", {"reason": "poison"}),
    ],
)
def test_acting_asks_the_daemon(
    arguments: list[str], path: str, body: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a-token-of-mine\n")
    with daemon({"shelvedUntil": "2026-11-23T14:00:00Z", "status": "held"}) as (url, asked):
        assert netopsd(*arguments, "--url", url, "--token-file", tmp_path / "token") == 0
    encoded = ALARM.replace("/", "%2F").replace("!", "%21")
    assert asked == [("/api/v1/" + path.format(encoded), body, "Bearer a-token-of-mine")]


def test_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETOPSD_TOKEN", "from-the-environment")
    with daemon({}) as (url, asked):
        assert netopsd("unshelve", ALARM, "--url", url) == 0
    assert asked[0][2] == "Bearer from-the-environment"


def test_the_daemons_own_address_is_found_where_it_wrote_it_down(folder: Path) -> None:
    (folder / "state").mkdir()
    with daemon({}) as (url, asked):
        said = {"pid": os.getpid(), "http": url.removeprefix("http://"), "traps": ""}
        (folder / "state" / "running.json").write_text(json.dumps(said))
        assert netopsd("unshelve", ALARM, "--config", folder) == 0
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (401, "unknown token", "--token-file"),
        (403, "an operator's token is needed", "--token-file"),
        (404, "no such alarm", "no such alarm"),
        (409, "it has cleared", "it has cleared"),
        (500, "", "HTTP 500"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    status: int, reason: str, says: str, capsys: Captured
) -> None:
    with daemon({"code": "x", "reason": reason}, status) as (url, _):
        assert netopsd("ack", ALARM, "--url", url) == 1
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_a_daemon_that_does_not_run_is_said_so(folder: Path, capsys: Captured) -> None:
    assert netopsd("ack", ALARM, "--config", folder, "--set", "http.listen=127.0.0.1:1") == 1
    assert "is `netopsd run` running?" in capsys.readouterr().err


def test_a_token_file_that_is_not_there_is_said_so(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "none"
    assert netopsd("ack", ALARM, "--url", "http://127.0.0.1:1", "--token-file", file) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"<html>hello</html>", b"[" * 100_000, b"\xff", [], 7, {}])
def test_what_answers_and_is_no_netopsd_is_said_so(answer: Any, capsys: Captured) -> None:
    with daemon(answer) as (url, _):
        assert netopsd("shelve", ALARM, "--url", url) == 1
    assert "Name the daemon's own place with --url" in capsys.readouterr().err


def test_no_proxy_is_told_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with daemon({}) as (proxy, overheard):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETOPSD_TOKEN", "for-the-daemon-alone")
        assert netopsd("ack", ALARM, "--url", "http://127.0.0.1:9") == 1
        assert not overheard


@pytest.mark.parametrize("token", ["pässword", "a\tb", "a\x1bb"])
def test_a_token_that_no_header_can_hold_is_said_so(
    token: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("NETOPSD_TOKEN", token)
    assert netopsd("ack", ALARM, "--url", "http://127.0.0.1:9") == 1
    err = capsys.readouterr().err
    assert "$NETOPSD_TOKEN: a token is printable ASCII" in err
    assert token not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ack", "\udcff!x"],
        ["ack", ALARM, "--note", "\udcff"],
        ["ticket", "note", "TT-1", "\udcff"],
        ["cancel-order", "\udcff"],
    ],
)
def test_what_was_typed_and_is_not_utf8_is_said_so(
    arguments: list[str], lived: Path, capsys: Captured
) -> None:
    assert netopsd(*arguments, "--config", lived) == 2
    err = capsys.readouterr().err
    assert "is not UTF-8 text" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            b"[[item]]\nsince = 2026-12-01\n",
            'item[1].since: write it as text in quotes, "2026-12-01"',
        ),
        (b"at = 2026-12-01T02:00:00Z\n", 'write it as text in quotes, "2026-12-01T02:00:00+00:00"'),
        (b"at = 02:00:00\n", "at: write it as text"),
        (b"item = [{ price = nan }]\n", "item[1].price: nan is no number that can be sent"),
        (b"price = -inf\n", "-inf is no number"),
        (b"\xff", "not UTF-8"),
        (b"a = " + b"[" * 5000, "not TOML"),
        (b"a" + b".a" * 5000 + b" = 1\n", "nested"),
    ],
)
def test_an_order_that_cannot_be_sent_is_refused_in_words(
    text: bytes, says: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "order.toml").write_bytes(text)
    assert netopsd("activate", tmp_path / "order.toml", "--url", "http://127.0.0.1:9") == 2
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert says in err


# --- looking ----------------------------------------------------------------------------------


def test_polling_a_device_that_is_not_configured_names_the_nearest(capsys: Captured) -> None:
    assert netopsd("poll", "osl-gv1", "--config", GOOD) == 1
    assert "did you mean osl-gw1?" in capsys.readouterr().err


def test_a_silent_device_is_exit_code_1(folder: Path, capsys: Captured) -> None:
    text = (folder / "devices.toml").read_text().replace("192.0.2.2", "127.0.0.1")
    text = text.replace('interval = "30s"', 'interval = "30s"\nport = 9\ntimeout = "50ms"')
    (folder / "devices.toml").write_text(text.replace("[defaults]", "[defaults]\nretries = 0"))
    assert netopsd("poll", "osl-gw2", "--config", folder) == 1
    assert "unreachable" in capsys.readouterr().err


def seen(name: str, address: str = "192.0.2.77") -> discovery.Seen:
    look = Batch(
        device="x",
        at=START,
        mono_s=0.0,
        facts={"sysName": name, "sysDescr": "Router\n[[device]]\nname = 'evil'\x1b[2J"},
    )
    return discovery.Seen(address=address, port=161, credentials="readonly", look=look)


@pytest.mark.parametrize("address", ["", "a b", "x" * 300, "192.0.2.300", "\udcff", "a\0b"])
def test_no_address_is_no_traceback(address: str, folder: Path, capsys: Captured) -> None:
    assert netopsd("discover", address, "--config", folder) == 2
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "not an IP address or a host name" in err


def test_what_was_discovered_is_appended_and_the_rest_stays(folder: Path) -> None:
    path = folder / "devices.toml"
    before = "# hand-written, keep me\n" + path.read_text().rstrip() + "  # no line break here"
    path.write_text(before)
    path.chmod(0o640)
    settings = load(folder)
    discovery.write(settings, discovery.entries([seen("new-gw.example.net")], settings), ())
    assert path.read_text().startswith(before + "\n")
    assert path.stat().st_mode & 0o777 == 0o640
    again = load(folder)
    assert again.targets["new-gw"].address == "192.0.2.77"
    assert set(again.targets) == {*settings.targets, "new-gw"}
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("says", "becomes"),
    [
        ("osl-gw1", "osl-gw1-2"),
        ("osl-gw1.example.net", "osl-gw1-2"),
        ("", "192.0.2.77"),
        ("--\x1b[31m", "31m"),
        ("a/b c!d", "a-b-c-d"),
        ("ø" * 300, "192.0.2.77"),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_discovered_device_gets_a_name_that_fits_and_is_new(
    folder: Path, says: str, becomes: str
) -> None:
    settings = load(folder)
    (entry,) = discovery.entries([seen(says)], settings)
    assert entry.name == becomes
    discovery.write(settings, [entry], ())
    assert becomes in load(folder).targets


def test_a_file_that_would_not_be_in_order_is_put_back(folder: Path) -> None:
    settings = load(folder)
    before = (folder / "devices.toml").read_text()
    entry = discovery.entries([seen("dup", "192.0.2.1")], settings)
    outcome = guarded(lambda: discovery.write(settings, entry, ()))
    assert outcome == 2
    assert (folder / "devices.toml").read_text() == before


def test_what_is_configured_already_is_left_alone(folder: Path, capsys: Captured) -> None:
    before = (folder / "devices.toml").read_text()
    assert netopsd("discover", "192.0.2.1", "--config", folder, "--write") == 0
    assert "is device osl-gw1 already" in capsys.readouterr().err
    assert (folder / "devices.toml").read_text() == before


# --- replay -----------------------------------------------------------------------------------


def test_replay_tells_what_the_daemon_would_have_told(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "story.jsonl"
    with file.open("w", encoding="utf-8") as out:
        recorder = Recorder(out)
        recorder.begin(load(GOOD).inventory, Beliefs())
        for said in story():
            recorder.record(said)
    assert netopsd("replay", file) == 0
    out_text = capsys.readouterr().out
    assert "alarm raised" in out_text
    assert "ticket opened" in out_text
    assert netopsd("replay", file, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["inputs"] == len(story())
    assert told["counts"]["ticket_opened"] == 2


def test_a_broken_story_names_its_line(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "story.jsonl"
    file.write_text('{"story": 1}\n{"tick": 5}\n')
    assert netopsd("replay", file) == 1
    assert "line 2:" in capsys.readouterr().err
    file.write_bytes(b"\xff\xfe\x00")
    assert netopsd("replay", file) == 1


# --- failing ----------------------------------------------------------------------------------


def test_expected_failures_are_words_and_others_are_not_hidden(capsys: Captured) -> None:
    def fail(error: BaseException) -> int:
        def command() -> None:
            raise error

        return guarded(command)

    assert fail(NetopsdError("the store is gone")) == 1
    assert fail(ExceptionGroup("g", [OSError("port in use"), NetopsdError("x")])) == 1
    assert fail(KeyboardInterrupt()) == 130
    assert "port in use" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        fail(ExceptionGroup("g", [ZeroDivisionError()]))
    with pytest.raises(ValueError, match="bug"):
        fail(ValueError("bug"))


def test_a_reader_that_leaves_early_is_no_traceback(lived: Path) -> None:
    code = "from netopsd.cli import main; main()"
    command = [sys.executable, "-c", code, "dump", "--config", str(lived)]
    listing = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, bufsize=0
    )
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.close()
    said = listing.stderr.read().decode()
    listing.stderr.close()
    assert listing.wait(30) in (0, 1)
    assert "Traceback" not in said
