"""Agents that lie: bounded, partial rows kept, one typed error per column, blind only if blind."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.snmp_codec.ber import Tag
from collectors.snmp_poll import (
    Credentials,
    SnmpPoller,
    SnmpPollSettings,
    Stats,
    TablesFile,
    Target,
)
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Blind, Table
from netopsd.errors import CannotLook
from tests.collectors.snmp_poll.agent import IF, LIES, Agent, Liar, switch
from tests.collectors.snmp_poll.secure_agent import ME_HERE, SecureAgent, SecureLiar
from tests.patience import spent_s

HASTY = {"timeout_s": 0.02, "walk_varbinds": 120, "table_rows": 20}  # for who will not answer
SHIPPED = Path(__file__).parents[3] / "config" / "tables.toml"
TABLES = TablesFile.model_validate(tomllib.loads(SHIPPED.read_text())).by_name()
FAST: dict[str, Any] = {
    "timeout_s": 1.0,
    "retries": 1,
    "walk_varbinds": 400,
    "table_rows": 50,
    "walk_max_s": 2.0,
    "look_max_s": 3.0,
}


def credentials(version: str = "2c") -> Credentials:
    """Return those of a version; "3 auth" and "3 open" are of a lower security level."""
    if version.startswith("3"):
        lower = {"auth": None, "auth_key": None, "insecure": True} if "open" in version else {}
        less = {} if version == "3" else {"priv": None, "priv_key": None}
        return ME_HERE.model_copy(update={**less, **lower})
    return Credentials.model_validate({"version": version, "community": "public"})


def tell(
    agent: Agent,
    story: Callable[[SnmpPoller], Awaitable[Any]],
    version: str = "2c",
    engine: str = "planned",
    **settings: Any,
) -> tuple[Any, Stats]:
    """Run `story` with a poller of one device, "gw1", which is `agent`; nothing may go unheard."""
    unheard: list[dict[str, Any]] = []

    async def run() -> tuple[Any, Stats]:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        async with agent:
            target = Target.model_validate(
                {
                    "name": "gw1",
                    "address": "127.0.0.1",
                    "port": agent.port,
                    "credentials": credentials(version),
                    "engine": engine,
                }
            )
            chosen = SnmpPollSettings.model_validate({**FAST, **settings})
            poller = SnmpPoller(chosen, TABLES, {"gw1": target}, SystemClock())
            await poller.start()
            try:
                return await story(poller), poller.stats()
            finally:
                await poller.close()

    told = asyncio.run(run())
    assert not unheard or engine == "pysnmp"  # whose callbacks raise; it loses the answer
    return told


async def look(poller: SnmpPoller) -> Batch | CannotLook:
    try:
        return await poller.poll("gw1")
    except CannotLook as blind:
        return blind


async def two_looks(poller: SnmpPoller) -> Batch | CannotLook:
    await look(poller)
    return await look(poller)


def ports(batch: Batch) -> Table:
    return next(table for table in batch.tables if table.layout.table == "if")


def counter(batch: Batch, name: str) -> list[int]:
    table = ports(batch)
    return table.counters[table.layout.counters.index(name)].tolist()  # type: ignore[no-any-return]


def gauge(batch: Batch, name: str) -> list[float]:
    table = ports(batch)
    return table.gauges[table.layout.gauges.index(name)].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", ["1", "2c", "3"])
@pytest.mark.parametrize("lie", LIES)
def test_a_look_at_a_liar_ends_and_raises_nothing_but_cannot_look(lie: str, version: str) -> None:
    began = spent_s()

    kind = SecureLiar if version == "3" else Liar
    got, _ = tell(kind(lie, switch()), two_looks, version, **HASTY)

    assert isinstance(got, Batch | CannotLook)
    assert spent_s() - began < 8


PLAIN = ("same OID again", "endless walk", "empty list", "tooBig for ever", "garbage", "twice")


@pytest.mark.parametrize(
    ("engine", "lie"),
    [("gufo", lie) for lie in LIES] + [("pysnmp", lie) for lie in PLAIN],
)
def test_other_engines_end_with_a_liar_too(lie: str, engine: str) -> None:
    got, _ = tell(Liar(lie, switch()), look, engine=engine, walk_max_s=0.3, **HASTY)

    assert isinstance(got, Batch | CannotLook)


@pytest.mark.parametrize("engine", ["planned", "gufo", "pysnmp"])
@pytest.mark.parametrize("version", ["1", "2c", "3"])
def test_every_engine_reads_the_same(version: str, engine: str) -> None:
    kind = SecureAgent if version == "3" else Agent
    got, _ = tell(kind(switch()), two_looks, version, engine)

    assert ports(got).layout.rows == ("ge-0/0/0", "ge-0/0/1", "ge-0/0/2", "ge-0/0/3")
    if version != "1":
        assert counter(got, "ifHCInOctets") == [2**40 + 1000 * i + 6 for i in range(1, 5)]
        assert "ifInOctets" not in ports(got).layout.counters
    else:
        assert counter(got, "ifInOctets") == [1000 * i + 10 for i in range(1, 5)]
        assert ports(got).layout.widths == (32,) * len(ports(got).layout.counters)
    assert gauge(got, "ifOperStatus") == [1, 2, 1, 2]
    assert got.clocks.sys_uptime_ticks == 100_000
    assert got.facts["sysName"] == "osl-gw1"
    assert ports(got).layout.labels["ifAlias"][2] == "customer 2"
    assert not got.errors
    assert ports(got).missing is None


@pytest.mark.parametrize("hc", [True, False], ids=["ifXTable", "none"])
def test_a_port_says_its_speed_in_one_column_and_the_other_is_not_asked_for(hc: bool) -> None:
    """ifSpeed is for agents that have nothing better: one more value a port is nobody else's."""
    agent = Agent(switch(hc=hc) | {f"{IF}.5.{i}": (Tag.GAUGE32, 100_000_000) for i in range(1, 5)})
    got, _ = tell(agent, two_looks)

    speed, other = ("ifHighSpeed", "ifSpeed") if hc else ("ifSpeed", "ifHighSpeed")
    assert gauge(got, speed) == [1000.0 if hc else 1e8] * 4
    assert other not in ports(got).layout.gauges
    assert not got.errors
    asked = {bind.oid for pdu in agent.asked for bind in pdu.varbinds}
    assert any(str(oid).startswith(f"{IF}.5.") for oid in asked) is not hc


