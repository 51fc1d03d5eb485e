"""`routeiq demo`: hands its arguments to the demonstration, which takes the place of this process.

The demonstration belongs to `routeiq.testing`; nothing that serves requests imports it. As it is this process and no
child, whoever stops the command stops it, and it ends what it started.
"""

import os
import sys

import typer


def demo(context: typer.Context) -> None:
    """Route prompts through a real gateway on this machine and compare the result with fixed models."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "routeiq.testing.demo", *context.args])  # noqa: S606 - our own


def add_to(app: typer.Typer) -> None:
    """Register the command; `--help` is the demonstration's own."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("demo", context_settings=settings, add_help_option=False)(demo)
