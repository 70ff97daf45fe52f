"""netopsd's own figures, and what Prometheus' own tools say of them."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from netopsd.clock import ManualClock
from netopsd.counting import Histogram, LoopLag, until_next
from netopsd.errors import StoreBroken
from netopsd.metrics import Figures, Sources

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TRAPS = {"received": 12, "malformed": 3, "emitted": 9, "folded": 4, "in_flight": 0}


async def depth() -> tuple[int, int, datetime | None]:
    return 5, 1, NOON - timedelta(seconds=90)


def full() -> Figures:
    sources = Sources(
        alarms=lambda: {"critical": 2, "major": 0},
        tickets=lambda: {"inProgress": 1},
        snmp=lambda: {"varbinds": 2**60, "walk_errors": 2, "in_flight": 7},
        traps=lambda: TRAPS,
        store_totals=lambda: {"commits": 11},
        deliveries=lambda: {"delivered": 4},
        queues=lambda: {"inbox": 3},
        late=lambda: 6,
        series=lambda: (500_000, 0),
        outbox=depth,
        orders=lambda: {"pending": 2},
        order_pending_s=lambda: 1200.0,
        order_items=lambda: {"completed": 8},
        activation_steps=lambda: {("confirm", "failed"): 3},
        drift=lambda: (40, 1),
    )
    figures = Figures(clock=ManualClock(NOON), version="0.1.0", sources=sources)
    figures.polls.add("ok", 3)
    figures.inputs.add("Batch")
    figures.http.add("200")
    figures.poll_seconds.observe(0.3)
    figures.reload.at = NOON
    return figures


def told(figures: Figures) -> dict[str, float]:
    """Return every sample by its name and labels as written."""
    text = asyncio.run(figures.text()).decode()
    samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert len({name for name, _ in samples}) == len(samples)
    return {name: float(value) for name, value in samples}


def test_the_figures_are_those_of_their_sources() -> None:
    values = told(full())
    assert values['netopsd_alarms{severity="critical"}'] == 2
    assert values['netopsd_tickets{status="inProgress"}'] == 1
    assert values["netopsd_outbox_pending"] == 5
    assert values["netopsd_outbox_parked"] == 1
    assert values["netopsd_outbox_oldest_seconds"] == 90
    assert values["netopsd_snmp_varbinds_total"] == 2**60
    assert values["netopsd_snmp_in_flight"] == 7
    assert values['netopsd_polls_total{result="ok"}'] == 3
    assert values['netopsd_polls_total{result="rejected"}'] == 0
    assert values["netopsd_poll_late_total"] == 6
    assert values['netopsd_poll_duration_seconds_bucket{le="0.25"}'] == 0
    assert values['netopsd_poll_duration_seconds_bucket{le="0.5"}'] == 1
    assert values["netopsd_config_last_reload_successful"] == 1
    assert values['netopsd_orders{state="pending"}'] == 2
    assert values["netopsd_order_pending_oldest_seconds"] == 1200
    assert values['netopsd_order_items_total{result="completed"}'] == 8
    assert values['netopsd_activation_steps_total{result="failed",step="confirm"}'] == 3
    assert values["netopsd_drift_checks_total"] == 40
    assert values["netopsd_drifting_devices"] == 1


def test_the_ends_of_traps_add_up_to_what_was_received() -> None:
    values = told(full())
    ends = [value for name, value in values.items() if name.startswith("netopsd_traps_total{")]
    assert sum(ends) == values["netopsd_traps_received_total"] == 12


def test_a_broken_store_leaves_its_figures_out_and_the_rest_in() -> None:
    async def broken() -> tuple[int, int, datetime | None]:
        raise StoreBroken("disk I/O error")

    figures = Figures(clock=ManualClock(NOON), version="1", sources=Sources(outbox=broken))
    values = told(figures)
    assert not [name for name in values if "outbox" in name]
    assert values['netopsd_polls_total{result="ok"}'] == 0


def test_a_histogram_counts_each_observation_once_at_or_below_its_bound() -> None:
    seen = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 1.0, 7.0):
        seen.observe(seconds)
    assert seen.cumulative() == [("0.1", 2), ("1.0", 4), ("+Inf", 5)]
    assert seen.total == pytest.approx(8.65)


def test_the_worst_lag_of_the_last_minute_is_told_and_then_forgotten() -> None:
    lag = LoopLag(ManualClock(NOON))
    lag.note(0.0, 0.8)
    lag.note(30.0, 0.1)
    assert lag.worst_s() == 0.8
    lag.note(61.0, 0.0)
    assert lag.worst_s() == 0.1


def test_what_is_done_at_whole_seconds_is_done_once_in_each() -> None:
    assert until_next(0.5, 10.2) == pytest.approx(0.3)
    assert until_next(1.0, 10.0) == 1.0
    assert until_next(1.0, 9.9997) == pytest.approx(1.0003), "a timer was a little early"


def lint(text: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode, set((done.stdout + done.stderr).splitlines())


@pytest.mark.peer("promtool")
def test_promtool_is_silent_on_our_own_metrics(site: Any) -> None:
    own = asyncio.run(full().text()).decode()
    families = "".join(piece for family in site.page.families for piece in family.pieces())
    assert lint(own + families) == (0, set())


@pytest.mark.peer("promtool")
def test_promtool_minds_nothing_but_the_names_snmp_exporter_gave(site: Any) -> None:
    """ifHCInOctets is camel case and a counter without _total: the price of fitting dashboards."""
    from netopsd.core.inventory import Device
    from netopsd.core.model import Batch, Clocks

    site.series.take(
        Batch(device="gw", at=NOON, mono_s=0.0, clocks=Clocks(sys_uptime_ticks=1)),
        Device(name="gw", site='"} 1\n'),
    )
    text = site.ask("GET", "/metrics").text
    _, said = lint(text)
    assert said == {
        "sysUpTime metric names should be written in 'snake_case' not 'camelCase'",
    }
    broken = text.replace("# TYPE netopsd_alarms gauge", "# TYPE netopsd_alarms gauge\n!")
    assert lint(broken)[0] != 0


def test_no_secret_and_no_name_of_a_user_is_in_the_metrics(site: Any) -> None:
    for path in ("/api/v1/alarms", "/metrics"):
        site.ask("GET", path, token="operator-token-0001")
    text = site.ask("GET", "/metrics", token="operator-token-0001").text
    for canary in ("operator-token", "anna", "authorization"):
        assert canary not in text.lower()
    assert 'netopsd_http_requests_total{status="200"}' in text


def test_every_own_metric_is_described_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    text = asyncio.run(full().text()).decode()
    for family in text_string_to_metric_families(text):
        if family.name.startswith("netopsd_"):
            known = family.name + ("_total" if family.type == "counter" else "")
            listed = f"`{known}`" in page or f"`{known}{{" in page
            level = known.endswith("_in_flight")  # told as netopsd_queue_length by the daemon
            assert listed or level or known.startswith(("netopsd_snmp_", "netopsd_store_")), known
