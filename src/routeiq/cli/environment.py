"""`routeiq config migrate-env`: what the environment variables of a former version are called now."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from routeiq.cli.output import stderr
from routeiq.config.environment import known_names, read_environment, variables
from routeiq.config.migration import SECRET, Step, migrate
from routeiq.config.outbound import looked_up, rules_of
from routeiq.core.errors import ConfigError
from routeiq.guard.outbound import validate_outbound_url

_PASSWORD = re.compile(r"(?<=:)[^:@/]+(?=@)")


def group() -> typer.Typer:
    """Return the group `routeiq config`."""
    config = typer.Typer(help="Moving a configuration from a former version.", no_args_is_help=True)
    config.callback()(lambda: None)
    config.command("migrate-env", epilog="Example: routeiq config migrate-env --file .env --check")(migrate_env)
    config.command("check-url", epilog="Example: routeiq config check-url http://169.254.169.254")(check_url)
    return config


def migrate_env(
    file: Annotated[
        Path | None, typer.Option("--file", help="A file of NAME=VALUE lines. Default: this process's environment.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with status 1 when something has to change.")] = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Print passwords in URLs too.")] = False,
) -> None:
    """Print the variables to set, as NAME=VALUE lines, and say what becomes of each old one."""
    steps = migrate(variables() if file is None else _read(file), known_names())
    told = stderr()
    for step in steps:
        for name, value in step.new.items() if step.changes else ():
            print(f"{name}={_PASSWORD.sub('***', value) if name in SECRET and not show_secrets else value}")
        told.print(f"[dim]{escape(_said(step))}[/]")
    changes = sum(step.changes for step in steps)
    if not changes:
        told.print("nothing has to change")
    if check and changes:
        raise typer.Exit(1)


def check_url(url: Annotated[str, typer.Argument(help="The URL.", metavar="URL")]) -> None:
    """Say whether the gateway may send requests to a URL; exit with status 2 when it may not."""
    validate_outbound_url(url, rules_of(read_environment()[0]), looked_up([url]))
    stderr().print("requests may be sent there")


def _said(step: Step) -> str:
    old = ", ".join(step.old)
    new = ", ".join(step.new) if step.changes else "unchanged"
    note = f" ({step.note})" if step.note and step.changes else ""
    return f"{old} -> {new or 'remove'}{note}"


def _read(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    return {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}
