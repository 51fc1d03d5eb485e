"""`routeiq init`: puts RouteIQ in front of an existing LiteLLM configuration, and shows the difference first."""

import sys
from difflib import unified_diff
from typing import Annotated

import typer
from rich.text import Text

from routeiq.cli.options import Config
from routeiq.cli.output import stderr, stdout
from routeiq.config.adopt import Adoption, adopt, write
from routeiq.config.load import load
from routeiq.config.plugins import strategies
from routeiq.routing.strategies import recipe

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def init(
    config: Config = None,
    alias: Annotated[str, typer.Option(help="Virtual model that clients will name as `model`.")] = "auto",
    models: Annotated[
        str | None, typer.Option(help="Candidates, with commas. Default: all models that answer prompts.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Strategy. Default: knn with --artifact, else cheapest-capable.")
    ] = None,
    artifact: Annotated[str | None, typer.Option(help="Trained artifact, relative to the configuration.")] = None,
    to_disk: Annotated[bool, typer.Option("--write", help="Change the file; a copy is kept beside it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before writing.")] = False,
) -> None:
    """Add RouteIQ's section and a virtual model to an existing configuration; shows the difference and changes nothing.

    With --write the file is changed after asking. Comments and formatting stay, and running it again adds nothing.
    """
    chosen = strategy or ("knn" if artifact else "cheapest-capable")
    recipe(chosen, strategies([chosen]))
    names = tuple(name.strip() for name in models.split(",") if name.strip()) if models else ()
    adoption = adopt(load(config), alias, names, chosen, artifact)
    if adoption.before == adoption.after:
        stdout().print(f"{adoption.path} has virtual model {alias!r} already; nothing to add.")
        return
    _show(adoption)
    if not to_disk:
        stderr().print("Nothing was changed. Run it again with --write to change the file.")
        return
    if not yes:
        _ask(adoption)
    backup = write(adoption)
    stderr().print(f"Changed {adoption.path}; the former version is {backup.name}.")
    stderr().print(f"Next: routeiq check --config {adoption.path}")


def _show(adoption: Adoption) -> None:
    lines = unified_diff(
        adoption.before.splitlines(keepends=True),
        adoption.after.splitlines(keepends=True),
        str(adoption.path),
        str(adoption.path),
    )
    console = stdout()
    for line in lines:
        console.print(Text(line.rstrip("\r\n"), style=_COLOURS.get(line[0], "")), soft_wrap=True)


def _ask(adoption: Adoption) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here; add --yes to write without asking", param_hint="--write")
    typer.confirm(f"Change {adoption.path}?", abort=True, err=True)
