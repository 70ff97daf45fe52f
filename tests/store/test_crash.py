"""What was said to be kept is kept: through kill -9, a failing disk and a full one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.store import power
from tests.store.teller import stored

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


def program(name: str, *args: object) -> list[str]:
    return [sys.executable, "-m", f"tests.store.{name}", *map(str, args)]


def crash(where: Path, mode: str, rounds: int) -> dict[str, Any]:
    command = program("crash", where / "netopsd.db", mode, rounds, 20261123)
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("mode", ["honest", "folding"])
def test_nothing_said_to_be_kept_is_lost_however_often_the_process_is_killed(
    tmp_path: Path, mode: str
) -> None:
    told = crash(tmp_path, mode, 40)
    assert told["said"] > 400
    assert (told["lost"], told["wrong"]) == ([], "")


def test_the_kills_would_find_a_store_that_speaks_too_early(tmp_path: Path) -> None:
    assert crash(tmp_path, "early", 60)["lost"]


def powerless(where: Path, mode: str, cuts: int) -> dict[str, Any]:
    """Run power.py in a mount namespace of its own; return what it says."""
    command = ["unshare", "-m", *program("power", where, mode, cuts, 20261126)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    if done.returncode == power.CANNOT or "unshare" in done.stderr:
        pytest.skip(f"this machine lets nobody mount a disk to cut: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.root
@pytest.mark.peer("mkfs.ext4")
@pytest.mark.parametrize("mode", ["honest", "folding"])
def test_nothing_said_to_be_kept_is_lost_however_often_the_power_is_cut(
    tmp_path: Path, mode: str
) -> None:
    told = powerless(tmp_path, mode, 20)
    assert (told["lost"], told["wrong"]) == ([], "")
    assert told["said"] > 300


@pytest.mark.root
@pytest.mark.peer("mkfs.ext4")
def test_the_cuts_would_find_a_store_that_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    assert powerless(tmp_path, "lazy", 20)["lost"]


def injected(where: Path, mode: str, inject: str, count: int = 60) -> tuple[int, list[str]]:
    """Run a teller under strace; return its exit status and its system calls in order."""
    log = where / "strace.log"
    call = inject.partition(":")[0]
    trace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call},write", "-e"]
    command = [*trace, f"inject={inject}", *program("teller", where / "netopsd.db", mode, count)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=60)
    return done.returncode, log.read_text(errors="replace").splitlines()


def said(lines: list[str]) -> set[int]:
    """Return the facts said in a strace log."""
    spoken = (re.search(r'write\(1, "((?:\d+\\n)+)', line) for line in lines)
    return {int(n) for match in spoken if match for n in match[1].split(r"\n") if n}


def after_the_failure(lines: list[str]) -> list[str]:
    failed = [i for i, line in enumerate(lines) if "(INJECTED)" in line]
    assert failed, "the injection did not happen"
    return lines[failed[0] :]


@pytest.mark.peer("strace")
@pytest.mark.parametrize("when", [5, 17, 21, 30])
def test_after_a_failed_fsync_nothing_more_is_said_to_be_kept(tmp_path: Path, when: int) -> None:
    status, lines = injected(tmp_path, "honest", f"fdatasync:error=EIO:when={when}")
    assert status == 74
    assert said(after_the_failure(lines)) == set()
    found, wrong = stored(tmp_path / "netopsd.db")
    assert wrong == ""
    assert said(lines) <= found


@pytest.mark.peer("strace")
def test_the_injection_would_find_a_store_that_does_not_listen(tmp_path: Path) -> None:
    # Which call is a commit's and which a delivery's depends on how many migrations there are.
    assert any(spoken_after(tmp_path / str(n), n) for n in range(14, 20))


def spoken_after(where: Path, when: int) -> set[int]:
    """Return what a teller that does not listen says after its `when`-th sync has failed."""
    where.mkdir()
    _, lines = injected(where, "deaf", f"fdatasync:error=EIO:when={when}")
    return said(after_the_failure(lines))


@pytest.mark.peer("strace")
@pytest.mark.parametrize("when", [201, 250, 333, 500])
def test_after_a_failed_write_nothing_more_is_said_to_be_kept(tmp_path: Path, when: int) -> None:
    status, lines = injected(tmp_path, "honest", f"pwrite64:error=EIO:when={when}")
    assert status == 74
    assert said(after_the_failure(lines)) == set()
    found, wrong = stored(tmp_path / "netopsd.db")
    assert wrong == ""
    assert said(lines) <= found


@pytest.mark.peer("strace")
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_an_error_while_the_wal_is_folded_in_ends_it_too(tmp_path: Path, call: str) -> None:
    path = tmp_path / "netopsd.db"
    assert injected(tmp_path, "honest", "fdatasync:delay_enter=1")[0] == 0
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:error=EIO:when=1"]
    command = [*trace, *inject, *program("teller", path, "folding", 600)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 74
    found, wrong = stored(path)
    assert wrong == ""
    assert {int(number) for number in done.stdout.split()} <= found
    assert len(found) < 600


@pytest.mark.peer("strace")
@pytest.mark.parametrize("when", [222, 260, 401])
def test_a_disk_full_for_a_while_loses_nothing_and_needs_nobody(tmp_path: Path, when: int) -> None:
    status, lines = injected(tmp_path, "honest", f"pwrite64:error=ENOSPC:when={when}..{when + 2}")
    assert status == 0
    assert said(after_the_failure(lines))
    found, wrong = stored(tmp_path / "netopsd.db")
    assert wrong == ""
    assert said(lines) == found == set(range(1, 61))


@pytest.mark.peer("strace")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "ftruncate", "openat"])
def test_a_kill_at_any_system_call_leaves_whole_facts(tmp_path: Path, call: str) -> None:
    first = {"fdatasync": 1, "pwrite64": 20, "ftruncate": 1, "openat": 400}[call]
    heard: set[int] = set()
    for when in range(first, first + 4):
        inject = f"{call}:signal=SIGKILL:when={when * (60 if call == 'pwrite64' else 1)}"
        _, lines = injected(tmp_path, "honest", inject, count=15)
        heard |= said(lines)
        found, wrong = stored(tmp_path / "netopsd.db")
        assert wrong == ""
        assert heard <= found


@pytest.mark.root
def test_on_a_full_disk_alarms_and_messages_commit_into_the_ballast_s_room(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=16m tmpfs "$1" && shift && exec "$@"'
    namespace = ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path)]
    command = [*namespace, *program("full_disk", tmp_path)]
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk (unshare -m)")
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
