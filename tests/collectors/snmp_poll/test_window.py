"""How many packets are out at once: few at first, more when behind, fewer after losses."""

from __future__ import annotations

from collectors.snmp_poll.window import CALM_S, DRAIN_LEAST_S, DRAIN_S, FIRST, LEAST, Window


def test_turns_in_time_leave_it_small() -> None:
    window = Window(256)
    for now in range(100):
        window.turn(False, now)

    assert (window.size, window.drain_s) == (FIRST, DRAIN_S)


def test_it_grows_to_its_most_while_turns_are_late_and_fetches_faster() -> None:
    window = Window(256)
    for now in range(20):
        window.turn(True, now)
    assert (window.size, window.drain_s) == (256, DRAIN_LEAST_S)

    for now in range(20, 60):
        window.turn(False, now)
    assert window.drain_s == DRAIN_S


def test_losses_halve_it_once_a_second_and_a_few_among_many_do_not() -> None:
    window = Window(256)
    window.lost(1, 63, 0.0)
    assert window.size == FIRST
    window.lost(10, 54, 1.0)
    window.lost(10, 54, 1.5)
    assert window.size == FIRST // 2


def test_losses_at_the_least_do_not_keep_it_from_growing() -> None:
    window = Window(256)
    for now in range(10):
        window.lost(10, 0, 2.0 * now)
    assert window.size == LEAST
    at = 2.0 * 9

    window.lost(10, 0, at + CALM_S - 1)
    window.turn(True, at + CALM_S + 1)

    assert window.size > LEAST


def test_it_is_never_more_than_is_allowed() -> None:
    window = Window(3)
    window.lost(3, 0, 0.0)
    window.turn(True, 100.0)

    assert window.size == 3
