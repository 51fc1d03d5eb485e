"""`routeiq admin restart`: the workers of all replicas of a running gateway, replaced one by one."""

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.options import AsJson
from routeiq.cli.output import stderr
from routeiq.core.errors import RequestInvalid, RouteIQError, StateUnavailable

PATH = "/routeiq/restart"
POLL_S = 0.25


def add_to(admin: typer.Typer) -> None:
    """Put the command into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin restart --rolling --url http://127.0.0.1:4000")(restart)


def restart(
    rolling: Annotated[
        bool, typer.Option("--rolling", help="One worker after the other; the only way there is.")
    ] = False,
    url: Url = LOCAL,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the end; it goes on without us.")] = 900.0,
    as_json: AsJson = False,
) -> None:
    """Replace the workers of all replicas one by one, so that they read everything anew, without dropping a request.

    One replica at a time; each new worker serves before an old one stops accepting, and streams stay with their
    worker to their end. The first failure stops it. Exit status 1 when it did not come to its end.
    """
    if not rolling:
        raise RequestInvalid("add --rolling: a restart that drops requests is left to whatever started the gateway")
    found = ask(url, "POST", PATH, timeout_s=60.0)
    until, shown = time.monotonic() + timeout, ""
    while found["state"] == "under way" and time.monotonic() < until:
        shown = _progress(found, shown)
        time.sleep(POLL_S)
        found = _latest(url, found)
    _progress(found, shown)
    if as_json:
        print(json.dumps(found))
    if found["state"] == "under way":
        raise RouteIQError(f"restart {found['id']} is still under way after {timeout:g} s; GET {PATH} shows it")
    if found["state"] != "done":
        raise RouteIQError(f"restart {found['id']} {found['state']}: {found['why']}; the other workers serve as before")


def _latest(url: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how far the restart is; what was known while nobody answers."""
    try:
        found: Mapping[str, Any] = ask(url, "GET", PATH)
    except StateUnavailable:
        return known
    # A worker that has just begun may not have heard of it yet.
    return found if found.get("id") == known["id"] else known


def _progress(found: Mapping[str, Any], shown: str) -> str:
    rows = (f"{one['replica']} {one['state']} {one['replaced']}/{one['count']}" for one in found["replicas"])
    line = ", ".join(rows)
    if line != shown:
        stderr().print(line, markup=False)
    return line
