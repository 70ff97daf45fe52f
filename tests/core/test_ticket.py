"""Trouble tickets: TMF621 as a table, one per root cause, never two open for one."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from netopsd.core.beliefs import FINAL, Severity, Ticket, TicketStatus
from netopsd.core.inventory import Policy
from netopsd.core.model import NotAllowed, TicketAct
from netopsd.core.outcome import TicketNotice
from netopsd.core.ticket import NEXT, way
from tests.core.network import Net, Ports, gold, inventory, port

S = TicketStatus


def net(**policy: float) -> Net:
    return Net(
        inventory(
            {"gw": [], "b": [], "c": []},
            services=[gold("s1", [port("gw", "p1")])],
            policy=Policy(**policy),  # type: ignore[arg-type]
        )
    )


def down(net: Net, looks: int = 4) -> None:
    for _ in range(looks):
        net.look("gw", Ports({"p1": 2}))
        net.wait(30)


def up(net: Net, looks: int = 1) -> None:
    for _ in range(looks):
        net.up("gw", "p1")
        net.wait(30)


def only(net: Net) -> Ticket:
    (ticket,) = net.tickets()
    return ticket


def told(net: Net) -> list[str]:
    return [n.what for n in net.notices(TicketNotice)]  # type: ignore[attr-defined]


def test_the_table_is_the_standard() -> None:
    assert set(NEXT) == set(S)
    assert {s for s in S if not NEXT[s]} == FINAL
    assert NEXT[S.ACKNOWLEDGED] == {S.IN_PROGRESS, S.REJECTED, S.CANCELLED}
    assert NEXT[S.RESOLVED] == {S.CLOSED, S.IN_PROGRESS}


def test_every_way_is_made_of_legal_steps() -> None:
    for start, goal in itertools.product(S, S):
        steps = (start, *way(start, goal))
        assert all(b in NEXT[a] for a, b in itertools.pairwise(steps))
        if start not in FINAL and goal in (S.RESOLVED, S.CANCELLED):
            assert steps[-1] is goal or start is goal


def test_a_ticket_waits_for_the_hold_time() -> None:
    story = net(ticket_hold_s=60)
    down(story, 1)
    up(story)
    assert story.tickets() == []


def test_a_ticket_carries_what_is_hurt_and_how_much_it_matters() -> None:
    story = net()
    down(story)
    ticket = only(story)
    assert ticket.services == ("s1",)
    assert ticket.priority == 3
    assert ticket.status is S.ACKNOWLEDGED
    assert "ifOperStatus" in ticket.why


def test_it_resolves_when_the_cause_clears_and_reopens_when_it_returns() -> None:
    story = net(flap_raise=1000)
    down(story)
    up(story)
    assert only(story).status is S.RESOLVED
    down(story)
    assert only(story).status is S.IN_PROGRESS
    assert told(story) == ["opened", "resolved", "reopened"]


def test_a_resolved_ticket_closes_by_itself_and_a_later_fault_opens_another() -> None:
    story = net(ticket_close_s=600, flap_half_life_s=10)
    down(story)
    up(story, 25)
    assert story.tickets() == []
    assert told(story)[-1] == "closed"
    down(story)
    assert only(story).id == "TT-000002"


def test_there_are_never_two_open_tickets_for_one_cause() -> None:
    story = net(flap_raise=1e9, ticket_hold_s=10, ticket_reopen_s=100)
    for n in range(60):
        story.look("gw", Ports({"p1": 2 if n % 3 else 1}))
        story.wait(30)
        open_ = [t.cause for t in story.tickets() if t.status is not S.RESOLVED]
        assert len(open_) == len(set(open_)) <= 1


def test_people_move_tickets_only_as_the_standard_allows() -> None:
    story = net()
    down(story)
    ticket = only(story)
    at = story.at + timedelta(seconds=1)
    story.say(TicketAct(at=at, by="kari", ticket=ticket.id, status="inProgress", note="on it"))
    assert only(story).status is S.IN_PROGRESS
    with pytest.raises(NotAllowed, match="it can become cancelled, held, pending, resolved"):
        story.say(TicketAct(at=at, by="kari", ticket=ticket.id, status="rejected"))
    with pytest.raises(NotAllowed, match="no ticket status"):
        story.say(TicketAct(at=at, by="kari", ticket=ticket.id, status="done"))
    with pytest.raises(NotAllowed, match="no open ticket"):
        story.say(TicketAct(at=at, by="kari", ticket="TT-9", note="?"))
    with pytest.raises(NotAllowed, match="neither"):
        story.say(TicketAct(at=at, by="kari", ticket=ticket.id))
    notes = [n for o in story.outcomes for n in o.ticket_notes]
    assert ("kari", "on it") in {(n.by, n.text) for n in notes}


def test_a_held_ticket_still_resolves_by_legal_steps() -> None:
    story = net()
    down(story)
    for status in ("inProgress", "held"):
        story.say(
            TicketAct(at=story.at, by="kari", ticket=only(story).id, status=status, note="parts")
        )
    up(story)
    assert only(story).status is S.RESOLVED
    statuses = [n.status for o in story.outcomes for n in o.ticket_notes]
    assert all(b in NEXT[a] for a, b in itertools.pairwise(statuses) if a is not b)


def test_a_first_class_customer_makes_it_critical() -> None:
    from dataclasses import replace

    service = replace(gold("s1", [port("gw", "p1")]), priority=1)
    story = Net(inventory({"gw": [], "b": [], "c": []}, services=[service]))
    down(story)
    assert only(story).severity is Severity.CRITICAL
    assert only(story).priority == 1