@pytest.mark.parametrize(
    ("lie", "column"),
    [
        ("NULL for numbers", "if.ifInErrors"),
        ("text for numbers", "if.ifInErrors"),
    ],
)
def test_a_wrong_type_is_one_error_of_its_column_and_the_rest_stands(lie: str, column: str) -> None:
    got, _ = tell(Liar(lie, switch()), two_looks)

    assert list(got.errors) == [column]
    assert " instead of Counter32" in got.errors[column]
    assert counter(got, "ifHCInOctets")[0] == 2**40 + 1006
    missing = ports(got).missing
    assert missing is not None
    assert missing[ports(got).layout.counters.index("ifInErrors")].all()
    assert missing.sum() == 4


def test_a_counter32_in_place_of_a_counter64_lets_the_honest_32_bits_stand_in() -> None:
    got, _ = tell(Liar("Counter32 for Counter64", switch()), two_looks)

    assert "if.ifHCInOctets" in got.errors
    assert "ifHCInOctets" not in ports(got).layout.counters
    assert counter(got, "ifInOctets") == [1000 * i + 10 for i in range(1, 5)]


def test_negative_ticks_are_no_clock_but_an_error() -> None:
    got, _ = tell(Liar("negative TimeTicks", switch()), two_looks)

    assert got.clocks.sys_uptime_ticks is None
    assert got.errors["system.sysUpTime"] == "negative TimeTicks"
    assert len(ports(got).layout.rows) == 4


