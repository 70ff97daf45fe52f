"""Stories of a network, told look by look, and what netopsd makes of them."""

from __future__ import annotations

from datetime import timedelta

from netopsd.core.beliefs import Phase, TicketStatus
from netopsd.core.inventory import Policy
from netopsd.core.model import Blind, Resource, Tick
from netopsd.core.outcome import AlarmNotice, OutageNotice, ViolationNotice
from tests.core.network import Net, Ports, gold, inventory, port

QUICK = Policy(ticket_hold_s=60, unreachable_after=3)


def chain(**more: object) -> Net:
    """agg ─port 1─ cr1 ─ cr2 ─ two CPEs; `far` is elsewhere."""
    services = (
        gold("s1", [Resource("cpe1")]),
        gold("s2", [Resource("cpe2")]),
        gold("s3", [port("far", "p1")]),
    )
    return Net(
        inventory(
            {
                "agg": [],
                "far": [],
                "cr1": [port("agg", "p1")],
                "cr2": [Resource("cr1")],
                "cpe1": [Resource("cr2")],
                "cpe2": [Resource("cr2")],
            },
            services=services,
            policy=QUICK,
        )
    )


BEHIND = ("cr1", "cr2", "cpe1", "cpe2")


def cycle(net: Net, *, cut: bool) -> None:
    net.look("agg", Ports({"p1": 2 if cut else 1, "p2": 1}))
    net.up("far", "p1")
    for name in BEHIND:
        if cut:
            net.miss(name)
        else:
            net.up(name, "p1")
    net.wait(30)


def test_a_cut_fibre_is_one_ticket_with_its_root_cause() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(6):
        cycle(net, cut=True)

    assert net.active() == ["agg/if/p1!link-down"]
    assert {a.resource.device for a in net.alarms(Phase.ACTIVE) if a.root} == set(BEHIND)
    (ticket,) = net.tickets()
    assert ticket.cause == "agg/if/p1!link-down"
    assert ticket.services == ("s1", "s2")
    assert ticket.symptoms == 4


def test_when_the_fibre_is_spliced_everything_clears_and_the_ticket_resolves() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(6):
        cycle(net, cut=True)
    for _ in range(2):
        cycle(net, cut=False)

    assert net.alarms(Phase.ACTIVE) == []
    (ticket,) = net.tickets()
    assert ticket.status is TicketStatus.RESOLVED
    assert ticket.resolved_at is not None
    ended = [n for n in net.notices(OutageNotice) if n.what == "ended"]  # type: ignore[attr-defined]
    assert len(ended) == 2


def test_an_outage_starts_at_the_first_failed_look_not_at_its_confirmation() -> None:
    net = chain()
    cycle(net, cut=False)
    began = net.at
    for _ in range(6):
        cycle(net, cut=True)

    started = {n.outage.service: n.outage for n in net.notices(OutageNotice)}  # type: ignore[attr-defined]
    assert set(started) == {"s1", "s2"}
    assert {o.starts for o in started.values()} == {began}


def test_a_broken_promise_is_recorded_once_per_tier_with_evidence() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(2 * 60 * 9):  # nine hours: past 0.1 % (43 min) and 1 % (7.2 h) of the month
        cycle(net, cut=True)

    violations = [n.violation for n in net.notices(ViolationNotice)]  # type: ignore[attr-defined]
    assert sorted(v.id for v in violations) == [
        "s1/2026-11/tier-1",
        "s1/2026-11/tier-2",
        "s2/2026-11/tier-1",
        "s2/2026-11/tier-2",
    ]
    assert all(v.alarms and len(v.samples_sha256) == 64 for v in violations)
    assert (
        sum(v.credit_share for v in violations if v.service == "s1")
        == net.world.inventory.services["s1"].tiers[-1].credit
    )


def test_a_blind_device_does_not_clear_its_links() -> None:
    net = chain()
    net.look("far", Ports({"p1": 2}))
    net.wait(30)
    for _ in range(2):
        net.miss("far")
        net.up("agg", "p1")
        net.wait(30)

    assert "far/if/p1!link-down" in net.active()


def test_when_nobody_answers_it_is_we_who_are_cut_off() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(10):
        for name in ("agg", "far", *BEHIND):
            net.miss(name)
        net.wait(30)

    assert net.active() == ["netopsd!poller-isolated"]
    assert net.notices(OutageNotice) == []
    cycle(net, cut=False)
    assert net.alarms(Phase.ACTIVE) == []
    assert all(p.down_s == 0 for _, p in net.world.periods.items())


def test_one_lost_look_is_nothing() -> None:
    net = chain()
    cycle(net, cut=False)
    net.miss("cpe1")
    net.wait(30)
    cycle(net, cut=False)

    assert net.notices(AlarmNotice) == []
    assert all(p.unknown_s == 0 and p.down_s == 0 for _, p in net.world.periods.items())


def test_a_forged_link_up_clears_nothing_but_asks_for_a_look() -> None:
    net = chain()
    net.look("far", Ports({"p1": 2}))
    outcome = net.trap("far", "1.3.6.1.6.3.1.1.5.4", "1")

    assert net.active() == ["far/if/p1!link-down"]
    assert {v.device for v in outcome.verify} == {"far"}


def test_a_trap_raises_at_once_and_the_poll_decides() -> None:
    net = chain()
    net.up("far", "p1")
    net.wait(1)
    net.trap("far", "1.3.6.1.6.3.1.1.5.3", "1")
    assert net.active() == ["far/if/p1!link-down"]
    net.wait(1)
    net.up("far", "p1")
    assert net.active() == []


def test_a_rejecting_device_is_not_an_outage() -> None:
    net = chain()
    cycle(net, cut=False)
    for _ in range(4):
        net.miss("cpe1", Blind.REJECTED)
        net.wait(30)
    assert net.active() == ["cpe1!access-refused"]
    assert net.notices(OutageNotice) == []


def test_deciding_touches_nothing() -> None:
    net = chain()
    cycle(net, cut=False)
    before = {name: dict(getattr(net.world, name).own) for name in ("alarms", "devices", "due")}
    from netopsd.core.engine import decide

    decide(net.world, Tick(net.at + timedelta(seconds=5)))
    assert before == {name: dict(getattr(net.world, name).own) for name in before}
