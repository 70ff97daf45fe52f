"""Where a device is and how to get in: what `transport` is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a device is and how to get in. Secrets are opened only while connecting."""

    device: str
    address: str
    port: int
    username: str
    password: SecretStr | None = None
    private_key: SecretStr | None = None  # the key itself, OpenSSH or PEM
    passphrase: SecretStr | None = None
    host_keys: tuple[str, ...]  # "ssh-ed25519 AAAA…" or "SHA256:…"
    subsystems: tuple[str, ...] = ("netconf",)
    connect_s: float = 15.0
    keepalive_s: float = 30.0
    legacy: tuple[str, ...] = field(default=())  # extra algorithms, such as "ssh-rsa"
