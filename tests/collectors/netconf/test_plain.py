"""ncclient's own transport, in a worker process that may die of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncssh
import pytest

from collectors.netconf import plain
from collectors.netconf.poller import NetconfPoller
from collectors.netconf.settings import NetconfCredentials, NetconfSettings, NetconfTarget
from netopsd.clock import SystemClock
from netopsd.core.model import Blind, Event
from netopsd.errors import CannotLook
from netopsd.worker import Limits, Worker
from simulators.netconf import Fault, FaultKind, NetconfSimulator
from tests.collectors.netconf.scene import QUICK, keeping, polling, simulated, target

pytestmark = pytest.mark.e2e
# The worker's process goes by the machine's own clock: what answers may be late there.
PATIENT = QUICK.model_copy(update={"connect_s": 60.0, "hello_s": 60.0, "rpc_s": 60.0})
HANGS = PATIENT.model_copy(update={"rpc_s": 1.5})


@asynccontextmanager
async def plainly(
    *targets: NetconfTarget, told: list[Event], settings: NetconfSettings = PATIENT
) -> AsyncIterator[NetconfPoller]:
    clock = SystemClock()
    worker = Worker(plain.HANDLER, clock, Limits(deadline_s=120.0))
    running = asyncio.create_task(worker.run(plain.setup(targets, settings)))
    try:
        async with polling(*targets, tell=keeping(told), worker=worker) as poller:
            yield poller
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def aged(simulator: NetconfSimulator, **changes: object) -> NetconfTarget:
    return target(simulator, transport="ncclient", **changes)


def test_the_plain_transport_reads_the_same_tables() -> None:
    async def story() -> None:
        async with simulated() as simulator, simulated("r2") as other:
            both = (aged(simulator), target(other))
            async with plainly(*both, told=[]) as poller:
                old, new = await poller.poll("r1"), await poller.poll("r2")
        assert [t.layout.rows for t in old.tables] == [t.layout.rows for t in new.tables]
        assert [t.layout.labels for t in old.tables] == [t.layout.labels for t in new.tables]
        assert old.facts["sysName"] == "r1"
        assert not old.errors

    asyncio.run(story())


def test_its_host_key_is_pinned_even_where_the_device_handler_would_take_any() -> None:
    async def story() -> None:
        told: list[Event] = []
        async with simulated() as simulator:
            wrong = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
            said = aged(simulator, host_keys=(wrong.strip(),), handler="iosxr")
            async with plainly(said, told=told) as poller:
                with pytest.raises(CannotLook) as blind:
                    await poller.poll("r1")
                assert blind.value.why is Blind.REJECTED
            assert simulator.rpcs == 0
        assert [event.alarm for event in told] == ["hostkey-changed"]

    asyncio.run(story())


def test_its_wrong_password_is_a_rejection_and_its_key_opens() -> None:
    async def story() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with simulated() as simulator:
            user = simulator.users["netops"]
            simulator.users["netops"] = type(user)(
                name="netops", public_key=key.export_public_key().decode()
            )
            wrong = NetconfCredentials(user="netops", password="guess")
            async with plainly(aged(simulator, credentials=wrong), told=[]) as poller:
                with pytest.raises(CannotLook) as blind:
                    await poller.poll("r1")
                assert blind.value.why is Blind.REJECTED
            own = NetconfCredentials(user="netops", private_key=key.export_private_key().decode())
            async with plainly(aged(simulator, credentials=own), told=[]) as poller:
                assert (await poller.poll("r1")).tables

    asyncio.run(story())


@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.ENTITY, FaultKind.NOT_UTF8])
def test_what_breaks_ncclient_breaks_a_look_and_not_the_next(kind: FaultKind) -> None:
    async def story() -> None:
        settings = HANGS if kind is FaultKind.HANG else PATIENT
        async with (
            simulated() as simulator,
            plainly(aged(simulator), told=[], settings=settings) as poller,
        ):
            simulator.faults.add(Fault(kind=kind, rpc="get"))
            with pytest.raises(CannotLook):
                await poller.poll("r1")
            simulator.faults.clear()
            await asyncio.sleep(0.1)
            async with asyncio.timeout(60):
                while True:
                    with suppress(CannotLook):  # late once more, where the machine is slow
                        assert (await poller.poll("r1")).tables
                        break

    asyncio.run(story())


def test_without_a_worker_it_is_blind_and_says_why() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(aged(simulator)) as poller:
            with pytest.raises(CannotLook, match="no worker process"):
                await poller.poll("r1")

    asyncio.run(story())
