"""What a scenario file may say. Frozen values; `reading.py` makes them from TOML."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def seconds(said: object) -> object:
    """Return "250ms", "10s", "2m", "1h", "497d" as seconds; numbers as they are."""
    if isinstance(said, str):
        found = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", said)
        if not found:
            raise ValueError('not a time; write for example "500ms", "10s", "2m" or "1h"')
        return float(found[1]) * UNITS[found[2]]
    return said


def bits(said: object) -> object:
    """Return "10M", "1G", "2.5G" bit/s as a number; numbers as they are."""
    if isinstance(said, str):
        found = re.fullmatch(r"\s*([0-9.]+)\s*([kMGT]?)(bit/s|b/s|bps)?\s*", said)
        if not found:
            raise ValueError('not a rate; write for example "200k", "10M" or "1G" (bit/s)')
        return float(found[1]) * SCALES[found[2]]
    return said


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=1e9)]
Bits = Annotated[float, BeforeValidator(bits), Field(ge=0, le=1e13)]
Share = Annotated[float, Field(ge=0, le=1)]
Version = Literal["v1", "v2c", "v3"]
Kind = Literal["router", "switch", "cpe", "server"]


class Said(BaseModel):
    """Base of every table of a scenario file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class User(Said):
    """An SNMPv3 user. No `auth` means noAuthNoPriv, no `privacy` authNoPriv."""

    name: str = Field(min_length=1, max_length=32)
    auth: Literal["", "MD5", "SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"] = ""
    auth_key: str = ""
    privacy: Literal["", "AES-128", "AES-192", "AES-256", "AES-192-C", "AES-256-C"] = ""
    privacy_key: str = ""


class Port(Said):
    """One port. `in` and `out` are mean rates in bit/s."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    name: str = Field(min_length=1)
    alias: str = ""
    speed: Bits = 1e9
    inward: Bits = Field(default=2e7, alias="in")
    outward: Bits = Field(default=1e7, alias="out")
    errors: float = Field(default=0.0, ge=0)  # a second, inward
    admin: Literal["up", "down"] = "up"
    type: int = Field(default=6, ge=1)  # IANAifType
    index: int = Field(default=0, ge=0, lt=2**31)  # 0: by position


class Peer(Said):
    """One BGP peer."""

    address: str
    remote_as: int = Field(default=65000, ge=1, lt=2**32)
    up: bool = True


class NetconfUser(Said):
    """Who may log in to the NETCONF servers, by password or public key ("ssh-ed25519 AAAA…")."""

    name: str = Field(min_length=1, max_length=64)
    password: str = ""
    public_key: str = ""
    edit: bool = False  # may change configuration; else it may only read


class NetconfFault(Said):
    """A fault from the start on, at operation `rpc` or any (simulators/netconf/faults.py)."""

    kind: str
    rpc: str = ""
    times: int = Field(default=1_000_000, ge=1)
    pause: Seconds = 0.05
    lasts: Seconds = 0.5


class Netconf(Said):
    """`netconf = true` or a table of these: the device speaks NETCONF beside SNMP."""

    port: int = Field(default=0, ge=0, le=65535)  # 0: the network's netconf_port
    users: tuple[str, ...] = ()  # of [[netconf_user]]; none means all
    host_key: str = ""  # a private key file; "" derives one from the seed and the device's name
    base_1_1: bool = True
    candidate: bool = True
    nmda: bool = True
    subscribed: bool = False  # RFC 8639 beside RFC 5277
    faults: tuple[NetconfFault, ...] = ()


def spoken(said: object) -> object:
    """Return true as a table without keys, false as nothing."""
    return ({} if said else None) if isinstance(said, bool) else said


class Device(Said):
    """One network element, or `count` of them: then `{n}` in the name counts from 1, and the
    addresses go on from the first (….0 and ….255 are left out)."""

    name: str = Field(min_length=1)
    address: str
    count: int = Field(default=1, ge=1, le=60000)
    kind: Kind = "router"
    site: str = ""
    location: str = ""
    contact: str = "noc@example.net"
    descr: str = ""
    object_id: str = "1.3.6.1.4.1.8072.3.2.10"
    community: str = ""  # "" is the network's
    user: str = ""  # an SNMPv3 user's name: the device then speaks v3 only
    versions: tuple[Version, ...] = ()
    engine_id: str = ""  # hex; "" derives one from the name
    uptime: Seconds = 86400.0
    boots: int = Field(default=1, ge=0, lt=2**31)
    ports: int | tuple[Port, ...] = 0
    port_name: str = "ge-0/0/{n}"
    port_speed: Bits = 1e9
    port_in: Bits = 2e7
    port_out: Bits = 1e7
    counters: Literal[32, 64] = 64
    processors: int = Field(default=-1, ge=-1, le=1024)  # -1: as the kind has them
    storages: int = Field(default=-1, ge=-1, le=1024)
    sensors: int = Field(default=-1, ge=-1, le=1024)
    bgp: tuple[Peer, ...] = ()
    replay: str = ""  # a recorded walk, relative to the scenario file
    moving: bool = False  # a recorded device's clock and octets go on from what was recorded
    max_message: int = Field(default=1472, ge=484, le=65507)
    traps: bool = True
    netconf: Annotated[Netconf | None, BeforeValidator(spoken)] = None
    lie: str = ""
    loss: Share = 0.0
    delay: Seconds = 0.0
    duplicate: Share = 0.0


class End(Said):
    """One end of a link."""

    device: str
    port: str


class Link(Said):
    """A line. `near` is the end on the poller's side; `far` hangs on it."""

    name: str = Field(min_length=1)
    near: End
    far: End


