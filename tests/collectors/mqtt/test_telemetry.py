"""Payloads to readings and events: whose they are the topic says, and nothing they hold raises."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mqtt import senml
from collectors.mqtt.bounded import BadPayload, deepest, load
from collectors.mqtt.gathering import Gathering
from collectors.mqtt.listener import MqttListener
from collectors.mqtt.rules import Rulebook, event, matches, numbers, pointed
from collectors.mqtt.settings import MqttSettings, TopicRule
from netopsd.broker import Heard
from netopsd.clock import ManualClock
from simulators.mqtt import HOSTILE
from tests.collectors.mqtt.looks import T0

DEVICES = frozenset({"gw1", "gw2", "osl-ups1"})


def rule(**said: Any) -> TopicRule:
    base = {
        "filter": "plant/+/env",
        "device": "{2}",
        "table": "env",
        "reading": [
            {"from": "/temperature", "column": "temperature"},
            {"from": "/door", "column": "door", "kind": "state"},
            {"from": "/count", "column": "count", "kind": "counter32"},
        ],
    }
    return TopicRule.model_validate({**base, **said})


def test_the_topic_names_the_device_and_the_payload_never_does() -> None:
    book = Rulebook([rule()], DEVICES)
    ((_, device, row),) = book.about("plant/gw1/env")
    assert (device, row) == ("gw1", "1")
    found = numbers(rule(), device, row, b'{"device":"gw2","temperature":21.5}')
    assert found.device == "gw1" and found.values == {"temperature": 21.5}


@pytest.mark.parametrize("topic", ["plant/gw9/env", "plant/gw1/env/x", "plant//env", "other", ""])
def test_topics_of_nobody_are_counted(topic: str) -> None:
    with pytest.raises(BadPayload, match="no_device"):
        list(Rulebook([rule()], DEVICES).about(topic))


def test_names_on_the_bus_are_translated_by_the_operators_list_alone() -> None:
    book = Rulebook([rule(devices={"a7": "osl-ups1"})], DEVICES)
    ((_, device, _),) = book.about("plant/a7/env")
    assert device == "osl-ups1"
    with pytest.raises(BadPayload):
        list(book.about("plant/osl-ups1/env"))


@pytest.mark.parametrize(
    ("topic", "wanted", "fits"),
    [
        ("a/b", "a/b", True), ("a/b", "a/+", True), ("a/b", "#", True), ("a/b", "a/#", True),
        ("a", "a/#", True), ("a/b/c", "a/+", False), ("a", "a/+", False), ("a/b", "a", False),
        ("a//c", "a/+/c", True),
    ],
)  # fmt: skip
def test_filters_fit_as_mqtt_says(topic: str, wanted: str, fits: bool) -> None:
    assert matches(topic.split("/"), wanted.split("/")) is fits


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_payload_is_a_count(payload: bytes) -> None:
    with pytest.raises(BadPayload):
        numbers(rule(), "gw1", "1", payload)


@given(st.binary(max_size=200))
def test_any_octets_are_a_count(payload: bytes) -> None:
    for one in (rule(), rule(payload="senml")):
        with pytest.raises(BadPayload):
            numbers(one, "gw1", "1", payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_readings_events_or_a_count(said: Any) -> None:
    payload = json.dumps(said).encode()
    for one in (rule(), rule(payload="senml", reading=[{"from": "a", "column": "a"}])):
        for value in ({"temperature": said}, said):
            try:
                found = numbers(one, "gw1", "1", json.dumps(value).encode())
                assert all(np.isfinite(float(v)) for v in found.values.values())
            except BadPayload:
                pass
    told = rule(reading=[], event="x", authenticated=True)
    try:
        made = event(told, "gw1", "1", payload, T0)
        assert len(made.values) <= 256
    except BadPayload:
        pass


def test_a_long_name_above_many_values_is_not_held_once_for_each() -> None:
    payload = b'{"' + b"k" * 32_000 + b'":[' + b"0," * 16_000 + b"0]}"
    tracemalloc.start()
    made = event(rule(reading=[], event="x"), "gw1", "1", payload, T0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 << 20 and all(len(path) <= 1024 for path in made.values)


def test_what_one_rule_cannot_read_another_one_does() -> None:
    """Readings and an alarm on one topic: a message with the alarm alone is no bad one to it."""
    own = rule(
        reading=[], event="ups:alarm", authenticated=True, alarm="fault", severity="/s"
    )  # fmt: skip
    settings = MqttSettings(host="127.0.0.1", topic=(rule(), own))
    listener, heard = MqttListener(settings, DEVICES, ManualClock(T0)), []
    listener._sort(
        Heard(topic="plant/gw1/env", payload=b'{"s":"critical"}', retained=False, qos=1, mid=1),
        heard,
    )
    assert [one.severity for one in heard] == ["critical"]
    stats = listener.stats()
    assert (stats["events"], stats["readings"], stats["bad_no_readings"]) == (1, 0, 1)


def test_depth_is_bounded_and_brackets_in_text_are_none() -> None:
    assert load(b"[" * 16 + b"]" * 16)
    with pytest.raises(BadPayload, match="too_deep"):
        load(b"[" * 17 + b"]" * 17)
    assert deepest(rb'{"a": "[[[[\"[["}') == 1


@given(st.text(alphabet='[]{}"\\\\a1,', max_size=60))
def test_depth_is_what_counting_bracket_by_bracket_gives(text: str) -> None:
    depth = most = 0
    inside = escaped = False
    for letter in text:
        if inside:
            inside = escaped or letter != '"'
            escaped = not escaped and letter == "\\"
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            most = max(most, depth)
        elif letter in "]}":
            depth -= 1
    assert deepest(text.encode()) == most


@pytest.mark.parametrize("number", ["9" * 41, "9" * 41 + ".5", "[1," + "8" * 5000 + "]"])
def test_a_number_of_too_many_digits_is_refused(number: str) -> None:
    with pytest.raises(BadPayload, match="too many digits"):
        load(number.encode())
    assert load(b'["' + b"9" * 41 + b'"]')


def test_a_fraction_may_be_as_long_as_a_float_written_out_exactly() -> None:
    exact = "0.1000000000000000055511151231257827021181583404541015625"
    assert load(f'{{"t": {exact}}}'.encode()) == {"t": 0.1}
    assert load(b"[1." + b"3" * 60_000 + b"]") == [4 / 3]


def test_json_pointers_are_those_of_rfc_6901() -> None:
    said = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, " ": 7}
    for pointer, value in (
        ("", said), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/m~0n", 8), ("/ ", 7),
        ("/foo/2", None), ("/foo/x", None), ("/no", None),
    ):  # fmt: skip
        assert pointed(said, pointer) == value


def test_senml_is_resolved_as_in_rfc_8428() -> None:
    pack = [  # section 5.1.2
        {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5,
         "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "t": 0, "v": 1.7},
        {"n": "current", "t": -1, "v": 1.6},
        {"bv": 20, "n": "warm", "v": 1.5},
        {"n": "open", "vb": True},
        {"n": "word", "vs": "text"},
    ]  # fmt: skip
    found = senml.resolve(pack)
    name = "urn:dev:ow:10e2073a0108006:"
    assert found == {
        f"{name}voltage": 120.1, f"{name}current": 1.7, f"{name}warm": 21.5, f"{name}open": True,
    }  # fmt: skip
    for bad in ({"n": "a", "v": 1, "must_": 1}, {"n": "a", "v": "1"}, {"n": "a b", "v": 1},
                {"n": "a", "v": 1, "bver": 11}, 3):  # fmt: skip
        with pytest.raises(BadPayload, match="not_senml"):
            senml.resolve([bad])


def test_an_alarm_is_believed_only_from_a_topic_said_to_be_the_devices_own() -> None:
    own = rule(
        reading=[], event="ups:alarm", authenticated=True, alarm="ups-fault", severity="/s",
        text="/t",
    )  # fmt: skip
    told = event(own, "gw1", "1", b'{"s":"MAJOR","t":"on battery"}', T0)
    assert told.authenticated and (told.severity, told.text) == ("major", "on battery")
    assert str(told.resource) == "gw1" and told.alarm == "ups-fault"
    with pytest.raises(BadPayload, match="no_severity"):
        event(own, "gw1", "1", b'{"s":"whatever"}', T0)
    anybody = rule(reading=[], event="ups:alarm")
    told = event(anybody, "gw1", "1", b'{"s":"cleared"}', T0)
    assert not told.authenticated and not told.alarm
    with pytest.raises(ValueError, match="authenticated"):
        rule(reading=[], event="x", alarm="a", severity="/s")


def test_rows_and_columns_that_stay_share_a_layout_and_only_news_are_told() -> None:
    one = rule(row="{3}", filter="plant/+/+")
    gathering = Gathering([one], rows=2)
    for row in ("a", "b"):
        gathering.add(numbers(one, "gw1", row, b'{"temperature": 20, "count": 7}'))
    (first,) = gathering.batches(T0, 1.0)
    gathering.add(numbers(one, "gw1", "b", b'{"temperature": 21}'))
    gathering.add(numbers(one, "gw1", "b", b'{"temperature": 22}'))
    (second,) = gathering.batches(T0, 2.0)
    assert second.tables[0].layout is first.tables[0].layout
    assert first.source == "mqtt" and first.tables[0].counters.tolist() == [[7, 7]]
    temperature = second.tables[0].gauges[0]
    assert np.isnan(temperature[0]) and temperature[1] == 22
    assert second.tables[0].missing is not None and second.tables[0].missing.all()
    with pytest.raises(BadPayload, match="too_many_rows"):
        gathering.add(numbers(one, "gw1", "c", b'{"temperature": 21}'))
    assert gathering.batches(T0, 3.0) == []


@pytest.mark.parametrize(
    "said",
    [
        {"filter": "a/#/b"}, {"filter": "a/b+"}, {"filter": "$SYS/#"}, {"device": "{9}"},
        {"reading": []}, {"event": "x"}, {"reading": [{"from": "x", "column": "a"}]},
        {"reading": [{"from": "/x", "column": "a"}] * 2}, {"colour": "red"},
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        rule(**said)
