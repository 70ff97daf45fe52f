"""What an operator may say about NETCONF."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collectors.netconf.errors import BadRequest
from collectors.netconf.operations import device_handler
from collectors.netconf.views import (
    ColumnSpec,
    EventSpec,
    ResourceSpec,
    TableSpec,
    ViewsFile,
    ViewSpec,
)

__all__ = [
    "ActivationSettings",
    "ColumnSpec",
    "EventSpec",
    "NetconfCredentials",
    "NetconfSettings",
    "NetconfTarget",
    "ResourceSpec",
    "TableSpec",
    "ViewSpec",
    "ViewsFile",
]


def _host_key(said: str) -> str:
    from collectors.netconf.transport import fingerprint

    fingerprint(said)
    return said


def _handler(said: str) -> str:
    try:
        device_handler(said)
    except BadRequest as error:
        raise ValueError(str(error)) from None
    return said


class NetconfCredentials(BaseModel):
    """Who we are to a device: a user with a private key, a password, or both.

    For collecting this should be a user that may only read (RFC 8341); activation has its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(min_length=1, max_length=255)
    password: SecretStr | None = None
    private_key: SecretStr | None = None
    passphrase: SecretStr | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.password is None and self.private_key is None:
            raise ValueError("a NETCONF user needs a password or a private_key")
        if self.passphrase is not None and self.private_key is None:
            raise ValueError("passphrase belongs to a private_key")
        return self


class NetconfTarget(BaseModel):
    """One device to ask. `host_keys` are the keys it may show: "ssh-ed25519 AAAA…" or "SHA256:…".

    `leave` names tables that another collector reads from this device: they are not asked for.
    `handler` is ncclient's word for the kind of device. `transport` "ncclient" takes ncclient's
    own SSH, in a worker process, for devices that need it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255)
    address: str = Field(min_length=1, max_length=255)
    port: int = Field(default=830, ge=1, le=65535)
    credentials: NetconfCredentials
    host_keys: tuple[Annotated[str, AfterValidator(_host_key)], ...] = Field(min_length=1)
    views: tuple[str, ...] = ()
    leave: frozenset[str] = frozenset()
    handler: Annotated[str, AfterValidator(_handler)] = "default"
    transport: Literal["asyncssh", "ncclient"] = "asyncssh"
    stream: str = Field(default="", max_length=255)  # of notifications; "" asks for none
    legacy_algorithms: bool = False  # ssh-rsa with SHA-1, for old devices

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.transport == "ncclient":
            if any(key.startswith("SHA256:") for key in self.host_keys):
                raise ValueError('transport "ncclient" needs host_keys as keys, not fingerprints')
            if self.stream:
                raise ValueError('transport "ncclient" takes no notifications: leave stream out')
        return self


class NetconfSettings(BaseModel):
    """The `[netconf]` section. Sizes in bytes, times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_s: float = Field(default=15.0, gt=0, le=120)
    hello_s: float = Field(default=20.0, gt=0, le=120)
    rpc_s: float = Field(default=60.0, gt=0, le=600)
    look_max_s: float = Field(default=120.0, gt=0, le=1200)
    keepalive_s: float = Field(default=30.0, ge=1, le=3600)
    in_flight: int = Field(default=8, ge=1, le=64)  # requests unanswered, one session
    max_chunk: int = Field(default=16 << 20, ge=1024, le=16 << 20)
    max_message: int = Field(default=64 << 20, ge=65536, le=64 << 20)
    max_names: int = Field(default=20_000, ge=100, le=1_000_000)  # distinct XML names, one device
    backoff_s: float = Field(default=2.0, gt=0, le=600)  # doubles
    backoff_most_s: float = Field(default=300.0, gt=0, le=3600)
    rejected_s: float = Field(default=300.0, gt=0, le=86400)  # after a refused login or host key
    queue: int = Field(default=1000, ge=10, le=100_000)  # notifications waiting, one device


class ActivationSettings(BaseModel):
    """The `[activation]` section: how service orders are put in force. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confirm_s: float = Field(default=120.0, ge=2, le=3600)  # the devices' rollback timer
    step_s: float = Field(default=30.0, gt=0, le=600)  # one request
    verify_s: float = Field(default=30.0, gt=0, le=600)  # until the state must be right
    lock_s: float = Field(default=10.0, ge=0, le=600)  # wait for somebody else's lock
    retry_s: float = Field(default=5.0, ge=0.05, le=3600)  # to finish what waits for a device
    drift_every_s: float = Field(default=300.0, ge=0, le=86400)  # 0: never
    at_once: int = Field(default=4, ge=1, le=64)  # orders

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.verify_s > self.confirm_s / 2:
            raise ValueError("verify must fit into half of confirm, or nothing could be decided")
        return self
