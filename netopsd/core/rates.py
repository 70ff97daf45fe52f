"""Counters to readings, as columns: what a counter's two values say of the time between them.

A delta is valid only where nothing was reset in between and the result is physically possible;
everything else is a gap, never a spike (RFC 2578 section 7.1.6, RFC 2863 section 3.1.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from netopsd.core.model import Clocks, Layout, Table

TICKS = 1 << 32
SLACK_S = 5.0  # agents' clocks and our own are not the same
SLACK = 0.05
SPEED_LIMIT = 1.02  # of ifHighSpeed: more than that is impossible
SPEED_UNTOLD = 1e9  # bits per second, of a port that does not say
SPEED_UNIT = 125_000  # octets per second of one Mb/s, ifHighSpeed's unit


class Restart(StrEnum):
    """What the device's clocks say happened between two looks."""

    NONE = "none"
    AGENT = "agent restarted"  # sysUpTime began anew; one witness only
    DEVICE = "device rebooted"  # two witnesses agree


def restarted(before: Clocks, after: Clocks, elapsed_s: float) -> Restart:
    """Judge by several clocks; a sysUpTime that wrapped after 497.1 days is no restart.

    The agent restarted when sysUpTime is behind where it must be by now and the wrap does not
    explain it. The device rebooted when a second clock agrees (snmpEngineBoots grew, or
    hrSystemUptime fell back too); snmpEngineBoots alone says the agent.
    """
    agent = _fell_back(before.sys_uptime_ticks, after.sys_uptime_ticks, elapsed_s)
    host = _fell_back(before.hr_uptime_ticks, after.hr_uptime_ticks, elapsed_s)
    boots = (
        before.engine_boots is not None
        and after.engine_boots is not None
        and after.engine_boots > before.engine_boots
    )
    if host and (agent or boots):
        return Restart.DEVICE
    if agent and boots and before.hr_uptime_ticks is None:
        return Restart.DEVICE
    return Restart.AGENT if agent or boots or host else Restart.NONE


def _fell_back(before: int | None, after: int | None, elapsed_s: float) -> bool:
    """Whether a TimeTicks clock is behind where it must be, whole wraps aside."""
    if before is None or after is None:
        return False
    expected = before + round(elapsed_s * 100)
    behind = (expected - after) % TICKS
    slack = _slack(elapsed_s)
    if behind <= TICKS // 2:
        return behind > slack
    # It is ahead: a fast clock is no restart. But one that had still to wrap, and is at its
    # beginning, began anew after a very long time; unless it was as good as due.
    return after < expected < TICKS and TICKS - behind > slack


def _slack(elapsed_s: float) -> float:
    """Return by how many ticks a clock may be off without a word."""
    return (SLACK_S + SLACK * elapsed_s) * 100


def began_since(before: Clocks, after: Clocks, elapsed_s: float, stamped_within_s: float) -> bool:
    """Whether the agent has been up for less time than passed between two looks.

    Sharper than `restarted`, whose slack a second restart soon after a first one fits into. A slow
    clock seen just after a start looks the same: this is a reason for a gap, not for an alarm.
    """
    was, now = before.sys_uptime_ticks, after.sys_uptime_ticks
    if was is None or now is None:
        return False
    passed = round(elapsed_s * 100)
    early = TICKS - (was + passed)  # until it wraps
    if early <= 0 or early + now <= _slack(elapsed_s):
        return False
    return now < passed - stamped_within_s * 100


def any_restarted(
    before: NDArray[np.uint64],
    after: NDArray[np.uint64],
    offered: NDArray[np.bool_],
    elapsed_s: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return for which of many devices `restarted` says anything but NONE.

    `before`, `after` and `offered` have the rows sysUpTime, hrSystemUptime and snmpEngineBoots and
    a column for each device.
    """
    expected = before[:2].astype(np.int64) + np.rint(elapsed_s * 100).astype(np.int64)
    told = after[:2].astype(np.int64)
    behind = (expected - told) % TICKS
    slack = (SLACK_S + SLACK * elapsed_s) * 100
    anew = (told < expected) & (expected < TICKS) & (TICKS - behind > slack)
    back = np.where(behind <= TICKS // 2, behind > slack, anew)
    return np.asarray((back & offered[:2]).any(axis=0) | ((after[2] > before[2]) & offered[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Deltas:
    """What each counter grew by. `valid` False is a gap; `why` says which, per row or whole.

    `grown` is uint64, `valid` bool, both of shape (counters, rows).
    """

    grown: NDArray[np.uint64]
    valid: NDArray[np.bool_]
    elapsed_s: float


@dataclass(frozen=True, slots=True, eq=False)
class CounterPlan:
    """Where things are in a layout; drawn once per layout."""

    modulus: NDArray[np.uint64]  # column vector: 2^32-1 for 32-bit counters, all ones for 64
    wide: NDArray[np.bool_]  # column vector
    octets: NDArray[np.intp]  # positions of octet counters (whose rate is bounded by the speed)
    speed: int  # position of ifHighSpeed among the gauges, -1 where absent
    discontinuity: int  # position of ifCounterDiscontinuityTime, -1 where absent

    @staticmethod
    def of(layout: Layout) -> CounterPlan:
        """Draw the plan of `layout`."""
        widths = np.array(layout.widths, dtype=np.uint64).reshape(-1, 1)
        full = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        return CounterPlan(
            modulus=np.where(widths == 32, np.uint64(0xFFFF_FFFF), full),
            wide=widths != 32,
            octets=np.array([i for i, n in enumerate(layout.counters) if "Octets" in n], np.intp),
            speed=_position(layout.gauges, "ifHighSpeed"),
            discontinuity=_position(layout.gauges, "ifCounterDiscontinuityTime"),
        )


def _position(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1


def deltas(
    plan: CounterPlan, before: Table, after: Table, elapsed_s: float, limit: float = SPEED_LIMIT
) -> Deltas:
    """Return what grew between two looks that share a layout (no restart in between).

    A 32-bit counter may wrap once; a 64-bit one that fell back was reset. Octets above `limit` ×
    ifHighSpeed × elapsed are impossible and therefore a gap.
    """
    grown = (after.counters - before.counters) & plan.modulus
    valid = after.counters >= before.counters
    valid |= ~plan.wide
    if before.missing is not None:
        valid &= ~before.missing
    if after.missing is not None:
        valid &= ~after.missing
    if plan.discontinuity >= 0:
        was, now = before.gauges[plan.discontinuity], after.gauges[plan.discontinuity]
        valid &= (was == now) | (np.isnan(was) & np.isnan(now))
    if plan.speed >= 0 and len(plan.octets):
        most = after.gauges[plan.speed] * (limit * SPEED_UNIT * max(elapsed_s, 0.0))
        possible = (grown[plan.octets] <= most) | ~(most > 0)
        valid[plan.octets] &= possible
    if elapsed_s <= 0:
        valid = np.zeros_like(valid)
    return Deltas(grown, valid, elapsed_s)


def wraps_unseen(speed: float, interval_s: float) -> bool:
    """Whether a 32-bit octet counter could wrap unseen: interval beyond half its wrap time.

    `speed` is in bits per second. A port that does not say its speed (0) may be a gigabit port.
    """
    return interval_s * (speed or SPEED_UNTOLD) > (1 << 32) * 8 / 2
