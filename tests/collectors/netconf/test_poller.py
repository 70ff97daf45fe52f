"""Looks at simulated devices, sound and unsound."""

from __future__ import annotations

import asyncio
import gc

import asyncssh
import pytest

from collectors.netconf.links import backoff_s
from collectors.netconf.settings import NetconfCredentials, NetconfSettings
from netopsd.core.model import Batch, Blind, Event
from netopsd.errors import BadConfiguration, CannotLook
from simulators.netconf import Fault, FaultKind, NetconfSimulator, StandIn
from tests.collectors.netconf.scene import QUICK, VIEWS, keeping, polling, simulated, target

K = FaultKind


def number(batch: Batch, column: str, row: str) -> float:
    table = next(table for table in batch.tables if table.layout.table == "if")
    at = table.layout.rows.index(row)
    if column in table.layout.counters:
        return int(table.counters[table.layout.counters.index(column), at])
    return float(table.gauges[table.layout.gauges.index(column), at])


def model(simulator: NetconfSimulator) -> StandIn:
    assert isinstance(simulator.model, StandIn)
    return simulator.model


@pytest.mark.parametrize("base_1_1", [True, False])
@pytest.mark.parametrize("nmda", [True, False])
def test_a_look_brings_ports_as_snmp_would_call_them(base_1_1: bool, nmda: bool) -> None:
    async def story() -> None:
        async with simulated(base_1_1=base_1_1) as simulator, polling(target(simulator)) as poller:
            simulator.nmda = nmda
            model(simulator).count("ge-0/0/1", 2**40, 7)
            model(simulator).cut("ge-0/0/2")
            batch = await poller.poll("r1")
            assert number(batch, "ifHCInOctets", "ge-0/0/1") == 2**40
            assert number(batch, "ifHCOutOctets", "ge-0/0/1") == 7
            assert number(batch, "ifOperStatus", "ge-0/0/2") == 2
            assert number(batch, "ifAdminStatus", "ge-0/0/2") == 1
            assert number(batch, "ifHighSpeed", "ge-0/0/3") == 1000
            assert batch.source == "netconf"
            assert batch.facts["sysName"] == "r1"
            asked = {"get-data" if nmda else "get"}
            assert set(simulator.asked) == asked, "NMDA is used where it is offered"
            assert batch.clocks.hr_uptime_ticks is not None
            assert not batch.errors
            layout = batch.tables[0].layout
            assert layout.index == ("1", "2", "3")
            assert layout.labels["ifName"] == layout.rows

    asyncio.run(story())


def test_a_session_is_held_and_equal_rows_share_their_layout() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            first, second = await poller.poll("r1"), await poller.poll("r1")
            assert first.tables[0].layout is second.tables[0].layout
            assert len(simulator.sessions) == 1
            assert next(iter(simulator.sessions)) == 1

    asyncio.run(story())


def test_a_session_the_device_closed_meanwhile_is_no_blindness() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            await poller.poll("r1")
            simulator.cut_sessions()
            assert (await poller.poll("r1")).tables

    asyncio.run(story())


def test_tables_another_collector_reads_are_left_alone() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            views = ("ietf-interfaces", "openconfig-interfaces", "ietf-hardware")
            both = target(simulator, views=views, leave={"if"})
            async with polling(both) as poller:
                batch = await poller.poll("r1")
                assert [table.layout.table for table in batch.tables] == ["entPhySensor"]
                assert simulator.rpcs == 1, "what is left is not even asked for"

    asyncio.run(story())


def test_the_alarm_list_is_a_table_like_any_other() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            said = target(simulator, views=("ietf-alarms",))
            async with polling(said) as poller:
                assert not (await poller.poll("r1")).tables
                model(simulator).cut("ge-0/0/2")
                table = (await poller.poll("r1")).tables[0]
                assert table.layout.labels["alarmType"] == ("link-down",)
                assert table.gauges[table.layout.gauges.index("alarmCleared"), 0] == 0
                assert table.gauges[table.layout.gauges.index("alarmSeverity"), 0] == 5

    asyncio.run(story())


UNSOUND = [
    (K.HELLO_NEVER, "hello", Blind.UNREACHABLE),
    (K.HELLO_HALF, "hello", Blind.UNREACHABLE),
    (K.HELLO_DRIP, "hello", Blind.UNREACHABLE),
    (K.HELLO_DOCTYPE, "hello", Blind.MALFORMED),
    (K.HELLO_EMPTY, "hello", Blind.MALFORMED),
    (K.HELLO_JUNK, "hello", Blind.MALFORMED),
    (K.SILENT, "", Blind.UNREACHABLE),
    (K.HANG, "", Blind.UNREACHABLE),
    (K.DRIP, "", Blind.UNREACHABLE),
    (K.DROP, "", Blind.UNREACHABLE),
    (K.MALFORMED, "", Blind.MALFORMED),
    (K.NOT_UTF8, "", Blind.MALFORMED),
    (K.HUGE, "", Blind.MALFORMED),
    (K.HUGE_CHUNK, "", Blind.MALFORMED),
    (K.LONG_NUMBER, "", Blind.MALFORMED),
    (K.BAD_CHUNK, "", Blind.MALFORMED),
    (K.DEEP, "", Blind.MALFORMED),
    (K.LONG_TEXT, "", Blind.MALFORMED),
    (K.NAMES, "", Blind.MALFORMED),
    (K.ENTITY, "", Blind.MALFORMED),
    (K.EXTERNAL, "", Blind.MALFORMED),
    (K.TINY, "", Blind.MALFORMED),
    (K.WRONG_ID, "", Blind.MALFORMED),
    (K.NO_ID, "", Blind.MALFORMED),
]


