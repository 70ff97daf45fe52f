"""Scenario files to scenarios. Mistakes name file, key and the nearest right word."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from simulators import lies, notify
from simulators.scenario import (
    KEYS,
    NETCONF,
    At,
    Device,
    Link,
    Netconf,
    NetconfFault,
    NetconfUser,
    Network,
    Port,
    Scenario,
    TrapTarget,
    User,
)
from simulators.wire import oid

LOOPBACK = IPv4Network("127.0.0.0/8")
TABLES: dict[str, type[BaseModel]] = {
    "network": Network,
    "user": User,
    "netconf_user": NetconfUser,
    "netconf": Netconf,
    "faults": NetconfFault,
    "device": Device,
    "ports": Port,
    "link": Link,
    "traps": TrapTarget,
    "at": At,
}


class BadScenario(Exception):
    """The scenario has mistakes. `problems`: one line each, with file, key and remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def read(path: Path) -> Scenario:
    """Return the scenario in `path`, templates expanded. Raises BadScenario."""
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadScenario([f"{path}: {error}"]) from error
    return make(data, path)


def make(data: Mapping[str, Any], path: Path = Path("scenario")) -> Scenario:
    """Return the scenario in `data` (what a TOML file holds). Raises BadScenario."""
    try:
        said = Scenario.model_validate(data)
    except ValidationError as error:
        raise BadScenario(_explain(path, error)) from error
    devices, problems = _expand(said.device, said.network.community)
    scenario = said.model_copy(update={"device": devices})
    problems += _check(scenario, path.parent)
    if problems:
        raise BadScenario(f"{path}: {problem}" for problem in problems)
    return scenario


def event(data: Mapping[str, Any], scenario: Scenario) -> At:
    """Return one event said from outside. Raises BadScenario."""
    try:
        at = At.model_validate(data)
    except ValidationError as error:
        raise BadScenario(_explain(Path("event"), error)) from error
    problems = _check_event("event", at, scenario, _ports(scenario))
    if problems:
        raise BadScenario(problems)
    return at


def near(word: str, words: Iterable[str]) -> str:
    """Return ` Did you mean "…"?`, or nothing where no word is near."""
    found = get_close_matches(word, list(words), 1, 0.5)
    return f' Did you mean "{found[0]}"?' if found else ""


