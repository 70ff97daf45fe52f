"""A simulated device that speaks SNMP and NETCONF is one device."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from lxml import etree

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import GET, Message, Pdu, VarBind, decode, encode
from simulators import agent
from simulators.front import Front, host_key
from simulators.reading import BadScenario, event, make
from simulators.server import Server

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
IF = "{urn:ietf:params:xml:ns:yang:ietf-interfaces}"
SVC = "urn:netopsd:yang:service"
HELLO = (
    f'<hello xmlns="{NC}"><capabilities><capability>urn:ietf:params:netconf:base:1.0'
    "</capability></capabilities></hello>]]>]]>"
)
ADMIN, OPER, ALIAS, HC_IN = (
    "1.3.6.1.2.1.2.2.1.7", "1.3.6.1.2.1.2.2.1.8", "1.3.6.1.2.1.31.1.1.1.18",
    "1.3.6.1.2.1.31.1.1.1.6",
)  # fmt: skip
TWO = """
[network]
port = 0
netconf_port = 0
seed = 7
sample_every = 0
[[netconf_user]]
name = "writer"
password = "x"
edit = true
[[device]]
name = "a"
address = "127.0.6.1"
netconf = true
ports = [
  { name = "p1", alias = "to b", in = "8M", out = "80k" },
  { name = "p2", admin = "down", in = 0, out = 0 },
]
[[device]]
name = "b"
address = "127.0.6.2"
netconf = { subscribed = true }
ports = 1
[[link]]
name = "ab"
near = { device = "a", port = "p1" }
far = { device = "b", port = "ge-0/0/0" }
"""


class Both:
    """A network of two devices, asked by SNMP and by NETCONF."""

    def __init__(self, server: Server, lines: list[dict[str, Any]]) -> None:
        self.server = server
        self.lines = lines

    def front(self, name: str) -> Front:
        return self.server.fronts[name]

    def do(self, do: str, **said: object) -> None:
        self.server.do(event({"do": do, **said}, self.server._said))

    def snmp(self, name: str, oid: str) -> Any:
        """Return what the agent says."""
        device = self.server.network.devices[name]
        asked = Message(1, device.community, Pdu(GET, 7, 0, 0, (VarBind(oid, Tag.NULL, None),)))
        answers = agent.answer(device, encode(asked), self.server.current(), {})
        return decode(answers[0].data).pdu.varbinds[0].value  # type: ignore[union-attr]

    def noted(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["what"] == f"netconf_{what}"]

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Callable[[str], Any]]:
        front = self.front(name)
        address = self.server.network.devices[name].said.address
        async with asyncssh.connect(
            address, front.port, username="writer", password="x", known_hosts=None, config=None,
            client_keys=None, agent_path=None,
        ) as connection:  # fmt: skip
            writer, reader, _ = await connection.open_session(subsystem="netconf", encoding="utf-8")
            writer.write(HELLO)
            await reader.readuntil("]]>]]>")

            async def rpc(inside: str) -> etree._Element:
                writer.write(f'<rpc xmlns="{NC}" message-id="1">{inside}</rpc>]]>]]>')
                text = await asyncio.wait_for(reader.readuntil("]]>]]>"), 5)
                return etree.fromstring(text.removesuffix("]]>]]>").encode())

            yield rpc


@asynccontextmanager
async def network(text: str = TWO) -> AsyncIterator[Both]:
    lines: list[dict[str, Any]] = []
    server = Server(make(tomllib.loads(text)), Path(), lambda line: lines.append(json.loads(line)))
    await server.start()
    try:
        yield Both(server, lines)
    finally:
        await server.close()


def story(tell: Callable[[Both], Any], text: str = TWO) -> None:
    async def run() -> None:
        async with network(text) as both, asyncio.timeout(20):
            await tell(both)

    asyncio.run(run())


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110  what is waited for has no event
        await asyncio.sleep(0.01)


async def ports(rpc: Callable[[str], Any]) -> dict[str, dict[str, str]]:
    """Return the leaves of each interface."""
    reply = await rpc(f'<get><filter><interfaces xmlns="{IF[1:-1]}"/></filter></get>')
    return {
        one.findtext(f"{IF}name"): {
            leaf.tag.removeprefix(IF): leaf.text or "" for leaf in one.iter()
        }
        for one in reply.iter(f"{IF}interface")
    }


def edit(inside: str) -> str:
    return f"<edit-config><target><candidate/></target><config>{inside}</config></edit-config>"


def service(operation: str = "merge", rate: int = 50_000_000) -> str:
    return edit(
        f'<services xmlns="{SVC}" xmlns:nc="{NC}"><service nc:operation="{operation}"><id>S1</id>'
        f"<port>p2</port><vlan>7</vlan><description>Aker</description><rate>{rate}</rate>"
        "</service></services>"
    )


def test_counters_and_states_are_the_same_numbers_in_both() -> None:
    async def tell(both: Both) -> None:
        async with both.client("a") as rpc:
            before = both.snmp("a", f"{HC_IN}.1")
            said = (await ports(rpc))["p1"]
            assert before <= int(said["in-octets"]) <= both.snmp("a", f"{HC_IN}.1")
            assert said["oper-status"] == "up"
            assert said["description"] == "to b"
            both.do("cut", link="ab")
            assert (await ports(rpc))["p1"]["oper-status"] == "down"
            assert both.snmp("a", f"{OPER}.1") == 2
            now = (await ports(rpc))["p1"]["in-octets"]
            assert int(now) == both.snmp("a", f"{HC_IN}.1")  # a dead port counts nothing

    story(tell)


def test_a_service_opens_its_port_for_snmp_too_and_carries_traffic_until_it_is_removed() -> None:
    async def tell(both: Both) -> None:
        async with both.client("a") as rpc:
            assert both.snmp("a", f"{ADMIN}.2") == 2
            await rpc(service())
            assert both.snmp("a", f"{ADMIN}.2") == 2  # a candidate changes nothing
            await rpc("<commit/>")
            assert [both.snmp("a", f"{column}.2") for column in (ADMIN, OPER)] == [1, 1]
            assert both.snmp("a", f"{ALIAS}.2") == b"Aker"
            began = both.snmp("a", f"{HC_IN}.2")
            await until(lambda: both.snmp("a", f"{HC_IN}.2") > began + 100_000)
            await rpc(service("remove"))
            await rpc("<commit/>")
            assert [both.snmp("a", f"{column}.2") for column in (ADMIN, OPER)] == [2, 2]
            still = both.snmp("a", f"{HC_IN}.2")
            await asyncio.sleep(0.1)
            assert both.snmp("a", f"{HC_IN}.2") == still
        assert [line["rpc"] for line in both.noted("edit")] == ["edit-config", "commit"] * 2
        assert [line["user"] for line in both.noted("running")] == ["writer", "writer"]

    story(tell)


def test_configuring_one_port_does_not_undo_what_befell_another() -> None:
    async def tell(both: Both) -> None:
        both.do("admin_down", device="a", port="p1")
        async with both.client("a") as rpc:
            reply = await rpc("<get-config><source><running/></source></get-config>")
            enabled = [leaf.text for leaf in reply.iter(f"{IF}enabled")]
            assert enabled == ["false", "false"]
            await rpc(service())
            await rpc("<commit/>")
        assert both.snmp("a", f"{ADMIN}.1") == 2
        assert [line["user"] for line in both.noted("running")] == ["server", "writer"]

    story(tell)


def test_a_port_that_is_shut_raises_no_alarm_and_one_that_breaks_does() -> None:
    async def tell(both: Both) -> None:
        both.do("admin_down", device="a", port="p1")
        alarms = both.front("a").simulator.alarms.entries
        assert all(entry.cleared for entry in alarms.values())
        both.do("admin_up", device="a", port="p1")
        both.do("port_down", device="a", port="p1")
        assert [e.type_id for e in alarms.values() if not e.cleared] == ["link-down"]
        both.do("port_up", device="a", port="p1")
        assert all(entry.cleared for entry in alarms.values())

    story(tell)


def test_an_alarm_is_in_the_list_and_told_until_it_is_cleared() -> None:
    async def tell(both: Both) -> None:
        both.do(
            "alarm_raise", device="a", alarm="fan-failure", severity="minor", text="fan 1 stands"
        )
        (entry,) = both.front("a").simulator.alarms.entries.values()
        assert (entry.severity, entry.text, entry.cleared) == ("minor", "fan 1 stands", False)
        both.do("alarm_clear", device="a", alarm="fan-failure")
        (entry,) = both.front("a").simulator.alarms.entries.values()
        assert (entry.severity, entry.cleared) == ("minor", True)
        assert [line["name"] for line in both.noted("notification")] == ["alarm-notification"] * 2
        with pytest.raises(ValueError, match="no alarm"):
            both.do("alarm_clear", device="a", alarm="psu-failure")

    story(tell)


def test_behind_a_cut_fibre_nobody_answers_and_sessions_end() -> None:
    async def tell(both: Both) -> None:
        front = both.front("b")
        async with both.client("b"):
            both.do("cut", link="ab")
            await until(lambda: not front.simulator.sessions)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.6.2", front.port)
            both.do("repair", link="ab")
            await until(lambda: front.simulator._server)
        async with both.client("b") as rpc:
            assert await ports(rpc)
        told = [n["name"] for n in both.noted("notification") if n["device"] == "b"]
        assert told.count("link-down") == 1  # written down for replay while nobody could hear it

    story(tell)


def test_a_reboot_ends_sessions_even_where_it_takes_no_time() -> None:
    async def tell(both: Both) -> None:
        async with both.client("a"):
            both.do("reboot", device="a")
            await until(lambda: not both.front("a").simulator.sessions)
            await until(lambda: both.front("a").simulator._server)

    story(tell)


def test_the_host_key_comes_from_seed_and_name_and_changes_when_told() -> None:
    async def tell(both: Both) -> None:
        front = both.front("a")
        first = front.host_key_line
        assert first == host_key(7, "a").export_public_key("openssh").decode().strip()
        assert first != both.front("b").host_key_line
        both.do("host_key", device="a", mode="new")
        assert front.host_key_line != first
        both.do("host_key", device="a", mode="old")
        assert front.host_key_line == first

    story(tell)


def test_a_host_key_may_come_from_a_file(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "key").write_bytes(key.export_private_key())
    text = TWO.replace("netconf = true", 'netconf = { host_key = "key" }')
    server = Server(make(tomllib.loads(text), tmp_path / "s.toml"), tmp_path, lambda line: None)
    assert server.fronts["a"].host_key_line == key.export_public_key().decode().strip()
    (tmp_path / "key").write_text("no key")
    with pytest.raises(BadScenario, match=r"device a\.netconf\.host_key"):
        Server(make(tomllib.loads(text), tmp_path / "s.toml"), tmp_path, lambda line: None)


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("netconf = true", "netconf = { prot = 1 }", r'device\[1\]\.netconf\.prot.*"port"'),
        ("netconf = true", 'netconf = "yes"', r"device\[1\]\.netconf"),
        ("netconf = true", "netconf = { port = 70000 }", r"device\[1\]\.netconf\.port"),
        ("netconf = true", 'netconf = { users = ["writr"] }', r'users.*Did you mean "writer"'),
        ("netconf = true", 'netconf = { host_key = "absent" }', r"host_key: no file"),
        ("netconf = true", 'netconf = { faults = [{ kind = "hag" }] }', r'faults\[1\].*"hang"'),
        ("[[netconf_user]]", "[[netconf_usr]]", r'netconf_usr.*"netconf_user"'),
        ("netconf = true", "", r"at\[1\]\.device: alarm_raise needs netconf = true"),
        ('alarm = "x"', "", r"at\[1\]\.alarm: alarm_raise needs it"),
        ('alarm = "x"', 'alarm = "x"\nseverity = "bad"', r"at\[1\]\.severity"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_key(wrong: str, right: str, says: str) -> None:
    text = TWO + '\n[[at]]\ndo = "alarm_raise"\ndevice = "a"\nalarm = "x"\n'
    with pytest.raises(BadScenario, match=says):
        make(tomllib.loads(text.replace(wrong, right)))
