"""The forgetful twin keeps the stores' contract."""

from __future__ import annotations

from typing import Any

from netopsd.store.memory import MemoryStore
from tests.store.contract import Both, StoreContract


class TestMemory(StoreContract):
    def make(self, where: Any) -> Both:
        return MemoryStore()

    def again(self, store: Both, where: Any) -> Both:
        return store

    def disputes(self, store: Both) -> int:
        assert isinstance(store, MemoryStore)
        return len(store.disputes)
