"""A folder of TOML becomes Settings, whole and right; nothing is started."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import shutil
import time
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bss_bridge.settings import FileSinkSettings, WebhookSinkSettings
from netopsd.core.beliefs import Severity
from netopsd.core.inventory import Take
from netopsd.core.model import Resource
from netopsd.errors import BadConfiguration
from netopsd.settings import Settings, load
from netopsd.settings.describing import HIDDEN, describe, to_toml
from netopsd.settings.files import index_lines
from netopsd.settings.loading import load_places
from netopsd.settings.words import address
from simulators.front import known_key
from simulators.reading import read

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).parent / "good_config"
SECRETS = ("s3cret-community", "auth-secret-1", "priv-secret-1", "sixteen-characters-or-more")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "config"
    shutil.copytree(GOOD, copy)
    return copy


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def problems(folder: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(BadConfiguration) as caught:
        load(folder, overrides)
    return caught.value.problems


# --- what is shipped -------------------------------------------------------------------------


def test_the_shipped_configuration_is_in_order() -> None:
    settings = load(ROOT / "config")
    alarms = {rule.alarm for rule in settings.inventory.thresholds}
    assert {"link-down", "utilisation-in", "storage-full", "bgp-peer-down"} <= alarms
    names = {rule.name for rule in settings.inventory.events}
    assert {f"1.3.6.1.6.3.1.1.5.{n}" for n in range(1, 6)} <= names


@pytest.mark.parametrize("file", ["netopsd", "devices", "services", "customers", "rules"])
def test_every_commented_example_of_the_shipped_files_is_right(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "config", folder)
    for name in ("netopsd", "devices", "services", "customers", "rules"):
        path = folder / f"{name}.toml"
        path.write_text(re.sub(r"^#(?=[^\s#])", "", path.read_text(), flags=re.MULTILINE))
    settings = load(folder)
    assert tomllib.loads((folder / f"{file}.toml").read_text())
    assert settings.inventory.services["ACME-OSL-1"].target == Decimal("0.999")
    assert len(settings.sinks) == 5


def test_the_demo_is_ten_devices_whose_promises_a_minute_can_break() -> None:
    settings = load(ROOT / "config" / "demo")
    assert len(settings.targets) == 10
    assert settings.targets["bgo-cr1"].credentials.version == "3"
    assert {device.interval_s for device in settings.inventory.devices.values()} == {1.0}
    assert settings.inventory.devices["osl-cr1"].upstream == (
        Resource("osl-agg1", "if", "ge-0/0/1"),
    )
    for contract in settings.contracts.values():
        assert (1 - contract.target) * 30 * 86400 == Decimal("12.96")


def test_the_demo_looks_at_the_devices_its_network_has() -> None:
    scenario = tomllib.loads((ROOT / "simulators" / "scenarios" / "demo.toml").read_text())
    simulated = {device["name"]: device["address"] for device in scenario["device"]}
    settings = load(ROOT / "config" / "demo")
    assert {name: target.address for name, target in settings.targets.items()} == simulated
    assert {target.port for target in settings.targets.values()} == {scenario["network"]["port"]}
    ports = {
        Resource(device["name"], "if", port["name"])
        for device in scenario["device"]
        for port in device["ports"]
    }
    inventory = settings.inventory
    named = [up for device in inventory.devices.values() for up in device.upstream]
    named += [r for s in inventory.services.values() for path in s.paths for r in path]
    assert set(named) <= ports


# --- what a file says is what comes out ------------------------------------------------------


def test_what_is_written_is_what_the_core_sees() -> None:
    settings = load(GOOD)
    devices = settings.inventory.devices
    assert devices["osl-gw1"].interval_s == 10.0
    assert devices["osl-gw1"].labels == {"role": "core"}
    assert devices["osl-gw2"].interval_s == 30.0
    assert devices["osl-gw2"].upstream == (Resource("osl-gw1", "if", "ge-0/0/1"),)
    assert devices["osl-sw1"].upstream == (
        Resource("osl-gw1"),
        Resource("osl-gw2", "if", "ge-0/0/2"),
    )
    down, busy = settings.inventory.thresholds
    assert down.bad == {2.0, 7.0}
    assert down.only_when == (("ifAdminStatus", 1.0),)
    assert (busy.take, busy.raise_above, busy.clear_at) == (Take.RATE, 90.0, 80.0)
    assert (busy.hold_s, busy.severity, busy.per) == (300.0, Severity.WARNING, "ifHighSpeed")
    service = settings.inventory.services["ACME-1"]
    assert service.paths == (
        (Resource("osl-gw2", "if", "ge-0/0/0"),),
        (Resource("osl-gw1"), Resource("osl-sw1")),
    )
    assert (service.customer, service.account, service.zone) == ("acme", "A1", "Europe/Oslo")
    assert [(t.below, t.credit) for t in service.tiers] == [
        (Decimal("0.999"), Decimal("0.1")),
        (Decimal("0.99"), Decimal("0.25")),
    ]
    assert settings.contracts["ACME-1"].monthly_fee == Decimal("1490.00")
    assert settings.inventory.policy.ticket_hold_s == 60.0


def test_a_target_is_asked_as_its_device_template_defaults_and_snmp_say_in_this_order() -> None:
    targets = load(GOOD).targets
    assert targets["osl-gw1"].credentials.version == "3"
    assert targets["osl-gw2"].credentials.version == "2c"
    assert {target.timeout_s for target in targets.values()} == {1.0}
    assert targets["osl-gw2"].tables == ("system", "if")


def test_local_times_of_a_window_are_of_its_zone_and_end_up_in_utc() -> None:
    (window,) = load(GOOD).inventory.windows
    assert window.starts == datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert window.ends == datetime(2026, 12, 1, 3, tzinfo=UTC)


def test_relative_paths_are_below_the_state_directory_or_the_folder(folder: Path) -> None:
    edit(folder, "netopsd.toml", 'kind = "office"', 'kind = "file"\npath = "out.jsonl"')
    edit(folder, "netopsd.toml", 'url = "https', 'ca_file = "ca.pem"\nurl = "https')
    settings = load(folder)
    assert settings.store_url == f"sqlite:///{folder}/state/netopsd.db"
    assert settings.office_url == f"sqlite:///{folder}/state/office.db"
    journal, desk = settings.sinks
    assert isinstance(journal, FileSinkSettings)
    assert journal.path == folder / "state" / "out.jsonl"
    assert isinstance(desk, WebhookSinkSettings)
    assert desk.ca_file == folder / "ca.pem"
    assert desk.timeout_s == 5.0
    assert desk.retry.most_s == 300.0


def test_the_names_we_are_asked_for_by_are_configured(folder: Path) -> None:
    assert load(folder).http.hosts == ()
    listen = 'listen = "127.0.0.1:9280"\n'
    edit(folder, "netopsd.toml", listen, f'{listen}hosts = ["netops.example.net", "netops"]\n')
    assert load(folder).http.hosts == ("netops.example.net", "netops")


def test_systemd_says_where_state_is_unless_the_file_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/netopsd")
    assert load(folder).store_url == f"sqlite:///{folder}/state/netopsd.db"
    edit(folder, "netopsd.toml", 'directory = "state"', "")
    assert load(folder).store_url == "sqlite:////var/lib/netopsd/netopsd.db"


def test_services_and_customers_may_be_left_out_the_others_not(folder: Path) -> None:
    (folder / "services.toml").unlink()
    (folder / "customers.toml").unlink()
    assert load(folder).inventory.services == {}
    (folder / "rules.toml").unlink()
    assert problems(folder) == ("rules.toml: cannot be read: No such file or directory",)


def test_a_service_without_a_contract_is_measured_and_promises_nothing(folder: Path) -> None:
    text = (folder / "customers.toml").read_text()
    (folder / "customers.toml").write_text(text[: text.index("[[contract]]")])
    service = load(folder).inventory.services["ACME-1"]
    assert service.target == 0
    assert service.tiers == ()


def test_a_tier_may_say_where_it_ends(folder: Path) -> None:
    edit(folder, "customers.toml", "credit = 10", "down_to = 99\ncredit = 10")
    assert len(load(folder).contracts["ACME-1"].tiers) == 2


def test_a_rule_may_name_hundreds_of_ports(folder: Path) -> None:
    ports = "|".join(f"ge-{slot}/0/{port}" for slot in range(10) for port in range(48))
    with (folder / "rules.toml").open("a") as file:
        file.write(
            f"""
            [[threshold]]
            alarm = "link-down-here"
            table = "if"
            column = "ifOperStatus"
            bad = [2]
            only_rows = "^({ports})$"
            severity = "warning"
            type = "communicationsAlarm"
            probable_cause = "linkFailure"
            text = "{{device}}"
            """
        )
    assert "link-down-here" in {one.alarm for one in load(folder).inventory.thresholds}


def test_percentages_are_exact(folder: Path) -> None:
    for written, meant in (("99.95", "0.9995"), ('"99.95 %"', "0.9995"), ("97", "0.97")):
        text = (GOOD / "customers.toml").read_text().replace("99.9\n", f"{written}\n")
        (folder / "customers.toml").write_text(text.replace("below = 99\n", "below = 95\n"))
        assert load(folder).contracts["ACME-1"].target == Decimal(meant)


# --- promises --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "target", "fits"),
    [
        ("30s", "99.99", True),  # 242 s in a February, 8.06 looks
        ("31s", "99.99", False),
        ("1s", "99.9995", True),  # 12.1 s
        ("2s", "99.9995", False),
        ("0.2s", "100", False),
    ],
)
def test_a_promise_finer_than_eight_looks_is_refused(
    folder: Path, interval: str, target: str, fits: bool
) -> None:
    edit(folder, "devices.toml", 'interval = "30s"', f'interval = "{interval}"')
    edit(folder, "devices.toml", 'interval = "10s"', f'interval = "{interval}"')
    edit(folder, "netopsd.toml", 'timeout = "1s"', 'timeout = "10ms"')
    text = (GOOD / "customers.toml").read_text().replace("99.9\n", f"{target}\n")
    (folder / "customers.toml").write_text(text)
    if fits:
        assert load(folder).contracts
    else:
        (problem,) = problems(folder)
        assert "less than 8 looks" in problem


def test_the_slowest_device_of_a_service_decides_how_fine_its_promise_may_be(folder: Path) -> None:
    edit(
        folder,
        "devices.toml",
        'upstream = ["osl-gw1", ',
        'interval = "1h"\nupstream = ["osl-gw1", ',
    )
    (problem,) = problems(folder)
    assert 'device "osl-sw1", which is looked at every 3600 s' in problem


# --- secrets ---------------------------------------------------------------------------------


def test_a_secret_may_stand_in_a_file_beside_the_configuration(folder: Path) -> None:
    (folder / "ro.secret").write_text("from-a-file\n")
    edit(folder, "devices.toml", '"s3cret-community"', '{ file = "ro.secret" }')
    community = load(folder).targets["osl-gw2"].credentials.community
    assert community is not None
    assert community.get_secret_value() == "from-a-file"


def test_a_secret_may_be_a_systemd_credential(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "snmp-ro").write_text("from-systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    edit(folder, "devices.toml", '"s3cret-community"', '{ credential = "snmp-ro" }')
    community = load(folder).targets["osl-gw2"].credentials.community
    assert community is not None
    assert community.get_secret_value() == "from-systemd"


@pytest.mark.parametrize("name", ["../devices.toml", "..", "", "/etc/passwd"])
def test_a_credential_is_a_name_never_a_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    edit(folder, "devices.toml", '"s3cret-community"', f'{{ credential = "{name}" }}')
    (problem,) = problems(folder)
    assert "no slash" in problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"a\nb\n", "more than one line"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_a_file_that_is_no_secret_is_named(folder: Path, text: bytes, says: str) -> None:
    (folder / "ro.secret").write_bytes(text)
    edit(folder, "devices.toml", '"s3cret-community"', '{ file = "ro.secret" }')
    (problem,) = problems(folder)
    assert says in problem


def test_no_secret_is_ever_shown() -> None:
    settings = load(GOOD)
    described = describe(settings)
    told = [repr(settings), to_toml(described), json.dumps(described, default=str)]
    for text in told:
        assert not [secret for secret in SECRETS if secret in text]
        assert HIDDEN in text


def test_what_is_described_is_toml_and_says_what_is_in_effect() -> None:
    described = tomllib.loads(to_toml(describe(load(GOOD))))
    assert described["targets"]["osl-gw1"]["interval_s"] == 10.0
    assert described["inventory"]["policy"]["flap_half_life_s"] == 300.0
    assert described["inventory"]["devices"]["osl-gw2"]["upstream"] == ["osl-gw1/if/ge-0/0/1"]


# --- --set -----------------------------------------------------------------------------------


def test_the_command_line_overrules_netopsd_toml() -> None:
    settings = load(
        GOOD,
        [
            "http.listen=127.0.0.1:0",
            "state.directory=/tmp/x y",
            "snmp.retries=1",
            "log.level=debug",
        ],
    )
    assert settings.http.listen == "127.0.0.1:0"
    assert settings.store_url == "sqlite:////tmp/x y/netopsd.db"
    assert settings.snmp.retries == 1
    assert settings.log.level == "debug"
    assert load(GOOD).http.listen == "127.0.0.1:9280"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http.listen", '--set: "http.listen" is not key=value'),
        ("=5", "not key=value"),
        ("http..listen=5", "not key=value"),
        ("http.lisen=127.0.0.1:1", '--set: http.lisen: unknown key. Did you mean "listen"?'),
        ("log.level=loud", "--set: log.level: unknown word"),
        ("log.level.deep=1", "--set: log.level.deep: log.level.deep is not inside a table"),
        ("snmp=5", "--set: snmp: must be a table"),
        ("http.listen=9280", "--set: http.listen: not an address with a port"),
    ],
)
def test_a_wrong_override_is_blamed_on_the_command_line(text: str, says: str) -> None:
    assert any(says in problem for problem in problems(GOOD, text))


def test_where_things_are_is_known_while_other_files_are_broken(folder: Path) -> None:
    (folder / "devices.toml").write_text("this is not TOML")
    places = load_places(folder, ["http.listen=127.0.0.1:1234"])
    assert places.http.port == 1234
    assert places.store_url.endswith("/state/netopsd.db")


def test_a_folder_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / ("n" * 300), tmp_path / "a\0b"):
        (problem,) = problems(folder)
        assert "no such folder" in problem
        with pytest.raises(BadConfiguration, match="no such folder"):
            load_places(folder)


# --- lines -----------------------------------------------------------------------------------


def test_lines_are_found_past_strings_of_several_lines_and_nested_arrays() -> None:
    text = '''a = 1
[[service]]
id = "x"
note = """
[[service]]
id = "in a string"
"""
[[service.tier]]
below = 1
[[service]]
"id" = "y"
[[service.tier]]
[[service.tier]]
below = 2
[a.b."c.d"]
e.f = 3
'''
    lines = index_lines(text)
    assert lines["service", 0] == 2
    assert lines["service", 0, "tier", 0, "below"] == 9
    assert lines["service", 1, "id"] == 11
    assert lines["service", 1, "tier", 1, "below"] == 14
    assert lines["a", "b", "c.d", "e", "f"] == 16


# --- size ------------------------------------------------------------------------------------


def large(folder: Path, count: int) -> str:
    """Write a devices.toml of `count` devices in a tree, and return it."""
    lines = ['[defaults]\ncredentials = "ro"\n[credentials.ro]\ncommunity = "public"\n']
    for i in range(count):
        up = f'upstream = ["dev-{(i - 1) // 8}/ge-0/0/{i % 8}"]' if i else ""
        lines.append(
            f'[[device]]\nname = "dev-{i}"\naddress = "10.{i >> 16}.{i >> 8 & 255}.{i & 255}"\n'
            f'site = "site-{i % 100}"\n{up}\nlabels = {{ role = "access", rack = "{i % 40}" }}\n'
        )
    text = "\n".join(lines)
    (folder / "devices.toml").write_text(text)
    for file in ("services.toml", "customers.toml"):
        (folder / file).unlink(missing_ok=True)
    return text


def test_ten_thousand_devices_are_checked_in_little_more_than_reading_them_takes(
    folder: Path,
) -> None:
    text = large(folder, 10_000)
    began = time.process_time()
    tomllib.loads(text)
    parsed = time.process_time()
    settings = load(folder)
    loaded = time.process_time()
    assert len(settings.inventory.devices) == 10_000
    assert loaded - parsed < max(5.0, 6 * (parsed - began))
    assert (loaded - parsed) / (parsed - began) < 12


def test_ten_thousand_mistakes_are_told_without_waiting_for_each_nearest_word(
    folder: Path,
) -> None:
    text = large(folder, 10_000)
    (folder / "devices.toml").write_text(text.replace('upstream = ["dev-', 'upstream = ["device-'))
    began = time.process_time()
    found = problems(folder)
    assert len(found) == 9_999
    assert time.process_time() - began < 15


def test_a_chain_of_ten_thousand_upstreams_is_no_recursion(folder: Path) -> None:
    text = re.sub(r"dev-\d+/ge-0/0/\d", "dev-0", large(folder, 3000))
    chain = iter(range(3000))
    (folder / "devices.toml").write_text(
        re.sub(r'upstream = \["dev-0"\]', lambda _: f'upstream = ["dev-{next(chain)}"]', text)
    )
    assert dataclasses.is_dataclass(load(folder))
    edit(folder, "devices.toml", 'name = "dev-0"', 'name = "dev-0"\nupstream = ["dev-2999"]')
    (problem,) = problems(folder)
    assert "circle" in problem


def test_settings_are_frozen() -> None:
    settings: Settings = load(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.store_url = "sqlite:///other"  # type: ignore[misc]


# --- NETCONF ---------------------------------------------------------------------------------

NETCONF = """
[login.reader]
user = "netops"
password = "s3cret-password"
[defaults]
credentials = "readonly"
interval = "1s"
[credentials.readonly]
version = "2c"
community = "public"
[[device]]
name = "osl-gw1"
address = "192.0.2.1"
snmp = false
netconf = { login = "reader", host_keys = ["SHA256:uNiVztksCsDhcc0u9e8BrWJjh1DYgz7lb+Yk8gJcHoM"] }
[[device]]
name = "osl-gw2"
address = "192.0.2.1"
snmp = false
netconf = { login = "reader", port = 831, host_keys = ["SHA256:uNiVztksCsDhcc0u9e8BrWJjh1DYgz7lb+Yk8gJcHoM"] }
[[device]]
name = "osl-sw1"
address = "192.0.2.2"
timeout = "200ms"
tables = ["if"]
netconf = { login = "reader", host_keys = ["SHA256:uNiVztksCsDhcc0u9e8BrWJjh1DYgz7lb+Yk8gJcHoM"] }
"""  # noqa: E501


def test_a_device_may_speak_netconf_alone_or_beside_snmp(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(GOOD, folder)
    for file in ("services.toml", "customers.toml"):
        (folder / file).unlink(missing_ok=True)
    (folder / "devices.toml").write_text(NETCONF)
    settings = load(folder)
    ways = {device.name: device.sources for device in settings.inventory.devices.values()}
    assert ways == {
        "osl-gw1": ("netconf",),
        "osl-gw2": ("netconf",),
        "osl-sw1": ("snmp", "netconf"),
    }
    assert set(settings.targets) == {"osl-sw1"}
    targets = settings.netconf_devices.targets
    assert (targets["osl-gw2"].port, targets["osl-sw1"].leave) == (831, frozenset({"if"}))
    assert "s3cret-password" not in to_toml(describe(settings))


def test_the_demos_router_is_known_by_the_key_its_simulator_shows() -> None:
    scenario = read(ROOT / "simulators" / "scenarios" / "demo.toml")
    device = next(one for one in scenario.device if one.netconf is not None)
    shown = known_key(scenario, device, Path()).export_public_key("openssh").decode().strip()
    target = load(ROOT / "config" / "demo").netconf_devices.targets[device.name]
    assert target.host_keys == (shown,)
    assert (target.port, target.address) == (scenario.network.netconf_port, device.address)


def test_a_rule_may_judge_what_only_netconf_reads(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(GOOD, folder)
    shutil.copy(ROOT / "config" / "yang.toml", folder)
    rule = """
[[threshold]]
alarm = "device-alarm"
table = "alarm"
column = "alarmSeverity"
raise_above = 4
only_when = { alarmCleared = 0 }
"""
    with (folder / "rules.toml").open("a") as file:
        file.write(rule)
    assert load(folder).inventory.thresholds[-1].table == "alarm"
    edit(folder, "rules.toml", "alarmSeverity", "alarmSeverty")
    (told,) = problems(folder)
    assert 'Did you mean "alarmSeverity"?' in told


@given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){2,4}\n?", fullmatch=True))
@example("255.255.255.255")
@example("1.2.3.04")
@example("01.2.3.4")
@example("1.2.3.٤")
def test_an_ipv4_address_is_what_ipaddress_takes_for_one(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        with pytest.raises(ValueError, match="not an IP address"):
            address(text)
    else:
        assert address(text) == text
