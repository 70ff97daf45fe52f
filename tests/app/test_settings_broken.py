"""A hundred broken configurations: a hundred clear messages, never a traceback."""

from __future__ import annotations

import copy
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from netopsd.errors import BadConfiguration
from netopsd.settings import load

HERE = Path(__file__).parent
GOOD = HERE / "good_config"
CASES = sorted((HERE / "broken_config").glob("*/*.toml"))
SECRETS = ("s3cret", "auth-secret", "priv-secret", "sixteen-characters")
JARGON = ("pydantic", "Traceback", "Input should", "validation error", "type=", "Errno", "_s:")
WRONG: tuple[Any, ...] = (True, 7, -1.5, float("nan"), "x", "", [], ["x"], {}, {"file": "none"})


def mistakes(folder: Path) -> list[str]:
    try:
        load(folder)
    except BadConfiguration as bad:
        return [problem.replace(str(folder), "FOLDER") for problem in bad.problems]
    return []


def broken(folder: Path, file: str, data: bytes) -> list[str]:
    shutil.copytree(GOOD, folder, dirs_exist_ok=True)
    (folder / file).write_bytes(data)
    return mistakes(folder)


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(CASES) > 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_a_broken_file_is_told_in_words_as_recorded_beside_it(case: Path, tmp_path: Path) -> None:
    told = broken(tmp_path, f"{case.parent.name}.toml", case.read_bytes())
    assert told == case.with_suffix(".says").read_text().splitlines()
    for line in told:
        assert line.isprintable()
        assert not [word for word in JARGON if word in line]
        assert not [secret for secret in SECRETS if secret in line]


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    shutil.copytree(GOOD, tmp_path, dirs_exist_ok=True)
    for file, case in (
        ("devices", "unknown-key-in-credentials"),
        ("rules", "unknown-column"),
        ("netopsd", "log-level-unknown"),
        ("services", "unknown-key"),
        ("customers", "currency-unknown"),
    ):
        shutil.copy(HERE / "broken_config" / file / f"{case}.toml", tmp_path / f"{file}.toml")
    files = {line.partition(":")[0] for line in mistakes(tmp_path)}
    assert files == {f"{n}.toml" for n in ("devices", "rules", "netopsd", "services", "customers")}


def test_one_bad_device_hides_no_other(tmp_path: Path) -> None:
    text = (GOOD / "devices.toml").read_text()
    text = text.replace('address = "192.0.2.1"', 'adress = "192.0.2.1"')
    text = text.replace('"osl-gw2/if/', '"osl-gw3/if/')
    told = broken(tmp_path, "devices.toml", text.encode())
    assert len(told) == 3  # missing address, unknown key, unknown upstream
    assert any("osl-gw3" in line for line in told)


@pytest.mark.parametrize("file", sorted(path.name for path in GOOD.glob("*.toml")))
def test_a_file_cut_anywhere_is_read_or_refused_in_words(file: str, tmp_path: Path) -> None:
    whole = (GOOD / file).read_bytes()
    shutil.copytree(GOOD, tmp_path, dirs_exist_ok=True)
    for length in range(0, len(whole), 61):
        (tmp_path / file).write_bytes(whole[:length])
        assert all(line.isprintable() for line in mistakes(tmp_path))


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value, tables and arrays too."""
    if path:
        yield path
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    for step, value in inner:
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, step))
        else:
            yield (*path, step)


@pytest.mark.parametrize("file", sorted(path.name for path in GOOD.glob("*.toml")))
def test_any_value_of_a_wrong_kind_is_taken_or_refused_in_words(file: str, tmp_path: Path) -> None:
    good = tomllib.loads((GOOD / file).read_text())
    shutil.copytree(GOOD, tmp_path, dirs_exist_ok=True)
    refused = 0
    for number, path in enumerate(leaves(good)):
        for wrong in WRONG[number % 3 :: 3]:
            data = copy.deepcopy(good)
            here: Any = data
            for step in path[:-1]:
                here = here[step]
            here[path[-1]] = wrong
            (tmp_path / file).write_text(tomlkit.dumps(data))
            told = mistakes(tmp_path)
            refused += bool(told)
            for line in told:
                assert line.partition(":")[0].endswith(".toml"), line
                assert not [word for word in JARGON if word in line], line
    assert refused > 20
