"""What an operator may say about SNMP polling, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collectors.snmp_poll import Credentials, SnmpPollSettings, TablesFile, TableSpec, Target
from tests.collectors.snmp_poll.test_lies import TABLES

V3 = {
    "version": "3",
    "user": "netops",
    "auth": "SHA-256",
    "auth_key": "long-enough",
    "priv": "AES-256",
    "priv_key": "long-enough",
}
COLUMN = {"name": "ifInErrors", "oid": "1.3.6.1.2.1.2.2.1.14", "kind": "counter32"}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"version": "2c"}, "needs a community"),
        ({"version": "1", "community": ""}, "1 to 255 octets"),
        ({"community": "x", "user": "netops"}, 'belong to version "3"'),
        ({**V3, "community": "x"}, 'belongs to version "1" or "2c"'),
        ({**V3, "user": ""}, "needs a user"),
        ({**V3, "auth_key": None}, "go together"),
        ({**V3, "priv": None}, "go together"),
        ({**V3, "priv_key": "short"}, "at least 8 characters"),
        ({**V3, "auth": None, "auth_key": None}, "no privacy without authentication"),
        ({**V3, "auth": "MD5"}, "MD5 is broken"),
        ({"version": "3", "user": "netops"}, "can be anybody"),
        ({"version": "2", "community": "x"}, "Input should be"),
        ({"comunity": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_credentials_that_do_not_fit_are_refused(said: dict[str, Any], answer: str) -> None:
    with pytest.raises(ValidationError, match=answer):
        Credentials.model_validate(said)


def test_md5_and_no_authentication_are_there_for_who_insists() -> None:
    assert Credentials.model_validate({**V3, "auth": "MD5", "insecure": True}).auth == "MD5"
    assert Credentials.model_validate({"version": "3", "user": "x", "insecure": True}).auth is None


def test_secrets_are_in_no_text() -> None:
    made = Credentials.model_validate(V3)

    assert "long-enough" not in f"{made!r} {made} {made.model_dump_json()}"


def test_every_engine_is_there_for_v3() -> None:
    for engine in ("auto", "planned", "gufo", "pysnmp"):
        said = {"name": "a", "address": "a", "credentials": V3, "engine": engine}
        assert Target.model_validate(said).engine == engine


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ({"column": []}, "at least 1 item"),
        ({"column": [COLUMN, COLUMN]}, "is given twice"),
        ({"column": [{**COLUMN, "oid": "ifInErrors"}]}, "is not a numeric OID"),
        ({"column": [{**COLUMN, "oid": "1.3.99999999999"}]}, "is not a numeric OID"),
        ({"column": [{**COLUMN, "kind": "counter"}]}, "Input should be"),
        ({"column": [{**COLUMN, "label": True}]}, "can be a label"),
        ({"column": [{**COLUMN, "augments": True}]}, "nothing tells which rows exist"),
        ({"column": [{**COLUMN, "fallback_for": "ifX"}]}, "which is no column"),
        ({"column": [{**COLUMN, "kind": "ticks", "clock": "sys_uptime"}]}, "only a scalar table"),
        ({"column": [COLUMN], "row": ["ifName"]}, '"ifName" is not a column'),
        ({"column": [COLUMN], "every": "soon"}, 'neither "look" nor a time'),
    ],
)
def test_tables_that_make_no_sense_are_refused(spec: dict[str, Any], answer: str) -> None:
    with pytest.raises(ValidationError, match=answer):
        TableSpec.model_validate({"name": "if", **spec})


def test_the_same_table_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="table if is given twice"):
        TablesFile.model_validate({"table": [{"name": "if", "column": [COLUMN]}] * 2})


def test_the_shipped_tables_are_those_the_readme_names() -> None:
    assert list(TABLES) == ["system", "if", "hrProcessor", "hrStorage", "entPhySensor", "bgpPeer"]
    assert TABLES["system"].every == 0
    assert TABLES["hrStorage"].every == 300
    assert [c.name for c in TABLES["if"].walked] == ["ifDescr", "ifName", "ifAlias"]
    assert [c.name for c in TABLES["hrProcessor"].walked] == ["hrProcessorLoad"]


def test_bounds_hold_for_every_number() -> None:
    with pytest.raises(ValidationError):
        SnmpPollSettings(max_repetitions=128)
    with pytest.raises(ValidationError):
        SnmpPollSettings(timeout_s=0)
