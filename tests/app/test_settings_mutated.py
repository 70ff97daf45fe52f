"""The shipped configuration with one thing changed at random: taken, or refused in words.

A reload that ends otherwise would end the daemon with it.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netopsd.errors import BadConfiguration
from netopsd.settings import load, loading

SHIPPED = Path(__file__).parents[2] / "config"
NAIVE = tomllib.loads("of = [2026-12-01T02:00:00, 9999-12-31T23:59:59, 0001-01-01T00:00:00]")["of"]
NEAR = NAIVE[0]
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))
ODD: tuple[Any, ...] = (
    *(True, 0, -1, 2**31, 2**63, -(2**63), 0.0, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "²", "1490.²", "٣", "a\0b", "../x", "x" * 5000, "9" * 400, "1e999999999"),
    *("x{9999999999}", "(" * 900 + ")" * 900, "(?P<a", "[", "\\", "*", "{0}", "{", "10s", "99.9 %"),
    *("0" * 5000, "127.0.0.1:99999", "[::1]:1", "http://[::1", "sqlite:///\0", "Europe/Oslo"),
    *(*NAIVE, *(one.replace(tzinfo=dt.UTC) for one in NAIVE)),
    *(NAIVE[1].replace(tzinfo=NEW_YORK), dt.date(2026, 12, 1), dt.time(2, 0)),
    *([], [[]], [""], [NEAR, NEAR], [float("nan")], {}, {"x": {}}, {"file": "a\0b"}, {"name": "x"}),
)
KEYS = ("active_from", "active_until", "starts", "ends", "zone", "only_rows", "monthly_fee")


def read(folder: Path) -> dict[str, Any]:
    """Return the shipped files by name, their commented examples in force."""
    found = {}
    for path in sorted(folder.glob("*.toml")):
        text = re.sub(r"^#(?=[^\s#])", "", path.read_text(), flags=re.MULTILINE)
        found[path.name] = tomllib.loads(text)
    return found


FILES = {"": read(SHIPPED), "demo": read(SHIPPED / "demo")}
ALL = sorted((folder, file) for folder, files in FILES.items() for file in files)


def tables(data: Any) -> Iterator[Any]:
    """Yield every table and array in `data` that has something in it."""
    if isinstance(data, dict | list) and data:
        yield data
        for inner in data.values() if isinstance(data, dict) else data:
            yield from tables(inner)


def mutate(data: dict[str, Any], draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """Change, take out or add one thing."""
    here = draw(st.sampled_from(list(tables(data))))
    step = draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
    what = draw(st.sampled_from(("odd", "odd", "odd", "gone", "twice", "more")))
    if what == "odd":
        here[step] = copy.deepcopy(draw(st.sampled_from(ODD)))
    elif what == "gone":
        del here[step]
    elif what == "twice" and isinstance(here, list):
        here.append(copy.deepcopy(here[step]))
    elif isinstance(here, dict):
        key = draw(st.sampled_from(KEYS) | st.text(max_size=5))
        here[key] = copy.deepcopy(draw(st.sampled_from(ODD)))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated") / "config"
    shutil.copytree(SHIPPED, folder)
    for name, files in FILES.items():
        for file, data in files.items():
            (folder / name / file).write_text(tomlkit.dumps(data))
    return folder


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_configuration_changed_at_random_is_taken_or_refused_in_words(
    copied: Path, choice: st.DataObject
) -> None:
    name, file = choice.draw(st.sampled_from(ALL))
    data = copy.deepcopy(FILES[name][file])
    for _ in range(choice.draw(st.integers(1, 3))):
        if data:
            mutate(data, choice.draw)
    path = copied / name / file
    path.write_bytes(tomlkit.dumps(data).encode("utf-8", "surrogatepass"))
    try:
        load(copied / name)
    except BadConfiguration as bad:
        assert bad.problems
        for line in bad.problems:
            assert line.isprintable()
            assert "cannot be worked with" not in line, line  # each is to be foreseen
    finally:
        path.write_text(tomlkit.dumps(FILES[name][file]))


@pytest.mark.parametrize(
    ("step", "files"),
    [
        ("read_tables", "tables.toml"),
        ("read_templates", "services"),
        ("read_network", "devices.toml or yang.toml"),
        ("read_rules", "rules.toml"),
        ("read_business", "services.toml or customers.toml"),
        ("read_mqtt", "netopsd.toml"),
    ],
)
@pytest.mark.parametrize("error", [OverflowError, TypeError, ValueError, RecursionError])
def test_what_no_check_foresaw_names_its_file_and_tells_no_secret(
    step: str, files: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error("s3cret")

    monkeypatch.setattr(loading, step, fails)
    with pytest.raises(BadConfiguration) as caught:
        load(SHIPPED)
    (line,) = caught.value.problems
    assert line.startswith(f"{files}: something in it cannot be worked with: {error.__name__}")
    assert "s3cret" not in line
