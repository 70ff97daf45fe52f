"""What an operator may say about traps: the `[traps]` section."""

from __future__ import annotations

import ipaddress
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class AuthProtocol(StrEnum):
    """HMAC of SNMPv3 messages (RFC 3414, RFC 7860). MD5 is not offered."""

    NONE = ""
    SHA1 = "sha1"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class PrivProtocol(StrEnum):
    """Cipher of SNMPv3 messages. DES is not offered.

    aes128 is RFC 3826; aes192 and aes256 extend keys as draft-blumenthal-aes-usm-04 (net-snmp);
    aes192c and aes256c as draft-reeder-snmpv3-usm-3desede (Cisco and others).
    """

    NONE = ""
    AES128 = "aes128"
    AES192 = "aes192"
    AES256 = "aes256"
    AES192C = "aes192c"
    AES256C = "aes256c"


class Level(StrEnum):
    """Security levels of RFC 3411 section 3.4.3, weakest first."""

    NO_AUTH = "noAuthNoPriv"
    AUTH = "authNoPriv"
    AUTH_PRIV = "authPriv"


class V3User(BaseModel):
    """One SNMPv3 user whose notifications are believed.

    `engine_ids`: hexadecimal snmpEngineIDs of the senders of its traps; informs use our own engine.
    `level`: weaker messages of this user are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=32)
    engine_ids: tuple[str, ...] = ()
    auth: AuthProtocol = AuthProtocol.SHA256
    auth_key: SecretStr = SecretStr("")
    priv: PrivProtocol = PrivProtocol.AES128
    priv_key: SecretStr = SecretStr("")
    level: Level = Level.AUTH_PRIV

    @field_validator("engine_ids")
    @classmethod
    def _hexadecimal(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(engine_id(text) for text in given)

    @model_validator(mode="after")
    def _keys_for_the_level(self) -> V3User:
        for protocol, key, what in (
            (self.auth, self.auth_key, "auth"),
            (self.priv, self.priv_key, "priv"),
        ):
            size = len(key.get_secret_value())
            if protocol and size < 8:  # RFC 3414 section 11.2
                raise ValueError(f"{what}_key must have at least 8 characters")
            if size and not protocol:
                raise ValueError(f"{what}_key without a protocol in {what}")
        if self.priv and not self.auth:
            raise ValueError("priv needs auth")
        if self.level is not Level.NO_AUTH and not self.auth:
            raise ValueError(f"level {self.level} needs auth")
        if self.level is Level.AUTH_PRIV and not self.priv:
            raise ValueError("level authPriv needs priv")
        return self


def engine_id(text: str) -> str:
    """Return `text` as lower-case hexadecimal of 5 to 32 octets. ValueError otherwise."""
    plain = text.lower().removeprefix("0x").replace(":", "")
    try:
        octets = bytes.fromhex(plain)
    except ValueError:
        octets = b""
    if not 5 <= len(octets) <= 32:
        raise ValueError(f"{text!r} is no snmpEngineID: 5 to 32 octets in hexadecimal")
    return octets.hex()


class TrapSettings(BaseModel):
    """Where traps are heard, whom to believe, how much of it.

    `listen` is ADDRESS:PORT ("[::]:162" hears IPv4 as well); a socket handed over by systemd
    (named "trap") goes before it. Rates are datagrams a second of one source and of one /24 (IPv6:
    /64), with a burst of five seconds of each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    listen: str = "0.0.0.0:162"
    communities: tuple[SecretStr, ...] = ()
    users: tuple[V3User, ...] = ()
    engine_id: str = ""  # ours, for informs; made up and remembered where not given
    accept_unknown_sources: bool = False
    forwarders: tuple[str, ...] = ()  # whose v1 agent-addr is believed
    source_rate: float = Field(500.0, gt=0, le=1e6)
    network_rate: float = Field(20_000.0, gt=0, le=1e7)
    receive_buffer: int = Field(4 * 2**20, ge=2**16, le=2**28)
    backlog: int = Field(20_000, ge=100, le=1_000_000)

    @field_validator("listen")
    @classmethod
    def _an_address_and_a_port(cls, given: str) -> str:
        address_and_port(given)
        return given

    @field_validator("users")
    @classmethod
    def _each_name_once(cls, given: tuple[V3User, ...]) -> tuple[V3User, ...]:
        names = [user.name for user in given]
        twice = {name for name in names if names.count(name) > 1}
        if twice:  # an inform to our engine names its user and nothing else
            raise ValueError(f"user named twice: {', '.join(sorted(twice))}")
        return given

    @field_validator("forwarders")
    @classmethod
    def _addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(text)) for text in given)

    @field_validator("engine_id")
    @classmethod
    def _hexadecimal(cls, given: str) -> str:
        return engine_id(given) if given else ""


def address_and_port(text: str) -> tuple[str, int]:
    """Return ("::", 162) for "[::]:162". ValueError where it is no such thing."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        raise ValueError(f"{text!r}: ADDRESS:PORT wanted, such as 0.0.0.0:162") from None
    if not colon or not 0 <= number <= 65535:
        raise ValueError(f"{text!r}: ADDRESS:PORT wanted, such as 0.0.0.0:162")
    return str(address), number
