"""`routeiq admin rollback`: a version of the configuration that served before, put back on a running gateway."""

from typing import Annotated

import typer

from routeiq.cli.asking import LOCAL, Url, ask
from routeiq.cli.output import stdout


def add_to(admin: typer.Typer) -> None:
    """Put the command into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin rollback --to 3f6c1f0a52d1")(rollback)


def rollback(
    to: Annotated[
        str | None, typer.Option(help="Version to put back. Default: the one before the present one.")
    ] = None,
    url: Url = LOCAL,
) -> None:
    """Put the configuration that served before back, in every worker of every replica, until the files change."""
    found = ask(url, "POST", "/routeiq/admin/rollback", {} if to is None else {"to": to})
    stdout().print(f"version {found['version']} serves again; the files hold another one until they change")