def test_rows_before_a_lie_are_kept() -> None:
    class BackAtThree(Agent):
        def truth(self, version: int, asked: Any) -> Any:
            true = super().truth(version, asked)
            if asked.tag == 0xA0:
                return true
            return true._replace(
                varbinds=tuple(
                    bind._replace(oid=bind.oid[:-1] + "1") if bind.oid.endswith(".3") else bind
                    for bind in true.varbinds
                )
            )

    got, stats = tell(BackAtThree(switch()), two_looks)

    assert ports(got).layout.index == ("1", "2")
    assert got.errors["if.ifDescr"] == "OID not increasing"
    assert stats.walk_errors["OID not increasing"] >= 1


def test_an_endless_walk_is_cut_at_its_bound() -> None:
    got, stats = tell(Liar("endless walk", switch()), look)

    assert isinstance(got, Batch | CannotLook)
    assert stats.walk_errors.get("too many rows", 0) >= 1
    assert stats.varbinds < 6000


@pytest.mark.parametrize(
    ("lie", "counted"),
    [
        ("wrong request-id", "late"),
        ("other port", "wrong_source"),
        ("other community", "wrong_community"),
        ("other version", "wrong_community"),
        ("garbage", "decode_errors"),
    ],
)
def test_answers_that_are_not_ours_satisfy_nothing_and_are_counted(lie: str, counted: str) -> None:
    got, stats = tell(Liar(lie, switch()), look, timeout_s=0.05)

    assert isinstance(got, CannotLook)
    unreadable = ("other community", "other version", "garbage")
    assert got.why is (Blind.MALFORMED if lie in unreadable else Blind.UNREACHABLE)
    assert getattr(stats, counted) >= 1
    assert stats.in_flight == 0


def test_an_answer_from_another_address_is_taken_where_the_operator_says_so() -> None:
    async def run() -> Batch:
        async with Liar("other port", switch()) as agent:
            target = Target(
                name="gw1",
                address="127.0.0.1",
                port=agent.port,
                credentials=credentials(),
                any_source=True,
            )
            poller = SnmpPoller(SnmpPollSettings(), TABLES, {"gw1": target}, SystemClock())
            await poller.start()
            try:
                return await poller.poll("gw1")
            finally:
                await poller.close()

    assert len(ports(asyncio.run(run())).layout.rows) == 4


def test_a_second_answer_is_late_and_changes_nothing() -> None:
    got, stats = tell(Liar("twice", switch()), two_looks)

    assert counter(got, "ifHCInOctets")[0] == 2**40 + 1006
    assert stats.late >= stats.sent - 4


def test_a_late_answer_does_not_satisfy_the_next_look() -> None:
    class Late(Agent):
        """Answers the GETs of the second look only when the third has begun."""

        held: list[tuple[bytes, Any]]
        holding = False

        def send(self, data: bytes, addr: Any) -> None:
            if self.holding:
                self.held.append((data, addr))
                return
            super().send(data, addr)

    agent = Late(switch())
    agent.held = []

    async def story(poller: SnmpPoller) -> tuple[Any, Any]:
        await look(poller)
        agent.holding = True
        second = await look(poller)
        agent.holding = False
        agent.change({**agent.mib, "1.3.6.1.2.1.2.2.1.8.1": (2, 7)})
        for data, addr in agent.held:
            agent.send(data, addr)
        return second, await look(poller)

    (second, third), stats = tell(agent, story, timeout_s=0.1)

    assert isinstance(second, CannotLook)
    assert gauge(third, "ifOperStatus")[0] == 7
    assert stats.late >= 1


@pytest.mark.parametrize("lie", ["tooBig for ever", "genErr for ever", "error-status 200"])
def test_a_device_that_refuses_everything_is_malformed_after_a_bounded_number_of_requests(
    lie: str,
) -> None:
    agent = Liar(lie, switch(ports=20))

    got, stats = tell(agent, look)

    assert isinstance(got, CannotLook)
    assert got.why is Blind.MALFORMED
    assert stats.sent < 100


