"""Access that is asked of LiteLLM once, and refused whenever that goes wrong."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from routeiq.adapters.litellm import access as access_module
from routeiq.adapters.litellm import host
from routeiq.adapters.litellm.access import Access, KeyAuthenticator
from routeiq.testing.fakes import FakeClock


class Checks:
    """LiteLLM's checks, counted: `answers` by model name; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, auth: Any, name: str) -> bool:
        self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(3600)
        return bool(answer)


def key(**fields: Any) -> Any:
    return SimpleNamespace(**{"api_key": "a" * 64, "models": ["auto"], "team_models": [], **fields})


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def access(clock: FakeClock, failures: list[str]) -> Access:
    return Access(clock, lambda where, error: failures.append(f"{where} {type(error).__name__}"))


async def test_answers_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch, access: Access, clock: FakeClock) -> None:
    """LiteLLM is asked once per key and model, and again when its answer is old."""
    checks = Checks(small=True, large=False)
    monkeypatch.setattr(access_module, "_may_call", checks)
    for _ in range(3):
        assert await access.refused(key(), ["small", "large"]) == {"large"}
    assert sorted(checks.asked) == ["large", "small"]
    clock.advance(access_module.ACCESS_KEPT_S)
    checks.answers["large"] = True
    assert await access.refused(key(), ["small", "large"]) == frozenset()


@pytest.mark.parametrize(
    "other",
    [{"api_key": "b" * 64}, {"models": ["*"]}, {"team_id": "t"}, {"team_models": ["x"]}, {"end_user_id": "e"}],
)
async def test_answers_are_not_shared(monkeypatch: pytest.MonkeyPatch, access: Access, other: Any) -> None:
    """Whoever differs in anything that an answer depends on is asked about anew."""
    checks = Checks(small=True)
    monkeypatch.setattr(access_module, "_may_call", checks)
    await access.refused(key(), ["small"])
    checks.answers["small"] = False
    assert await access.refused(key(), ["small"]) == frozenset()
    assert await access.refused(key(**other), ["small"]) == {"small"}


async def test_a_broken_check_is_a_refusal_that_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, access: Access, failures: list[str]
) -> None:
    """When LiteLLM's lookup breaks, the model is refused for this request, counted, and asked about again."""
    checks = Checks(small=RuntimeError("no database"), large=True)
    monkeypatch.setattr(access_module, "_may_call", checks)
    assert await access.refused(key(), ["small", "large"]) == {"small"}
    assert failures == ["access RuntimeError"]
    checks.answers["small"] = True
    assert await access.refused(key(), ["small"]) == frozenset()


async def test_a_slow_check_is_a_refusal(monkeypatch: pytest.MonkeyPatch, access: Access, failures: list[str]) -> None:
    """When LiteLLM's lookup hangs, what was not answered in time is refused."""
    monkeypatch.setattr(access_module, "ACCESS_LIMIT_S", 0.05)
    monkeypatch.setattr(access_module, "_may_call", Checks(small=True, large=None, tiny=True))
    assert await access.refused(key(), ["small", "large", "tiny"]) == {"large", "tiny"}
    assert failures == ["access TimeoutError"]


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    """The oldest answers are forgotten when there are too many."""
    monkeypatch.setattr(access_module, "ACCESS_ENTRIES", 10)
    checks = Checks(small=True)
    monkeypatch.setattr(access_module, "_may_call", checks)
    for i in range(11):
        await access.refused(key(user_id=str(i)), ["small"])
    await access.refused(key(user_id="10"), ["small"])
    assert len(checks.asked) == 11
    await access.refused(key(user_id="0"), ["small"])
    assert len(checks.asked) == 12


async def test_without_a_running_proxy_nobody_is_known(access: Access) -> None:
    """Before LiteLLM's proxy runs no key is valid, no model is permitted, and there are no candidates."""
    keys = KeyAuthenticator(access)
    assert await keys.authenticate({"authorization": "Bearer sk-anything"}) is None
    assert host.live_router() is None
    assert host.resolve("auto") == "auto"
    assert list(host.RouterCandidates().candidates()) == []
