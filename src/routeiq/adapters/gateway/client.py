"""Calls a running gateway by OpenAI's protocol, with the standard library alone.

Owns the requests, their retries and what an error is called. It never shows the key, and never follows a redirect,
which would take the key elsewhere. Safe to use from several threads.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from routeiq.core.errors import ConfigError
from routeiq.guard.retry import Backoff, Budget

PAUSES = Backoff(first_s=1.0, longest_s=10.0, factor=3.0, attempts=3)
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request is sent again."""

LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, or the word for why it did not: `http_STATUS`, `unreachable` or `not_understood`."""

    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float | None = None
    error: str | None = None


class _Stay(HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class GatewayClient:
    """A client of the gateway at `url`; `wait` sleeps for seconds between attempts."""

    url: str
    key: str = field(repr=False)
    timeout_s: float = 180.0
    wait: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random, repr=False)
    budget: Budget = field(default_factory=Budget, repr=False)
    _opener: OpenerDirector = field(default_factory=lambda: build_opener(_Stay), repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--url {self.url!r} is no address of a gateway; expected http://HOST:PORT")

    def ask(self, model: str, prompt: str, max_tokens: int, tools: Any = None) -> Answer:
        """Return the answer to one prompt. Never raises for what the gateway says or does not say."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        body |= {"max_tokens": max_tokens, **({"tools": tools} if tools else {})}
        begun = time.monotonic()
        status, found, cost = self._send("POST", "/v1/chat/completions", body)
        if status != 200:
            return Answer(error=f"http_{status}" if status else "unreachable")
        try:
            message, usage = found["choices"][0]["message"], found.get("usage") or {}
            text = message.get("content") or ""
            used = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return Answer(error="not_understood")
        return Answer(str(text), *used, cost, time.monotonic() - begun)

    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the gateway says of each model by name, prices among it; raises ConfigError when it is not there.

        Gateways that do not tell prices to this key list names only.
        """
        status, found, _ = self._send("GET", "/model/info")
        if status == 200 and isinstance(found, Mapping):
            return {str(one["model_name"]): one.get("model_info") or {} for one in found.get("data", [])}
        status, found, _ = self._send("GET", "/v1/models")
        if status == 200 and isinstance(found, Mapping):
            return {str(one["id"]): {} for one in found.get("data", [])}
        if status in (400, 401, 403):  # LiteLLM without a database says 400 to a key that it does not know
            raise ConfigError(f"the gateway at {self.url} refuses the key; set LITELLM_MASTER_KEY, or name --key-file")
        said = f"says {status}" if status else "does not answer"
        raise ConfigError(f"the gateway at {self.url} {said}; start it, or name another --url")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any, float | None]:
        """Return status (0 when there was none), parsed body and the cost that the gateway computed."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status = 0
        self.budget.called()
        for pause in (*PAUSES.pauses(self.chance), None):
            asked = 0.0
            request = Request(self.url.rstrip("/") + path, data, headers, method=method)  # noqa: S310 - http or https
            try:
                with self._opener.open(request, timeout=self.timeout_s) as response:
                    return response.status, json.load(response), _cost(response.headers)
            except HTTPError as error:
                status, asked = error.code, _seconds(error.headers.get("Retry-After"), 0.0)
                error.close()
                if status not in PASSING:
                    break
            except (OSError, HTTPException, ValueError):
                status = 0
            if pause is None or not self.budget.spend():
                break
            self.wait(min(asked + pause, LONGEST_WAIT_S))
        return status, None, None


def _cost(headers: Any) -> float | None:
    try:
        return float(headers["x-litellm-response-cost"])
    except (TypeError, ValueError):
        return None


def _seconds(written: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(written)) if written is not None else otherwise
    except ValueError:
        return otherwise
