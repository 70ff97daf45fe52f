"""A small provider whose network and books a test can compare to the octet and to the coin.

Nothing moves before the story begins and after it ends, so that what the devices counted, what the
meters saw and what the books hold must be the same number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.daemon import write_config

# service: customer's account, port, fee, currency, tiers (below, share), all in per cent
SERVICES: dict[str, tuple[str, str, str, tuple[tuple[str, int], ...]]] = {
    "ALFA-1": ("cr/g1", "12900.00", "NOK", (("99.9995", 10), ("99.9994", 25))),
    "BETA-1": ("cr/g2", "890.00", "EUR", (("99.9995", 5), ("99.9", 20))),
    "GAMMA-1": ("agg/p2", "18500.00", "NOK", (("99.9995", 15),)),
    "DELTA-1": ("other/q1", "777.77", "SEK", (("99.9995", 7),)),
}
METERED = ("cr/g1", "cr/g2", "agg/p2", "other/q1")
# Only these may ever have a ticket: the fibre's port, the two customers' ports; and, where the
# daemon died believing them down, the port of which a trap lies and the one that flaps.
CAUSES = {"agg/if/p1!link-down", "other/if/q1!link-down", "agg/if/p2!link-down",
          "agg/if/p0!link-down", "agg/if/p4!link-down"}  # fmt: skip
QUIET_S = 6.0  # at the end of a story nothing moves for so long

NETWORK = """
[network]
community = "e2e"
seed = 7
sample_every = "1s"
[[traps]]
port = TRAPS
community = "e2e"
[[device]]
name = "agg"
address = "127.31.0.1"
kind = "router"
ports = [{ name = "p0", in = 0, out = 0 }, { name = "p1", in = 0, out = 0 },
         { name = "p2", in = 0, out = 0 }, { name = "p3", in = 0, out = 0 },
         { name = "p4", in = 0, out = 0 }]
[[device]]
name = "cr"
address = "127.31.0.2"
kind = "router"
ports = [{ name = "g0", in = 0, out = 0 }, { name = "g1", in = 0, out = 0 },
         { name = "g2", in = 0, out = 0 }]
