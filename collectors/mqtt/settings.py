"""What an operator may say about MQTT: `[mqtt]`, `[[mqtt.topic]]`, `[collect]`. Seconds."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from netopsd.broker_settings import BrokerSettings, TopicRoot

LEVEL = re.compile(r"\{(\d{1,2})\}")
Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]


def _filter(said: str) -> str:
    levels = said.split("/")
    wild = [level for level in levels if "+" in level or "#" in level]
    if any(level not in ("+", "#") for level in wild) or "#" in levels[:-1] or "\0" in said:
        raise ValueError('"+" stands for one whole level, "#" for all that follow')
    if said.startswith("$"):
        raise ValueError("topics that begin with $ are the broker's own")
    return said


def _pointer(said: str) -> str:
    if said and not said.startswith("/"):
        raise ValueError('a JSON pointer begins with "/", as in "/sensors/0/temperature"')
    return said


class Reading(BaseModel):
    """One `[[mqtt.topic.reading]]`: which number of a payload becomes which column.

    `from` is a JSON pointer (RFC 6901), for SenML the name of a record. "" is the payload itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    source: Annotated[str, StringConstraints(max_length=500)] = Field(default="", alias="from")
    column: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
    kind: Literal["gauge", "state", "counter32", "counter64"] = "gauge"
    scale: float = Field(default=1.0, allow_inf_nan=False)

    @property
    def counter(self) -> bool:
        return self.kind.startswith("counter")


class TopicRule(BaseModel):
    """One `[[mqtt.topic]]`: whose these messages are, and what they say.

    `device` names a device; "{2}" stands for the second level of the topic. With `devices` that
    text is looked up there, and nothing else is believed. The payload never names the device.
    A rule has readings, or makes events of `event`; `authenticated` says that the broker lets only
    the device itself publish here, so that its events may clear what they raised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: Annotated[str, AfterValidator(_filter), StringConstraints(max_length=1000)]
    device: Text
    devices: dict[str, str] = {}
    payload: Literal["json", "senml"] = "json"
    table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")] = "mqtt"
    row: Text = "1"
    reading: tuple[Reading, ...] = Field(default=(), max_length=200)
    event: Annotated[str, StringConstraints(max_length=255)] = ""
    authenticated: bool = False
    alarm: Annotated[str, StringConstraints(max_length=100)] = ""  # alarm type id, with severity
    severity: Annotated[str, AfterValidator(_pointer)] = ""  # JSON pointers
    text: Annotated[str, AfterValidator(_pointer)] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.reading) == bool(self.event):
            raise ValueError("a topic has either readings or an event")
        depth = len(self.filter.split("/"))
        for text in (self.device, self.row):
            for level in LEVEL.findall(text):
                if not 1 <= int(level) <= depth:
                    raise ValueError(f"{{{level}}}: {self.filter} has {depth} levels")
        columns = [one.column for one in self.reading]
        if len(set(columns)) != len(columns):
            raise ValueError("a column is there twice")
        for one in self.reading:
            if self.payload == "json":
                _pointer(one.source)
        if self.alarm and not (self.authenticated and self.severity):
            raise ValueError("alarm needs authenticated = true and a severity pointer")
        return self


class MqttSettings(BrokerSettings):
    """The `[mqtt]` section: the broker, and what is heard there."""

    root: TopicRoot = "netopsd/v1"  # below it collectors and the core speak
    topic: tuple[TopicRule, ...] = ()
    device_rate: float = Field(default=20.0, gt=0, le=100_000)  # messages a second, one device
    device_burst: float = Field(default=100.0, ge=1, le=1_000_000)
    topic_rate: float = Field(default=1000.0, gt=0, le=1_000_000)  # of one rule's filter
    rows: int = Field(default=1000, ge=1, le=100_000)  # of one table of one device
    gather_s: float = Field(default=1.0, ge=0.05, le=60)  # readings of so long are one look


class CollectSettings(BaseModel):
    """The `[collect]` section: sites whose devices are polled there, by `netopsd collect`.

    The core does not poll devices of a site in `remote`. `spool` is the most a collector keeps on
    disk while broker or core are away.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    remote: tuple[Text, ...] = ()
    heartbeat_s: float = Field(default=5.0, ge=0.2, le=60)
    spool_octets: int = Field(default=16 << 30, ge=1 << 20, le=1 << 42)
    sync_s: float = Field(default=1.0, ge=0.05, le=60)  # a power cut loses at most so much
    parcel_looks: int = Field(default=64, ge=1, le=1000)
    parcel_s: float = Field(default=0.25, ge=0.01, le=10)  # a look waits at most so long
