"""The simulated NETCONF device keeps RFC 6241: datastores, locks, confirmed commits, its ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest
from lxml import etree

from simulators.netconf import NetconfSimulator, StandIn, User

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
SVC = "urn:netopsd:yang:service"
IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
BASE = "<capability>urn:ietf:params:netconf:base:1.0</capability>"
HELLO = f'<hello xmlns="{NC}"><capabilities>{BASE}</capabilities></hello>]]>]]>'


class Client:
    """A client as plain as can be: base:1.0, one rpc at a time."""

    def __init__(self, reader: asyncssh.SSHReader[str], writer: asyncssh.SSHWriter[str]) -> None:
        self._reader, self._writer = reader, writer

    async def message(self) -> etree._Element:
        text = await asyncio.wait_for(self._reader.readuntil("]]>]]>"), 5)
        return etree.fromstring(text.removesuffix("]]>]]>").encode())

    async def rpc(self, inside: str) -> str:
        """Return "ok", the data as text, or the error-tag."""
        self._writer.write(f'<rpc xmlns="{NC}" message-id="1">{inside}</rpc>]]>]]>')
        reply = await self.message()
        tag = reply.findtext(f".//{{{NC}}}error-tag")
        return tag or (
            "ok" if reply.find(f"{{{NC}}}ok") is not None else etree.tostring(reply).decode()
        )

    async def edit(self, services: str, target: str = "candidate", more: str = "") -> str:
        config = f'<config><services xmlns="{SVC}" xmlns:nc="{NC}">{services}</services></config>'
        return await self.rpc(
            f"<edit-config><target><{target}/></target>{more}{config}</edit-config>"
        )


def service(name: str, port: str = "p1", vlan: int = 7, operation: str = "merge") -> str:
    return (
        f'<service nc:operation="{operation}"><id>{name}</id><port>{port}</port>'
        f"<vlan>{vlan}</vlan></service>"
    )


@asynccontextmanager
async def device() -> AsyncIterator[tuple[NetconfSimulator, StandIn]]:
    model = StandIn("r1", ("p1", "p2"))
    users = (User(name="rw", password="x", may_edit=True), User(name="ro", password="x"))
    simulator = NetconfSimulator(model, users)
    await simulator.start()
    try:
        yield simulator, model
    finally:
        await simulator.stop()


@asynccontextmanager
async def client(simulator: NetconfSimulator, user: str = "rw") -> AsyncIterator[Client]:
    async with asyncssh.connect(
        "127.0.0.1", simulator.port, username=user, password="x", known_hosts=None, config=None,
        client_keys=None, agent_path=None,
    ) as connection:  # fmt: skip
        writer, reader, _ = await connection.open_session(subsystem="netconf", encoding="utf-8")
        writer.write(HELLO)
        one = Client(reader, writer)
        await one.message()
        yield one


def test_a_committed_service_opens_its_port_and_a_deleted_one_closes_it() -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator) as one:
            model.configure("p1", admin_up=False, description="")
            shut = "<interface><name>p1</name><enabled>false</enabled></interface>"
            down = f'<config><interfaces xmlns="{IF}">{shut}</interfaces></config>'
            await one.rpc(f"<edit-config><target><running/></target>{down}</edit-config>")
            assert not model.port("p1").oper_up
            assert await one.edit(service("a")) == "ok"
            assert not model.services, "a candidate changes nothing yet"
            assert await one.rpc("<validate><source><candidate/></source></validate>") == "ok"
            assert await one.rpc("<discard-changes/>") == "ok"
            assert await one.rpc("<commit/>") == "ok"
            assert not model.services
            assert await one.edit(service("a")) == "ok"
            assert await one.rpc("<commit/>") == "ok"
            assert [entry.id for entry in model.services] == ["a"]
            assert model.port("p1").oper_up
            assert model.port("p1").description == "a"
            assert await one.edit(service("a", operation="delete")) == "ok"
            assert await one.rpc("<commit/>") == "ok"
            assert not model.services
            assert not model.port("p1").oper_up

    asyncio.run(story())


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (service("a", port="nowhere"), "invalid-value"),
        (service("a", vlan=5000), "invalid-value"),
        (service("a") + service("b"), "data-exists"),
        (service("a", operation="delete"), "data-missing"),
        (service("a", operation="eat"), "bad-attribute"),
    ],
)
def test_what_is_wrong_is_refused_and_running_stays(edit: str, error: str) -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator) as one:
            more = "<test-option>test-then-set</test-option>"
            assert await one.edit(edit, more=more) == error
            assert await one.rpc("<commit/>") == "ok"
            assert await one.edit(edit, target="running") == error
            assert not model.services

    asyncio.run(story())


CONFIRMED = "<commit><confirmed/><confirm-timeout>{}</confirm-timeout>{}</commit>"


def test_an_unconfirmed_commit_is_undone_by_its_timer() -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator) as one:
            await one.edit(service("a"))
            assert await one.rpc(CONFIRMED.format("0.1", "")) == "ok"
            assert model.services
            await asyncio.sleep(0.2)
            assert not model.services
            assert simulator.changes == ["commit", "confirm-timeout"]
            assert not simulator.stores.dirty

    asyncio.run(story())


def test_a_confirmed_commit_stays() -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator) as one:
            await one.edit(service("a"))
            assert await one.rpc(CONFIRMED.format("0.1", "")) == "ok"
            assert await one.rpc("<commit/>") == "ok"
            await asyncio.sleep(0.2)
            assert model.services

    asyncio.run(story())


def test_without_persist_a_lost_session_undoes_and_with_it_another_may_confirm() -> None:
    async def story() -> None:
        async with device() as (simulator, model):
            async with client(simulator) as one:
                await one.edit(service("a"))
                await one.rpc(CONFIRMED.format("60", ""))
            await asyncio.sleep(0.05)
            assert not model.services
            async with client(simulator) as one:
                await one.edit(service("a"))
                await one.rpc(CONFIRMED.format("60", "<persist>key</persist>"))
            await asyncio.sleep(0.05)
            assert model.services
            async with client(simulator) as other:
                assert await other.rpc("<commit/>") == "invalid-value"
                wrong = "<commit><persist-id>no</persist-id></commit>"
                assert await other.rpc(wrong) == "invalid-value"
                assert await other.rpc("<commit><persist-id>key</persist-id></commit>") == "ok"
            assert model.services
            assert not simulator.commits.pending

    asyncio.run(story())


def test_cancel_commit_undoes_at_once() -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator) as one:
            assert await one.rpc("<cancel-commit/>") == "operation-failed"
            await one.edit(service("a"))
            await one.rpc(CONFIRMED.format("60", "<persist>key</persist>"))
            cancel = "<cancel-commit><persist-id>key</persist-id></cancel-commit>"
            assert await one.rpc(cancel) == "ok"
            assert not model.services

    asyncio.run(story())


def test_a_lock_keeps_others_out_and_goes_with_its_session() -> None:
    async def story() -> None:
        lock = "<lock><target><candidate/></target></lock>"
        async with device() as (simulator, _), client(simulator) as one:
            async with client(simulator) as other:
                assert await other.rpc(lock) == "ok"
                assert await other.rpc(lock) == "lock-denied"
                assert await one.rpc(lock) == "lock-denied"
                assert await one.edit(service("a")) == "lock-denied"
                assert await one.rpc("<commit/>") == "lock-denied"
            await asyncio.sleep(0.05)
            assert await one.edit(service("a")) == "ok"
            assert await one.rpc(lock) == "lock-denied", "a changed candidate cannot be locked"

    asyncio.run(story())


def test_a_reader_may_not_edit_and_the_attempt_is_kept() -> None:
    async def story() -> None:
        async with device() as (simulator, model), client(simulator, "ro") as one:
            assert await one.edit(service("a")) == "access-denied"
            assert "oper-status" in await one.rpc("<get/>")
            assert simulator.edits == [("ro", "edit-config")]
            assert not model.services

    asyncio.run(story())


@pytest.mark.parametrize(
    ("inside", "there", "gone"),
    [
        ("", "in-octets", "hostname"),
        ("<interface><name>p2</name></interface>", ">p2<", ">p1<"),
        ("<interface><name/></interface>", ">p1<", "in-octets"),
    ],
)
def test_a_subtree_filter_selects(inside: str, there: str, gone: str) -> None:
    async def story() -> None:
        async with device() as (simulator, _), client(simulator) as one:
            wanted = f'<interfaces xmlns="{IF}">{inside}</interfaces>'
            data = await one.rpc(f'<get><filter type="subtree">{wanted}</filter></get>')
            assert there in data
            assert gone not in data

    asyncio.run(story())


def test_an_xpath_filter_selects() -> None:
    async def story() -> None:
        async with device() as (simulator, _), client(simulator) as one:
            path = "/i:interfaces/i:interface[i:name='p2']"
            data = await one.rpc(
                f'<get><filter type="xpath" xmlns:i="{IF}" select="{path}"/></get>'
            )
            assert ">p2<" in data
            assert ">p1<" not in data
            assert "hostname" not in data

    asyncio.run(story())
