"""What polling and listening share: how to reach a device, how often, and its host key's story."""

from __future__ import annotations

import zlib

from collectors.netconf import operations
from collectors.netconf.door import Door
from collectors.netconf.errors import HostKeyChanged
from collectors.netconf.session import Limits
from collectors.netconf.settings import NetconfSettings, NetconfTarget
from netopsd.core.model import Event
from netopsd.ports import Clock

HOSTKEY_CHANGED = "netopsd:hostkey-changed"
HOSTKEY_GOOD = "netopsd:hostkey-good"
HOSTKEY_ALARM = "hostkey-changed"


def host_key_event(target: NetconfTarget, error: HostKeyChanged | None, clock: Clock) -> Event:
    """Return the event of a host key that is not pinned, or (None) is the pinned one again."""
    return Event(
        at=clock.now(),
        device=target.name,
        source=target.address,
        name=HOSTKEY_CHANGED if error else HOSTKEY_GOOD,
        values={"shown": error.shown} if error else {},
        authenticated=True,
        alarm=HOSTKEY_ALARM,
        severity="critical" if error else "cleared",
        text=str(error) if error else f"{target.name} shows its pinned host key again",
    )


def limits(settings: NetconfSettings, max_message: int = 0) -> Limits:
    """Return what one session may cost; `max_message` lowers the size of a message."""
    most = min(settings.max_message, max_message or settings.max_message)
    return Limits(
        max_chunk=min(settings.max_chunk, most),
        max_message=most,
        in_flight=settings.in_flight,
        hello_s=settings.hello_s,
        rpc_s=settings.rpc_s,
    )


def door(target: NetconfTarget, handler: operations.Handler, settings: NetconfSettings) -> Door:
    """Return where and as whom to log in to `target`."""
    return Door(
        device=target.name,
        address=target.address,
        port=target.port,
        username=target.credentials.user,
        password=target.credentials.password,
        private_key=target.credentials.private_key,
        passphrase=target.credentials.passphrase,
        host_keys=target.host_keys,
        subsystems=tuple(handler.get_ssh_subsystem_names()),
        connect_s=settings.connect_s,
        keepalive_s=settings.keepalive_s,
        legacy=("ssh-rsa",) if target.legacy_algorithms else (),
    )


def backoff_s(settings: NetconfSettings, device: str, failures: int) -> float:
    """Return how long to leave a device alone: doubling, spread by the device's name."""
    longest = min(settings.backoff_most_s, settings.backoff_s * 2.0 ** min(failures - 1, 30))
    spread = zlib.crc32(f"{device}:{failures}".encode()) / 2**32
    return longest * (0.5 + 0.5 * spread)
