"""Which addresses devices that are configured by host name send from."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping

from netopsd.ports import Clock

log = logging.getLogger(__name__)

AGAIN_S = 300.0  # addresses change seldom, and traps come all the same meanwhile
FAILED_AGAIN_S = 30.0
TOGETHER_S = 1.0  # of many names, those found within so long are heard from at once
Resolve = Callable[[str], Awaitable[Iterable[str]]]


async def resolve(host: str) -> Iterable[str]:
    """Return the addresses of a host, asked in a thread. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return [str(entry[4][0]) for entry in found]


class Names:
    """Addresses of devices: those configured, and those that configured host names stand for.

    Names are resolved one after the other, in the background. An address once found is kept until
    another one is: a resolver that is slow, or gone, costs no trap of a device known before. A
    device configured by address is never taken for one that only a resolver puts there.
    """

    def __init__(self, clock: Clock, resolve: Resolve = resolve) -> None:
        self._clock = clock
        self._resolve = resolve
        self._plain: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        self._found: dict[str, tuple[str, ...]] = {}
        self._failing: set[str] = set()
        self._wanted = asyncio.Event()

    def know(self, devices: Mapping[str, str]) -> None:
        """Take `devices`, address or host name → device, for the configured ones."""
        named = {host: name for host, name in devices.items() if not _is_address(host)}
        self._plain = {at: name for at, name in devices.items() if at not in named}
        self._hosts = named
        self._found = {host: found for host, found in self._found.items() if host in named}
        self._failing &= named.keys()
        self._wanted.set()

    def addresses(self) -> dict[str, str]:
        """Return address → device, as far as known."""
        all_of_them = dict(self._plain)
        for host, name in self._hosts.items():
            for address in self._found.get(host, ()):
                all_of_them.setdefault(address, name)
        return all_of_them

    async def follow(self, changed: Callable[[], None]) -> None:
        """Resolve now, at each `know`, and again and again, until cancelled.

        Those that fail are asked for oftener: one typo must not have all others asked for, too.
        """
        due_s = self._clock.mono_s()
        while True:
            told_s, news = self._clock.mono_s(), False
            hosts = tuple(self._failing)
            if self._wanted.is_set() or told_s >= due_s:
                self._wanted.clear()
                hosts, due_s = tuple(self._hosts), told_s + AGAIN_S
            for host in hosts:
                news = await self._ask(host) or news
                if news and self._clock.mono_s() - told_s > TOGETHER_S:
                    changed()
                    told_s, news = self._clock.mono_s(), False
            if news:
                changed()
            pause_s = max(0.0, due_s - self._clock.mono_s())
            if self._failing:
                pause_s = min(pause_s, FAILED_AGAIN_S)
            waits = asyncio.create_task(self._clock.sleep(pause_s))
            asked = asyncio.create_task(self._wanted.wait())
            try:
                await asyncio.wait((waits, asked), return_when=asyncio.FIRST_COMPLETED)
                if not self._hosts:
                    await asked
            finally:
                waits.cancel()
                asked.cancel()

    async def _ask(self, host: str) -> bool:
        """Resolve a name; return whether that is news."""
        try:
            found = tuple(dict.fromkeys(await self._resolve(host)))
        except (OSError, UnicodeError) as error:
            if host in self._hosts and host not in self._failing:
                self._failing.add(host)
                log.warning("traps of %s: its name is not resolved: %s", self._hosts[host], error)
            return False
        if host not in self._hosts:
            return False
        if host in self._failing:
            self._failing.discard(host)
            log.info("traps of %s: its name is resolved again", self._hosts[host])
        if not found or found == self._found.get(host):
            return False
        before, self._found[host] = frozenset(self._found.get(host, ())), found
        return before != frozenset(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
