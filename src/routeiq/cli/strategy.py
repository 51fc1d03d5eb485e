"""`routeiq admin strategy`: the strategy of an alias, changed in every worker of a running gateway."""

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.options import AsJson
from routeiq.cli.output import stdout

PATH = "/routeiq/admin/strategy"

Alias = Annotated[str, typer.Argument(help="Name that clients send as `model`.")]


def add_to(admin: typer.Typer) -> None:
    """Put the commands into the group `routeiq admin`."""
    group = typer.Typer(help="Strategies of a running gateway.", no_args_is_help=True)
    group.command("list", epilog="Example: routeiq admin strategy list --url http://127.0.0.1:4000")(listed)
    group.command("set", epilog="Example: routeiq admin strategy set auto cheapest-capable")(choose)
    group.command("reset", epilog="Example: routeiq admin strategy reset auto")(reset)
    admin.add_typer(group, name="strategy")


def listed(url: Url = LOCAL, as_json: AsJson = False) -> None:
    """List the strategy of each alias, and whether an admin chose it."""
    _show(ask(url, "GET", PATH), as_json)


def choose(
    alias: Alias,
    strategy: Annotated[str, typer.Argument(help="Name of the strategy.")],
    url: Url = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Choose a strategy for an alias, in every worker and replica, until it is reset."""
    _show(ask(url, "POST", PATH, {"alias": alias, "strategy": strategy}), as_json)


def reset(alias: Alias, url: Url = LOCAL, as_json: AsJson = False) -> None:
    """Go back to the strategy of the configuration file."""
    _show(ask(url, "POST", PATH, {"alias": alias, "strategy": None}), as_json)


def _show(found: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    table = Table("alias", "strategy", "chosen by")
    for alias, strategy in sorted(found["active"].items()):
        table.add_row(escape(alias), escape(strategy), "an admin" if alias in found["chosen"] else "the configuration")
    stdout().print(table)
