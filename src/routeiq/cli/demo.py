"""`routeiq demo`: starts the demonstration as a process of its own, and hands its arguments on.

The demonstration belongs to `routeiq.testing`; nothing that serves requests imports it.
"""

import subprocess
import sys

import typer


def demo(context: typer.Context) -> None:
    """Route prompts through a real gateway on this machine and compare the result with fixed models."""
    command = [sys.executable, "-m", "routeiq.testing.demo", *context.args]
    try:
        finished = subprocess.run(command, check=False)  # noqa: S603 - our own command with the user's own arguments
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(finished.returncode)


def add_to(app: typer.Typer) -> None:
    """Register the command; `--help` is the demonstration's own."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("demo", context_settings=settings, add_help_option=False)(demo)