@pytest.mark.parametrize(("kind", "rpc", "why"), UNSOUND, ids=[str(row[0]) for row in UNSOUND])
def test_every_misbehaviour_is_a_typed_error_and_the_next_look_sees(
    kind: FaultKind, rpc: str, why: Blind
) -> None:
    async def story() -> None:
        settings = QUICK.model_copy(update={"rpc_s": 15.0 if why is Blind.MALFORMED else 0.3})
        async with (
            simulated() as simulator,
            polling(target(simulator), settings=settings) as poller,
        ):
            simulator.faults.add(Fault(kind=kind, rpc=rpc))
            with pytest.raises(CannotLook) as blind:
                await poller.poll("r1")
            assert blind.value.why is why, str(blind.value)
            simulator.faults.clear()
            await asyncio.sleep(0.03)
            assert (await poller.poll("r1")).tables
            assert len(asyncio.all_tasks()) <= 3, "nothing is left running"

    asyncio.run(story())


def test_a_chunk_per_byte_is_slow_but_right() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            simulator.faults.add(Fault(kind=K.SPLIT))
            assert (await poller.poll("r1")).tables

    asyncio.run(story())


def test_a_second_answer_to_one_question_is_never_taken_for_another() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            model(simulator).count("ge-0/0/1", 77, 0)
            simulator.faults.add(Fault(kind=K.TWICE, rpc="get-data", times=1))
            first = await poller.poll("r1")
            assert not first.tables
            assert "not asked" in first.errors["view.ietf-interfaces"]
            second = await poller.poll("r1")
            assert number(second, "ifHCInOctets", "ge-0/0/1") == 77
            assert min(simulator.sessions) == 2, "a confused session is given up"

    asyncio.run(story())


def test_a_device_that_hangs_costs_the_others_nothing() -> None:
    async def story() -> None:
        async with simulated("bad") as bad, simulated("good") as good:
            both = (target(bad), target(good))
            async with polling(*both, settings=QUICK.model_copy(update={"rpc_s": 1.0})) as poller:
                bad.faults.add(Fault(kind=K.HANG))
                hanging = asyncio.create_task(poller.poll("bad"))
                began = asyncio.get_running_loop().time()
                for _ in range(5):
                    await poller.poll("good")
                assert asyncio.get_running_loop().time() - began < 0.9
                with pytest.raises(CannotLook):
                    await hanging

    asyncio.run(story())


def test_what_was_seen_before_the_connection_broke_is_kept() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            simulator.nmda = False
            simulator.faults.add(Fault(kind=K.SPLIT, rpc="get", times=1))
            simulator.faults.add(Fault(kind=K.DROP, rpc="get", times=1))
            batch = await poller.poll("r1")
            assert batch.facts["sysName"] == "r1"
            assert not batch.tables
            assert "connection lost" in batch.errors["view.ietf-interfaces"]

    asyncio.run(story())


def test_an_rpc_error_names_its_view_and_the_rest_stands() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            simulator.faults.add(Fault(kind=K.RPC_ERROR, times=1))
            batch = await poller.poll("r1")
            assert batch.tables
            assert "told to fail" in batch.errors["view.ietf-system"]

    asyncio.run(story())


def test_a_changed_host_key_is_refused_told_once_and_its_return_told_once() -> None:
    async def story() -> None:
        told: list[Event] = []
        async with simulated() as simulator:
            said = target(simulator)
            port = simulator.port
            await simulator.stop()
            for algorithm in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
                simulator.host_key = asyncssh.generate_private_key(algorithm)
                await simulator.start(port=port)
                async with polling(said, tell=keeping(told)) as poller:
                    for _ in range(2):
                        with pytest.raises(CannotLook, match="not pinned") as blind:
                            await poller.poll("r1")
                        assert blind.value.why is Blind.REJECTED
                        await asyncio.sleep(0.03)
                    assert [event.severity for event in told] == ["critical"]
                    assert told[0].alarm == "hostkey-changed"
                    assert told[0].values["shown"].startswith(algorithm)
                    assert simulator.rpcs == 0
                told.clear()
                await simulator.stop()
            await simulator.start(port=port)

    asyncio.run(story())