def test_a_device_that_refuses_its_numbers_is_asked_a_bounded_number_of_times() -> None:
    got, stats = tell(Liar("genErr naming the first", switch(ports=100)), look)

    assert "genErr" in got.errors.values()
    assert stats.sent < 200, "1,900 variables, each refused by itself"


def test_a_device_that_can_take_only_small_packets_is_read_in_small_packets() -> None:
    class Small(Agent):
        def truth(self, version: int, asked: Any) -> Any:
            if len(asked.varbinds) > 7:
                return asked._replace(tag=0xA2, error_status=1, error_index=0)
            return super().truth(version, asked)

    agent = Small(switch())

    async def story(poller: SnmpPoller) -> Any:
        for _ in range(5):
            got = await look(poller)
        agent.asked.clear()
        return await look(poller), got

    (got, _), _ = tell(agent, story)

    assert not got.errors
    assert counter(got, "ifHCInOctets")[3] == 2**40 + 4006
    assert max(len(pdu.varbinds) for pdu in agent.asked) <= 7, "it did not learn"


def test_packets_too_big_for_the_way_are_made_smaller() -> None:
    class Narrow(Agent):
        """Drops its own answers of more than 700 octets, as a path without fragments does."""

        def send(self, data: bytes, addr: Any) -> None:
            if len(data) <= 700:
                super().send(data, addr)

    async def story(poller: SnmpPoller) -> Any:
        for _ in range(6):
            got = await look(poller)
        return got

    got, _ = tell(Narrow(switch(ports=12)), story, timeout_s=0.1)

    assert isinstance(got, Batch)
    assert not got.errors
    assert len(ports(got).layout.rows) == 12


def test_one_bad_variable_costs_only_itself() -> None:
    class Sore(Agent):
        def truth(self, version: int, asked: Any) -> Any:
            for at, bind in enumerate(asked.varbinds, 1):
                if bind.oid == "1.3.6.1.2.1.2.2.1.14.3" and asked.tag == 0xA0:
                    return asked._replace(tag=0xA2, error_status=5, error_index=at)
            return super().truth(version, asked)

    got, _ = tell(Sore(switch()), two_looks)

    assert dict(got.errors) == {"if.ifInErrors": "genErr"}
    missing = ports(got).missing
    assert missing is not None and missing.sum() == 1


def test_a_dead_device_costs_one_small_question_a_look() -> None:
    class Dead(Agent):
        def reply(self, version: int, asked: Any) -> Any:
            return []

    agent = Dead(switch(ports=48))

    async def story(poller: SnmpPoller) -> list[Any]:
        return [await look(poller) for _ in range(3)]

    got, stats = tell(agent, story, timeout_s=0.05)

    assert [blind.why for blind in got] == [Blind.UNREACHABLE] * 3
    assert all(len(pdu.varbinds) == 1 for pdu in agent.asked)
    assert stats.sent == 3 * 2


def test_a_device_that_dies_is_blind_and_comes_back() -> None:
    class Mortal(Agent):
        dead = False

        def reply(self, version: int, asked: Any) -> Any:
            return [] if self.dead else super().reply(version, asked)

    agent = Mortal(switch())

    async def story(poller: SnmpPoller) -> list[Any]:
        told = [await look(poller)]
        agent.dead = True
        told += [await look(poller), await look(poller)]
        agent.dead = False
        return [*told, await look(poller)]

    got, _ = tell(agent, story, timeout_s=0.1)

    assert isinstance(got[0], Batch)
    assert [blind.why for blind in got[1:3]] == [Blind.UNREACHABLE] * 2
    assert counter(got[3], "ifHCInOctets") == counter(got[0], "ifHCInOctets")


def test_one_lost_packet_is_asked_for_again_and_nothing_is_missing() -> None:
    class Lossy(Agent):
        count = 0

        def reply(self, version: int, asked: Any) -> Any:
            self.count += 1
            return [] if self.count % 4 == 0 else super().reply(version, asked)

    got, stats = tell(Lossy(switch(ports=30)), two_looks, retries=4, timeout_s=0.1)

    assert isinstance(got, Batch)
    assert not got.errors
    assert stats.timeouts > 0


