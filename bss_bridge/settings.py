"""What the operator configures of customers, contracts and sinks.

These are values: `netopsd.settings` reads them from TOML, finds the secrets and names file and key
of every mistake. Money is Decimal, written as text ("1490.00"); a TOML float is refused.
"""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from bss_bridge.money import MOST_MINOR, exponent, to_minor
from netopsd.broker_settings import BrokerSettings, TopicRoot

_ID = re.compile(r"[^\x00-\x1f\x7f|]{1,200}")


def _identifier(value: object) -> object:
    if isinstance(value, str) and not _ID.fullmatch(value):
        raise ValueError("must be 1 to 200 printable characters without '|'")
    return value


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('must be an IANA time zone such as "Europe/Oslo"')
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone") from error
    return value


def _currency(value: object) -> object:
    if isinstance(value, str):
        exponent(value)
    return value


def _exact(value: object) -> object:
    if isinstance(value, float):
        raise ValueError('must be text, "1490.00": a float is not exact')
    return value


def _patterns(value: object) -> object:
    if isinstance(value, list | tuple):
        for pattern in value:
            if not isinstance(pattern, str) or not re.fullmatch(
                r"\*|[a-z]+(\.([a-z]+|\*))?", pattern
            ):
                raise ValueError(f'{pattern!r} is no topic: "*", "sla.*" or "sla.credit"')
    return value


Identifier = Annotated[str, BeforeValidator(_identifier)]
Zone = Annotated[str, BeforeValidator(_zone)]
Currency = Annotated[str, BeforeValidator(_currency)]
Money = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=28)]
Share = Annotated[Decimal, BeforeValidator(_exact), Field(gt=0, le=1, max_digits=20)]
Topics = Annotated[tuple[str, ...], BeforeValidator(_patterns), Field(min_length=1)]


class Frozen(BaseModel):
    """No unknown key, no change after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Contact(Frozen):
    """How care reaches a customer."""

    name: str
    channel: Literal["mail", "phone", "sms", "portal"]
    address: str


class Account(Frozen):
    """Who pays. `bill_day` 29 to 31 is the month's last day where the month is shorter."""

    id: Identifier
    name: str = ""
    bill_day: int = Field(default=1, ge=1, le=31)


class Customer(Frozen):
    """One `[[customer]]` of customers.toml."""

    id: Identifier
    name: str
    zone: Zone = "UTC"
    currency: Currency = "EUR"
    language: str = Field(default="en", pattern=r"^[a-z]{2}(-[A-Z]{2})?$")
    contact: tuple[Contact, ...] = ()
    account: tuple[Account, ...] = ()

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        ids = [account.id for account in self.account]
        if len(set(ids)) != len(ids):
            raise ValueError(f"customer {self.id}: two accounts have the same id")
        return self


class CreditTier(Frozen):
    """Below `below` of availability, `credit` of the monthly fee is owed in all."""

    below: Share
    credit: Share


class Contract(Frozen):
    """The money of one service: what it costs, and what we owe when it fails.

    `tiers` run from the mildest to the worst; each begins where the one before ends, so there is
    neither gap nor overlap, and the first begins at `target`. Caps and the minimum are amounts of
    `currency`: `minimum_credit` is the least a broken promise costs us in a month, a cap the most
    (and stronger than the minimum).
    """

    service: Identifier
    name: str
    customer: Identifier
    account: Identifier
    monthly_fee: Money
    currency: Currency
    target: Share
    tiers: tuple[CreditTier, ...] = ()
    incident_cap: Money | None = None
    monthly_cap: Money | None = None
    minimum_credit: Money = Decimal(0)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self._check_tiers()
        if to_minor(self.monthly_fee, self.currency) > MOST_MINOR:
            raise ValueError(f"service {self.service}: monthly_fee is too large")
        for name in ("incident_cap", "monthly_cap"):
            cap = getattr(self, name)
            if cap is not None and cap < self.minimum_credit:
                raise ValueError(
                    f"service {self.service}: {name} {cap} is less than "
                    f"minimum_credit {self.minimum_credit}"
                )
        return self

    def _check_tiers(self) -> None:
        if not self.tiers:
            return
        first = self.tiers[0]
        if first.below != self.target:
            what = "a gap" if first.below < self.target else "an overlap"
            raise ValueError(
                f"service {self.service}: tier 1 is below {first.below}, the target is "
                f"{self.target}: {what}; the first tier must begin at the target"
            )
        for number, (mild, worse) in enumerate(
            zip(self.tiers, self.tiers[1:], strict=False), start=2
        ):
            if worse.below >= mild.below:
                raise ValueError(
                    f"service {self.service}: tier {number} (below {worse.below}) overlaps tier "
                    f"{number - 1} (below {mild.below}); each must begin lower than the one before"
                )
            if worse.credit <= mild.credit:
                raise ValueError(
                    f"service {self.service}: tier {number} credits {worse.credit}, no more than "
                    f"tier {number - 1} ({mild.credit}); a worse month must be worth more"
                )


