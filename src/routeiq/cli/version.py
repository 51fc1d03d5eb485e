"""`routeiq version`: what is installed."""

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import routeiq
from routeiq.cli.options import AsJson
from routeiq.cli.output import stdout
from routeiq.wiring import encoder


def version(as_json: AsJson = False) -> None:
    """Print the versions of RouteIQ, Python, LiteLLM and the built-in embedder."""
    found = {
        "routeiq": routeiq.__version__,
        "python": platform.python_version(),
        "litellm": _installed("litellm"),
        "embedder": encoder(None).id,
    }
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        stdout().print(f"{name:<10}{value or 'not installed'}")


def _installed(distribution: str) -> str | None:
    try:
        return installed(distribution)
    except PackageNotFoundError:
        return None
