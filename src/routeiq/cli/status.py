"""`routeiq admin status` and `routeiq admin reload`: what every worker of every replica serves, and do all agree."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.options import AsJson
from routeiq.cli.output import stderr, stdout
from routeiq.core.errors import RouteIQError, StateUnavailable

PATH = "/routeiq/status"
POLL_S = 0.25
RELOAD_S = 60.0

DIGITS = 12
"""How much of a digest a table shows."""


def add_to(admin: typer.Typer) -> None:
    """Put the commands into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin status --wait-converged 60")(status)
    admin.command(epilog="Example: routeiq admin reload && routeiq admin status --wait-converged 30")(reload)


def status(
    url: Url = LOCAL,
    as_json: AsJson = False,
    wait_converged: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="TIMEOUT",
            help="Wait up to TIMEOUT seconds until all workers serve the newest version that any of them has seen; "
            "exit status 1 when they do not.",
        ),
    ] = None,
) -> None:
    """Show what every worker of every replica serves, since when, and whether all agree."""
    found = ask(url, "GET", PATH) if wait_converged is None else _converged(url, wait_converged)
    if as_json:
        print(json.dumps({name: found[name] for name in ("agreement", "totals", "workers")}))
    else:
        _show(found)
    if wait_converged is not None and not found["agreement"]["settled"]:
        raise typer.Exit(1)


def reload(url: Url = LOCAL, as_json: AsJson = False) -> None:
    """Have every worker of every replica look for a changed configuration now, and show what each serves then."""
    found = ask(url, "POST", "/routeiq/reload", timeout_s=RELOAD_S)
    if as_json:
        print(json.dumps(found))
        return
    stdout().print(_table(found["workers"]))
    silent = sum(not one["answered"] for one in found["workers"])
    if silent:
        stderr().print(f"{silent} of {len(found['workers'])} workers did not answer in time")


def _converged(url: str, timeout_s: float) -> Any:
    """Return the status once it is settled, or the last one; a gateway that does not answer is asked again."""
    until, found = time.monotonic() + timeout_s, None
    while True:
        try:
            found = ask(url, "GET", PATH)
            if found["agreement"]["settled"]:
                return found
        except StateUnavailable:
            if time.monotonic() >= until:
                raise
        if time.monotonic() >= until:
            if found is None:
                raise RouteIQError(f"{url} did not answer in {timeout_s:g} s")
            return found
        time.sleep(POLL_S)


def _show(found: Mapping[str, Any]) -> None:
    agreement, totals, console = found["agreement"], found["totals"], stdout()
    count, reach = agreement["workers"], agreement["reach"]
    if agreement["agree"]:
        on = agreement["on"]
        console.print(
            f"{count} workers of {reach} agree: RouteIQ {on['version']}, configuration {on['snapshot']}, "
            f"files {on['digest'][:DIGITS]}" + ("" if agreement["settled"] else "; a newer version is not served")
        )
    else:
        parties = ", ".join(f"{one['workers']} on {one['snapshot']}" for one in agreement["parties"])
        console.print(f"{count} workers of {reach} do not agree: {parties}")
    console.print(_table(found["workers"]))
    log, load = totals["outcome_log"], totals["load"]
    healthy = "ok" if log["healthy"] else "failing"
    busy = ", ".join(f"{load[name]:g} {name.replace('_', ' ')}" for name in load)
    console.print(f"outcome log {healthy}, {log['queued']} queued, {log['dropped']} dropped; {busy}")


def _table(workers: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("replica", "worker", "pid", "RouteIQ", "configuration", "files", "state", "since")
    for one in workers:
        state = str(one.get("state") or "no answer") + (f": {one['reason']}" if one.get("reason") else "")
        since = one.get("since")
        told = "" if since is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(since))
        cells = [one.get(name) for name in ("replica", "worker", "pid", "version", "snapshot")]
        shown = ["" if cell is None else escape(str(cell)) for cell in cells]
        table.add_row(*shown, str(one.get("digest") or "")[:DIGITS], escape(state), told)
    return table
