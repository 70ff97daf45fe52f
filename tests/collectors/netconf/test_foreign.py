"""Against a NETCONF server we did not write (PyPI `netconf`, over paramiko, in a process)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from collectors.netconf import operations
from collectors.netconf.document import Vocabulary
from collectors.netconf.door import Door
from collectors.netconf.errors import NotOffered, RpcRefused
from collectors.netconf.session import Session
from collectors.netconf.settings import NetconfCredentials, NetconfTarget
from collectors.netconf.transport import connect
from netopsd.core.model import Blind
from netopsd.errors import CannotLook
from tests.collectors.netconf.scene import QUICK, polling

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def foreign() -> Iterator[tuple[int, str]]:
    """The port and the host key of the running server."""
    program = [sys.executable, str(Path(__file__).with_name("foreign_server.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        program, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port, _, key = process.stdout.readline().strip().partition(" ")
            yield int(port), key
        finally:
            process.kill()


def target(foreign: tuple[int, str], password: str = "reading") -> NetconfTarget:
    return NetconfTarget(
        name="foreign",
        address="127.0.0.1",
        port=foreign[0],
        credentials=NetconfCredentials(user="netops", password=password),
        host_keys=(foreign[1],),
        views=("ietf-interfaces",),
    )


def test_its_interfaces_are_read_to_the_last_digit_and_character(foreign: tuple[int, str]) -> None:
    async def story() -> None:
        async with polling(target(foreign)) as poller:
            for _ in range(3):
                batch = await poller.poll("foreign")
            table = batch.tables[0]
            assert table.layout.rows == ("eth0",)
            assert table.layout.index == ("7",)
            assert table.layout.labels["ifAlias"] == ("grå漢🙂",)
            assert int(table.counters[table.layout.counters.index("ifHCInOctets"), 0]) == 2**64 - 1
            assert table.gauges[table.layout.gauges.index("ifOperStatus"), 0] == 1
            assert not batch.errors

    asyncio.run(story())


def test_its_wrong_password_is_a_rejection(foreign: tuple[int, str]) -> None:
    async def story() -> None:
        async with polling(target(foreign, "guess")) as poller:
            with pytest.raises(CannotLook) as blind:
                await poller.poll("foreign")
            assert blind.value.why is Blind.REJECTED

    asyncio.run(story())


def test_its_operations_are_those_of_ncclient(foreign: tuple[int, str]) -> None:
    async def story() -> None:
        session = Session(
            "foreign", handler=operations.device_handler("default"), vocabulary=Vocabulary()
        )
        port, key = foreign
        await connect(
            Door(
                device="foreign",
                address="127.0.0.1",
                port=port,
                username="netops",
                password=SecretStr("reading"),
                host_keys=(key,),
                connect_s=QUICK.connect_s,
            ),
            session,
        )
        assert (await session.call("lock", "running")).ok
        with pytest.raises(RpcRefused, match="lock-denied") as refused:
            await session.call("lock", "running")
        assert refused.value.tag == "lock-denied"
        assert (await session.call("unlock", "running")).ok
        assert "eth0" in (await session.call("get_config", "running")).data_xml
        with pytest.raises(RpcRefused):
            await session.call("edit_config", "<config/>", target="running")
        with pytest.raises(NotOffered):
            await session.call("commit")
        await session.close()

    asyncio.run(story())
