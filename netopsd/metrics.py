"""netopsd's own figures. The hot path adds to plain numbers; text is made when somebody asks.

What other parts know already (alarms by severity, the outbox's depth, the engine's counters) is
read from them at scrape time through `Sources`. No global registry, no per-call label look-ups.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from netopsd.counting import Counts, Histogram, LoopLag
from netopsd.errors import StoreBroken
from netopsd.ports import Clock

POLL_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LATE_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0)
COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

# What the SNMP engine and the trap listener tell beside their ever-growing counts.
LEVELS = frozenset({"in_flight", "waiting", "sessions", "subscriptions"})
# Counts of traps that are no end a trap comes to: the others add up to all that were received.
NO_END = frozenset({"received", "folded", "informs_acked", "v3_accepted", "v3_refused"})


def _nothing() -> Mapping[str, float]:
    return {}


async def _no_outbox() -> tuple[int, int, datetime | None]:
    return 0, 0, None


Snapshot = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What others know. Every callable returns a snapshot, at once and without I/O.

    Keys of `alarms` are severities, of `tickets` TMF621 states, of `deliveries` results, of
    `orders` TMF641 states, of `order_items` results, of `activation_steps` steps with results, of
    `queues` their names; those of `snmp`, `traps` and `store_totals` are counts by name. `late` is
    the number of late looks, `outbox` is `ports.Outbox.depth`.
    """

    alarms: Snapshot = _nothing
    tickets: Snapshot = _nothing
    snmp: Snapshot = _nothing
    traps: Snapshot = _nothing
    mqtt: Snapshot = _nothing
    netconf: Snapshot = _nothing
    store_totals: Snapshot = _nothing
    deliveries: Snapshot = _nothing
    orders: Snapshot = _nothing
    order_pending_s: Callable[[], float] = lambda: 0.0
    order_items: Snapshot = _nothing
    activation_steps: Callable[[], Mapping[tuple[str, str], float]] = dict
    drift: Callable[[], tuple[int, int]] = lambda: (0, 0)  # checks, devices that differ now
    queues: Snapshot = _nothing
    not_judged: Callable[[], float] = lambda: 0.0
    late: Callable[[], float] = lambda: 0.0
    series: Callable[[], tuple[int, int]] = lambda: (0, 0)  # shown, hidden
    clock_stepped_s: Callable[[], float] = lambda: 0.0
    outbox: Callable[[], Awaitable[tuple[int, int, datetime | None]]] = _no_outbox


@dataclass(slots=True, kw_only=True)
class Reload:
    """How the latest reading of the configuration went."""

    successful: bool = True
    at: datetime | None = None  # of the latest success


