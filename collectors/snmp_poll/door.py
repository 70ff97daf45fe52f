"""Where questions wait that will perhaps not be answered. No sockets here.

Each of them takes a place among the requests that may be out at once until it has timed out; many
dead devices would take all of them, and those that live would wait.
"""

from __future__ import annotations

import asyncio

KINDS = 4
# A first try, further ones (to who was never heard: NEW), those to who did not answer last time.
FIRST, AGAIN, NEW, DEAD = range(KINDS)
_ORDER, _OTHER = (FIRST, AGAIN, NEW, DEAD), (AGAIN, FIRST, NEW, DEAD)
SHARE = 8  # of so many places one is a second try's before all: who died is told of in time
Call = asyncio.Future[None]


class Door:
    """Lets `most` through at a time, second tries after most first ones, the dead after the living.

    Where thousands die at once, each is told of after its second try: these do not wait until all
    have had their first one. At a start they do: whoever lives is to be heard soon.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._called = 0
        self._lines: list[dict[Call, None]] = [{} for _ in range(KINDS)]

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines))

    def enter(self, kind: int, call: Call) -> None:
        """Stand in line; `call` is done when it is our turn. `leave` is due in any case."""
        if self._free:
            self._free -= 1
            call.set_result(None)
        else:
            self._lines[kind][call] = None

    def leave(self, call: Call) -> None:
        """Let the next one through; or leave the line, where it was not our turn yet."""
        for line in self._lines:
            if call in line:
                del line[call]
                return
        self._called += 1
        for kind in _ORDER if self._called % SHARE else _OTHER:
            line = self._lines[kind]
            if line:
                following = next(iter(line))
                del line[following]
                if not following.done():  # else it is about to leave
                    following.set_result(None)
                return
        self._free += 1
