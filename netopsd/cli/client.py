"""The running daemon's HTTP API, as seen from the command line."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netopsd.errors import NetopsdError

TIMEOUT_S = 30.0
_STRANGER = "something else listens there. Name the daemon's own place with --url"
NEEDED = "acting needs an operator's token"


class ApiFailed(NetopsdError):
    """The daemon could not be asked, or would not do it; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where the API is and who we are."""

    url: str
    token: str

    def post(self, path: str, body: Mapping[str, Any], *, many: bool = False) -> Any:
        """Return the object, or the `many`, that the daemon answered. Raises ApiFailed.

        An object is empty where the daemon had nothing to say, and asked for a word it lacks it
        raises ApiFailed, too.
        """
        import httpx

        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"{self.url}/api/v1/{path}"
        # No proxy and no .netrc: the token is for the daemon and nobody between.
        try:
            answer = httpx.post(
                address,
                json=body,
                headers=headers,
                timeout=TIMEOUT_S,
                verify=_authorities(self.url),
                trust_env=False,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiFailed(
                f"no answer from {self.url} ({str(error) or type(error).__name__});"
                " is `netopsd run` running? Name another place with --url"
            ) from None
        if answer.is_success:
            return _understood(answer.content, self.url, list if many else dict)
        raise ApiFailed(_refusal(answer.status_code, _reason(answer), self))


class _Said(dict[str, Any]):
    """An object of an answer. Raises ApiFailed for a word that netopsd would have said."""

    def __missing__(self, word: str) -> Any:
        raise ApiFailed(f"an answer without {word!r}: {_STRANGER}")


def _understood(answer: bytes, url: str, wanted: type[list[Any]] | type[dict[str, Any]]) -> Any:
    try:
        said = json.loads(answer, object_hook=_Said) if answer else _Said()
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, wanted):
        raise ApiFailed(f"{url} answered, but not in netopsd's words: {_STRANGER}")
    return said


def _authorities(url: str) -> ssl.SSLContext | bool:
    """Return whom we believe who a server is: the machine's own, or $SSL_CERT_FILE."""
    return ssl.create_default_context() if url.startswith("https:") else True


def _reason(answer: Any) -> str:
    try:
        said = answer.json()
    except ValueError:
        return str(answer.text)[:200]
    return str(said.get("reason", said)) if isinstance(said, dict) else str(said)


def _refusal(status: int, reason: str, client: Client) -> str:
    if status in (401, 403):
        known = f"the token was refused: {reason}" if client.token else NEEDED
        return (
            f"{known}. Give one by --token-file or $NETOPSD_TOKEN; its SHA-256 belongs"
            " into [[http.token]] of netopsd.toml"
        )
    return f"the daemon refused: {reason} (HTTP {status})"


def connect(url: str | None, listen: tuple[str, int], token_file: Path | None) -> Client:
    """Return a client of `url`, else of what the configuration listens on. Raises ApiFailed."""
    host, port = listen
    if url is None and port == 0:
        raise ApiFailed("no daemon is running here, and http.listen has port 0; use --url")
    if host in ("0.0.0.0", "::"):  # everywhere includes here
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    here = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return Client(url=(url or here).rstrip("/"), token=_token(token_file))


def running(state: Path) -> str | None:
    """Return the address the running daemon wrote down, None where none is running."""
    try:
        said = json.loads((state / "running.json").read_text(encoding="utf-8"))
        os.kill(int(said["pid"]), 0)
        return f"http://{said['http']}"
    except PermissionError:  # it runs, as somebody else
        return f"http://{said['http']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _token(file: Path | None) -> str:
    said, where = os.environ.get("NETOPSD_TOKEN", "").strip(), "$NETOPSD_TOKEN"
    if file is not None:
        from netopsd.settings.secrets import read_secret

        where = "--token-file"
        try:
            said = read_secret(file)
        except ValueError as error:
            raise ApiFailed(f"{where}: {error}") from None
    if not said.isascii() or not said.isprintable():
        raise ApiFailed(f"{where}: a token is printable ASCII, as `openssl rand -hex 32` makes it")
    return said
