"""What an operator may say about SNMP polling."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from collectors.snmp_poll.tables import ColumnSpec, TablesFile, TableSpec

__all__ = [
    "Auth",
    "ColumnSpec",
    "Credentials",
    "Priv",
    "SnmpPollSettings",
    "TableSpec",
    "TablesFile",
    "Target",
]


class Auth(StrEnum):
    """SNMPv3 authentication: RFC 3414 (SHA-1, MD5) and RFC 7860 (the SHA-2 family)."""

    MD5 = "MD5"
    SHA_1 = "SHA-1"
    SHA_224 = "SHA-224"
    SHA_256 = "SHA-256"
    SHA_384 = "SHA-384"
    SHA_512 = "SHA-512"


class Priv(StrEnum):
    """SNMPv3 privacy: RFC 3826 (AES-128); AES-192 and AES-256 as net-snmp and Cisco extend it."""

    AES_128 = "AES-128"
    AES_192 = "AES-192"
    AES_256 = "AES-256"


class Credentials(BaseModel):
    """How a device is asked: a community (v1, v2c), or a user with its keys (v3).

    `key_expansion` is how an AES-192/256 key longer than the digest is made: "blumenthal" (RFC
    draft, net-snmp) or "cisco" (Reeder's draft).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal["1", "2c", "3"] = "2c"
    community: SecretStr | None = None
    user: str = Field(default="", max_length=32)
    auth: Auth | None = None
    auth_key: SecretStr | None = None
    priv: Priv | None = None
    priv_key: SecretStr | None = None
    key_expansion: Literal["blumenthal", "cisco"] = "blumenthal"
    insecure: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.version == "3":
            self._check_v3()
            return self
        if self.community is None:
            raise ValueError(f"SNMP version {self.version} needs a community")
        if not 0 < len(self.community.get_secret_value().encode()) <= 255:
            raise ValueError("community: 1 to 255 octets")
        if self.user or self.auth or self.auth_key or self.priv or self.priv_key:
            raise ValueError('user, auth and priv belong to version "3"')
        return self

    def _check_v3(self) -> None:
        if self.community is not None:
            raise ValueError('community belongs to version "1" or "2c"')
        if not self.user:
            raise ValueError('version "3" needs a user')
        if len(self.user.encode()) > 32:
            raise ValueError("user: at most 32 octets (RFC 3414 section 5, usmUserName)")
        for what, algorithm, key in (
            ("auth", self.auth, self.auth_key),
            ("priv", self.priv, self.priv_key),
        ):
            if (algorithm is None) != (key is None):
                raise ValueError(f"{what} and {what}_key go together: one of them is missing")
            if key is not None and len(key.get_secret_value()) < 8:
                raise ValueError(f"{what}_key: at least 8 characters (RFC 3414 section 11.2)")
        if self.priv and not self.auth:
            raise ValueError("priv needs auth: there is no privacy without authentication")
        if not self.auth and not self.insecure:
            raise ValueError("a user without auth can be anybody; say insecure = true to allow it")
        if self.auth is Auth.MD5 and not self.insecure:
            raise ValueError("MD5 is broken; use SHA-256, or say insecure = true to allow it")


class Target(BaseModel):
    """One device to ask. None for a time or count: what `[snmp]` says.

    `any_source` takes answers from another address of the device (the request-id and community
    must still fit). `engine`: "auto" is "planned".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255)
    address: str = Field(min_length=1, max_length=255)
    port: int = Field(default=161, ge=1, le=65535)
    credentials: Credentials
    tables: tuple[str, ...] = ("system", "if")
    timeout_s: float | None = Field(default=None, gt=0, le=60)
    retries: int | None = Field(default=None, ge=0, le=10)
    interval_s: float = Field(default=30.0, gt=0, le=86400)
    engine: Literal["auto", "planned", "gufo", "pysnmp"] = "auto"
    any_source: bool = False


class SnmpPollSettings(BaseModel):
    """The `[snmp]` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float = Field(default=2.0, gt=0, le=60)  # first try; each retry waits 1.5 times more
    retries: int = Field(default=2, ge=0, le=10)
    look_max_s: float = Field(default=60.0, gt=0, le=600)  # one look never takes longer
    max_in_flight: int = Field(default=256, ge=1, le=100_000)  # requests unanswered, per socket
    sweep_devices: int = Field(default=256, ge=0, le=4096)  # asked together at most; 0: singly
    device_in_flight: int = Field(default=4, ge=1, le=64)  # requests unanswered, one device
    receive_buffer: int = Field(default=8 << 20, ge=1 << 16, le=1 << 30)  # octets
    oids_per_packet: int = Field(default=60, ge=1, le=255)
    packet_octets: int = Field(default=1400, ge=484, le=65_000)  # estimated size of an answer
    max_repetitions: int = Field(default=25, ge=1, le=127)
    rewalk_s: float = Field(default=900.0, ge=10, le=86400)
    walk_varbinds: int = Field(default=200_000, ge=100)
    walk_octets: int = Field(default=16 << 20, ge=1 << 16)
    walk_max_s: float = Field(default=60.0, gt=0, le=600)
    table_rows: int = Field(default=20_000, ge=1, le=1_000_000)  # of one table; more are left out
    walks_per_10m: int = Field(default=6, ge=1, le=600)  # of one device, asked for by its changes
    text_octets: int = Field(default=4096, ge=64, le=65_535)  # a longer string is an error
