"""A real agent, real traps, a real cable: net-snmp in a network of the test's own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import daemon as d
from tests.e2e.netns import ip, own_network

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.root,
    pytest.mark.peer("snmpd", "snmpget", "snmptrap", "snmpinform", "ip"),
]
PORT = 16161
SENDER = "8000000001020304"
STRANGER = "80000000010203ff"
PROBE = "1.3.6.1.4.1.8072.9999.0"  # our own notifications: PROBE.1 raises probe-1, and so on
KEYS = ("authauth1", "privpriv1")
SNMPD = f"""
agentaddress udp:127.0.0.1:{PORT},udp:127.0.0.2:{PORT}
rwcommunity public
sysName lab-host
sysLocation Oslo
createUser netops SHA-256 {KEYS[0]} AES {KEYS[1]}
rouser netops authPriv
dontLogTCPWrappersConnects yes
"""
NETOPSD = f"""
[state]
directory = "state"
[traps]
communities = ["public"]
[[traps.users]]
name = "netops"
engine_ids = ["{SENDER}"]
auth = "sha256"
auth_key = "{KEYS[0]}"
priv = "aes128"
priv_key = "{KEYS[1]}"
[snmp]
timeout = "200ms"
retries = 1
[[sink]]
kind = "office"
name = "office"
"""
DEVICES = f"""
[defaults]
port = {PORT}
interval = "1s"
tables = ["system", "if"]
[credentials.open]
version = "2c"
community = "public"
[credentials.netops]
version = "3"
user = "netops"
auth = "SHA-256"
auth_key = "{KEYS[0]}"
priv = "AES-128"
priv_key = "{KEYS[1]}"
[[device]]
name = "lab"
address = "127.0.0.1"
credentials = "open"
[[device]]
name = "lab-v3"
address = "127.0.0.2"
credentials = "netops"
"""
RULES = """
[policy]
ticket_hold = "1s"
[[threshold]]
alarm = "link-down"
table = "if"
column = "ifOperStatus"
bad = [2, 7]
only_when = { ifAdminStatus = 1 }
severity = "major"
text = "{device} port {ifName} is down"
""" + "".join(
    f'[[event]]\ntitle = "probe {n}"\nname = "{PROBE}.{n}"\nalarm = "probe-{n}"\n'
    'momentary = true\nseverity = "minor"\ntext = "{device} was probed"\n'
    for n in range(1, 30)
)


@dataclass(frozen=True)
class Lab:
    daemon: d.Daemon

    def get(self, *oids: str) -> list[str]:
        """Return what snmpget says of these objects, as plain text."""
        done = subprocess.run(
            ["snmpget", "-v2c", "-c", "public", "-Oqvnet", "-Pe", "-m", "", "-t", "5",
             f"127.0.0.1:{PORT}", *oids],
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return [line.strip().strip('"') for line in done.stdout.splitlines()]

    def send(self, program: str, *words: str) -> int:
        """Run snmptrap or snmpinform against the daemon; return its exit code."""
        to = f"127.0.0.1:{self.daemon.traps_port}"
        command = [program, *(to if word == "TO" else word for word in words)]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode

    def trap_counts(self) -> dict[str, float]:
        return {
            labels["result"]: value
            for name, labels, value in self.daemon.samples("own")
            if name == "netopsd_traps_total"
        }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """snmpd and the daemon, in a network of their own. One for all tests of this file."""
    folder = tmp_path_factory.mktemp("lab")
    files = {"netopsd.toml": NETOPSD, "devices.toml": DEVICES, "rules.toml": RULES,
             "services.toml": "", "customers.toml": ""}  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_network())
        stack.enter_context(agent(folder))
        daemon = stack.enter_context(d.running(d.write_config(folder / "config", files)))
        for name in ("lab", "lab-v3"):
            d.until(lambda n=name: daemon.value("netopsd_device_up", device=n), 20, name)  # type: ignore[misc]
        yield Lab(daemon)


@contextlib.contextmanager
def agent(folder: Path) -> Iterator[None]:
    conf = folder / "snmpd.conf"
    conf.write_text(SNMPD)
    env = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder / "snmp"), "MIBS": ""}
    with (folder / "snmpd.log").open("wb") as log:
        process = subprocess.Popen(
            ["snmpd", "-f", "-C", "-c", str(conf), "-Lo"], stdout=log, stderr=log, env=env
        )
        try:
            yield answering(process, folder / "snmpd.log")
        finally:
            process.terminate()
            process.wait(10)


def answering(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it answers, and have it look at its interfaces anew every second."""
    again = ["snmpset", "-v2c", "-c", "public", "-t", "1", "-r", "0", f"127.0.0.1:{PORT}"]
    tables = ("1.3.6.1.2.1.2.2", "1.3.6.1.2.1.31.1.1")

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        words = [w for t in tables[:1] for w in (f"1.3.6.1.4.1.8072.1.5.3.1.2.{t}", "i", "1")]
        return not subprocess.run([*again, *words], check=False, capture_output=True).returncode

    d.until(answers, 20, log.read_text)


