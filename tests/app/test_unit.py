"""The systemd unit: what systemd thinks of it, and that the daemon can live inside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The shipped units with a program that exists here."""
    for shipped in UNITS.iterdir():
        lines = shipped.read_text().splitlines()
        at = [i for i, line in enumerate(lines) if line.startswith("ExecStart=")]
        for i in at:
            lines[i] = "ExecStart=/bin/true"
        (tmp_path / shipped.name).write_text("\n".join(lines) + "\n")
    return tmp_path


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{folder}:/lib/systemd/system"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.peer("systemd-analyze")
@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_systemd_finds_nothing_wrong(units: Path, unit: str) -> None:
    found = analyze("verify", "--man=no", str(units / unit), folder=units)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.peer("systemd-analyze")
def test_a_mistake_in_a_unit_would_be_found(units: Path) -> None:
    path = units / "netopsd.service"
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHome=maybe"))
    assert "protect home" in analyze("verify", "--man=no", str(path), folder=units).stderr


@pytest.mark.peer("systemd-analyze")
def test_exposure_is_at_most_one_point_two(units: Path) -> None:
    path = str(units / "netopsd.service")
    found = analyze("security", "--offline=yes", "--threshold=12", "--no-pager", path, folder=units)
    assert found.returncode == 0, found.stdout[-300:]
    control = units / "open.service"
    control.write_text("[Service]\nExecStart=/bin/true\n")
    found = analyze("security", "--offline=yes", "--threshold=12", str(control), folder=units)
    assert found.returncode != 0


def test_the_unit_says_what_the_house_needs() -> None:
    lines = (UNITS / "netopsd.service").read_text().splitlines()
    for line in (
        "Type=notify", "WatchdogSec=30", "Restart=always", "DynamicUser=yes",
        "StateDirectory=netopsd", "CapabilityBoundingSet=", "NoNewPrivileges=yes",
        "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "LimitCORE=0", "IPAddressDeny=any",
        "SystemCallFilter=~@privileged @resources",
    ):  # fmt: skip
        assert line in lines


WITHOUT_WRITABLE_CODE = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    pass
else:
    sys.exit("the control failed: writable code is still possible")
import netopsd.app  # everything the daemon is made of, uvloop and NumPy with it
import uvloop
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
h = hmac.HMAC(b"k" * 32, hashes.SHA256()); h.update(b"x"); h.finalize()
Cipher(algorithms.AES(b"k" * 16), modes.CFB(b"i" * 16)).encryptor().update(b"x" * 64)
import numpy as np
np.linalg.inv(np.eye(3))
print("lived")
"""


@pytest.mark.e2e
def test_the_daemon_lives_without_memory_that_is_both_writable_and_code() -> None:
    """MemoryDenyWriteExecute= must not break a library: cffi and ctypes callbacks might."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WRITABLE_CODE], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert done.stdout == "lived\n", done.stderr[-500:]
