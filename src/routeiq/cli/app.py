"""The commands put together, and the one place where an error becomes a message and an exit status.

0 is success, 1 a failure at run time, 2 a mistake in configuration, data or usage.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from routeiq import __version__
from routeiq.cli.output import Reporter
from routeiq.config.secrets import Secrets

_HELP = "Route every prompt to the right model, on top of an unmodified LiteLLM proxy, and say why."

_COMMANDS: Final = {
    "serve": ("serve:serve", "routeiq serve --config config.yaml --port 4000"),
    "workers": ("workers:workers", "routeiq workers --config config.yaml --measure"),
    "init": ("init:init", "routeiq init --config config.yaml --alias auto --write"),
    "check": ("check:check", "routeiq check --config config.yaml"),
    "route": ("route:route", 'routeiq route "What is 17 times 23?" --config config.yaml'),
    "decide": (
        "decide:decide",
        "routeiq decide --artifact knn.npz --data ./outcomes --suite mmlupro --split test --lambda sweep "
        "--output decisions.parquet",
    ),
    "sync": (
        "sync:sync",
        "routeiq sync --source s3://models/gateway --dest /app/config --reload-url http://localhost:4000",
    ),
    "calibrate": (
        "calibrate:calibrate",
        "routeiq calibrate --model new-model --artifact knn.npz --data ./outcomes --suite mmlupro "
        "--output knn-new.npz --url http://127.0.0.1:4000",
    ),
    "version": ("version:version", "routeiq version --json"),
    "eval": (
        "evaluation:evaluate",
        "routeiq eval --artifact knn.npz --data ./outcomes --suite mmlupro --json eval.json --html eval.html",
    ),
}
"""Where each command is, below this package, and an example of it."""

_GROUPS: Final = {
    "train": "train:train",
    "admin": "admin:group",
    "config": "environment:group",
    "import": "import_model:group",
}
"""Where each group of commands is: a group, or a function that makes one."""

_DEMO: Final = "demo"

_WITHOUT_SECRETS = ("config", "version")


def _say_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def application(reporter: Reporter, only: str | None = None) -> typer.Typer:
    """Return the command line; `--debug` is noted with the reporter.

    With `only` it has just that command, if there is one of the name: a gateway that runs for weeks does not hold what
    training is made of.
    """
    app = typer.Typer(name="routeiq", help=_HELP, no_args_is_help=True, rich_markup_mode="rich")

    @app.callback()
    def _options(
        context: typer.Context,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
        number: Annotated[
            bool, typer.Option("--version", help="Print RouteIQ's version.", is_eager=True, callback=_say_version)
        ] = False,
    ) -> None:
        reporter.debug = debug
        if context.invoked_subcommand not in _WITHOUT_SECRETS:
            Secrets.of_process()

    wanted = (only,) if only in (*_COMMANDS, *_GROUPS, _DEMO) else (*_COMMANDS, *_GROUPS, _DEMO)
    for name in wanted:
        if name in _COMMANDS:
            place, example = _COMMANDS[name]
            app.command(name, epilog=f"Example: {example}")(_found(place))
        elif name in _GROUPS:
            group = _found(_GROUPS[name])
            app.add_typer(group if isinstance(group, typer.Typer) else group(), name=name)
        else:
            _found("demo:add_to")(app)
    return app


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"routeiq.cli.{module}"), name)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `arguments` default to those of the process."""
    reporter, given = Reporter(), sys.argv[1:] if arguments is None else list(arguments)
    asked_for = next((argument for argument in given if not argument.startswith("-")), None)
    try:
        application(reporter, asked_for)(given, prog_name="routeiq")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001 - the end of the command: every error becomes a message and a status
        return reporter.report(error)
    return 0
