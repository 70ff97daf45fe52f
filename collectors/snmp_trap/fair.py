"""Who is heard how much, and in which order, when more arrives than can be judged. Pure."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

BURST_S = 5.0
LARGEST = 65.0  # tokens the largest datagram costs: one for each 1,024 octets begun
MOST_STRANGERS = 10_000  # sources remembered beyond the configured ones


class Datagram(NamedTuple):
    """One datagram as received. `back` is what a reply needs: the peer and our own address."""

    source: Source
    data: bytes
    kind: int
    back: tuple[tuple[Any, ...], Sequence[tuple[int, int, bytes]]]


class Bucket:
    """`rate` tokens a second, at most five seconds of them."""

    __slots__ = ("at", "most", "rate", "tokens")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.most = max(LARGEST, rate * BURST_S)
        self.tokens = self.most
        self.at = 0.0

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Return whether `cost` tokens were left at monotonic time `now`, and take them."""
        if now > self.at:
            self.tokens = min(self.most, self.tokens + (now - self.at) * self.rate)
            self.at = now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


class Source:
    """One address datagrams come from."""

    __slots__ = ("address", "bucket", "device", "known", "network", "waiting")

    def __init__(self, address: str, device: str, known: bool, rate: float, net: Bucket) -> None:
        self.address = address
        self.device = device
        self.known = known
        self.bucket = Bucket(rate)
        self.network = net
        self.waiting: deque[Datagram] = deque()


class Sources:
    """The configured sources, and strangers where they are let in.

    `by_host` is looked up by the address as the kernel writes it.
    """

    def __init__(
        self,
        devices: Mapping[str, str],
        forwarders: frozenset[str],
        rates: tuple[float, float],
        strangers: bool,
    ) -> None:
        self._rate, self._network_rate = rates
        self._strangers = strangers
        self._count = 0
        self._networks: dict[str, Bucket] = {}
        self.by_host: dict[str, Source] = {}
        for address in dict.fromkeys((*devices, *forwarders)):
            # One spelling: that of the kernel. Of IPv4 there is only one.
            plain = str(ipaddress.ip_address(address)) if ":" in address else address
            source = self._source(plain, devices.get(address, ""), True)
            self.by_host[plain] = source
            if ":" not in plain:
                self.by_host[f"::ffff:{plain}"] = source

    def _source(self, address: str, device: str, known: bool) -> Source:
        net = _network(address)
        bucket = self._networks.setdefault(net, Bucket(self._network_rate))
        return Source(address, device, known, self._rate, bucket)

    def stranger(self, host: str) -> Source | None:
        """Return a source for an address nobody configured, or None where it is not let in."""
        if not self._strangers:
            return None
        if self._count >= MOST_STRANGERS:  # all anew: a spoofer must not own our memory
            self.by_host = {at: source for at, source in self.by_host.items() if source.known}
            used = {id(source.network) for source in self.by_host.values()}
            self._networks = {net: b for net, b in self._networks.items() if id(b) in used}
            self._count = 0
        source = self._source(host.removeprefix("::ffff:"), "", False)
        self.by_host[host] = source
        self._count += 1
        return source


def _network(address: str) -> str:
    """Return a name of the /24 or, of IPv6, the /64 an address is in."""
    if ":" not in address:
        return address.rpartition(".")[0]
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))


class Backlog:
    """Datagrams received and not judged yet: informs, then known sources, then strangers; within
    each, the sources in turn, each in its own order.

    About `most` in all, strangers at most half of it and informs a quarter. Once full, a source
    with less than its share waiting is still heard, so none is shut out by another's storm (twice
    `most` bounds that).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._informs: deque[Datagram] = deque()
        self._turns: tuple[deque[Source], deque[Source]] = (deque(), deque())

    def __len__(self) -> int:
        return self._size

    def add(self, datagram: Datagram, inform: bool) -> bool:
        """Keep `datagram`; False where there is no room for it. Constant time."""
        source = datagram.source
        if inform:
            if len(self._informs) >= self._most // 4:
                return False
            self._informs.append(datagram)
        else:
            room = self._most if source.known else self._most // 2
            if self._size >= room and not self._below_its_share(source):
                return False
            if not source.waiting:
                self._turns[not source.known].append(source)
            source.waiting.append(datagram)
        self._size += 1
        return True

    def _below_its_share(self, source: Source) -> bool:
        if not source.known or self._size >= 2 * self._most:
            return False
        return len(source.waiting) < self._most // (len(self._turns[0]) + 1)

    def take(self, most: int) -> list[Datagram]:
        """Return up to `most` datagrams, fairest first, and forget them."""
        taken: list[Datagram] = []
        while self._informs and len(taken) < most:
            taken.append(self._informs.popleft())
        for turn in self._turns:
            while turn and len(taken) < most:
                source = turn.popleft()
                if source.waiting:
                    taken.append(source.waiting.popleft())
                if source.waiting:
                    turn.append(source)
        self._size -= len(taken)
        return taken
