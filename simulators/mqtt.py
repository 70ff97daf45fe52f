"""Gateways and probes that tell by MQTT: steady telemetry, and what a hostile publisher sends.

`python -m simulators.mqtt --port 1883 --for 60` publishes readings of a few gateways once a second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Gateway:
    """One publisher. `said` counts what the broker acknowledged."""

    def __init__(
        self, port: int, name: str = "gw", *, username: str = "", password: str = "", ca: str = ""
    ) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        if username:
            self._client.username_pw_set(username, password)
        if ca:
            self._client.tls_set(ca)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def say(self, topic: str, payload: object, *, retain: bool = False) -> int:
        """Publish with QoS 1: bytes as they are, anything else as JSON. Returns the reason code."""
        octets = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        codes: list[int] = []

        def published(_client: object, _data: object, mid: int, code: object, _p: object) -> None:
            if mid == info.mid:
                codes.append(int(getattr(code, "value", 0)))

        self._client.on_publish = published
        info = self._client.publish(topic, octets, 1, retain)
        deadline = time.monotonic() + 5
        while not codes and time.monotonic() < deadline:
            time.sleep(0.001)
        return codes[0] if codes else -1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def readings(gateways: int, second: int) -> Iterator[tuple[str, object]]:
    """Give (topic, payload) of every gateway at a second: JSON and SenML, a counter that grows."""
    for n in range(1, gateways + 1):
        warm = 20.0 + n + (second % 10) / 10
        yield f"plant/gw{n}/env", {"temperature": warm, "humidity": 40 + n, "door": False}
        yield f"plant/gw{n}/meter", {"energy": {"wh": 1000 * n + second * n}}
        pack = [{"bn": f"gw{n}:", "n": "volt", "u": "V", "v": 230.1}, {"n": "amp", "v": n / 10}]
        yield f"plant/gw{n}/senml", pack


HOSTILE: Sequence[bytes] = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"a":' * 17 + b"1" + b"}" * 17,
    b'{"temperature": NaN}',
    b'{"temperature": 1e999}',
    b'{"temperature": "hot"}',
    b'{"temperature": ' + b"9" * 5000 + b"}",
    b'{"temperature": 1, "temperature": 2}',
    b'{"device": "other", "temperature": true}',
    b'{"x": "' + b"y" * 70_000 + b'"}',
    b"\x80\x04\x95",
    b'"just text"',
    b"null",
    b"-1",
)


def main() -> None:
    """Publish readings until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--for", dest="seconds", type=int, default=60)
    given = parser.parse_args()
    gateway = Gateway(given.port)
    for second in range(given.seconds):
        for topic, payload in readings(given.gateways, second):
            gateway.say(topic, payload)
        time.sleep(1.0)
    gateway.close()


if __name__ == "__main__":
    main()