def _explain(path: Path, error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        where = ""
        table: type[BaseModel] = At if path == Path("event") else Scenario
        for part in mistake["loc"]:
            if isinstance(part, int):
                where += f"[{part + 1}]"
            elif part not in ("int", "tuple[Port, ...]"):
                where += ("." if where else "") + str(part)
                table = TABLES.get(str(part), table)
        if mistake["type"] == "extra_forbidden":
            known = [field.alias or key for key, field in table.model_fields.items()]
            lines.append(f"{path}: {where}: unknown key.{near(str(mistake['loc'][-1]), known)}")
        else:
            lines.append(f"{path}: {where}: {mistake['msg'].removeprefix('Value error, ')}")
    return lines


def _expand(said: tuple[Device, ...], community: str) -> tuple[tuple[Device, ...], list[str]]:
    """Every device by itself: templates counted out, ports listed."""
    found: list[Device] = []
    problems: list[str] = []
    for number, device in enumerate(said, 1):
        where = f"device[{number}]"
        try:
            address = IPv4Address(device.address)
            if address not in LOOPBACK:
                raise ValueError("not a loopback address")
        except ValueError as error:
            problems.append(f"{where}.address: {error}; write one of 127.0.0.0/8")
            continue
        if device.count > 1 and "{n" not in device.name:
            problems.append(f'{where}.name: {device.count} devices need "{{n}}" in their name')
            continue
        ports = _list_ports(device)
        try:
            names = [device.name.format(n=n + 1) for n in range(device.count)]
        except (ValueError, KeyError, IndexError) as error:
            problems.append(f"{where}.name: {error!r}; only {{n}} may stand in it, as {{n:04}}")
            continue
        for name in names:
            while device.count > 1 and int(address) & 255 in (0, 255):
                address += 1
            one = {"name": name, "address": str(address), "count": 1, "ports": ports}
            one["community"] = device.community or community
            found.append(device.model_copy(update=one))
            address += 1
    return tuple(found), problems


def _list_ports(device: Device) -> tuple[Port, ...]:
    if not isinstance(device.ports, int):
        return device.ports
    return tuple(
        Port(
            name=device.port_name.replace("{n}", str(n)),
            speed=device.port_speed,
            inward=device.port_in,
            outward=device.port_out,
        )
        for n in range(device.ports)
    )


def _ports(scenario: Scenario) -> dict[str, set[str] | None]:
    """Port names by device; None where a recording will tell."""
    return {
        device.name: None
        if device.replay
        else {port.name for port in device.ports}
        if isinstance(device.ports, tuple)
        else set()
        for device in scenario.device
    }


def _check(scenario: Scenario, folder: Path) -> list[str]:
    ports, users = _ports(scenario), {user.name for user in scenario.user}
    problems = _check_unique(scenario)
    for device in scenario.device:
        problems += _check_device(device, users, folder)
        problems += _check_netconf(device, scenario, folder)
    for number, user in enumerate(scenario.user, 1):
        problems += _check_user(f"user[{number}]", user)
    for number, link in enumerate(scenario.link, 1):
        for side, end in (("near", link.near), ("far", link.far)):
            problems += _check_port(f"link[{number}].{side}", end.device, end.port, ports)
    for number, target in enumerate(scenario.traps, 1):
        problems += _check_address(f"traps[{number}].address", target.address)
        if target.version == "v3" and target.user not in users:
            said = near(target.user, users)
            problems.append(f'traps[{number}].user: no user "{target.user}".{said}')
    for number, at in enumerate(scenario.at, 1):
        problems += _check_event(f"at[{number}]", at, scenario, ports)
    return problems


def _check_unique(scenario: Scenario) -> list[str]:
    problems = []
    named = ("name", [device.name for device in scenario.device])
    placed = ("address", [device.address for device in scenario.device])
    for what, values in (named, placed):
        seen: set[str] = set()
        twice = [value for value in values if value in seen or seen.add(value)]  # type: ignore[func-returns-value]
        problems += [f"device: two devices have the {what} {value}" for value in twice]
    for device in scenario.device:
        names = [port.name for port in device.ports] if isinstance(device.ports, tuple) else []
        if len(set(names)) != len(names):
            problems.append(f"device {device.name}: two ports have one name")
    return problems


def _check_told(where: str, at: At) -> list[str]:
    """What an event says of objects and traps must be sayable."""
    try:
        if at.oid:
            oid(at.oid)
    except ValueError as error:
        return [f"{where}.oid: {error}"]
    try:
        if at.trap:
            notify.told(at.trap, at.values)
    except ValueError as error:
        return [f"{where}.trap: {error}{near(at.trap, notify.NAMES)}"]
    return []


def _check_device(device: Device, users: set[str], folder: Path) -> list[str]:
    problems = []
    where = f"device {device.name}"
    if device.user and device.user not in users:
        problems.append(f'{where}.user: no user "{device.user}".{near(device.user, users)}')
    if "v3" in device.versions and not device.user:
        problems.append(f"{where}.user: v3 needs one")
    if device.lie and device.lie not in lies.MODES:
        problems.append(f'{where}.lie: no lie "{device.lie}".{near(device.lie, lies.MODES)}')
    if device.replay and not (folder / device.replay).is_file():
        problems.append(f"{where}.replay: no file {folder / device.replay}")
    try:
        if device.engine_id and not 5 <= len(bytes.fromhex(device.engine_id)) <= 32:
            raise ValueError("not of 5 to 32 octets")
    except ValueError as error:
        problems.append(f"{where}.engine_id: {error}; write 10 to 64 hex digits")
    for number, peer in enumerate(device.bgp, 1):
        problems += _check_address(f"{where}.bgp[{number}].address", peer.address)
    return problems


def _check_address(where: str, address: str) -> list[str]:
    try:
        IPv4Address(address)
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


def _check_user(where: str, user: User) -> list[str]:
    problems = []
    if user.privacy and not user.auth:
        problems.append(f"{where}.auth: privacy needs authentication too")
    for what, key in ((user.auth, "auth_key"), (user.privacy, "privacy_key")):
        if what and len(getattr(user, key)) < 8:
            problems.append(f"{where}.{key}: must have at least 8 characters")
    return problems


def _check_port(
    where: str, device: str, port: str, ports: Mapping[str, set[str] | None]
) -> list[str]:
    if device not in ports:
        return [f'{where}.device: no device "{device}".{near(device, ports)}']
    known = ports[device]
    if port and known is not None and port not in known:
        return [f'{where}.port: {device} has no port "{port}".{near(port, known)}']
    return []


def _check_event(
    where: str, at: At, scenario: Scenario, ports: Mapping[str, set[str] | None]
) -> list[str]:
    if at.do not in KEYS:
        return [f'{where}.do: no event "{at.do}".{near(at.do, KEYS)}']
    needs, may = KEYS[at.do]
    said = {At.model_fields[field].alias or field for field in at.model_fields_set}
    said -= {"after", "do"}
    problems = [f"{where}.{key}: {at.do} needs it" for key in sorted(needs - said)]
    for key in sorted(said - needs - may):
        takes = ", ".join(sorted(needs | may))
        problems.append(f"{where}.{key}: {at.do} takes {takes}.{near(key, needs | may)}")
    if "device" in needs and "device" in said:
        problems += _check_port(where, at.device, at.port, ports)
    if (
        "link" in needs
        and "link" in said
        and at.link not in (links := [link.name for link in scenario.link])
    ):
        problems.append(f'{where}.link: no link "{at.link}".{near(at.link, links)}')
    problems += _check_told(where, at)
    if at.do == "lie" and at.mode not in lies.MODES and at.mode != "none":
        problems.append(f'{where}.mode: no lie "{at.mode}".{near(at.mode, lies.MODES)}')
    if at.do in NETCONF:
        problems += _check_netconf_event(where, at, scenario)
    return problems


def _check_netconf(device: Device, scenario: Scenario, folder: Path) -> list[str]:
    said = device.netconf
    if said is None:
        return []
    where = f"device {device.name}.netconf"
    known = [user.name for user in scenario.netconf_user]
    problems = [
        f'{where}.users: no [[netconf_user]] "{name}".{near(name, known)}'
        for name in said.users
        if name not in known
    ]
    if not known:
        problems.append(f"{where}: nobody may log in; add a [[netconf_user]]")
    if said.host_key and not (folder / said.host_key).is_file():
        problems.append(f"{where}.host_key: no file {folder / said.host_key}")
    for number, fault in enumerate(said.faults, 1):
        problems += _check_fault(f"{where}.faults[{number}].kind", fault.kind)
    return problems


def _check_netconf_event(where: str, at: At, scenario: Scenario) -> list[str]:
    device = next((one for one in scenario.device if one.name == at.device), None)
    if device is None:
        return []  # said already
    if device.netconf is None:
        return [f"{where}.device: {at.do} needs netconf = true at device {device.name}"]
    if at.do == "netconf_fault" and at.mode != "none":
        return _check_fault(f"{where}.mode", at.mode)
    if at.do == "host_key" and at.mode not in ("new", "old"):
        return [f'{where}.mode: write "new" or "old"']
    return []


def _check_fault(where: str, kind: str) -> list[str]:
    from simulators.netconf.faults import FaultKind  # loads the SSH server

    kinds = [known.value for known in FaultKind]
    return [] if kind in kinds else [f'{where}: no fault "{kind}".{near(kind, kinds)}']