def test_a_slow_device_delays_no_other() -> None:
    class Silent(Agent):
        def reply(self, version: int, asked: Any) -> Any:
            return []

    async def run() -> float:
        loop = asyncio.get_running_loop()
        async with Silent({}) as dead, Agent(switch()) as alive:
            targets = {
                name: Target(name=name, address="127.0.0.1", port=port, credentials=credentials())
                for name, port in [("a", alive.port)] + [(f"d{i}", dead.port) for i in range(20)]
            }
            settings = SnmpPollSettings(timeout_s=0.3, retries=1, max_in_flight=64)
            poller = SnmpPoller(settings, TABLES, targets, SystemClock())
            await poller.start()
            try:
                others = [asyncio.create_task(poller.poll(f"d{i}")) for i in range(20)]
                await asyncio.sleep(0)
                began = loop.time()
                await poller.poll("a")
                took = loop.time() - began
                await asyncio.gather(*others, return_exceptions=True)
                return took
            finally:
                await poller.close()

    assert asyncio.run(run()) < 0.29


def test_rows_keep_their_names_when_the_device_renumbers() -> None:
    agent = Agent(switch(first=1))

    async def story(poller: SnmpPoller) -> tuple[Any, Any]:
        before = await look(poller)
        agent.change(switch(first=101, uptime=50))
        return before, await look(poller)

    (before, after), _ = tell(agent, story)

    assert ports(after).layout.rows == ports(before).layout.rows
    assert ports(after).layout.index == ("101", "102", "103", "104")
    assert ports(after).layout.epoch > ports(before).layout.epoch
    assert counter(after, "ifHCInOctets")[0] == 2**40 + 101_006


def test_a_restart_that_swaps_ports_under_the_same_indexes_swaps_no_counters() -> None:
    agent = Agent(switch(ports=2))
    swapped = switch(ports=2, uptime=50)
    one, two = (f"1.3.6.1.2.1.31.1.1.1.1.{i}" for i in (1, 2))
    swapped[one], swapped[two] = swapped[two], swapped[one]

    async def story(poller: SnmpPoller) -> Any:
        await look(poller)
        agent.change(swapped)
        return await look(poller)

    got, _ = tell(agent, story)

    octets = dict(zip(ports(got).layout.rows, counter(got, "ifHCInOctets"), strict=True))
    assert octets == {"ge-0/0/1": 2**40 + 1006, "ge-0/0/0": 2**40 + 2006}


def test_a_new_port_is_seen_at_the_next_look() -> None:
    agent = Agent(switch(ports=3))

    async def story(poller: SnmpPoller) -> tuple[Any, Any]:
        before = await look(poller)
        agent.change(switch(ports=5))
        return before, await look(poller)

    (before, after), stats = tell(agent, story)

    assert len(ports(before).layout.rows) == 3
    assert ports(after).layout.rows[-1] == "ge-0/0/4"
    assert stats.walks == 3


def test_looks_at_an_unchanged_device_share_one_layout_and_walk_once() -> None:
    async def story(poller: SnmpPoller) -> list[Any]:
        return [await look(poller) for _ in range(5)]

    got, stats = tell(Agent(switch()), story)

    assert len({id(ports(batch).layout) for batch in got[1:]}) == 1
    assert stats.walks == 2  # system's texts, the interfaces


def test_a_device_that_always_says_its_rows_changed_is_believed_only_so_often() -> None:
    async def story(poller: SnmpPoller) -> Any:
        for _ in range(12):
            got = await look(poller)
        return got

    got, stats = tell(Liar("rows change at every look", switch()), story)

    assert not got.errors
    assert stats.walks <= 6


def test_a_device_whose_uptime_always_goes_back_is_not_trusted_with_its_rows() -> None:
    async def story(poller: SnmpPoller) -> Any:
        for _ in range(6):
            got = await look(poller)
        return got

    got, stats = tell(Liar("uptime goes back at every look", switch()), story, walks_per_10m=2)

    assert "the rows change too often to follow" in got.errors.values()
    assert not got.tables
    assert stats.walks <= 5


