"""A service is on all of its devices or on none, whatever one of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from netopsd.core.beliefs import Phase
from netopsd.core.ordered import Action, OrderState, ServiceLife
from simulators.netconf import Fault, FaultKind
from tests.collectors.netconf.orders import QUICK, House, house, item
from tests.collectors.netconf.scene import until

ALL = {"r1": ["vpn"], "r2": ["vpn"], "r3": ["vpn"]}
NONE: dict[str, list[str]] = {"r1": [], "r2": [], "r3": []}


def told(story: Callable[[House], Awaitable[None]], **more: Any) -> None:
    """Run a story over a house and its three devices; no lock and no open commit may stay."""

    async def run() -> None:
        async with house(**more) as one:
            await story(one)
            await until(lambda: not one.locks())
            assert one.pending() == []

    asyncio.run(run())


def test_an_order_comes_alive_on_every_device_and_goes_again() -> None:
    async def story(one: House) -> None:
        await one.place()
        assert await one.ended() is OrderState.COMPLETED
        assert one.active() == ALL
        assert set(one.world.inventory.services) == {"vpn"}
        port = one.devices["r1"].model.ports()[0]
        assert port.description == "Acme & Sons <VPN>", "escaped, and read back as it was"
        await one.place(item(action=Action.DELETE), id="SO-2")
        assert await one.ended("SO-2") is OrderState.COMPLETED
        assert one.active() == NONE
        assert one.world.ordered["vpn"].state is ServiceLife.TERMINATED
        assert {user for d in one.devices.values() for user, _ in d.edits} == {"activate"}

    told(story)


def test_a_change_is_made_everywhere_and_what_leaves_is_taken_away() -> None:
    async def story(one: House) -> None:
        await one.place(item(("r1", "r2")))
        await one.ended()
        await one.place(item(("r2", "r3"), Action.MODIFY, vlan="8"), id="SO-2")
        assert await one.ended("SO-2") is OrderState.COMPLETED
        assert one.active() == {"r1": [], "r2": ["vpn"], "r3": ["vpn"]}
        model: Any = one.devices["r2"].model
        assert model.services[0].vlan == 8

    told(story)


FAILURES = [
    (Fault(kind=FaultKind.LOCK_HELD), "lock-denied: candidate is locked by session 999"),
    (Fault(kind=FaultKind.COMMIT_FAILS, times=1), "no resources on line card 2"),
    (Fault(kind=FaultKind.RPC_ERROR, rpc="edit-config", times=1), "operation-failed: told to fail"),
    (Fault(kind=FaultKind.RPC_ERROR, rpc="validate", times=1), "operation-failed: told to fail"),
    (Fault(kind=FaultKind.DROP, rpc="commit", times=1), "connection lost"),
    (Fault(kind=FaultKind.SILENT, rpc="validate", times=1), "no whole reply"),
    (Fault(kind=FaultKind.MALFORMED, rpc="edit-config", times=1), "r2: r2:|r2: "),
    (Fault(kind=FaultKind.ENTITY, rpc="get-data", times=1), "document type"),
    (Fault(kind=FaultKind.HELLO_NEVER, times=1), "no whole hello"),
]


@pytest.mark.parametrize(("fault", "words"), FAILURES, ids=lambda one: getattr(one, "kind", None))
def test_what_one_device_refuses_is_on_none_and_the_order_says_its_words(
    fault: Fault, words: str
) -> None:
    async def story(one: House) -> None:
        one.devices["r2"].faults.add(fault)
        await one.place()
        assert await one.ended(seconds=30) is OrderState.FAILED
        one.devices["r2"].faults.clear()
        assert any(word in one.why() for word in words.split("|")), one.why()
        assert one.why().count("r2") >= 1
        assert one.active() == NONE
        assert not one.world.inventory.services

    told(story)


def test_a_service_that_does_not_come_up_is_rolled_back_everywhere() -> None:
    async def story(one: House) -> None:
        model: Any = one.devices["r3"].model
        model.cut("ge-0/0/1")
        await one.place()
        assert await one.ended() is OrderState.FAILED
        assert "oper-status is down, not 'up'" in one.why()
        assert one.active() == NONE
        assert "cancel-commit" in one.devices["r1"].changes

    told(story)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"vlan": "4095"}, "vlan must be 1 to 4094"),
        ({"vlan": "seven"}, "vlan must be a whole number"),
        ({"port": "x'] | //*["}, "does not have the form"),
        ({"colour": "red"}, "has no input 'colour'"),
    ],
)
def test_an_input_is_refused_before_any_device_is_asked(more: dict[str, str], words: str) -> None:
    async def story(one: House) -> None:
        await one.place(item(**more))
        assert await one.ended() is OrderState.FAILED
        assert words in one.why()
        assert sum(device.rpcs for device in one.devices.values()) == 0

    told(story)


def test_a_place_that_is_taken_on_one_device_refuses_the_order() -> None:
    async def story(one: House) -> None:
        await one.place(item(("r1",)))
        await one.ended()
        one.store.kept.ordered.clear()
        one.world.ordered.own.clear()  # somebody else's work, as far as we know
        one.world.inventory = type(one.world.inventory)(devices=one.world.inventory.devices)
        await one.place(id="SO-2")
        assert await one.ended("SO-2") is OrderState.FAILED
        assert "in the service's place already" in one.why("SO-2")
        assert one.active() == {"r1": ["vpn"], "r2": [], "r3": []}

    told(story)


def test_a_device_without_confirmed_commit_is_undone_by_a_second_edit_and_the_order_says_so() -> (
    None
):
    async def story(one: House) -> None:
        one.devices["r3"].faults.add(Fault(kind=FaultKind.RPC_ERROR, rpc="edit-config", times=1))
        await one.place()
        assert await one.ended() is OrderState.FAILED
        assert one.active() == NONE
        model: Any = one.devices["r2"].model
        model.cut("ge-0/0/1")  # is found out only once it is in force
        await one.place(id="SO-2")
        assert await one.ended("SO-2") is OrderState.FAILED
        assert one.active() == NONE
        assert any("offers no confirmed commit" in note for note in one.notes())
        assert "r2: undone by a second edit" in one.notes()
        model.mend("ge-0/0/1")
        await one.place(id="SO-3")
        assert await one.ended("SO-3") is OrderState.COMPLETED
        assert one.active() == ALL

    told(story, r2=False)


def test_a_failed_change_puts_back_what_was_there_where_no_timer_does() -> None:
    async def story(one: House) -> None:
        await one.place()
        await one.ended()
        model: Any = one.devices["r2"].model
        model.cut("ge-0/0/1")
        await one.place(item(action=Action.MODIFY, vlan="9"), id="SO-2")
        assert await one.ended("SO-2") is OrderState.FAILED
        assert [service.vlan for service in model.services] == [7]
        assert one.world.ordered["vpn"].order == "SO-1"
        model.mend("ge-0/0/1")

    told(story, r2=False)


def test_once_decided_a_device_that_is_away_is_waited_for_and_confirmed() -> None:
    async def story(one: House) -> None:
        await one.place()
        await one.reached("r2", "verified")
        one.devices["r2"].faults.add(Fault(kind=FaultKind.DROP, rpc="commit", times=2))
        assert await one.ended() is OrderState.COMPLETED
        assert one.active() == ALL
        steps = one.work.stats.steps
        assert {step for step, count in steps.items() if count} == {
            ("look", "done"), ("prepare", "done"), ("confirm", "failed"), ("confirm", "done"),
        }  # fmt: skip
        await until(lambda: one.work.stats.ended == {"completed": 1, "failed": 0})

    told(story)


def test_a_cancelled_order_is_taken_back_from_the_devices() -> None:
    async def story(one: House) -> None:
        await one.place()
        await one.reached("r1", "committed")
        await one.act("cancel")
        assert await one.ended() in (OrderState.CANCELLED, OrderState.COMPLETED)
        assert one.active() == (NONE if not one.world.inventory.services else ALL)

    told(story)


def test_two_orders_on_one_device_are_carried_out_one_after_the_other() -> None:
    async def story(one: House) -> None:
        await one.place(item(("r1", "r2"), service="a"))
        await one.place(item(("r2", "r3"), service="b", vlan="8"), id="SO-2")
        await one.place(item(("r1",), service="c", vlan="9"), id="SO-3")
        for id in ("SO-1", "SO-2", "SO-3"):
            assert await one.ended(id) is OrderState.COMPLETED, one.why(id)
        assert one.active() == {"r1": ["a", "c"], "r2": ["a", "b"], "r3": ["b"]}

    told(story)


def test_the_same_vlan_twice_is_refused_by_the_device_and_told_in_its_words() -> None:
    async def story(one: House) -> None:
        await one.place(item(("r1",), service="a"))
        await one.ended()
        await one.place(item(service="b"), id="SO-2")
        assert await one.ended("SO-2") is OrderState.FAILED
        assert "r1: data-exists: service b: ge-0/0/1 vlan 7 is taken" in one.why("SO-2")
        assert one.active() == {"r1": ["a"], "r2": [], "r3": []}

    told(story)


def test_drift_is_found_alarmed_never_repaired_and_cleared_when_it_matches() -> None:
    async def story(one: House) -> None:
        await one.place()
        await one.ended()
        await until(lambda: not one.work.busy)
        stores = one.devices["r2"].stores
        entry = next(stores.running.iter("{urn:netopsd:yang:service}vlan"))
        entry.text = "8"
        await one.work.look_for_drift()
        key = "r2!service-drift:vpn"
        await until(lambda: one.world.alarms.get(key) is not None)
        assert one.world.alarms[key].why == (
            "+ services/service[id=vpn]/vlan = 7; - services/service[id=vpn]/vlan = 8"
        )
        assert entry.text == "8"
        assert one.work.stats.drift() == (3, 1)
        hidden = Fault(kind=FaultKind.HELLO_JUNK, rpc="hello")
        one.devices["r3"].faults.add(hidden)  # not seeing is not knowing
        entry.text = "7"
        await one.work.look_for_drift()
        await until(lambda: one.world.alarms[key].phase is Phase.CLEARED)
        assert one.world.alarms.get("r3!service-drift:vpn") is None

    told(story)


def test_a_comparison_shows_what_would_change_and_changes_nothing() -> None:
    async def story(one: House) -> None:
        found = await one.current().compare(item(("r1", "r2")))
        assert [one.device for one in found] == ["r1", "r2"]
        assert "+ services/service[id=vpn]/vlan = 7" in found[0].lines
        assert all(device.edits == [] for device in one.devices.values())

    told(story)


@pytest.mark.parametrize("step", ["connected", "edited", "committed", "verified", "confirmed"])
@pytest.mark.parametrize("device", ["r1", "r3"])
def test_a_house_that_ends_at_any_step_goes_on_from_what_it_decided(step: str, device: str) -> None:
    """An orderly end: sessions are closed. What a kill leaves is told in tests/e2e."""

    async def story(one: House) -> None:
        settings = QUICK.model_copy(update={"confirm_s": 60.0})
        again = House(one.store, one.devices, settings)
        async with again.running():
            await again.place()
            await again.reached(device, step)
        third = House(one.store, one.devices, settings)
        async with third.running():
            assert await third.ended() is OrderState.COMPLETED
            assert third.active() == ALL
            assert set(third.world.inventory.services) == {"vpn"}

    told(story)
