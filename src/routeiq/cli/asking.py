"""Asking a running gateway over HTTP, with the operator's key, for commands that show or change what it does.

Owns the request and what a refusal is on the command line; what is asked is each command's.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import typer

from routeiq.config.environment import read_environment
from routeiq.core.errors import ConfigError, RequestInvalid, RouteIQError, StateUnavailable

TIMEOUT_S = 15.0
LOCAL = "http://127.0.0.1:4000"

Url = Annotated[str, typer.Option("--url", help="Address of the gateway. Its key is LITELLM_MASTER_KEY.")]


def ask(url: str, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    """Return what the gateway answers; raises ConfigError without a key, RouteIQError for a refusal."""
    key = read_environment()[0].master_key
    if key is None:
        raise ConfigError("LITELLM_MASTER_KEY is not set; it is the key that the gateway is asked with")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url: found {url!r}, expected an address that begins with http:// or https://")
    headers = {"authorization": f"Bearer {key.get_secret_value()}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = Request(url.rstrip("/") + path, data, headers, method=method)  # noqa: S310 - the scheme is checked above
    try:
        with urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except HTTPError as error:
        raise _refused(error) from None
    except (URLError, OSError, ValueError) as error:
        raise StateUnavailable(f"{url} cannot be asked: {getattr(error, 'reason', error)}") from None


def _refused(error: HTTPError) -> RouteIQError:
    """Return a refusal of the gateway as an error of the command line."""
    try:
        message = str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the gateway answered {error.code}"
    if error.code == 503:
        return StateUnavailable(message)
    return RequestInvalid(message) if error.code < 500 else RouteIQError(message)