class RetrySettings(Frozen):
    """How patiently a sink is tried again. A refused message is parked at once regardless."""

    first_s: float = Field(default=1.0, ge=0.1, le=3600)
    factor: float = Field(default=2.0, ge=1.1, le=10)
    most_s: float = Field(default=300.0, ge=1, le=86400)
    park_after: int | None = Field(default=None, ge=1)  # attempts; None: never give up


class _SinkSettings(Frozen):
    name: Identifier
    topics: Topics = ("*",)
    retry: RetrySettings = RetrySettings()
    concurrency: int = Field(default=8, ge=1, le=256)  # streams told at the same time
    digest_from: int | None = Field(default=None, ge=2)
    # one care.digest instead of so many care notices of one cause; None: always each of them


class OfficeSinkSettings(_SinkSettings):
    """The embedded billing and CRM store."""

    kind: Literal["office"] = "office"
    topics: Topics = ("ticket.*", "outage.*", "sla.*", "usage.*", "care.notice", "service.*")
    concurrency: int = Field(default=64, ge=1, le=256)


class FileSinkSettings(_SinkSettings):
    """JSON lines, appended."""

    kind: Literal["file"] = "file"
    path: Path


class WebhookSinkSettings(_SinkSettings):
    """HTTP POST, signed. `allow` lists networks of the machine's own or special kind to permit."""

    kind: Literal["webhook"] = "webhook"
    url: str = Field(pattern=r"^https?://[^\s/?#@]+([/?][^\s#]*)?$", max_length=2000)
    secret: SecretStr
    key_id: str = Field(default="1", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        import httpx  # slow to import, and needed by who has a webhook only

        try:
            httpx.URL(value)
        except httpx.InvalidURL as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _secret_is_long_enough(self) -> Self:
        if len(self.secret.get_secret_value()) < 16:
            raise ValueError("secret: at least 16 characters, or anybody can sign")
        return self


class SmtpSinkSettings(_SinkSettings):
    """Mail to customer care."""

    kind: Literal["smtp"] = "smtp"
    topics: Topics = ("care.*",)
    concurrency: int = Field(default=2, ge=1, le=32)
    digest_from: int | None = Field(default=5, ge=2)
    host: str
    port: int = Field(default=25, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    ca_file: Path | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    sender: str = Field(pattern=r"^[^@\s<>\x00-\x1f]+@[^@\s<>\x00-\x1f]+$")
    to: tuple[Annotated[str, Field(pattern=r"^[^@\s<>\x00-\x1f]+@[^@\s<>\x00-\x1f]+$")], ...] = (
        Field(min_length=1)
    )
    timeout_s: float = Field(default=30.0, gt=0, le=300)

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> Self:
        if self.username and self.tls == "none":
            raise ValueError('username: a password is not sent in clear; set tls = "starttls"')
        return self


class MqttSinkSettings(_SinkSettings, BrokerSettings):
    """CloudEvents to an MQTT 5 broker: events below `root`/event, retained below `root`/state."""

    kind: Literal["mqtt"] = "mqtt"
    topics: Topics = ("alarm.*", "ticket.*", "outage.*", "sla.*", "usage.*")
    client_id: str = Field(default="netopsd-out", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    root: TopicRoot = "netopsd/v1/out"
    source: str = Field(default="/netopsd", pattern=r"^[^\s\x00-\x1f]+$", max_length=200)


SinkSettings = Annotated[
    OfficeSinkSettings
    | FileSinkSettings
    | WebhookSinkSettings
    | SmtpSinkSettings
    | MqttSinkSettings,
    Field(discriminator="kind"),
]
