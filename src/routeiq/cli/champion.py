"""`routeiq admin champion`: the pointer by which an artifact is made the one that serves."""

import json
from pathlib import Path
from typing import Annotated

import typer

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.config.addresses import checked
from routeiq.core.errors import ConfigError


def champion(
    artifact: Annotated[Path, typer.Argument(help="The artifact, `NAME.npz` with `NAME.json` beside it.")],
    at: Annotated[
        str | None,
        typer.Option(help="Where it will be: an address, or a name relative to the pointer. Default: its file's name."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="A word for people, kept in the pointer.")] = None,
) -> None:
    """Print the pointer to an artifact, to be uploaded after it: `routeiq_settings.artifact` names the pointer."""
    manifest = FileArtifactStore().load(str(artifact)).manifest
    try:
        name = checked(at or artifact.with_suffix("").name + ".npz")
    except ValueError as error:
        raise ConfigError(f"--at: {error}") from None
    said = {"artifact": name, "sha256": manifest.sha256, "version": manifest.version, "note": note}
    print(json.dumps({key: value for key, value in said.items() if value is not None}, indent=2))


def add_to(admin: typer.Typer) -> None:
    """Put the command into the group `routeiq admin`."""
    admin.command(epilog="Example: routeiq admin champion knn.npz --at knn-2026-11.npz")(champion)
