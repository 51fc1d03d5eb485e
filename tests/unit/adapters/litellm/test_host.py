"""LiteLLM's version, and access that is asked of LiteLLM once, and refused whenever that goes wrong."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from routeiq.adapters.litellm import host
from routeiq.core.errors import ConfigError
from routeiq.testing.fakes import FakeClock


@pytest.mark.parametrize("found", ["1.106.2", "1.106.3rc1", "1.108.10", "2.0.0"])
def test_supported_versions(found: str) -> None:
    """Every release from the oldest supported one on is accepted."""
    host.check_version(found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("1.82.7", "compromised release"),
        ("1.82.8", "compromised release"),
        ("1.106.1", "needs 1.106.2 or newer"),
        ("1.99.9", "needs 1.106.2 or newer"),
    ],
)
def test_refused_versions(found: str, words: str) -> None:
    """A compromised or too old release is refused with what to run instead."""
    with pytest.raises(ConfigError, match=words) as refused:
        host.check_version(found)
    assert found in refused.value.message
    assert "pip install --upgrade 'routeiq-router[proxy]'" in refused.value.message


def test_absent_packages_are_not_looked_for_twice() -> None:
    """What is not installed is marked absent, what is installed is left alone, and the import fails as one does."""
    code = (
        "import sys; from routeiq.adapters.litellm import host; host._OPTIONAL = ('sys', 'no_such_thing'); "
        "host._settle_absences(); assert sys.modules['sys'] is sys; assert sys.modules['no_such_thing'] is None\n"
        "try:\n    import no_such_thing.inside\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("no_such_thing")


def test_a_missing_litellm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LiteLLM the error names the extra."""

    def missing(name: str) -> str:
        raise host.PackageNotFoundError(name)

    monkeypatch.setattr(host, "version", missing)
    with pytest.raises(ConfigError, match=r"routeiq-router\[proxy\]"):
        host.refuse_bad_version()


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
def access(clock: FakeClock, failures: list[str]) -> host.Access:
    return host.Access(clock, lambda where, error: failures.append(f"{where} {type(error).__name__}"))


async def test_answers_are_kept_for_a_while(
    monkeypatch: pytest.MonkeyPatch, access: host.Access, clock: FakeClock
) -> None:
    """LiteLLM is asked once per key and model, and again when its answer is old."""
    checks = Checks(small=True, large=False)
    monkeypatch.setattr(host, "_may_call", checks)
    for _ in range(3):
        assert await access.refused(key(), ["small", "large"]) == {"large"}
    assert sorted(checks.asked) == ["large", "small"]
    clock.advance(host.ACCESS_KEPT_S)
    checks.answers["large"] = True
    assert await access.refused(key(), ["small", "large"]) == frozenset()


@pytest.mark.parametrize(
    "other",
    [{"api_key": "b" * 64}, {"models": ["*"]}, {"team_id": "t"}, {"team_models": ["x"]}, {"end_user_id": "e"}],
)
async def test_answers_are_not_shared(monkeypatch: pytest.MonkeyPatch, access: host.Access, other: Any) -> None:
    """Whoever differs in anything that an answer depends on is asked about anew."""
    checks = Checks(small=True)
    monkeypatch.setattr(host, "_may_call", checks)
    await access.refused(key(), ["small"])
    checks.answers["small"] = False
    assert await access.refused(key(), ["small"]) == frozenset()
    assert await access.refused(key(**other), ["small"]) == {"small"}


async def test_a_broken_check_is_a_refusal_that_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, access: host.Access, failures: list[str]
) -> None:
    """When LiteLLM's lookup breaks, the model is refused for this request, counted, and asked about again."""
    checks = Checks(small=RuntimeError("no database"), large=True)
    monkeypatch.setattr(host, "_may_call", checks)
    assert await access.refused(key(), ["small", "large"]) == {"small"}
    assert failures == ["access RuntimeError"]
    checks.answers["small"] = True
    assert await access.refused(key(), ["small"]) == frozenset()


async def test_a_slow_check_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, access: host.Access, failures: list[str]
) -> None:
    """When LiteLLM's lookup hangs, what was not answered in time is refused."""
    monkeypatch.setattr(host, "ACCESS_LIMIT_S", 0.05)
    monkeypatch.setattr(host, "_may_call", Checks(small=True, large=None, tiny=True))
    assert await access.refused(key(), ["small", "large", "tiny"]) == {"large", "tiny"}
    assert failures == ["access TimeoutError"]


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, access: host.Access) -> None:
    """The oldest answers are forgotten when there are too many."""
    monkeypatch.setattr(host, "ACCESS_ENTRIES", 10)
    checks = Checks(small=True)
    monkeypatch.setattr(host, "_may_call", checks)
    for i in range(11):
        await access.refused(key(user_id=str(i)), ["small"])
    await access.refused(key(user_id="10"), ["small"])
    assert len(checks.asked) == 11
    await access.refused(key(user_id="0"), ["small"])
    assert len(checks.asked) == 12


async def test_without_a_running_proxy_nobody_is_known(access: host.Access) -> None:
    """Before LiteLLM's proxy runs no key is valid, no model is permitted, and there are no candidates."""
    keys = host.KeyAuthenticator(access)
    assert await keys.authenticate({"authorization": "Bearer sk-anything"}) is None
    assert host.live_router() is None
    assert host.resolve("auto") == "auto"
    assert list(host.RouterCandidates().candidates()) == []