def columns(*kinds: str) -> dict[str, str]:
    """Return name and OID of the shipped interface columns of these kinds."""
    told = tomllib.loads((d.ROOT / "config" / "tables.toml").read_text())
    (table,) = (table for table in told["table"] if table["name"] == "if")
    return {c["name"]: c["oid"] for c in table["column"] if c["kind"] in kinds}


def of(samples: Sequence[d.Sample], device: str) -> dict[tuple[str, str], float]:
    return {
        (name, labels["ifIndex"]): value
        for name, labels, value in samples
        if labels.get("device") == device and "ifIndex" in labels
    }


def test_metrics_are_what_snmpget_says(lab: Lab) -> None:
    wanted = columns("gauge", "state", "ticks")
    counted = columns("counter32", "counter64")
    shown = of(lab.daemon.samples("network"), "lab")
    rows = {index for _, index in shown}
    assert len(rows) == 3, "lo, v0, v1"
    compared = 0
    for (name, index), value in shown.items():
        if name in wanted and name != "ifLastChange":
            (said,) = lab.get(f"{wanted[name]}.{index}")
            assert float(said) == value, (name, index)
            compared += 1
    assert compared >= 3 * 3
    moving = [key for key in shown if key[0] in counted]
    asked = [f"{counted[n]}.{i}" for n, i in moving]

    def said() -> list[float]:
        return [float(v) for v in lab.get(*asked)]

    before = said()
    looked(lab)
    looked(lab)  # that look began after we had asked
    now = of(lab.daemon.samples("network"), "lab")
    after = said()
    for key, least, most in zip(moving, before, after, strict=True):
        assert least <= now[key] <= most, key
    d.until(lambda: said() != before, 20, "nothing moved")


def looked(lab: Lab) -> None:
    """Wait for the next look at the agent."""
    up = lab.daemon.value("sysUpTime", device="lab")
    d.until(lambda: lab.daemon.value("sysUpTime", device="lab") != up, 20, "nobody looks")


def test_labels_are_what_snmpget_says(lab: Lab) -> None:
    names = {"ifName": "1.3.6.1.2.1.31.1.1.1.1", "ifDescr": "1.3.6.1.2.1.2.2.1.2"}
    for name, labels, _ in lab.daemon.samples("network"):
        if name == "ifOperStatus":
            for label, oid in names.items():
                assert lab.get(f"{oid}.{labels['ifIndex']}") == [labels[label]]
    assert lab.daemon.value("netopsd_device_up", device="lab") == 1
    uptime = lab.daemon.value("sysUpTime", device="lab")
    (now,) = lab.get("1.3.6.1.2.1.1.3.0")
    assert uptime is not None
    assert 0 <= float(now) - uptime < 1500


def test_snmpv3_tells_the_same(lab: Lab) -> None:
    both = lab.daemon.samples("network")
    still = {*columns("gauge", "state")}
    open_, secured = of(both, "lab"), of(both, "lab-v3")
    assert open_.keys() == secured.keys()
    assert {k: v for k, v in open_.items() if k[0] in still} == {
        k: v for k, v in secured.items() if k[0] in still
    }


def test_a_port_taken_down_is_an_alarm_and_a_ticket_until_it_is_up_again(lab: Lab) -> None:
    key = "lab/if/v1!link-down"
    ip("link", "set", "v0", "down")
    try:
        began = time.monotonic()
        alarm = d.until(lambda: lab.daemon.alarms().get(key), 20, "no alarm")
        print(
            f"ip link set v0 down: alarm after {time.monotonic() - began:.2f} s (looks every 1 s)"
        )
        assert alarm["perceivedSeverity"] == "major"
        assert "v1" in alarm["alarmDetails"]
        ticket = d.until(lambda: ticket_of(lab, key), 20, "no ticket")
        assert ticket["status"] in ("acknowledged", "inProgress")
        assert "lab/if/v0!link-down" not in lab.daemon.alarms(), "that one was meant to be down"
    finally:
        ip("link", "set", "v0", "up")
    d.until(lambda: key not in lab.daemon.alarms(), 20, "it does not clear")
    d.until(lambda: (ticket_of(lab, key) or {}).get("status") == "resolved", 20, "not resolved")


