"""What two samples of a meter say of the octets between them, or by name why nobody can know."""

from __future__ import annotations

from netopsd.core.beliefs import Meter
from netopsd.core.model import Clocks
from netopsd.core.rates import TICKS, Restart, began_since, restarted, wraps_unseen

# When exactly a counter was read is not known better than this: of two looks in quick succession
# (a trap asks for one) the octets between may seem to have come faster than the port can carry.
STAMPED_WITHIN_S = 1.0
# Two looks at a device at once, the later one answered first, are not farther apart.
OVERTAKEN_S = 5.0


def grown(was: Meter, now: Meter) -> tuple[int, int]:
    """Return how far both counters came, over a wrap where there was one."""
    mask = (1 << was.width) - 1
    return (now.in_octets - was.in_octets) & mask, (now.out_octets - was.out_octets) & mask


def gap(was: Meter, now: Meter, over_speed: float) -> str:
    """Return why the octets between two samples cannot be known, "" where they can.

    `over_speed` is how many times its speed a port may seem to carry. A LAG that lost a member, or
    a port that is down now and says 0, carried what it did at the speed it had before.
    """
    speed = max(was.speed, now.speed)
    elapsed = (now.at - was.at).total_seconds()
    before = Clocks(sys_uptime_ticks=was.clock_ticks)
    after = Clocks(sys_uptime_ticks=now.clock_ticks)
    fell = now.in_octets < was.in_octets or now.out_octets < was.out_octets
    longest = elapsed * over_speed + STAMPED_WITHIN_S
    most = speed / 8 * longest
    blind = was.clock_ticks is None or now.clock_ticks is None
    began = began_since(before, after, elapsed, STAMPED_WITHIN_S)
    reasons = (
        ("restart", began or restarted(before, after, elapsed) is not Restart.NONE),
        ("counter width changed", was.width != now.width),
        ("counter discontinuity", _moved(was, now)),
        ("counter reset", was.width == 64 and fell),
        ("counter reset or wrap, and no clock to tell which", fell and blind),
        (
            "32-bit counter may have wrapped unseen" + ("" if speed else ", port speed unknown"),
            was.width == 32 and any(grown(was, now)) and wraps_unseen(speed, elapsed),
        ),
        ("faster than the port", speed > 0 and max(grown(was, now)) > most),
    )
    return next((why for why, true in reasons if true), "")


def overtaken(was: Meter, now: Meter) -> bool:
    """Whether a sample that came later was taken earlier, by the device's own clock.

    So it is where two look at once, as when a device changes hands. Its numbers are of before, and
    the next sample has them all; taken as a reset, what is between the two would count twice.
    """
    fell = now.in_octets < was.in_octets or now.out_octets < was.out_octets
    elapsed_s = (now.at - was.at).total_seconds()
    if not fell or was.clock_ticks is None or now.clock_ticks is None or elapsed_s > OVERTAKEN_S:
        return False
    back_s = (was.clock_ticks - now.clock_ticks) % TICKS / 100
    up_since_before = now.clock_ticks / 100 > elapsed_s + STAMPED_WITHIN_S
    return back_s <= OVERTAKEN_S and up_since_before


def _moved(was: Meter, now: Meter) -> bool:
    """Whether the port says that its counters were reset in between, as far as it says anything."""
    if now.discontinuity is None:
        return False
    if was.discontinuity is None:  # known from now on: it is told on the agent's own clock
        return now.discontinuity > (was.clock_ticks or 0)
    return now.discontinuity != was.discontinuity
