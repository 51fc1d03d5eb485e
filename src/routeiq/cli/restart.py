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
SILENT_S = 30.0
"""After how long in which nobody knows of a restart it is taken for lost, as when Redis has lost its memory."""


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
    until, shown, heard = time.monotonic() + timeout, "", time.monotonic()
    while found["state"] == "under way" and time.monotonic() < until:
        shown = _progress(found, shown)
        time.sleep(POLL_S)
        latest = _latest(url, found["id"])
        if latest is not None:
            found, heard = latest, time.monotonic()
        elif time.monotonic() - heard > SILENT_S:
            raise RouteIQError(
                f"nothing is known of restart {found['id']} any more; `routeiq admin status` shows what is"
            )
    _progress(found, shown)
    if as_json:
        print(json.dumps(found))
    if found["state"] == "under way":
        raise RouteIQError(f"restart {found['id']} is still under way after {timeout:g} s; GET {PATH} shows it")
    if found["state"] != "done":
        raise RouteIQError(f"restart {found['id']} {found['state']}: {found['why']}; the other workers serve as before")


def _latest(url: str, order: str) -> Mapping[str, Any] | None:
    """Return how far a restart is; None while nobody answers, or from a worker that has not heard of it yet."""
    try:
        found: Mapping[str, Any] = ask(url, "GET", PATH)
    except StateUnavailable:
        return None
    return found if found.get("id") == order else None


def _progress(found: Mapping[str, Any], shown: str) -> str:
    rows = (f"{one['replica']} {one['state']} {one['replaced']}/{one['count']}" for one in found["replicas"])
    line = ", ".join(rows)
    if line != shown:
        stderr().print(line, markup=False)
    return line