@dataclass(slots=True)
class _Outbox:
    pending: int = 0
    parked: int = 0
    oldest_s: float = 0.0
    known: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Figures:
    """Everything netopsd counts about itself, and its text.

    The pipeline and the watch are handed the bound methods they need: `figures.polls.add`,
    `figures.poll_seconds.observe` and the like. `text` is what /metrics shows of them.
    """

    clock: Clock
    version: str
    sources: Sources = field(default_factory=Sources)
    polls: Counts = field(
        default_factory=lambda: Counts(("ok", "partial", "unreachable", "rejected", "malformed"))
    )
    inputs: Counts = field(default_factory=Counts)
    http: Counts = field(default_factory=Counts)
    poll_seconds: Histogram = field(default_factory=lambda: Histogram(POLL_BOUNDS_S))
    poll_lateness: Histogram = field(default_factory=lambda: Histogram(LATE_BOUNDS_S))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(COMMIT_BOUNDS_S))
    reload: Reload = field(default_factory=Reload)
    lag: LoopLag = field(init=False)
    _registry: CollectorRegistry = field(init=False)
    _outbox: _Outbox = field(default_factory=_Outbox, init=False)

    def __post_init__(self) -> None:
        self.lag = LoopLag(self.clock)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    async def text(self) -> bytes:
        """Return the text format of all own figures. A broken store leaves the outbox out."""
        try:
            pending, parked, oldest = await self.sources.outbox()
        except StoreBroken:
            self._outbox = _Outbox()
        else:
            age = (self.clock.now() - oldest).total_seconds() if oldest else 0.0
            self._outbox = _Outbox(pending, parked, max(0.0, age), True)
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Tell the registry nothing beforehand: the families are known when they are asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family of our own (the registry calls this)."""
        yield from self._beliefs()
        yield from self._outbox_families()
        yield from self._activation()
        yield from self._looks()
        yield from self._pipeline()
        yield from self._house()

    def _beliefs(self) -> Iterator[Metric]:
        yield _by(
            "netopsd_alarms", "Active alarms, by perceived severity.", "severity",
            self.sources.alarms(),
        )  # fmt: skip
        yield _by("netopsd_tickets", "Trouble tickets.", "status", self.sources.tickets())

    def _outbox_families(self) -> Iterator[Metric]:
        if not self._outbox.known:
            return
        said = "Messages for the business side that are"
        yield _gauge("netopsd_outbox_pending", f"{said} waiting.", self._outbox.pending)
        yield _gauge(
            "netopsd_outbox_parked", f"{said} parked: a person must look.", self._outbox.parked
        )
        yield _gauge(
            "netopsd_outbox_oldest_seconds", "Age of the oldest waiting message.",
            self._outbox.oldest_s,
        )  # fmt: skip
        yield _counted(
            "netopsd_deliveries", "Attempts to hand messages over.", "result",
            self.sources.deliveries(),
        )  # fmt: skip

    def _activation(self) -> Iterator[Metric]:
        yield _by("netopsd_orders", "Open service orders.", "state", self.sources.orders())
        yield _gauge(
            "netopsd_order_pending_oldest_seconds",
            "How long the order that has waited longest for a device waits.",
            self.sources.order_pending_s(),
        )
        yield _counted(
            "netopsd_order_items", "Items of orders that ended.", "result",
            self.sources.order_items(),
        )  # fmt: skip
        steps = CounterMetricFamily(
            "netopsd_activation_steps", "Steps of items on their devices, by how they ended.",
            labels=["step", "result"],
        )  # fmt: skip
        for labels, value in self.sources.activation_steps().items():
            steps.add_metric(labels, value)
        yield steps
        checks, drifting = self.sources.drift()
        yield _named("netopsd_drift_checks", "Devices compared with what was ordered.", checks)
        yield _gauge(
            "netopsd_drifting_devices", "Differences from what was ordered, latest round.", drifting
        )

    def _looks(self) -> Iterator[Metric]:
        yield _histogram(
            "netopsd_poll_duration_seconds", "How long a look took.", self.poll_seconds
        )
        yield _histogram(
            "netopsd_poll_lateness_seconds", "How late looks began.", self.poll_lateness
        )
        yield CounterMetricFamily(
            "netopsd_poll_late", "Looks that began after the next one was due.",
            value=self.sources.late(),
        )  # fmt: skip
        yield _counted("netopsd_polls", "Looks at devices.", "result", self.polls.values)
        for name, value in self.sources.snmp().items():
            yield _named(f"netopsd_snmp_{name}", f"SNMP engine: {name.replace('_', ' ')}.", value)
        traps = self.sources.traps()
        beside = NO_END | LEVELS
        ends = {name: value for name, value in traps.items() if name not in beside}
        yield _counted("netopsd_traps", "Traps and informs, by how each ended.", "result", ends)
        for name in sorted(beside & traps.keys()):
            about = f"Traps and informs: {name.replace('_', ' ')}."
            yield _named(f"netopsd_traps_{name}", about, traps[name])
        for name, value in self.sources.mqtt().items():
            yield _named(f"netopsd_mqtt_{name}", f"MQTT: {name.replace('_', ' ')}.", value)
        for name, value in self.sources.netconf().items():
            yield _named(f"netopsd_netconf_{name}", f"NETCONF: {name.replace('_', ' ')}.", value)
        shown, hidden = self.sources.series()
        yield _gauge("netopsd_network_series", "Series of the network in the last scrape.", shown)
        yield _gauge("netopsd_network_rows_hidden", "Rows left out of too long tables.", hidden)

    def _pipeline(self) -> Iterator[Metric]:
        yield _counted("netopsd_inputs", "Inputs decided.", "kind", self.inputs.values)
        yield _named(
            "netopsd_inputs_not_judged", "Inputs passed over: judgement stumbled over them.",
            self.sources.not_judged(),
        )  # fmt: skip
        yield _histogram("netopsd_commit_seconds", "How long a commit took.", self.commit_seconds)
        for name, value in self.sources.store_totals().items():
            yield CounterMetricFamily(
                f"netopsd_store_{name}", f"Store: {name.replace('_', ' ')}.", value=value
            )
        yield _by("netopsd_queue_length", "Length of a queue.", "queue", self.sources.queues())

    def _house(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "netopsd_build_info", "Always 1; what is running.", labels=["version", "python"]
        )
        build.add_metric([self.version, platform.python_version()], 1)
        yield build
        yield _gauge(
            "netopsd_loop_lag_seconds", "How late the event loop was, worst of the last minute.",
            self.lag.worst_s(),
        )  # fmt: skip
        yield _gauge(
            "netopsd_config_last_reload_successful", "1 while the latest configuration is in use.",
            self.reload.successful,
        )  # fmt: skip
        if self.reload.at is not None:
            yield _gauge(
                "netopsd_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read.", self.reload.at.timestamp(),
            )  # fmt: skip
        yield _gauge(
            "netopsd_clock_step_seconds", "Latest step of the machine's clock beyond 5 s.",
            self.sources.clock_stepped_s(),
        )  # fmt: skip
        yield _counted("netopsd_http_requests", "HTTP answers.", "status", self.http.values)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=float(value))


def _named(name: str, help_text: str, value: float) -> Metric:
    """Return a count, or a level where the name's last words are one."""
    if any(name.endswith("_" + level) for level in LEVELS):
        return _gauge(name, help_text, value)
    return CounterMetricFamily(name, help_text, value=value)


def _by(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for word, value in values.items():
        family.add_metric([str(word)], value)
    return family


def _counted(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for word, value in values.items():
        family.add_metric([str(word)], value)
    return family


def _histogram(name: str, help_text: str, seen: Histogram) -> Metric:
    return HistogramMetricFamily(name, help_text, buckets=seen.cumulative(), sum_value=seen.total)
