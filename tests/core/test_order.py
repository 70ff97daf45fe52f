"""Service orders: TMF641 as a table, all of a service or none, and what an active one changes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netopsd.core.engine import decide
from netopsd.core.index import Index
from netopsd.core.inventory import Inventory
from netopsd.core.model import (
    Drifted,
    NotAllowed,
    OrderAct,
    OrderProgress,
    PlaceOrder,
    Reconfigured,
)
from netopsd.core.order import NEXT, NEXT_ITEM, NEXT_STEP, outcome, way
from netopsd.core.ordered import (
    ENDED,
    Action,
    Endpoint,
    Order,
    OrderItem,
    OrderState,
    Progress,
    Saved,
    ServiceLife,
    Step,
    Terms,
    conflicts,
    promised,
)
from netopsd.core.outcome import Beliefs, OrderNotice, ServiceNotice, UsageNotice
from netopsd.core.restore import restore
from tests.core.network import T0, Net, Ports, gold, inventory, port

S, P = OrderState, Progress
TERMS = Terms(monthly_fee=Decimal("490.00"), currency="NOK")


def net() -> Net:
    return Net(inventory({"r1": [], "r2": [], "r3": []}, services=[gold("old", [port("r3", "x")])]))


def item(
    number: str = "1",
    service: str = "vpn",
    action: Action = Action.ADD,
    devices: tuple[str, ...] = ("r1", "r2"),
) -> OrderItem:
    paths = [[port(device, "p1")] for device in devices]
    return OrderItem(
        order="",
        number=number,
        action=action,
        service=service,
        template="l2vpn",
        endpoints=tuple(Endpoint(device=d, inputs=(("port", "p1"),)) for d in devices),
        definition=None
        if action is Action.DELETE
        else gold(service, *paths, meters=[port(devices[0], "p1")]),
        terms=TERMS,
        changed_at=T0,
    )


def place(net: Net, *items: OrderItem, id: str = "SO-1", sha256: str = "a") -> None:
    order = Order(id=id, sha256=sha256, items=(), placed_by="", placed_at=net.at, changed_at=net.at)
    net.say(PlaceOrder(at=net.at, by="crm", order=order, items=items or (item(),)))


def report(net: Net, *whats: Progress, id: str = "SO-1", number: str = "1", why: str = "") -> None:
    for what in whats:
        known = net.world.order_items[id, number]
        attempt = known.attempt + (what is P.BEGUN)
        saved = (Saved(device="r1"), Saved(device="r2")) if what is P.BEGUN else ()
        net.say(
            OrderProgress(
                at=net.at, order=id, item=number, what=what, attempt=attempt, why=why, saved=saved
            )
        )


def ask(net: Net, what: str, id: str = "SO-1") -> None:
    net.say(OrderAct(at=net.at, by="anna", order=id, what=what))


def state(net: Net, id: str = "SO-1") -> OrderState:
    return net.world.orders[id].state


def walked(net: Net, id: str = "SO-1") -> list[OrderState]:
    """The states the order went through, as its notes tell."""
    told = [n.state for o in net.outcomes for n in o.order_notes if n.order == id and not n.item]
    return [a for a, _ in itertools.groupby(told)]


ALL = (P.BEGUN, P.DECIDED, P.CONFIRMED)


def test_the_table_has_a_line_for_every_state_and_the_ended_ones_lead_nowhere() -> None:
    assert set(NEXT) == set(OrderState)
    assert set(NEXT_ITEM) == set(OrderState) - {S.PARTIAL}
    for held, after in NEXT.items():
        assert bool(after) == (held not in ENDED)
    assert not any(S.PARTIAL in after for after in NEXT_ITEM.values())


@pytest.mark.parametrize(("held", "goal"), list(itertools.product(OrderState, OrderState)))
def test_every_way_is_made_of_legal_steps(held: OrderState, goal: OrderState) -> None:
    at = held
    for step in way(held, goal):
        assert step in NEXT[at]
        at = step
    assert at in (held, goal)


@pytest.mark.parametrize(
    ("ends", "order"),
    [
        ((S.COMPLETED, S.COMPLETED), S.COMPLETED),
        ((S.FAILED, S.FAILED), S.FAILED),
        ((S.COMPLETED, S.FAILED), S.PARTIAL),
        ((S.CANCELLED, S.CANCELLED), S.CANCELLED),
        ((S.CANCELLED, S.COMPLETED), S.PARTIAL),
    ],
)
def test_items_make_the_order(ends: tuple[OrderState, ...], order: OrderState) -> None:
    assert outcome(ends) is order


def reach(step: Step) -> Net:
    one = net()
    place(one)
    route = {
        Step.WAITING: (),
        Step.PREPARING: (P.BEGUN,),
        Step.DECIDED: (P.BEGUN, P.DECIDED),
        Step.UNDOING: (P.BEGUN, P.UNDOING),
        Step.ENDED: ALL,
    }
    report(one, *route[step])
    return one


@pytest.mark.parametrize(("step", "what"), list(itertools.product(Step, Progress)))
def test_every_report_moves_an_item_as_the_table_says_or_is_refused(
    step: Step, what: Progress
) -> None:
    one = reach(step)
    if (step, what) in NEXT_STEP:
        report(one, what)
        after = one.world.order_items.get(("SO-1", "1"))
        assert (after.step if after else Step.ENDED) is NEXT_STEP[step, what]
        return
    attempt = 1 + (what is P.BEGUN) if step is not Step.WAITING else what is P.BEGUN
    said = OrderProgress(at=one.at, order="SO-1", item="1", what=what, attempt=attempt)
    with pytest.raises(NotAllowed):
        decide(one.world, said)


def test_an_order_that_goes_well_is_monitored_metered_and_told_from_that_moment() -> None:
    one = net()
    place(one)
    report(one, P.BEGUN, P.DECIDED)
    assert "vpn" not in one.world.inventory.services
    one.wait(10)
    report(one, P.CONFIRMED)
    assert walked(one) == [S.ACKNOWLEDGED, S.IN_PROGRESS, S.COMPLETED]
    assert one.world.inventory.services["vpn"].active_from == one.at
    (told,) = one.notices(ServiceNotice)
    assert isinstance(told, ServiceNotice)
    assert (told.what, told.ordered.terms) == ("activated", TERMS)
    one.look("r1", Ports({"p1": 1}, {"p1": (0, 0)}))
    one.wait(30)
    one.look("r1", Ports({"p1": 1}, {"p1": (3000, 0)}))
    assert one.world.meters[("vpn", "r1/if/p1")].service == "vpn"
    place(one, item(action=Action.DELETE), id="SO-2")
    report(one, *ALL, id="SO-2")
    assert one.world.ordered["vpn"].state is ServiceLife.TERMINATED
    assert "vpn" not in one.world.inventory.services
    assert one.world.meters.get(("vpn", "r1/if/p1")) is None
    (usage,) = one.notices(UsageNotice)
    assert isinstance(usage, UsageNotice)
    assert usage.record.in_octets == 3000


def test_a_failed_order_changes_nothing_and_says_the_device_s_own_words() -> None:
    one = net()
    place(one)
    report(one, P.BEGUN)
    report(one, P.UNDOING, P.FAILED, why="r2: data-exists: vlan 7 is taken")
    assert state(one) is S.FAILED
    assert "vlan 7 is taken" in one.world.orders["SO-1"].why
    assert not one.world.inventory.services.keys() - {"old"}
    assert not one.notices(ServiceNotice)
    place(one, id="SO-2")  # the name is free again
    assert state(one, "SO-2") is S.ACKNOWLEDGED


def test_the_same_order_again_adds_nothing_and_another_of_its_name_is_refused() -> None:
    one = net()
    place(one)
    place(one)
    assert one.outcomes[-1].orders == {}
    assert one.outcomes[-1].notices == []
    report(one, *ALL)
    place(one)
    assert one.outcomes[-1].orders == {}
    with pytest.raises(NotAllowed, match="other contents; it is completed"):
        place(one, sha256="b")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (item(service="old"), "in services.toml"),
        (item(devices=("r1", "gone")), "no device 'gone'"),
        (replace(item(), definition=None), "no definition"),
        (item(action=Action.DELETE), "not active by an order"),
        (item(action=Action.MODIFY, service="old"), "configured, not ordered"),
        (replace(item(), endpoints=(Endpoint(device="r1"),) * 2), "one endpoint for each"),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_words(bad: OrderItem, words: str) -> None:
    one = net()
    with pytest.raises(NotAllowed, match=words):
        place(one, bad)
    assert len(one.world.orders) == 0


def test_one_service_is_in_one_open_order_only() -> None:
    one = net()
    place(one)
    with pytest.raises(NotAllowed, match="in order SO-1"):
        place(one, id="SO-2")


def test_a_changed_service_keeps_its_beginning_and_what_leaves_it_is_undone() -> None:
    one = net()
    place(one)
    report(one, *ALL)
    since = one.world.ordered["vpn"].service.active_from
    one.wait(60)
    place(one, item(action=Action.MODIFY, devices=("r1", "r3")), id="SO-2")
    changing = one.world.order_items["SO-2", "1"]
    assert [end.device for end in changing.leaving] == ["r2"]
    assert changing.devices == ("r1", "r2", "r3")
    report(one, *ALL, id="SO-2")
    after = one.world.ordered["vpn"]
    assert same(one.world.index, Index.of(one.world.inventory))
    assert after.service.active_from == since
    assert [end.device for end in after.endpoints] == ["r1", "r3"]


def test_mixed_items_are_partial_and_what_is_active_is_active() -> None:
    one = net()
    place(one, item("1", "a"), item("2", "b"))
    report(one, *ALL, number="1")
    assert state(one) is S.IN_PROGRESS
    report(one, P.FAILED, number="2", why="r1: no answer")
    assert state(one) is S.PARTIAL
    assert set(one.world.inventory.services) == {"old", "a"}


@pytest.mark.parametrize("step", [Step.WAITING, Step.PREPARING, Step.UNDOING])
def test_an_order_not_yet_decided_can_be_cancelled(step: Step) -> None:
    one = reach(step)
    ask(one, "cancel")
    if step is Step.WAITING:
        assert state(one) is S.CANCELLED
        assert walked(one)[1:3] == [S.ASSESSING_CANCELLATION, S.PENDING_CANCELLATION]
        return
    assert state(one) is S.PENDING_CANCELLATION
    if step is Step.PREPARING:
        said = OrderProgress(at=one.at, order="SO-1", item="1", what=P.DECIDED, attempt=1)
        with pytest.raises(NotAllowed, match="pendingCancellation"):
            decide(one.world, said)
        report(one, P.UNDOING)
    report(one, P.FAILED)
    assert state(one) is S.CANCELLED


def test_a_decided_order_cannot_be_cancelled_and_goes_on_as_it_was() -> None:
    one = reach(Step.DECIDED)
    ask(one, "cancel")
    assert walked(one) == [S.ACKNOWLEDGED, S.IN_PROGRESS, S.ASSESSING_CANCELLATION, S.IN_PROGRESS]
    report(one, P.CONFIRMED)
    assert state(one) is S.COMPLETED
    with pytest.raises(NotAllowed, match="is completed"):
        ask(one, "cancel")


def test_a_held_order_is_begun_by_nobody_until_it_is_resumed() -> None:
    one = net()
    place(one)
    ask(one, "hold")
    assert walked(one) == [S.ACKNOWLEDGED, S.IN_PROGRESS, S.HELD]
    with pytest.raises(NotAllowed, match="is held"):
        report(one, P.BEGUN)
    ask(one, "resume")
    assert one.outcomes[-1].activate == ["SO-1"]
    report(one, *ALL)
    assert state(one) is S.COMPLETED


def test_an_order_that_waits_for_a_device_says_so_and_goes_on() -> None:
    one = reach(Step.DECIDED)
    report(one, P.WAITS, why="r2: no answer")
    assert state(one) is S.PENDING
    assert one.world.orders["SO-1"].why == "r2: no answer"
    many = sum(len(o.order_notes) for o in one.outcomes)
    report(one, P.WAITS, why="r2: no answer")
    assert sum(len(o.order_notes) for o in one.outcomes) == many, "nothing new, nothing noted"
    report(one, P.CONFIRMED)
    assert state(one) is S.COMPLETED


def test_a_report_of_an_earlier_attempt_is_refused() -> None:
    one = net()
    place(one)
    report(one, P.BEGUN, P.UNDOING, P.AGAIN, P.BEGUN)
    said = OrderProgress(at=one.at, order="SO-1", item="1", what=P.DECIDED, attempt=1)
    with pytest.raises(NotAllowed, match="attempt 2"):
        decide(one.world, said)


def test_drift_is_an_alarm_until_it_matches_again() -> None:
    one = net()
    place(one)
    report(one, *ALL)
    one.say(Drifted(at=one.at, service="vpn", device="r1", lines=("- vlan 7", "+ vlan 8")))
    assert one.active() == ["r1!service-drift:vpn"]
    one.wait(10)
    one.say(Drifted(at=one.at, service="vpn", device="r1"))
    assert one.active() == []


def test_a_terminated_service_drifts_no_more() -> None:
    one = net()
    place(one)
    report(one, *ALL)
    one.say(Drifted(at=one.at, service="vpn", device="r1", lines=("- vlan 7",)))
    place(one, item(action=Action.DELETE), id="SO-2")
    report(one, *ALL, id="SO-2")
    assert one.active() == []
    one.say(Drifted(at=one.at, service="vpn", device="r1", lines=("- vlan 7",)))
    assert one.active() == []


def test_a_reload_keeps_ordered_services_and_refuses_what_clashes_with_them() -> None:
    one = net()
    place(one)
    report(one, *ALL)
    plain = inventory({"r1": [], "r2": [], "r3": []})
    one.say(Reconfigured(at=one.at, inventory=plain))
    assert set(one.world.inventory.services) == {"vpn"}
    twice = inventory({"r1": [], "r2": []}, services=[gold("vpn", [port("r1", "p1")])])
    with pytest.raises(NotAllowed, match="service 'vpn' was ordered"):
        decide(one.world, Reconfigured(at=one.at, inventory=twice))
    with pytest.raises(NotAllowed, match="device 'r2' carries service 'vpn'"):
        decide(one.world, Reconfigured(at=one.at, inventory=inventory({"r1": []})))


def test_what_is_stored_gives_the_same_world_again() -> None:
    one = net()
    place(one)
    report(one, *ALL)
    place(one, item(service="b"), id="SO-2")
    report(one, P.BEGUN, id="SO-2")
    believed = Beliefs(
        orders=dict(one.world.orders.items()),
        order_items=dict(one.world.order_items.items()),
        ordered=dict(one.world.ordered.items()),
    )
    again = Net(net().world.inventory, restore(net().world.inventory, believed))
    again.at = one.at
    assert set(again.world.inventory.services) == {"old", "vpn"}
    report(again, P.DECIDED, P.CONFIRMED, id="SO-2")
    assert set(again.world.inventory.services) == {"old", "vpn", "b"}


def same(one: Index, other: Index) -> bool:
    """Whether two indexes say the same, in whatever order."""
    return all(
        {key: set(map(repr, few)) for key, few in getattr(one, name).items()}
        == {key: set(map(repr, few)) for key, few in getattr(other, name).items()}
        for name in ("services", "resources", "meters")
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(Progress), st.sampled_from(["1", "2"])),
            st.tuples(st.sampled_from(["cancel", "hold", "resume"]), st.just("")),
        ),
        max_size=25,
    )
)
def test_whatever_is_said_states_move_by_the_table_and_services_follow_completed_items(
    story: list[tuple[Progress | str, str]],
) -> None:
    one = net()
    place(one, item("1", "a"), item("2", "b"))
    for what, number in story:
        before, said = state(one), len(one.outcomes)
        try:
            if isinstance(what, Progress):
                if one.world.order_items.get(("SO-1", number)) is not None:
                    report(one, what, number=number)
            else:
                ask(one, what)
        except NotAllowed:
            continue
        told = [n.state for o in one.outcomes[said:] for n in o.order_notes if not n.item]
        for after in told:
            assert after is before or after in NEXT[before]
            before = after
    done = {
        i.service
        for notice in one.notices(OrderNotice)
        if isinstance(notice, OrderNotice)
        for i in notice.items
        if i.state is S.COMPLETED
    } | {i.service for _, i in one.world.order_items.items() if i.state is S.COMPLETED}
    assert set(one.world.inventory.services) == {"old"} | done
    assert same(one.world.index, Index.of(one.world.inventory)), "drawn by parts as from the whole"
    ended = state(one) in ENDED
    assert ended == (len(one.world.order_items) == 0), "only open orders keep their items in mind"


WITHOUT = inventory({"r2": [], "r3": []})
NAMED_TOO = inventory({"r1": [], "r2": [], "r3": []}, services=[gold("vpn", [port("r3", "x")])])


@pytest.mark.parametrize("new", [WITHOUT, NAMED_TOO], ids=["its device gone", "in services.toml"])
def test_a_configuration_that_clashes_with_what_is_decided_is_refused_now_and_at_the_next_start(
    new: Inventory,
) -> None:
    n = net()
    place(n)
    report(n, P.BEGUN, P.DECIDED)
    with pytest.raises(NotAllowed, match="by order SO-1, item 1, which is under way"):
        n.say(Reconfigured(at=n.at, inventory=new))
    (clash,) = conflicts(new, (), promised(i for _, i in n.world.order_items.items()))
    assert "Keep it until" in clash.words or "Leave it out" in clash.words
    report(n, P.CONFIRMED)
    assert state(n) is S.COMPLETED
    assert "vpn" in n.world.inventory.services


@pytest.mark.parametrize("new", [WITHOUT, NAMED_TOO], ids=["its device gone", "in services.toml"])
@pytest.mark.parametrize("done", [(), (P.BEGUN,)], ids=["not begun", "begun"])
def test_an_order_not_decided_gives_way_to_a_configuration_and_never_comes_into_force(
    new: Inventory, done: tuple[Progress, ...]
) -> None:
    n = net()
    place(n)
    report(n, *done)
    n.say(Reconfigured(at=n.at, inventory=new))
    with pytest.raises(NotAllowed, match=r"'r1'|services\.toml"):
        report(n, P.DECIDED if done else P.BEGUN)
    report(n, *((P.UNDOING,) if done else ()), P.FAILED, why="the device is gone")
    assert state(n) is S.FAILED
    assert conflicts(new, (one for _, one in n.world.ordered.items())) == []
