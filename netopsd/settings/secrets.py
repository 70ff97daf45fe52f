"""Secrets that are written elsewhere: in a file beside the configuration, or by systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote

LONGEST = 64 * 1024
UNREAD = "a secret that could not be read"  # long enough for every rule about secrets


def resolve(value: Any, source: Source, path: KeyPath, folder: Path, problems: Problems) -> Any:
    """Return `value` with every `{ file = … }` and `{ credential = … }` replaced by its text.

    A path is relative to the configuration's folder; a credential is a file of that name in
    `$CREDENTIALS_DIRECTORY` (systemd LoadCredential=). One line break at the end is not part of the
    secret. What cannot be read is noted, and stands in as UNREAD so that
    nothing else is found wrong with it.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            (kind, where), *_ = value.items()
            if kind in ("file", "credential") and isinstance(where, str):
                return _read(kind, where, source, path, folder, problems)
        return {
            key: resolve(inner, source, (*path, key), folder, problems)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            resolve(inner, source, (*path, i), folder, problems) for i, inner in enumerate(value)
        ]
    return value


def _read(
    kind: str, where: str, source: Source, path: KeyPath, folder: Path, problems: Problems
) -> str:
    try:
        file = _credential(where, os.environ) if kind == "credential" else folder / where
        return read_secret(file)
    except ValueError as error:
        problems.add(source, path, f"secret {quote(where)}: {error}")
    return UNREAD


def _credential(name: str, environ: Mapping[str, str]) -> Path:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        raise ValueError(
            f"no systemd credential here: $CREDENTIALS_DIRECTORY is not set; start netopsd by its"
            f" unit with LoadCredential={name}:…, or set it to a folder of that file"
        )
    if "/" in name or name in ("", ".", ".."):
        raise ValueError("a credential's name has no slash")
    return Path(directory) / name


def read_secret(file: Path) -> str:
    """Return the text of a secret's file without its last line break. Raises ValueError."""
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError(f"{file} is larger than {LONGEST // 1024} KiB")
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{file} is empty")
    if "\n" in text or "\0" in text:
        raise ValueError(f"{file} has more than one line")
    return text
