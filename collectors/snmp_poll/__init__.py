"""Looks at devices over SNMP (v1, v2c, v3): what to read is data, answers are columns."""

from collectors.snmp_poll.discover import Discovered, discover, look_once
from collectors.snmp_poll.poller import SnmpPoller
from collectors.snmp_poll.settings import (
    Auth,
    ColumnSpec,
    Credentials,
    Priv,
    SnmpPollSettings,
    TablesFile,
    TableSpec,
    Target,
)
from collectors.snmp_poll.stats import Stats

__all__ = [
    "Auth",
    "ColumnSpec",
    "Credentials",
    "Discovered",
    "Priv",
    "SnmpPollSettings",
    "SnmpPoller",
    "Stats",
    "TableSpec",
    "TablesFile",
    "Target",
    "discover",
    "look_once",
]
