"""The real store keeps the stores' contract, and what only a file can promise."""

from __future__ import annotations

from typing import Any

from netopsd.store.sqlite import SqliteStore
from tests.store.contract import Both, StoreContract


class TestSqlite(StoreContract):
    def make(self, where: Any) -> Both:
        return SqliteStore(f"sqlite:///{where}/netopsd.db", ballast_bytes=1024)

    def again(self, store: Both, where: Any) -> Both:
        return self.make(where)

    def disputes(self, store: Both) -> int:
        assert isinstance(store, SqliteStore)
        return store.health().disputes
