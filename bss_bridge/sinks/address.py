"""Which addresses a webhook may go to: resolved once, judged, and then connected to as judged.

Names are not judged, addresses are, after resolution: so decimal, octal and mapped spellings, and
names that resolve differently the second time, gain nothing. Private networks (10/8, 172.16/12,
192.168/16, fc00::/7) are where billing systems live and are allowed; this machine, its link, its
cloud's metadata and translations into them are not, unless listed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from netopsd.errors import TryLater

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 1122)
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598), some clouds' metadata
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, most clouds' metadata
        "192.0.0.0/24",  # IETF assignments (RFC 6890), NAT64 discovery
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "::1/128",
        "64:ff9b::/96",  # NAT64: any IPv4 address in disguise (RFC 6052)
        "64:ff9b:1::/48",  # RFC 8215
        "100::/64",  # discard (RFC 6666)
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fd00:ec2::254/128",  # a cloud's metadata
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


def judge(address: Address, allow: Sequence[Network] = ()) -> str:
    """Return why `address` must not be connected to; "" where it may be."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and int(address) >> 32 == 0 and int(address) > 1:
            inner = IPv4Address(int(address))  # ::a.b.c.d, deprecated and still routed by some
        if inner is not None:
            return judge(inner, allow)
    if any(address.version == network.version and address in network for network in allow):
        return ""
    for network in DENIED:
        if address.version == network.version and address in network:
            return f"{address} is in {network}, which is not allowed"
    return ""


async def resolve(host: str, port: int, allow: Sequence[Network] = ()) -> str:
    """Return an address of `host` that may be connected to, as text.

    Raises TryLater where the name does not resolve, or any of its addresses is denied (a name that
    points at both is not trusted with either).
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TryLater(f"{host} does not resolve: {error}") from error
    addresses = [ip_address(str(info[4][0]).partition("%")[0]) for info in found]
    for address in addresses:
        why = judge(address, allow)
        if why:
            raise TryLater(f"{host}: {why}")
    if not addresses:
        raise TryLater(f"{host} has no address")
    return str(addresses[0])
