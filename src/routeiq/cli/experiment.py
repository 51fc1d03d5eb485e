"""`routeiq admin experiment`: what the experiments of a running gateway say, and what is made of them.

Owns how a report is shown. It is made by the gateway (`http.experiments`), which is asked over HTTP.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.options import AsJson
from routeiq.cli.output import stdout, warn
from routeiq.core.errors import RequestInvalid

Name = Annotated[str, typer.Argument(help="Name of the experiment.")]

_LOCAL = LOCAL
_SHOWN = {"quality": 1.0, "cost_usd": 1e3, "latency_s": 1.0, "failure_rate": 100.0}
_UNITS = {"quality": "quality", "cost_usd": "cost, $/1000", "latency_s": "latency, s", "failure_rate": "failed, %"}


def add_to(admin: typer.Typer) -> None:
    """Put the commands into the group `routeiq admin`."""
    group = typer.Typer(help="A/B experiments of a running gateway.", no_args_is_help=True)
    group.command("list", epilog="Example: routeiq admin experiment list --url http://127.0.0.1:4000")(listed)
    group.command("show", epilog="Example: routeiq admin experiment show knn-or-mlp")(show)
    group.command("weights", epilog="Example: routeiq admin experiment weights knn-or-mlp control=80 mlp=20")(weights)
    group.command("stop", epilog="Example: routeiq admin experiment stop knn-or-mlp")(stop)
    group.command("promote", epilog="Example: routeiq admin experiment promote knn-or-mlp mlp")(promote)
    group.command("resume", epilog="Example: routeiq admin experiment resume knn-or-mlp")(resume)
    admin.add_typer(group, name="experiment")


def listed(url: Url = _LOCAL, as_json: AsJson = False) -> None:
    """List the experiments with their weights, and whether one is skewed."""
    found = _ask(url, "GET", "")
    if as_json:
        print(json.dumps(found))
        return
    table = Table("experiment", "alias", "unit", "state", "weights", "requests", "skew")
    for one in found["experiments"]:
        requests = sum(arm["assigned"] for arm in one["arms"].values())
        state, skew = _state(one), "[bold red]alarm[/]" if one["skew"]["alarm"] else "none"
        table.add_row(*map(escape, (one["name"], one["alias"], one["unit"], state, _weights(one), str(requests))), skew)
    stdout().print(table)
    if not found["shared"]:
        warn(["the gateway cannot reach its shared state; these are the counts that one worker last knew"])


def show(name: Name, url: Url = _LOCAL, as_json: AsJson = False) -> None:
    """Show each arm of an experiment: counts, means with 95 % confidence sequences, differences to the control."""
    _print(_ask(url, "GET", name), as_json)


def weights(
    name: Name,
    shares: Annotated[list[str], typer.Argument(help="ARM=NUMBER for every arm, 0 for none.")],
    url: Url = _LOCAL,
    as_json: AsJson = False,
) -> None:
    """Change the weights of the arms. Only units that must change their arm do."""
    _print(_ask(url, "POST", name, {"action": "weights", "weights": dict(map(_share, shares))}), as_json)


def stop(name: Name, url: Url = _LOCAL, as_json: AsJson = False) -> None:
    """Stop an experiment: every request takes the alias's own route."""
    _print(_ask(url, "POST", name, {"action": "stop"}), as_json)


def promote(
    name: Name,
    arm: Annotated[str, typer.Argument(help="Name of the arm.")],
    url: Url = _LOCAL,
    as_json: AsJson = False,
) -> None:
    """Give every request one arm, until the configuration says the same."""
    _print(_ask(url, "POST", name, {"action": "promote", "arm": arm}), as_json)


def resume(name: Name, url: Url = _LOCAL, as_json: AsJson = False) -> None:
    """Take back a stop or a promotion; from a running experiment, weights that were given by hand."""
    _print(_ask(url, "POST", name, {"action": "resume"}), as_json)


def _share(text: str) -> tuple[str, float]:
    arm, separator, number = text.partition("=")
    try:
        if separator:
            return arm, float(number)
    except ValueError:
        pass
    raise RequestInvalid(f"found {text!r}, expected ARM=NUMBER, such as control=80")


def _ask(url: str, method: str, name: str, body: Mapping[str, Any] | None = None) -> Any:
    return ask(url, method, "/routeiq/experiments" + (f"/{quote(name, safe='')}" if name else ""), body)


def _print(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    console = stdout()
    console.print(f"[bold]{escape(found['name'])}[/]  alias {escape(found['alias'])}  unit {found['unit']}  ", end="")
    console.print(f"{escape(_state(found))}  weights {escape(_weights(found))}")
    counts = Table("arm", "strategy", "requests", "ok", "failed", "cancelled", "under way")
    for name, arm in found["arms"].items():
        numbers = (str(arm[part]) for part in ("assigned", "ok", "failed", "cancelled", "under_way"))
        counts.add_row(escape(name), escape(arm["strategy"]), *numbers)
    console.print(counts)
    means = Table("arm", *_UNITS.values())
    for row in _rows(found["arms"]):
        means.add_row(*row)
    console.print(means)
    skew = found["skew"]
    if skew["alarm"]:
        told = f"{skew['units']} units are not divided by the weights (p = {skew['p']:.2g})"
        warn([f"skew: {told}; find out why before believing the comparison"])
    else:
        console.print(f"no skew in {skew['units']} units (p = {skew['p']:.2g})")


def _rows(arms: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, arm in arms.items():
        yield (escape(name), *(_interval(arm[metric], scale) for metric, scale in _SHOWN.items()))
        if "versus_control" in arm:
            differences = arm["versus_control"]
            yield ("  to control", *(_interval(differences[m], scale, signed=True) for m, scale in _SHOWN.items()))


def _interval(found: Mapping[str, Any], scale: float, signed: bool = False) -> str:
    """Return `mean [low, high]`, in bold where a difference is decided."""
    if found["mean"] is None:
        return "-"
    form = "+.4g" if signed else ".4g"
    mean = f"{found['mean'] * scale:{form}}"
    if found["low"] is None:
        return f"{mean} (n = {found['n']})"
    text = escape(f"{mean} [{found['low'] * scale:{form}}, {found['high'] * scale:{form}}]")
    decided = signed and (found["low"] > 0 or found["high"] < 0)
    return f"[bold]{text}[/]" if decided else text


def _state(found: Mapping[str, Any]) -> str:
    if found["winner"]:
        return f"promoted {found['winner']}"
    return str(found["phase"]) if found["counting"] or found["phase"] != "running" else "not counting"


def _weights(found: Mapping[str, Any]) -> str:
    return " ".join(f"{arm}={share:.4g}" for arm, share in found["weights"].items())
