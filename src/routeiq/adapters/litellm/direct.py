"""Where LiteLLM's blocking steps run: in threads, but for the one that does not block.

LiteLLM prepares each asynchronous chat completion by handing its synchronous function to the event loop's executor,
which, asked for an asynchronous answer, only puts parameters together and returns a coroutine. Two changes of thread
for that cost more than routing does. Owns telling that step from all others, by what LiteLLM hands over; whatever is
not certain to be it goes to a thread, as ever.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Any

PREFIX = "openai/"
"""Models of this provider are called without a look at files, metadata servers or tokens that expire."""


class DirectExecutor(ThreadPoolExecutor):
    """Runs what only builds a coroutine where it stands, and everything else in threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Return the future of a call; it is done already when the call was made on the spot."""
        if args or kwargs or not only_builds(fn):
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        try:
            future.set_result(fn())
        except Exception as error:  # noqa: BLE001 - as an executor has it, the caller gets the error by the future
            future.set_exception(error)
        return future


def only_builds(fn: Callable[..., Any]) -> bool:
    """Return whether a call is LiteLLM's preparation of an asynchronous chat completion that cannot block.

    That is `partial(Context.run, partial(completion, acompletion=True, ...))` for a model of OpenAI's form with a key
    of its own (a missing one may be looked for in a secret manager) and without a mocked answer (which may sleep).
    """
    if type(fn) is not partial or len(fn.args) != 1 or not isinstance(getattr(fn.func, "__self__", None), Context):
        return False
    inner = fn.args[0]
    if type(inner) is not partial or getattr(inner.func, "__name__", None) != "completion":
        return False
    if getattr(inner.func, "__module__", None) != "litellm.main":
        return False
    return _is_plain(inner.keywords)


def _is_plain(given: Mapping[str, Any]) -> bool:
    model, provider = given.get("model"), given.get("custom_llm_provider")
    return (
        given.get("acompletion") is True
        and (provider == "openai" or (provider is None and isinstance(model, str) and model.startswith(PREFIX)))
        and bool(given.get("api_key"))
        and not any(given[name] is not None for name in given if name.startswith("mock_"))
    )
