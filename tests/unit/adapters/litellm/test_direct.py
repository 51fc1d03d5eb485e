"""Which of LiteLLM's steps run on the event loop's own thread."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

import litellm
import pytest

from routeiq.adapters.litellm.direct import DirectExecutor, only_builds


class Noting(DirectExecutor):
    """Notes for each call whether it was made on the spot."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: list[bool] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Note and pass on."""
        self.direct.append(only_builds(fn))
        return super().submit(fn, *args, **kwargs)


async def asked(model: str, **more: Any) -> list[bool]:
    """Ask LiteLLM for a chat completion of a provider that is not there, and return what was noted."""
    noting = Noting()
    asyncio.get_running_loop().set_default_executor(noting)
    at = {"api_base": "http://127.0.0.1:9/v1", "max_retries": 0, "num_retries": 0, "api_key": "none", **more}
    with suppress(Exception):  # nobody listens there
        await litellm.acompletion(model=model, messages=[{"role": "user", "content": "x"}], **at)
    return noting.direct


async def test_what_only_builds_a_coroutine_runs_where_it_stands() -> None:
    """The step is known in the form in which this LiteLLM hands it over."""
    assert (await asked("openai/gpt-x"))[0]
    assert (await asked("gpt-x", custom_llm_provider="openai"))[0]


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("anthropic/claude-x", {}),
        ("openai/gpt-x", {"api_key": None}),
        ("openai/gpt-x", {"mock_response": "I am here."}),
    ],
)
async def test_whatever_might_block_goes_to_a_thread(
    model: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other providers, keys that have to be looked for and mocked answers do not run on the event loop."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert True not in await asked(model, **more)


async def test_other_calls_run_in_threads() -> None:
    """A call that may block is made elsewhere; the future of one made on the spot is done when it is handed out."""
    executor = DirectExecutor(1)
    assert executor.submit(threading.get_ident).result() != threading.get_ident()
    assert not only_builds(partial(contextvars.copy_context().run, threading.get_ident))

    def completion(**_: Any) -> int:
        return threading.get_ident()

    plain = {"acompletion": True, "model": "openai/x", "api_key": "k"}
    strange = partial(contextvars.copy_context().run, partial(completion, **plain))
    assert not only_builds(strange), "a function of that name that is not LiteLLM's"
    real = partial(contextvars.copy_context().run, partial(litellm.main.completion, **plain, stream="?", n=object()))
    assert only_builds(real)
    found = executor.submit(real)
    assert found.done()
    if found.exception() is None:
        found.result().close()
    executor.shutdown()
