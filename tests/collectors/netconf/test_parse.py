"""Replies and notifications to tables and events, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from collectors.netconf import notification
from collectors.netconf.errors import BadMessage
from collectors.netconf.notification import Meaning
from collectors.netconf.parse import Collector, Layouts, moment
from collectors.netconf.views import Plan, ViewSpec
from netopsd.core.model import Resource, Table
from tests.collectors.netconf.scene import FILE, VIEWS

NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
OC = "http://openconfig.net/yang/interfaces"
AT = datetime(2026, 11, 23, tzinfo=UTC)
MEANING = Meaning(events=FILE.event, resources=FILE.resource)


def read(view: str, data: str, layouts: Layouts | None = None) -> tuple[tuple[Table, ...], Any]:
    """Read `data` as the reply to a shipped view; returns its tables and the collector."""
    plan = Plan.of(VIEWS[view])
    root = etree.fromstring(f'<rpc-reply xmlns="{NC}"><data>{data}</data></rpc-reply>')
    collector = Collector(plan)
    for element in root.iter(*plan.rows):
        collector.take(element)
    return collector.tables(layouts or Layouts()), collector


def interface(name: str, inside: str = "") -> str:
    return f"<interface><name>{name}</name>{inside}</interface>"


def interfaces(*rows: str) -> str:
    return f'<interfaces xmlns="{IF}">{"".join(rows)}</interfaces>'


def number(table: Table, column: str, row: int = 0) -> Any:
    if column in table.layout.counters:
        return table.counters[table.layout.counters.index(column), row]
    return table.gauges[table.layout.gauges.index(column), row]


def test_openconfig_and_ietf_give_the_same_table() -> None:
    state = (
        "<state><ifindex>9</ifindex><oper-status>UP</oper-status><admin-status>UP</admin-status>"
        "<counters><in-octets>5</in-octets></counters></state>"
    )
    speed = (
        '<ethernet xmlns="http://openconfig.net/yang/interfaces/ethernet"><state>'
        "<port-speed>oc-eth:SPEED_10GB</port-speed></state></ethernet>"
    )
    rows = interface("xe-0", state + speed)
    tables, _ = read("openconfig-interfaces", f'<interfaces xmlns="{OC}">{rows}</interfaces>')
    assert tables[0].layout.table == "if"
    assert tables[0].layout.rows == ("xe-0",)
    assert tables[0].layout.index == ("9",)
    assert number(tables[0], "ifHCInOctets") == 5
    assert number(tables[0], "ifOperStatus") == 1
    assert number(tables[0], "ifHighSpeed") == 10_000
    ietf = {column.name for column in VIEWS["ietf-interfaces"].table[0].column}
    openconfig = {column.name for column in VIEWS["openconfig-interfaces"].table[0].column}
    assert ietf == openconfig


@pytest.mark.parametrize(
    "text", ["-1", "1e3", "", "abc", "18446744073709551616", "9" * 5000, "٣", "1.5", "0x10"]
)
def test_what_is_no_counter_is_missing_and_named(text: str) -> None:
    stats = f"<statistics><in-octets>{text}</in-octets><out-octets>4</out-octets></statistics>"
    tables, collector = read("ietf-interfaces", interfaces(interface("a", stats)))
    missing = tables[0].missing
    assert missing is not None
    assert missing[tables[0].layout.counters.index("ifHCInOctets"), 0]
    assert number(tables[0], "ifHCOutOctets") == 4
    assert "counter of 64 bits" in collector.errors["if.ifHCInOctets"]


def test_a_counter_that_outgrew_its_width_is_missing() -> None:
    stats = f"<statistics><in-errors>{2**32}</in-errors></statistics>"
    tables, collector = read("ietf-interfaces", interfaces(interface("a", stats)))
    assert "if.ifInErrors" in collector.errors
    assert tables[0].missing is not None


def test_absent_leaves_are_missing_and_nan_and_only_the_wanted_are_errors() -> None:
    tables, collector = read("ietf-interfaces", interfaces(interface("a")))
    assert tables[0].missing is not None
    assert tables[0].missing.all()
    assert np.isnan(tables[0].gauges).all()
    assert collector.errors == {
        "if.ifHCInOctets": "absent",
        "if.ifHCOutOctets": "absent",
        "if.ifOperStatus": "absent",
    }


def test_an_unknown_state_is_an_error_not_a_number() -> None:
    rows = interfaces(interface("a", "<oper-status>sleepy</oper-status>"))
    tables, collector = read("ietf-interfaces", rows)
    assert np.isnan(number(tables[0], "ifOperStatus"))
    assert "sleepy" in collector.errors["if.ifOperStatus"]


def test_rows_with_one_name_or_none_are_not_mixed_up() -> None:
    rows = interfaces(interface("a"), interface("a"), interface(""), interface("b"))
    tables, collector = read("ietf-interfaces", rows)
    assert tables[0].layout.rows == ("a", "b")
    assert "2 rows" in collector.errors["if"]


def test_a_list_of_the_same_name_somewhere_else_is_not_our_list() -> None:
    rows = interfaces(interface("a", f"<sub>{interface('inner')}</sub>"))
    tables, _ = read("ietf-interfaces", rows)
    assert tables[0].layout.rows == ("a",)


def test_the_layout_lives_as_long_as_the_rows_and_labels_are_the_same() -> None:
    layouts = Layouts()
    first = read("ietf-interfaces", interfaces(interface("a")), layouts)[0][0].layout
    again = read("ietf-interfaces", interfaces(interface("a")), layouts)[0][0].layout
    named = interfaces(interface("a", "<description>to osl</description>"))
    third = read("ietf-interfaces", named, layouts)[0][0].layout
    assert first is again
    assert third is not first
    assert third.epoch > first.epoch


def test_components_without_a_sensor_are_no_sensors() -> None:
    hw = "urn:ietf:params:xml:ns:yang:ietf-hardware"
    sensor = "<sensor-data><value>4</value><value-type>celsius</value-type></sensor-data>"
    rows = f"<component><name>fan</name></component><component><name>t</name>{sensor}</component>"
    tables, _ = read("ietf-hardware", f'<hardware xmlns="{hw}">{rows}</hardware>')
    assert tables[0].layout.rows == ("t",)
    assert number(tables[0], "entPhySensorType") == 8


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_none(text: str) -> None:
    at = moment(text)
    assert at is None or at.tzinfo is UTC


def test_times_with_a_zone_are_the_same_moment() -> None:
    assert moment("2026-11-23T01:00:00+01:00") == moment("2026-11-23T00:00:00Z") == AT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filter": "<a>"}, "not XML"),
        ({"filter": ""}, "needs a filter"),
        ({"table": [], "facts": {}}, "reads nothing"),
        ({"facts": {"x": "no:such/prefix"}}, "prefix no is not in namespaces"),
        ({"facts": {"x": "a[b]"}}, "String should match"),
        ({"colour": "red"}, "Extra inputs"),
        ({"filter": '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'}, "not XML"),
    ],
)
def test_a_view_with_a_mistake_says_what_it_is(changes: dict[str, Any], words: str) -> None:
    said = {"name": "v", "namespace": "urn:x", "filter": "<a/>", "facts": {"x": "a/b"}}
    with pytest.raises(ValidationError, match=words):
        ViewSpec.model_validate({**said, **changes})


# --- notifications


def notify(content: str, time: str = "2026-11-23T00:00:00Z") -> Any:
    ns = "urn:ietf:params:xml:ns:netconf:notification:1.0"
    text = f'<notification xmlns="{ns}"><eventTime>{time}</eventTime>{content}</notification>'
    return notification.hear(etree.fromstring(text))


def event(content: str) -> Any:
    return notification.event(notify(content), "r1", "192.0.2.1", AT, MEANING)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/if:interfaces/if:interface[if:name='ge-0/0/1']", Resource("r1", "if", "ge-0/0/1")),
        ('/interfaces/interface[name="eth0"]', Resource("r1", "if", "eth0")),
        (
            "/hw:hardware/hw:component[hw:name = 'fan 1']",
            Resource("r1", "entPhySensor", "fan 1"),
        ),
        ("1.3.6.1.2.1.2.2.1.1.17", Resource("r1", "resource", "1.3.6.1.2.1.2.2.1.1.17")),
        ("", Resource("r1")),
    ],
)
def test_an_alarm_names_what_it_is_about(text: str, expected: Resource) -> None:
    assert notification.resource("r1", text, FILE.resource) == expected


def test_a_severity_nobody_knows_is_indeterminate_and_never_cleared() -> None:
    alarms = "urn:ietf:params:xml:ns:yang:ietf-alarms"
    said = event(
        f'<alarm-notification xmlns="{alarms}"><alarm-type-id>x:y</alarm-type-id>'
        "<perceived-severity>awful</perceived-severity></alarm-notification>"
    )
    assert (said.alarm, said.severity) == ("y", "indeterminate")


def test_a_config_change_is_an_event_for_the_rules() -> None:
    ncn = "urn:ietf:params:xml:ns:yang:ietf-netconf-notifications"
    said = event(
        f'<netconf-config-change xmlns="{ncn}"><changed-by><username>anna</username></changed-by>'
        "<edit><target>/a</target></edit><edit><target>/b</target></edit></netconf-config-change>"
    )
    assert said.name == "ietf-netconf-notifications:netconf-config-change"
    assert said.values["changed-by/username"] == "anna"
    assert (said.values["edit/target"], said.values["edit/target[2]"]) == ("/a", "/b")
    assert not said.alarm


def test_a_state_in_between_neither_raises_nor_clears() -> None:
    said = event(
        f'<interface-state-change xmlns="{IF}"><name>a</name><oper-status>testing</oper-status>'
        "</interface-state-change>"
    )
    assert not said.alarm


def test_a_notification_as_large_as_allowed_becomes_a_small_event() -> None:
    said = event(
        '<x xmlns="urn:x">' + "".join(f"<l{n}>{'y' * 5000}</l{n}>" for n in range(999)) + "</x>"
    )
    assert sum(len(key) + len(value) for key, value in said.values.items()) < 20_000
    assert said.values["netopsd:cut"] == "true"


def test_a_notification_without_content_is_no_message() -> None:
    with pytest.raises(BadMessage):
        notify("<!-- nothing -->")