class TrapTarget(Said):
    """Who hears traps. v3 needs a `user`; informs are repeated until acknowledged."""

    address: str = "127.0.0.1"
    port: int = Field(default=162, ge=1, le=65535)
    version: Version = "v2c"
    community: str = "public"
    user: str = ""
    inform: bool = False
    timeout: Seconds = 1.0
    retries: int = Field(default=3, ge=0, le=100)


class At(Said):
    """One event of the story, `after` seconds from the start. `do` says which keys it takes."""

    after: Seconds = 0.0
    do: str
    device: str = ""
    port: str = ""
    link: str = ""
    times: int = Field(default=1, ge=1, le=1_000_000)
    every: Seconds = 1.0
    lasting: Seconds = Field(default=0.0, alias="for")
    mode: str = ""
    p: Share = 0.0
    by: Seconds = 0.0
    before: Seconds = 0.0
    octets: int = Field(default=1_000_000, ge=0, lt=2**63)
    bits: Literal[32, 64] = 32
    discontinuity: bool = True
    inward: Bits | None = Field(default=None, alias="in")
    outward: Bits | None = Field(default=None, alias="out")
    peer: str = ""
    oid: str = ""
    value: int | str | None = None
    trap: str = ""
    values: tuple[tuple[str, str, int | str], ...] = ()
    version: Version | None = None
    inform: bool | None = None
    alarm: str = ""  # alarm-type-id
    qualifier: str = ""
    severity: Literal["critical", "major", "minor", "warning", "indeterminate"] = "major"
    resource: str = ""  # instance-identifier; of the port where one is named
    text: str = ""
    rpc: str = ""


class Network(Said):
    """The `[network]` table."""

    port: int = Field(default=11161, ge=0, le=65535)  # 0 picks a free one
    netconf_port: int = Field(default=8830, ge=0, le=65535)  # TCP; 0: a free one for each device
    community: str = "public"
    seed: int = 1
    swing: Share = 0.3  # how far rates swing around their mean
    sample_every: Seconds = 5.0  # octets into the truth log; 0 never


class Scenario(Said):
    """A whole scenario file, checked: every name in it refers to something."""

    network: Network = Network()
    user: tuple[User, ...] = ()
    netconf_user: tuple[NetconfUser, ...] = ()
    device: tuple[Device, ...] = Field(min_length=1)
    link: tuple[Link, ...] = ()
    traps: tuple[TrapTarget, ...] = ()
    at: tuple[At, ...] = ()


KEYS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    do: (frozenset(needs.split()), frozenset(may.split()))
    for do, needs, may in (
        ("port_down", "device port", ""),
        ("port_up", "device port", ""),
        ("port_flap", "device port", "times every"),
        ("admin_down", "device port", ""),
        ("admin_up", "device port", ""),
        ("device_down", "device", ""),
        ("device_up", "device", ""),
        ("agent_down", "device", ""),
        ("agent_up", "device", ""),
        ("cut", "link", ""),
        ("repair", "link", ""),
        ("reboot", "device", "for"),
        ("renumber", "device", ""),
        ("counter_reset", "device", "port discontinuity"),
        ("wrap", "device", "port bits octets discontinuity"),
        ("uptime_wrap", "device", "before"),
        ("rate", "device", "port in out"),
        ("set", "device oid value", ""),
        ("unset", "device oid", ""),
        ("bgp_down", "device peer", ""),
        ("bgp_up", "device peer", ""),
        ("trap", "device trap", "port values times every version inform"),
        ("lie", "device mode", ""),
        ("loss", "device p", ""),
        ("delay", "device by", ""),
        ("duplicate", "device p", ""),
        ("alarm_raise", "device alarm", "port resource severity text qualifier"),
        ("alarm_clear", "device alarm", "port resource text qualifier"),
        ("netconf_down", "device", ""),
        ("netconf_up", "device", ""),
        ("netconf_cut", "device", ""),
        ("netconf_forget", "device", ""),
        ("netconf_fault", "device mode", "rpc times"),
        ("host_key", "device mode", ""),
    )
}
"""Every event: the keys it needs, the keys it may have (besides `after` and `do`)."""
NETCONF = frozenset(
    {"alarm_raise", "alarm_clear", "host_key"} | {do for do in KEYS if do.startswith("netconf_")}
)
"""The events that need a device with NETCONF."""


def key_of(field: str) -> str:
    """Return the key of the file that fills `field` of an At."""
    alias: Any = At.model_fields[field].alias
    return str(alias or field)
