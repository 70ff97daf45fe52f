"""The log says what was decided, in words, and a storm does not flood it."""

from __future__ import annotations

from netopsd import journal
from netopsd.core.outcome import AlarmNotice
from tests.core.network import Net, Ports, gold, inventory, port


def test_a_fault_is_told_from_alarm_to_broken_promise() -> None:
    net = Net(inventory({"gw": [], "b": [], "c": []}, services=[gold("s1", [port("gw", "p1")])]))
    net.up("gw", "p1")
    for _ in range(100):
        net.wait(30)
        net.look("gw", Ports({"p1": 2}))
    lines = [line for o in net.outcomes for line in journal.lines(o.notices)]
    starts = [line.split(":")[0].split(" (")[0] for line in lines]
    assert starts[0] == "alarm raised"
    assert any(line.startswith("ticket TT-000001 opened: gw p1 is down") for line in lines)
    assert any(line.startswith("outage started: service s1 of acme") for line in lines)
    assert any(line.startswith("SLA: s1 has used 50 %") for line in lines)
    assert any(line.startswith("SLA broken: s1/2026-11/tier-1") for line in lines)


def test_a_storm_is_a_few_lines() -> None:
    net = Net(inventory({"gw": []}))
    outcome = net.look("gw", Ports({f"p{n}": 2 for n in range(500)}))
    told = [n for n in outcome.notices if isinstance(n, AlarmNotice)]
    lines = list(journal.lines(outcome.notices))
    assert len(lines) == journal.MOST_LINES + 1
    assert lines[-1] == f"and {len(told) - journal.MOST_LINES} more notices in the same commit"
