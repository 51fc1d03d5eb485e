"""When LiteLLM's master key may change while its proxy runs."""

import sys
from types import ModuleType

import pytest

from routeiq.adapters.litellm.master_key import change_master_key, has_database


def proxy(monkeypatch: pytest.MonkeyPatch, **state: object) -> ModuleType:
    """LiteLLM's proxy as far as it is looked at."""
    module = ModuleType("litellm.proxy.proxy_server")
    vars(module).update(state)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


async def test_without_a_proxy_or_a_key_there_is_nothing_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiteLLM that has no master key does not get one while it runs."""
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    assert await change_master_key("sk-new", salted=True) is False
    module = proxy(monkeypatch, master_key=None)
    assert await change_master_key("sk-new", salted=True) is False
    assert vars(module)["master_key"] is None


async def test_a_key_that_encrypts_a_database_takes_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a salt key LiteLLM could not read its own database any more."""
    module = proxy(monkeypatch, master_key="sk-old", prisma_client=object())
    assert has_database()
    assert await change_master_key("sk-new", salted=False) is False
    assert vars(module)["master_key"] == "sk-old"


async def test_the_same_key_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is in force already needs nothing."""
    module = proxy(monkeypatch, master_key="sk-same", prisma_client=None)
    assert await change_master_key("sk-same", salted=False) is True
    assert set(vars(module)) >= {"master_key"}
    assert "litellm_master_key_hash" not in vars(module)