def ticket_of(lab: Lab, cause: str) -> dict[str, str] | None:
    found = [t for t in lab.daemon.api("tickets") if cause in str(t)]
    assert len(found) < 2
    return found[0] if found else None


V3 = ("-v3", "-u", "netops", "-l", "authPriv", "-a", "SHA-256", "-x", "AES")
GOOD_KEYS = ("-A", KEYS[0], "-X", KEYS[1])
ONCE = ("-r", "0", "-t", "2")
ONCE_PATIENT = ("-r", "0", "-t", "30")  # for who gets an answer
V1 = ("1.3.6.1.4.1.8072.9999", "127.0.0.1", "6")
BELIEVED: dict[int, tuple[str, ...]] = {
    1: ("snmptrap", "-v1", "-c", "public", "TO", *V1, "1", "4711"),
    2: ("snmptrap", "-v2c", "-c", "public", "TO", "4711", f"{PROBE}.2"),
    3: ("snmpinform", "-v2c", "-c", "public", *ONCE_PATIENT, "TO", "4711", f"{PROBE}.3"),
    4: ("snmptrap", *V3, *GOOD_KEYS, "-e", SENDER, "TO", "4711", f"{PROBE}.4"),
    5: ("snmpinform", *V3, *GOOD_KEYS, *ONCE_PATIENT, "TO", "4711", f"{PROBE}.5"),
}
WRONG_KEYS = ("-A", "authauth2", "-X", KEYS[1])
WRONG_PRIV = ("-A", KEYS[0], "-X", "privpriv2")
REFUSED: dict[int, tuple[str, ...]] = {
    11: ("snmptrap", "-v1", "-c", "guess", "TO", *V1, "11", "4711"),
    12: ("snmptrap", "-v2c", "-c", "guess", "TO", "4711", f"{PROBE}.12"),
    13: ("snmpinform", "-v2c", "-c", "guess", *ONCE, "TO", "4711", f"{PROBE}.13"),
    14: ("snmptrap", *V3, *WRONG_KEYS, "-e", SENDER, "TO", "4711", f"{PROBE}.14"),
    15: ("snmptrap", *V3, *WRONG_PRIV, "-e", SENDER, "TO", "4711", f"{PROBE}.15"),
    16: ("snmptrap", *V3, *GOOD_KEYS, "-e", STRANGER, "TO", "4711", f"{PROBE}.16"),
    17: ("snmpinform", *V3, *WRONG_KEYS, *ONCE, "TO", "4711", f"{PROBE}.17"),
}


def test_traps_and_informs_of_every_version_raise_alarms(lab: Lab) -> None:
    before = lab.trap_counts()
    reactions = []
    for n, words in BELIEVED.items():
        code = lab.send(*words)
        sent = time.monotonic()
        assert code == 0, f"probe {n}: an inform was not acknowledged"
        d.until(lambda n=n: f"lab!probe-{n}" in lab.daemon.alarms(), 10, f"probe {n}", 0.002)  # type: ignore[misc]
        reactions.append(time.monotonic() - sent)
    shown = ", ".join(f"{ms * 1000:.0f}" for ms in reactions)
    print(
        f"from snmptrap's end to the alarm in the API: {shown} ms (v1, v2c, inform, v3, v3 inform)"
    )
    assert sorted(reactions)[len(reactions) // 2] < 5
    after = lab.trap_counts()
    grown = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
    assert sum(grown.values()) >= len(BELIEVED), grown


def test_wrong_keys_engines_and_communities_raise_nothing_but_a_count(lab: Lab) -> None:
    before = lab.trap_counts()
    for n, words in REFUSED.items():
        code = lab.send(*words)
        assert code == (1 if words[0] == "snmpinform" else 0), f"probe {n}: {code}"

    def refused() -> dict[str, float]:
        after = lab.trap_counts()
        return {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}

    d.until(lambda: sum(refused().values()) >= len(REFUSED), 20, lambda: str(refused()))
    assert refused().get("emitted", 0) == 0
    print(f"refused: {refused()}")
    assert refused()["wrong_community"] == 3
    # A last good one has gone the same way: had the others been believed, they would be there.
    assert lab.send("snmptrap", "-v2c", "-c", "public", "TO", "4711", f"{PROBE}.20") == 0
    d.until(lambda: "lab!probe-20" in lab.daemon.alarms(), 10, "the last one")
    assert not [k for k in lab.daemon.alarms() for n in REFUSED if k.endswith(f"probe-{n}")]