def test_without_hc_counters_32_bits_stand_in_with_their_width() -> None:
    got, _ = tell(Agent(switch(hc=False)), two_looks)

    assert counter(got, "ifInOctets") == [1000 * i + 10 for i in range(1, 5)]
    layout = ports(got).layout
    assert layout.widths[layout.counters.index("ifInOctets")] == 32
    assert layout.rows[0] == "Gigabit 0", "no ifName: ifDescr names the row"
    assert not got.errors


def test_a_mandatory_column_that_is_absent_is_an_error_at_every_look() -> None:
    mib = {oid: v for oid, v in switch().items() if not oid.startswith("1.3.6.1.2.1.2.2.1.8.")}

    async def story(poller: SnmpPoller) -> list[Any]:
        return [await look(poller) for _ in range(3)]

    got, _ = tell(Agent(mib), story)

    assert [dict(batch.errors) for batch in got] == [{"if.ifOperStatus": "noSuchInstance"}] * 3
    assert "ifOperStatus" not in ports(got[-1]).layout.gauges


def test_a_port_without_a_value_is_missing_and_the_others_are_not() -> None:
    mib = switch()
    del mib["1.3.6.1.2.1.31.1.1.1.6.2"]  # falls back, in this row only
    del mib["1.3.6.1.2.1.2.2.1.8.3"]

    got, _ = tell(Agent(mib), two_looks)

    table = ports(got)
    assert table.missing is not None
    row = table.missing[table.layout.counters.index("ifHCInOctets")]
    assert row.tolist() == [False, True, False, False]
    assert counter(got, "ifInOctets")[1] == 2010
    assert np.isnan(gauge(got, "ifOperStatus")[2])
    assert gauge(got, "ifOperStatus")[3] == 2


def test_a_reload_keeps_what_was_learnt_of_unchanged_devices() -> None:
    agent = Agent(switch())

    async def story(poller: SnmpPoller) -> tuple[int, int]:
        await look(poller)
        target = Target(
            name="gw1", address="127.0.0.1", port=agent.port, credentials=credentials()
        ).model_copy(update={"engine": "planned"})
        await poller.retarget({"gw1": target}, TABLES)
        await look(poller)
        same = poller.stats().walks
        await poller.retarget({"gw1": target.model_copy(update={"retries": 5})}, TABLES)
        await look(poller)
        return same, poller.stats().walks

    (same, changed), _ = tell(agent, story)

    assert (same, changed) == (2, 4)


def test_an_unknown_device_is_skipped_and_not_unreachable() -> None:
    async def story(poller: SnmpPoller) -> CannotLook:
        with pytest.raises(CannotLook) as blind:
            await poller.poll("nobody")
        return blind.value

    got, _ = tell(Agent(switch()), story)

    assert got.why is Blind.SKIPPED


def test_a_cancelled_look_leaves_nothing_in_flight() -> None:
    class Failing(Agent):
        silent = False

        def reply(self, version: int, asked: Any) -> Any:
            return [] if self.silent else super().reply(version, asked)

    agent = Failing(switch(ports=48))

    async def story(poller: SnmpPoller) -> tuple[int, int, Any]:
        await look(poller)
        agent.silent = True
        task = asyncio.create_task(poller.poll("gw1"))
        for _ in range(3):
            await asyncio.sleep(0)
        during = poller.stats().in_flight
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left = poller.stats().in_flight
        agent.silent = False
        return during, left, await look(poller)

    (during, left, after), _ = tell(agent, story, timeout_s=5)

    assert (during, left) == (4, 0)
    assert isinstance(after, Batch)


def test_gufo_is_stopped_where_a_device_repeats_itself() -> None:
    got, stats = tell(Liar("same OID again", switch()), look, engine="gufo")

    assert isinstance(got, Batch | CannotLook)
    assert stats.walk_errors.get("OID not increasing", 0) >= 1
    assert "too many rows" not in stats.walk_errors