[[device]]
name = "cpe-a"
address = "127.31.0.3"
kind = "cpe"
ports = [{ name = "wan0", in = 0, out = 0 }]
[[device]]
name = "other"
address = "127.31.0.4"
kind = "switch"
ports = [{ name = "q1", in = 0, out = 0 }, { name = "q2", in = 0, out = 0 }]
[[device]]
name = "far"
address = "127.31.0.5"
kind = "server"
ports = [{ name = "eth0", in = "3M", out = "9M" }]
[[link]]
name = "fibre"
near = { device = "agg", port = "p1" }
far = { device = "cr", port = "g0" }
[[link]]
name = "drop"
near = { device = "cr", port = "g1" }
far = { device = "cpe-a", port = "wan0" }
"""

RATES = (("cr", "g1", 180e6, 50e6), ("cr", "g2", 120.7e6, 35e6), ("agg", "p2", 700e6, 400e6),
         ("other", "q1", 7.77e6, 0.3e6))  # fmt: skip

Told = tuple[float, str, str]  # seconds, what to do, its keys as TOML

LYING_TRAP = """device = "agg"
trap = "linkDown"
values = [["1.3.6.1.2.1.2.2.1.1.1", "integer", 1]]
times = 3
every = "5s"
"""
LONG: tuple[Told, ...] = (
    (3.0, "port_flap", 'device = "agg"\nport = "p4"\ntimes = 5\nevery = "2s"'),
    (4.0, "port_down", 'device = "other"\nport = "q1"'),
    (11.0, "port_up", 'device = "other"\nport = "q1"'),
    (9.0, "cut", 'link = "fibre"'),
    (31.0, "repair", 'link = "fibre"'),
    (14.0, "port_down", 'device = "agg"\nport = "p2"'),
    (18.0, "port_up", 'device = "agg"\nport = "p2"'),
    (20.0, "trap", LYING_TRAP),
    (22.0, "port_down", 'device = "other"\nport = "q1"'),
    (34.0, "port_up", 'device = "other"\nport = "q1"'),
    (42.5, "counter_reset", 'device = "other"\nport = "q1"'),
)
SHORT: tuple[Told, ...] = ()
LONG_S, SHORT_S = 44.0, 14.0

RULES = """
[policy]
unreachable_after = 2
isolation_devices = 3
ticket_hold = "2s"
ticket_reopen = "5m"
flap_half_life = "4s"
flap_raise = 6
flap_clear = 1.5
state_holds = "20s"  # longer than a loaded machine takes to start us again
usage_interval = "5s"
checkpoint = "3s"
[[threshold]]
alarm = "link-down"
table = "if"
column = "ifOperStatus"
bad = [2, 7]
only_when = { ifAdminStatus = 1 }
severity = "major"
text = "{device} port {ifName} is down"
[[event]]
title = "linkDown"
name = "1.3.6.1.6.3.1.1.5.3"
alarm = "link-down"
table = "if"
row_from = "1.3.6.1.2.1.2.2.1.1"
severity = "major"
text = "{device} port {row} is down"
verify_after = ["0s", "2s"]
[[event]]
title = "linkUp"
name = "1.3.6.1.6.3.1.1.5.4"
clears = "link-down"
table = "if"
row_from = "1.3.6.1.2.1.2.2.1.1"
verify_after = ["0s", "2s"]
"""

NETOPSD = """
[state]
directory = "state"
[traps]
communities = ["e2e"]
[snmp]
timeout = "200ms"
retries = 1
look_max = "2s"
[log]
level = "info"
[[sink]]
kind = "office"
name = "office"
[[sink]]
kind = "file"
name = "journal"
path = "journal.jsonl"
topics = ["*"]
"""


def scenario(told: tuple[Told, ...], lasts_s: float, traps_port: int) -> str:
    """Return the scenario: traffic from second 1 on until QUIET_S before the end."""
    parts = [NETWORK.replace("TRAPS", str(traps_port))]
    for device, port, inward, outward in RATES:
        for after, i, o in ((1.0, inward, outward), (lasts_s - QUIET_S, 0, 0)):
            keys = f'device = "{device}"\nport = "{port}"\nin = {i}\nout = {o}'
            parts.append(f'[[at]]\nafter = {after}\ndo = "rate"\n{keys}\n')
    parts += [f'[[at]]\nafter = {after}\ndo = "{do}"\n{keys}\n' for after, do, keys in told]
    return "\n".join(parts)


def config(folder: Path, snmp_port: int) -> Path:
    """Write the operator's files for this network."""
    return write_config(
        folder,
        {
            "netopsd.toml": NETOPSD,
            "rules.toml": RULES,
            "devices.toml": _devices(snmp_port),
            "services.toml": "\n".join(_service(name) for name in SERVICES),
            "customers.toml": "\n".join(_customer(name) for name in SERVICES),
        },
    )


def _devices(port: int) -> str:
    behind = {"cr": "agg/p1", "cpe-a": "cr/g1"}
    rows = [
        f'[[device]]\nname = "{name}"\naddress = "127.31.0.{n}"\n'
        + (f'upstream = ["{behind[name]}"]\n' if name in behind else "")
        for n, name in enumerate(("agg", "cr", "cpe-a", "other", "far"), start=1)
    ]
    head = (
        f'[defaults]\ncredentials = "e2e"\nport = {port}\ninterval = "1s"\n'
        'tables = ["system", "if"]\n[credentials.e2e]\nversion = "2c"\ncommunity = "e2e"\n'
    )
    return head + "\n".join(rows)


def _service(name: str) -> str:
    port = SERVICES[name][0]
    return (
        f'[[service]]\nid = "{name}"\nname = "Line of {name}"\naccount = "ACC-{name}"\n'
        f'paths = ["{port}"]\nmeters = ["{port}"]\n'
    )


def _customer(name: str) -> str:
    _, fee, currency, tiers = SERVICES[name]
    told = "\n".join(
        f"[[contract.tier]]\nbelow = {below}\ncredit = {share}" for below, share in tiers
    )
    return (
        f'[[customer]]\nid = "{name.lower()}"\nname = "{name} AS"\nzone = "{zone()}"\n'
        f'currency = "{currency}"\n[[customer.account]]\nid = "ACC-{name}"\n'
        f'[[contract]]\nservice = "{name}"\nmonthly_fee = "{fee}"\ntarget = {tiers[0][0]}\n{told}\n'
    )


def zone() -> str:
    """Return a zone in which no month ends while the test runs."""
    now = datetime.now(UTC)
    return "UTC" if (now + timedelta(minutes=30)).month == now.month else "Etc/GMT+6"
