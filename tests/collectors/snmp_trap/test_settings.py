"""Mistakes in [traps] are told before anything listens."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collectors.snmp_trap.settings import TrapSettings, address_and_port

USER = {"name": "netops", "auth_key": "authauth1", "priv_key": "privpriv1"}


def users(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"users": [{**USER, **change} for change in changes]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"listen": "162"}, "ADDRESS:PORT"),
        ({"listen": "localhost:162"}, "ADDRESS:PORT"),
        ({"listen": "0.0.0.0:65536"}, "ADDRESS:PORT"),
        ({"forwarders": ["gw1"]}, "gw1"),
        ({"engine_id": "80"}, "snmpEngineID"),
        ({"source_rate": 0}, "greater than 0"),
        ({"comunities": ["x"]}, "comunities"),
        (users({"engine_ids": ["nonsense"]}), "snmpEngineID"),
        (users({"auth_key": "short"}), "at least 8"),
        (users({"priv_key": ""}), "at least 8"),
        (users({"auth": "", "auth_key": ""}), "priv needs auth"),
        (users({"auth": "md5"}), "sha1"),
        (users({"priv": "des"}), "aes128"),
        (users({"priv": "", "priv_key": ""}), "authPriv needs priv"),
        (users({"priv": ""}), "without a protocol"),
        (users({}, {}), "named twice: netops"),
    ],
)
def test_a_mistake_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrapSettings.model_validate(given)


def test_engine_ids_are_read_as_people_write_them() -> None:
    given = users({"engine_ids": ["0x80001F8880E9630000", "80:00:1f:88:80"]})
    (user,) = TrapSettings.model_validate(given).users
    assert user.engine_ids == ("80001f8880e9630000", "80001f8880")


def test_secrets_are_not_shown() -> None:
    shown = repr(TrapSettings.model_validate({"communities": ["hush-hush"], **users({})}))
    assert not any(secret in shown for secret in ("hush-hush", "authauth1", "privpriv1"))


def test_addresses_of_both_families_are_read() -> None:
    assert address_and_port("[::]:162") == ("::", 162)
    assert address_and_port("192.0.2.1:9162") == ("192.0.2.1", 9162)
