"""net-snmp's own tools against the simulated network, over real sockets."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simulators.session import Session, running
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.peer("snmpget")]
HC_IN = "1.3.6.1.2.1.31.1.1.1.6"
IMPATIENT = ("-t", "0.2", "-r", "0")
HERE = Path(__file__).parent / "recordings"
USERS = [
    ("MD5", "AES-128", "MD5", "AES"),
    ("SHA-1", "AES-128", "SHA", "AES"),
    ("SHA-224", "AES-128", "SHA-224", "AES"),
    ("SHA-256", "AES-192", "SHA-256", "AES-192"),
    ("SHA-384", "AES-256", "SHA-384", "AES-256"),
    ("SHA-512", "AES-256", "SHA-512", "AES-256"),
    ("SHA-1", "AES-256", "SHA", "AES-256"),
    ("SHA-1", "AES-256-C", "SHA", "AES-256-C"),
    ("SHA-256", "", "SHA-256", ""),
    ("", "", "", ""),
]
SCENARIO = """
[network]
community = "public"
seed = 5
sample_every = "200ms"
[[device]]
name = "a"
address = "127.0.7.1"
ports = [{ name = "p1", in = "80M" }, { name = "p2" }]
[[device]]
name = "b"
address = "127.0.7.2"
ports = 1
[[link]]
name = "ab"
near = { device = "a", port = "p2" }
far = { device = "b", port = "ge-0/0/0" }
"""


def security(n: int, more: str = "") -> list[str]:
    """How net-snmp's tools name user `n`."""
    _, _, auth, privacy = USERS[n]
    level = "authPriv" if privacy else "authNoPriv" if auth else "noAuthNoPriv"
    said = ["-v3", "-u", f"user{n}", "-l", level]
    said += ["-a", auth, "-A", f"auth-pass-{n}{more}"] if auth else []
    return said + (["-x", privacy, "-X", f"priv-pass-{n}"] if privacy else [])


def users() -> str:
    """Every user, and a device for each."""
    text = ""
    for n, (auth, privacy, _, _) in enumerate(USERS):
        text += f'[[user]]\nname = "user{n}"\nauth = "{auth}"\nprivacy = "{privacy}"\n'
        text += f'auth_key = "auth-pass-{n}"\nprivacy_key = "priv-pass-{n}"\n'
        text += f'[[device]]\nname = "v3-{n}"\naddress = "127.0.8.{n + 1}"\nuser = "user{n}"\n'
        text += "ports = 3\n"
    return text


