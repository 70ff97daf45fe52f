"""The bus from end to end: a gateway's reading becomes an alarm, and the alarm is on the bus."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from simulators.mqtt import Gateway
from tests.bss_bridge.test_mqtt import retained
from tests.e2e.broker import running as mosquitto
from tests.e2e.daemon import Daemon, until, write_config

pytestmark = [pytest.mark.e2e, pytest.mark.peer("mosquitto")]

NETOPSD = """
[state]
directory = "state"
[traps]
enabled = false
[mqtt]
host = "127.0.0.1"
port = PORT
gather = "100ms"
[[mqtt.topic]]
filter = "plant/+/env"
device = "{2}"
table = "env"
[[mqtt.topic.reading]]
from = "/temperature"
column = "temperature"
[[mqtt.topic]]
filter = "plant/+/ups"
device = "{2}"
event = "ups:alarm"
authenticated = true
alarm = "ups-fault"
severity = "/severity"
text = "/text"
[[sink]]
kind = "mqtt"
name = "bus"
host = "127.0.0.1"
port = PORT
"""
RULES = """
[[threshold]]
alarm = "too-warm"
table = "env"
column = "temperature"
raise_above = 40
clear_at = 35
severity = "major"
text = "{device} is at {value} degrees"
"""
DEVICES = '[[device]]\nname = "gw1"\naddress = "127.33.0.1"\nmqtt = true\n'


def test_a_warm_gateway_is_an_alarm_on_the_bus_until_it_has_cooled(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        files = {
            "netopsd.toml": NETOPSD.replace("PORT", str(broker.port)),
            "rules.toml": RULES,
            "devices.toml": DEVICES,
        }
        daemon = Daemon(write_config(tmp_path / "config", files))
        daemon.spawn()  # ready it is when its only device has said something
        try:
            until(daemon.announced, 20, "the daemon")

            def on_the_bus() -> dict[str, dict[str, object]]:
                found = asyncio.run(retained(broker.port))
                said = [json.loads(h.payload)["data"]["alarm"] for h in found.values()]
                return {str(alarm["specificProblem"]): alarm for alarm in said}

            heard = "netopsd_mqtt_telemetry_readings_total"
            until(lambda: daemon.value(heard) is not None, 10, "the listener")
            until(lambda: "plant/+/env" in broker.log_path.read_text(), 10, "subscribed")
            gateway = Gateway(broker.port)
            gateway.say("plant/gw1/env", {"temperature": 20})
            gateway.say("plant/gw1/env", {"temperature": 61.5})
            gateway.say("plant/gw1/ups", {"severity": "minor", "text": "on battery"})
            until(lambda: len(on_the_bus()) == 2, 15, lambda: f"{on_the_bus()}\n{daemon.tail()}")
            alarms = on_the_bus()
            assert alarms["too-warm"]["alarmDetails"] == "gw1 is at 61.5 degrees"
            assert alarms["ups-fault"]["perceivedSeverity"] == "minor"
            assert daemon.value("temperature", device="gw1") == 61.5
            broker.kill9()  # what is said while the bus is away is not lost
            time.sleep(1)
            broker.start()
            for payload in ({"temperature": 30},):
                until(
                    lambda p=payload: gateway.say("plant/gw1/env", p) == 0
                    and "gw1/env/1!too-warm" not in daemon.alarms(),
                    20, lambda: f"{daemon.alarms()}\n{daemon.tail()}", 1.0,
                )  # fmt: skip
            until(lambda: "too-warm" not in on_the_bus(), 20, daemon.tail)
            gateway.close()
        finally:
            daemon.end()
        assert not daemon.unclean()
