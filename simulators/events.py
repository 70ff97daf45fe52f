"""Each event of a story: what `do = "…"` does to the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from simulators import notify
from simulators.device import Device, Port
from simulators.network import Network
from simulators.notify import plain
from simulators.scenario import KEYS, NETCONF, At, key_of
from simulators.wire import name, oid

Do = Callable[[Network, At, float], None]


def plan(network: Network, begins: float = 0.0) -> None:
    """Put the whole story, told from `begins` on, on the network's list of what is due."""
    for at in network.said.at:
        network.after(begins + at.after, partial(carry, network, at))


def carry(network: Network, at: At, now: float) -> None:
    """Do one event now. Raises ValueError, and nothing else, where it cannot be done."""
    try:
        needs, may = KEYS[at.do]
        said = {key_of(field): getattr(at, field) for field in sorted(at.model_fields_set)}
        more = {key: value for key, value in said.items() if key in needs | may}
        _check(network, at)
        network.fault(at.do, now, **more)
        DO[at.do](network, at, now)
    except KeyError as error:
        raise ValueError(f"{at.do}: nothing called {error}") from error


def _check(network: Network, at: At) -> None:
    """Raise KeyError or ValueError before anything is changed."""
    if at.device:
        device = network.devices[at.device]
        if at.port:
            device.port(at.port)
        if at.peer and at.peer not in [peer.address for peer in device.peers]:
            raise KeyError(at.peer)
    if at.link:
        _ = network.topology.lines[at.link]
    if at.oid:
        oid(at.oid)
    if at.trap:
        notify.told(at.trap, at.values)


def _device(network: Network, at: At) -> Device:
    return network.devices[at.device]


def _ports(network: Network, at: At) -> list[Port]:
    device = _device(network, at)
    return [device.port(at.port)] if at.port else device.ports


def _port_fault(down: bool, network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    port = device.port(at.port)
    if down:
        port.faults.add("port_down")
    else:
        port.faults.difference_update({"port_down", "recorded"})
    network.settle(now, [device])


def _flap(network: Network, at: At, now: float) -> None:
    """Down and up `times`, one round `every` so long, down for half of it."""
    for n in range(at.times):
        down = partial(_port_fault, True, network, at)
        network.after(now + n * at.every, down)
        network.after(now + (n + 0.5) * at.every, partial(_port_fault, False, network, at))
    network.advance(now)


def _admin(up: bool, network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    port = device.port(at.port)
    port.admin_up = up
    network.settle(now, [device])
    if device.name in network.fronts:
        network.fronts[device.name].configured(port, now)


def _power(on: bool, network: Network, at: At, now: float) -> None:
    """Off, or on again: which is a reboot."""
    device = _device(network, at)
    if device.powered == on:
        return
    device.powered = on
    if on:
        device.boot(now)
        network.truth.say("reboot", now, device=device.name, boots=device.boots)
    network.settle(now, [device])
    if on:
        network.trap(device, plain("coldStart"), now)


def _silence(silent: bool, network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    device.silent = silent
    network.settle(now, [device])


def _cut(cut: bool, network: Network, at: At, now: float) -> None:
    network.topology.lines[at.link].is_cut = cut
    network.settle(now)


def _reboot(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    if not device.powered:
        return
    _power(False, network, at, now)
    if at.lasting:
        network.after(now + at.lasting, partial(_power, True, network, at))
    else:
        _power(True, network, at, now)


def _renumber(network: Network, at: At, now: float) -> None:
    network.renumber(_device(network, at), now)


def _counter_reset(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    network.octets(device, "event", now)
    device.show(_ports(network, at), 0, now, at.discontinuity)


def _wrap(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    network.octets(device, "event", now)
    device.show(_ports(network, at), 2**at.bits - at.octets, now, at.discontinuity)


def _uptime_wrap(network: Network, at: At, now: float) -> None:
    _device(network, at).near_uptime_wrap(at.before, now)


def _rate(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    device.rate(_ports(network, at), at.inward, at.outward)
    network.settle(now, [device])


def _set(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    named = name(oid(at.oid))
    if named not in device.shape.position:
        raise ValueError(f"set: {device.name} has no object {at.oid}")
    device.overrides[named] = notify.overriding(at.value if at.value is not None else 0)
    device.wear(device.shape)


def _unset(network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    device.overrides.pop(name(oid(at.oid)), None)
    device.wear(device.shape)


def _bgp(up: bool, network: Network, at: At, now: float) -> None:
    device = _device(network, at)
    if device.peer(at.peer, up, now):
        network.trap(device, notify.bgp(device, at.peer), now)


def _trap(network: Network, at: At, now: float) -> None:
    told = notify.told(at.trap, at.values)
    device = _device(network, at)

    def tell(due: float) -> None:
        network.trap(device, told, due, at)

    tell(now)
    for n in range(1, at.times):
        network.after(now + n * at.every, tell)


def _lie(network: Network, at: At, now: float) -> None:
    _device(network, at).lie = "" if at.mode == "none" else at.mode


def _quality(what: str, network: Network, at: At, now: float) -> None:
    setattr(_device(network, at), what, at.by if what == "delay" else at.p)


def _netconf(network: Network, at: At, now: float) -> None:
    network.fronts[at.device].do(at, now)


DO: dict[str, Do] = {
    "port_down": partial(_port_fault, True),
    "port_up": partial(_port_fault, False),
    "port_flap": _flap,
    "admin_down": partial(_admin, False),
    "admin_up": partial(_admin, True),
    "device_down": partial(_power, False),
    "device_up": partial(_power, True),
    "agent_down": partial(_silence, True),
    "agent_up": partial(_silence, False),
    "cut": partial(_cut, True),
    "repair": partial(_cut, False),
    "reboot": _reboot,
    "renumber": _renumber,
    "counter_reset": _counter_reset,
    "wrap": _wrap,
    "uptime_wrap": _uptime_wrap,
    "rate": _rate,
    "set": _set,
    "unset": _unset,
    "bgp_down": partial(_bgp, False),
    "bgp_up": partial(_bgp, True),
    "trap": _trap,
    "lie": _lie,
    "loss": partial(_quality, "loss"),
    "delay": partial(_quality, "delay"),
    "duplicate": partial(_quality, "duplicate"),
    **dict.fromkeys(NETCONF, _netconf),
}