def snmp(tool: str, *words: str) -> str:
    done = subprocess.run(
        [tool, "-t", "2", "-r", "9", "-On", "-m", "", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"FAILED {done.stdout}{done.stderr}"


def until(true: Callable[[], Any], wait_s: float = 60.0) -> Any:
    deadline = time.monotonic() + wait_s
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def count(session: Session, index: int = 1) -> int:
    said = snmp("snmpget", "-v2c", "-c", "public", "-Oqv", session.at("a"), f"{HC_IN}.{index}")
    return int(said)


def test_v1_v2c_and_bulk_walks_agree(tmp_path: Path) -> None:
    with running(SCENARIO, tmp_path) as session:
        names = {}
        for tool, version in (("snmpwalk", "-v1"), ("snmpwalk", "-v2c"), ("snmpbulkwalk", "-v2c")):
            said = snmp(tool, version, "-c", "public", session.at("a"), "1.3")
            names[tool, version] = re.findall(r"^(\.[\d.]+) = ", said, re.M)
        assert names["snmpwalk", "-v2c"] == names["snmpbulkwalk", "-v2c"]
        assert len(names["snmpwalk", "-v2c"]) > 100
        wide = [name for name in names["snmpwalk", "-v2c"] if name not in names["snmpwalk", "-v1"]]
        assert wide
        assert all(name.startswith(".1.3.6.1.2.1.31.1.1.1.") for name in wide)


def test_what_snmpget_reads_lies_between_two_truths(tmp_path: Path) -> None:
    with running(SCENARIO, tmp_path) as session:
        session.do("counter_reset", device="a", port="p1")
        base = session.truth()["devices"]["a"]["ports"]["p1"]["in"] - count(session)
        for _ in range(5):
            before = session.truth()["devices"]["a"]["ports"]["p1"]["in"]
            shown = count(session)
            after = session.truth()["devices"]["a"]["ports"]["p1"]["in"]
            assert before - base - 30_000_000 < shown <= after - base + 30_000_000
        session.do("rate", device="a", port="p1", **{"in": 0})
        still = session.truth()["devices"]["a"]["ports"]["p1"]["in"]
        stood = count(session)
        session.do("rate", device="a", port="p1", **{"in": "1G"})
        until(lambda: count(session) > stood)
        session.do("rate", device="a", port="p1", **{"in": 0})
        grown = session.truth()["devices"]["a"]["ports"]["p1"]["in"] - still
        assert count(session) - stood == grown > 0


def test_the_truth_log_holds_octets_that_never_go_back_and_an_end(tmp_path: Path) -> None:
    with running(SCENARIO, tmp_path) as session:
        session.do("reboot", device="a")
        session.do("wrap", device="a", bits=64)
        until(lambda: len(session.lines("octets")) > 12)
    octets = [line for line in session.lines("octets") if line["device"] == "a"]
    totals = [line["ports"]["p1"][0] for line in octets]
    assert totals == sorted(totals)
    assert {line["reason"] for line in octets} == {"start", "event", "interval", "end"}
    assert session.lines()[-1]["what"] == "end"
    assert [line["at"] for line in session.lines()] == sorted(
        line["at"] for line in session.lines()
    )


@pytest.mark.parametrize("n", range(len(USERS)), ids=lambda n: "-".join(USERS[n][:2]) or "none")
def test_snmpv3_with_every_protocol(n: int, v3: Session) -> None:
    at = v3.at(f"v3-{n}")
    if "Invalid privacy" in snmp("snmpget", *security(n), at, "1.3.6.1.2.1.1.5.0"):
        pytest.skip(f"this net-snmp was built without {USERS[n][1]}")
    said = snmp("snmpget", *security(n), "-Oqv", at, "1.3.6.1.2.1.1.5.0")
    assert said.strip() == f'"v3-{n}"'
    walked = snmp("snmpbulkwalk", *security(n), at, "1.3.6.1.2.1.2")
    assert walked.count("\n") == 1 + 3 * 18
    if USERS[n][2]:
        assert "FAILED" in snmp("snmpget", *security(n, "x"), *IMPATIENT, at, "1.3.6.1.2.1.1.5.0")
    assert "FAILED" in snmp("snmpget", "-v2c", "-c", "public", *IMPATIENT, at, "1.3.6.1.2.1.1.5.0")


@pytest.fixture(scope="module")
def v3(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(users(), tmp_path_factory.mktemp("v3")) as session:
        yield session


def test_an_unknown_user_and_a_level_too_low_are_reported(v3: Session) -> None:
    at = v3.at("v3-3")
    nobody = ["-v3", "-u", "nobody", "-l", "noAuthNoPriv"]
    assert "Unknown user name" in snmp("snmpget", *nobody, at, "1.3.6.1.2.1.1.5.0")
    low = ["-v3", "-u", "user3", "-l", "noAuthNoPriv"]
    assert "Unsupported security level" in snmp("snmpget", *low, at, "1.3.6.1.2.1.1.5.0")


@pytest.mark.peer("snmptrapd")
@pytest.mark.parametrize(
    ("version", "inform"),
    [("v1", False), ("v2c", False), ("v2c", True), ("v3", False), ("v3", True)],
)
def test_snmptrapd_hears_what_a_device_tells(version: str, inform: bool, tmp_path: Path) -> None:
    port = free_port()
    scenario = SCENARIO.replace('name = "a"\n', 'name = "a"\nengine_id = "8000000001020304"\n', 1)
    scenario += f'[[traps]]\nport = {port}\nversion = "{version}"\nuser = "user3"\n'
    scenario += f'inform = {str(inform).lower()}\ntimeout = "300ms"\nretries = 30\n' + users()
    conf, out = tmp_path / "snmptrapd.conf", tmp_path / "heard"
    conf.write_text(
        "disableAuthorization yes\n"
        'createUser -e 8000000001020304 user3 SHA-256 "auth-pass-3" AES-192 "priv-pass-3"\n'
        'createUser user3 SHA-256 "auth-pass-3" AES-192 "priv-pass-3"\n'
    )
    listen = ["snmptrapd", "-f", "-C", "-c", str(conf), "-Lf", str(out), "-On", "-m", "", "-n"]
    with subprocess.Popen(
        [*listen, f"127.0.0.1:{port}"],
        env={"SNMP_PERSISTENT_DIR": str(tmp_path), "PATH": "/usr/sbin:/usr/bin"},
        stderr=subprocess.DEVNULL,
    ) as trapd:
        try:
            assert until(lambda: out.exists() and "NET-SNMP version" in out.read_text())
            with running(scenario, tmp_path) as session:
                session.do("port_down", device="a", port="p1")
                down = "Link Down" if version == "v1" else ".1.3.6.1.6.3.1.1.5.3"
                assert until(lambda: down in out.read_text()), out.read_text()
                assert "127.0.7.1" in out.read_text()
                assert ".1.3.6.1.2.1.2.2.1.8.1 = INTEGER: 2" in out.read_text()
                if inform:
                    assert until(lambda: session.lines("acknowledged"))
                (line,) = session.lines("trap")
                assert (line["trap"], line["version"], line["inform"]) == (
                    "linkDown",
                    version,
                    inform,
                )
        finally:
            trapd.terminate()


def test_an_inform_nobody_hears_is_repeated_and_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.settimeout(60)
        traps = f"[[traps]]\nport = {deaf.getsockname()[1]}\ninform = true\n"
        traps += 'timeout = "50ms"\nretries = 2\n'
        with running(SCENARIO + traps, tmp_path) as session:
            session.do("port_down", device="a", port="p1")
            assert len({deaf.recv(2000) for _ in range(3)}) == 1
            assert until(lambda: session.lines("inform_given_up"))


def test_a_recorded_device_is_walked_by_net_snmp(tmp_path: Path) -> None:
    recording = HERE / "small.snmprec"
    text = f'[[device]]\nname = "r"\naddress = "127.0.7.9"\nreplay = "{recording}"\n'
    with running(text, tmp_path) as session:
        said = snmp("snmpbulkwalk", "-v2c", "-c", "public", "-Cc", session.at("r"), "1.3.6.1.2.1")
        assert said.count("\n") == 24
        assert ".1.3.6.1.2.1.31.1.1.1.6.1 = Counter64: 18446744073709551610" in said
        stopped = snmp("snmpwalk", "-v2c", "-c", "public", session.at("r"), "1.3.6.1.4.1")
        assert "OID not increasing" in stopped


def test_loss_delay_and_duplicates_come_from_the_seed(tmp_path: Path) -> None:
    lost = SCENARIO.replace('name = "a"\n', 'name = "a"\nloss = 0.4\nduplicate = 0.3\n', 1)
    seen = []
    for _ in range(2):
        with (
            running(lost, tmp_path) as session,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        ):
            sock.settimeout(60)
            seen.append([answered(sock, session, n) for n in range(24)])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {0, 1, 2}


def answered(sock: socket.socket, session: Session, n: int) -> int:
    """How many answers one request gets before another device, asked behind it, gives its own."""
    asked = (
        bytes.fromhex("302602010104067075626c6963a01902")
        + bytes((1, n))
        + bytes.fromhex("020100020100300e300c06082b060102010105000500")
    )
    for device in ("a", "b"):
        sock.sendto(asked, (session.devices[device]["address"], session.port))
    found = 0
    while sock.recvfrom(2000)[1][0] != session.devices["b"]["address"]:
        found += 1
    return found


def test_a_story_can_be_held_until_it_is_to_begin(tmp_path: Path) -> None:
    story = SCENARIO + '[[at]]\nafter = "50ms"\ndo = "cut"\nlink = "ab"\n'
    with running(story, tmp_path, ["--hold"]) as session:
        time.sleep(0.2)
        assert session.lines("event") == []
        session.do("begin")
        (cut,) = until(lambda: session.lines("event"))
        (begun,) = session.lines("begin")
        assert cut["t"] - begun["t"] == pytest.approx(0.05, abs=0.01)
        assert not session.truth()["devices"]["b"]["answers"]


def test_a_mistake_sent_to_the_control_socket_is_explained(tmp_path: Path) -> None:
    with running(SCENARIO, tmp_path) as session:
        with pytest.raises(ValueError, match='Did you mean "port_down"'):
            session.do("prot_down", device="a", port="p1")
        with pytest.raises(ValueError, match='no port "p7"'):
            session.do("port_down", device="a", port="p7")
        assert session.ask(do="counts")["counts"]["requests"] == 0


def test_a_run_ends_by_itself_and_a_mistake_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    run = ["-m", "simulators", "run", str(path), "--port", "0", "--for", "100ms"]
    done = subprocess.run(
        [sys.executable, *run], capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(SCENARIO + "[[at]]\ndo = 'cut'\nlink = 'ba'\n")
    done = subprocess.run(
        [sys.executable, *run], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 2
    assert 'at[1].link: no link "ba". Did you mean "ab"?' in done.stderr


def test_a_thousand_addresses_answer_on_one_socket(tmp_path: Path) -> None:
    text = '[[device]]\nname = "d{n}"\naddress = "127.9.0.1"\ncount = 1000\nports = 4\n'
    with running(text, tmp_path) as session:
        for n in Random(1).sample(range(1, 1001), 10):
            at = session.at(f"d{n}")
            said = snmp("snmpget", "-v2c", "-c", "public", "-Oqv", at, "1.3.6.1.2.1.1.5.0")
            assert said.strip() == f'"d{n}"'
