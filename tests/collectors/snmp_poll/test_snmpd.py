"""Against net-snmp's snmpd: what we read is what snmpget says, in every version it speaks."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp_poll import Credentials, SnmpPoller, SnmpPollSettings, Target, discover
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Blind
from netopsd.errors import CannotLook
from tests.collectors.snmp_poll.test_lies import TABLES, ports
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.peer("snmpd", "snmpget")]

AUTHS = ("SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512")
PRIVS = ("AES-128", "AES-192", "AES-256")
NET_SNMP = {"SHA-1": "SHA", "AES-128": "AES"}
AUTH_KEY, PRIV_KEY = "auth-pass-123", "priv-pass-456"


def user(auth: str, priv: str) -> str:
    return f"u{auth}{priv}".replace("-", "")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A snmpd on a free port of 127.0.0.1 (and ::1); returns the port."""
    where: Path = tmp_path_factory.mktemp("snmpd")
    port = free_port()
    lines = [
        "rocommunity public 127.0.0.1",
        "rocommunity6 public ::1",
        f"agentaddress udp:127.0.0.1:{port},udp6:[::1]:{port}",
        "sysName lab-gw1",
        "sysLocation Oslo",
    ]
    for auth in ("MD5", *AUTHS):
        for priv in PRIVS:
            name = user(auth, priv)
            a, p = NET_SNMP.get(auth, auth), NET_SNMP.get(priv, priv)
            lines += [f'createUser {name} {a} "{AUTH_KEY}" {p} "{PRIV_KEY}"', f"rouser {name} priv"]
        name, a = f"only{auth}".replace("-", ""), NET_SNMP.get(auth, auth)
        lines += [f'createUser {name} {a} "{AUTH_KEY}"', f"rouser {name} auth"]
    lines += ["createUser open", "rouser open noauth"]
    conf = where / "snmpd.conf"
    conf.write_text("\n".join(lines) + "\n")
    command = ["snmpd", "-f", "-C", "-c", str(conf), "-Ln", "-p", str(where / "pid")]
    process = subprocess.Popen(
        command,
        env={"SNMP_PERSISTENT_DIR": str(where), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            asked = ["snmpget", "-v2c", "-cpublic", "-t0.2", "-r0", f"127.0.0.1:{port}"]
            asked.append("1.3.6.1.2.1.1.3.0")
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                break
            assert process.poll() is None, "snmpd ended by itself"
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def said(port: int, *oids: str) -> list[str]:
    asked = ["snmpget", "-v2c", "-cpublic", "-t5", "-Oqvtn", f"127.0.0.1:{port}", *oids]
    out = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return [line.strip().strip('"') for line in out.splitlines()]


def look(port: int, credentials: dict[str, Any], address: str = "127.0.0.1", **more: Any) -> Batch:
    async def run() -> Batch:
        target = Target.model_validate(
            {"name": "gw1", "address": address, "port": port, "credentials": credentials, **more}
        )
        settings = SnmpPollSettings(timeout_s=3.0, retries=4, look_max_s=30.0)
        poller = SnmpPoller(settings, TABLES, {"gw1": target}, SystemClock())
        await poller.start()
        try:
            await poller.poll("gw1")
            return await poller.poll("gw1")
        finally:
            await poller.close()

    return asyncio.run(run())


def v3(auth: str = "SHA-256", priv: str = "AES-128", **other: Any) -> dict[str, Any]:
    return {
        "version": "3",
        "user": user(auth, priv),
        "auth": auth,
        "auth_key": AUTH_KEY,
        "priv": priv,
        "priv_key": PRIV_KEY,
        **other,
    }


def check(port: int, batch: Batch) -> None:
    """Compare all that stands still with what snmpget says, and what moves with before and now."""
    layout = ports(batch).layout
    index = layout.index
    assert len(index) == int(said(port, "1.3.6.1.2.1.2.1.0")[0])
    assert list(layout.labels["ifDescr"]) == said(
        port, *[f"1.3.6.1.2.1.2.2.1.2.{i}" for i in index]
    )
    gauges = ports(batch).gauges
    speed = [f"1.3.6.1.2.1.31.1.1.1.15.{i}" for i in index]
    assert gauges[layout.gauges.index("ifHighSpeed")].tolist() == list(map(int, said(port, *speed)))
    state = [f"1.3.6.1.2.1.2.2.1.8.{i}" for i in index]
    told = [int(s) if s.isdigit() else {"up": 1, "down": 2}.get(s, 4) for s in said(port, *state)]
    assert gauges[layout.gauges.index("ifOperStatus")].tolist() == told
    name, column = (
        ("ifHCInOctets", "1.3.6.1.2.1.31.1.1.1.6")
        if "ifHCInOctets" in layout.counters
        else ("ifInOctets", "1.3.6.1.2.1.2.2.1.10")
    )
    octets = ports(batch).counters[layout.counters.index(name)].tolist()
    now = list(map(int, said(port, *[f"{column}.{i}" for i in index])))
    # Counters move (loopback carries this very test); none moves more than we can have caused.
    assert all(0 <= (later - seen) % 2**32 < 10**8 for seen, later in zip(octets, now, strict=True))
    assert batch.facts["sysName"] == "lab-gw1"
    assert batch.facts["sysLocation"] == "Oslo"
    assert batch.clocks.engine_boots is not None
    ticks = int(said(port, "1.3.6.1.2.1.1.3.0")[0])
    assert batch.clocks.sys_uptime_ticks is not None
    assert 0 <= ticks - batch.clocks.sys_uptime_ticks < 6000
    assert not batch.errors


@pytest.mark.parametrize("engine", ["planned", "gufo", "pysnmp"])
@pytest.mark.parametrize("version", ["1", "2c"])
def test_community_versions_say_what_snmpget_says(agent: int, version: str, engine: str) -> None:
    check(agent, look(agent, {"version": version, "community": "public"}, engine=engine))


@pytest.mark.parametrize("engine", ["planned", "gufo"])
@pytest.mark.parametrize("priv", PRIVS)
@pytest.mark.parametrize("auth", AUTHS)
def test_v3_says_what_snmpget_says_with_every_algorithm(
    agent: int, auth: str, priv: str, engine: str
) -> None:
    check(agent, look(agent, v3(auth, priv), engine=engine))


@pytest.mark.parametrize("engine", ["planned", "gufo"])
@pytest.mark.parametrize("priv", PRIVS)
def test_v3_with_md5_where_the_operator_says_it_is_insecure(
    agent: int, priv: str, engine: str
) -> None:
    check(agent, look(agent, v3("MD5", priv, insecure=True), engine=engine))


@pytest.mark.parametrize("engine", ["planned", "gufo"])
@pytest.mark.parametrize("auth", ["MD5", "SHA-1", "SHA-256"])
def test_v3_without_privacy_where_the_operator_chose_so(agent: int, auth: str, engine: str) -> None:
    told = {"version": "3", "user": f"only{auth}".replace("-", ""), "auth": auth}
    check(agent, look(agent, {**told, "auth_key": AUTH_KEY, "insecure": True}, engine=engine))


def test_v3_without_any_security_where_the_operator_chose_so(agent: int) -> None:
    check(agent, look(agent, {"version": "3", "user": "open", "insecure": True}))


@pytest.mark.parametrize("priv", ["AES-128", "AES-256"])
def test_v3_by_pysnmp_says_the_same(agent: int, priv: str) -> None:
    check(agent, look(agent, v3("SHA-256", priv), engine="pysnmp"))


def test_ipv6_says_the_same(agent: int) -> None:
    check(agent, look(agent, {"community": "public"}, address="::1"))


def test_a_name_is_looked_up(agent: int) -> None:
    check(agent, look(agent, {"community": "public"}, address="localhost", retries=0, timeout_s=20))


@pytest.mark.parametrize("engine", ["planned", "gufo"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"auth_key": "not-the-key-1"}, "digest is wrong: auth or auth_key differ"),
        (
            {"priv_key": "not-the-key-2"},
            "tells its engine id and no more; priv_key",
        ),  # snmpd says nothing
        ({"user": "nobody"}, "does not know this user"),
        ({"auth": "SHA-512", "user": user("SHA-256", "AES-128")}, "digest is wrong"),
        ({"user": "onlySHA256"}, "does not let this user speak at this security level"),
    ],
    ids=["auth_key", "priv_key", "user", "auth", "level"],
)
def test_wrong_v3_credentials_are_rejected_and_not_called_unreachable(
    agent: int, wrong: dict[str, str], said: str, engine: str
) -> None:
    with pytest.raises(CannotLook) as blind:
        look(agent, v3(**wrong), timeout_s=0.5, retries=1, engine=engine)

    assert blind.value.why is Blind.REJECTED
    assert said in str(blind.value) or engine == "gufo"
    assert AUTH_KEY not in str(blind.value)


def test_a_wrong_community_is_no_answer(agent: int) -> None:
    with pytest.raises(CannotLook) as blind:
        look(agent, {"community": "privat"}, timeout_s=0.2, retries=0)

    assert blind.value.why is Blind.UNREACHABLE


def test_discovery_tells_who_it_is_and_what_it_offers(agent: int) -> None:
    credentials = Credentials.model_validate({"community": "public"})

    found = asyncio.run(discover("127.0.0.1", agent, credentials, TABLES, SystemClock()))

    assert found.sys_name == "lab-gw1"
    assert found.sys_descr.startswith("Linux")
    assert found.tables["system"] == 1
    assert found.tables["if"] == len(found.ports) == int(said(agent, "1.3.6.1.2.1.2.1.0")[0])
    assert "bgpPeer" not in found.tables
    assert "lo" in found.ports