def test_a_changed_host_key_that_nobody_had_room_for_is_told_at_the_next_look() -> None:
    async def story() -> None:
        told: list[Event] = []
        room = False

        def tell(event: Event) -> bool:
            told.append(event)
            return room

        async with simulated() as simulator:
            said, port = target(simulator), simulator.port
            await simulator.stop()
            simulator.host_key = asyncssh.generate_private_key("ssh-ed25519")
            await simulator.start(port=port)
            async with polling(said, tell=tell) as poller:
                for expected in (1, 2, 2):
                    with pytest.raises(CannotLook):
                        await poller.poll("r1")
                    assert len(told) == expected
                    room = True
                    await asyncio.sleep(0.03)

    asyncio.run(story())


def test_after_the_right_key_is_back_the_alarm_ends() -> None:
    async def story() -> None:
        told: list[Event] = []
        async with simulated() as simulator:
            said, right, port = target(simulator), simulator.host_key, simulator.port
            await simulator.stop()
            simulator.host_key = asyncssh.generate_private_key("ssh-ed25519")
            await simulator.start(port=port)
            async with polling(said, tell=keeping(told)) as poller:
                with pytest.raises(CannotLook):
                    await poller.poll("r1")
                await simulator.stop()
                simulator.host_key = right
                await simulator.start(port=port)
                await asyncio.sleep(0.03)
                assert (await poller.poll("r1")).tables
                assert [event.severity for event in told] == ["critical", "cleared"]

    asyncio.run(story())


def test_a_pin_may_be_a_fingerprint() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            pin = simulator.host_key.get_fingerprint()
            async with polling(target(simulator, host_keys=(pin,))) as poller:
                assert (await poller.poll("r1")).tables

    asyncio.run(story())


def test_a_wrong_password_is_a_rejection_and_is_not_tried_again_at_once() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            wrong = NetconfCredentials(user="netops", password="guess")
            settings = QUICK.model_copy(update={"rejected_s": 300.0})
            async with polling(target(simulator, credentials=wrong), settings=settings) as poller:
                for _ in range(3):
                    with pytest.raises(CannotLook) as blind:
                        await poller.poll("r1")
                    assert blind.value.why is Blind.REJECTED
                    assert "guess" not in str(blind.value)

    asyncio.run(story())


def test_a_key_opens_the_door_without_agent_or_key_search() -> None:
    async def story() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        async with simulated() as simulator:
            user = simulator.users["netops"]
            simulator.users["netops"] = type(user)(
                name="netops", public_key=key.export_public_key().decode()
            )
            own = NetconfCredentials(user="netops", private_key=key.export_private_key().decode())
            async with polling(target(simulator, credentials=own)) as poller:
                assert (await poller.poll("r1")).tables

    asyncio.run(story())


def test_nothing_listening_is_unreachable() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            gone = target(simulator)
        async with polling(gone) as poller:
            with pytest.raises(CannotLook) as blind:
                await poller.poll("r1")
            assert blind.value.why is Blind.UNREACHABLE

    asyncio.run(story())


def test_the_collecting_user_never_edits() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            async with polling(target(simulator, views=tuple(VIEWS))) as poller:
                for _ in range(3):
                    await poller.poll("r1")
            assert simulator.edits == []

    asyncio.run(story())


def test_a_device_that_lacks_a_module_is_not_asked_for_it() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            said = target(simulator, views=("openconfig-interfaces", "ietf-interfaces"))
            async with polling(said) as poller:
                batch = await poller.poll("r1")
                assert len(batch.tables) == 1
                assert simulator.rpcs == 1

    asyncio.run(story())


def test_a_view_nobody_wrote_is_a_mistake_in_the_configuration() -> None:
    async def story() -> None:
        async with simulated() as simulator:
            with pytest.raises(BadConfiguration, match="no view 'x'"):
                async with polling(target(simulator, views=("x",))):
                    pass

    asyncio.run(story())


def test_devices_that_failed_together_do_not_come_back_together() -> None:
    settings = NetconfSettings()
    waits = [backoff_s(settings, f"r{n}", 5) for n in range(100)]
    assert max(waits) - min(waits) > 10
    assert all(16 <= wait <= 32 for wait in waits)
    assert backoff_s(settings, "r1", 10_000) <= settings.backoff_most_s


def test_hostile_replies_leave_no_memory_behind() -> None:
    async def story() -> None:
        async with simulated() as simulator, polling(target(simulator)) as poller:
            for _ in range(5):
                simulator.faults.add(Fault(kind=K.HUGE_CHUNK, times=1))
                with pytest.raises(CannotLook):
                    await poller.poll("r1")
                await asyncio.sleep(0.03)
            await poller.poll("r1")
            gc.collect()
            sessions = [o for o in gc.get_objects() if type(o).__name__ == "Intake"]
            assert len(sessions) <= 2

    asyncio.run(story())
