"""What an operator may say about an MQTT broker. Apart from `broker`, whose client loads slowly."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

TopicRoot = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=200)
]


class _Shaken(ssl.SSLSocket):
    """A TLS socket that closes itself where the handshake fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class BrokerSettings(BaseModel):
    """Where a broker is and who we are to it. Without `tls` nothing is secret from the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, max_length=255)
    port: int | None = Field(default=None, ge=1, le=65535)  # None: 8883 with tls, else 1883
    tls: bool = False
    ca_file: Path | None = None  # None: the system's authorities
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str = Field(default="", max_length=1000)
    password: SecretStr = SecretStr("")
    client_id: str = Field(default="netopsd", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    keepalive_s: float = Field(default=15.0, ge=1, le=3600)
    timeout_s: float = Field(default=5.0, gt=0, le=120)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        here = self.host in ("127.0.0.1", "::1", "localhost")
        if self.password.get_secret_value() and not self.tls and not here:
            raise ValueError("password: it is not sent in clear; set tls = true")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file belongs to a cert_file")
        return self

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port or (8883 if self.tls else 1883)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return how the broker's certificate is judged. Raises OSError for unreadable files."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        context.sslsocket_class = _Shaken
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context
