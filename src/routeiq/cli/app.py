"""The commands put together, and the one place where an error becomes a message and an exit status.

0 is success, 1 a failure at run time, 2 a mistake in configuration, data or usage.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from routeiq import __version__
from routeiq.cli.admin import group as admin_group
from routeiq.cli.calibrate import calibrate
from routeiq.cli.check import check
from routeiq.cli.decide import decide
from routeiq.cli.demo import add_to as add_demo
from routeiq.cli.environment import group as config_group
from routeiq.cli.evaluation import evaluate
from routeiq.cli.import_model import group as import_group
from routeiq.cli.init import init
from routeiq.cli.output import Reporter
from routeiq.cli.route import route
from routeiq.cli.serve import serve
from routeiq.cli.sync import sync
from routeiq.cli.train import train
from routeiq.cli.version import version
from routeiq.cli.workers import workers
from routeiq.config.secrets import Secrets

_HELP = "Route every prompt to the right model, on top of an unmodified LiteLLM proxy, and say why."

_EXAMPLES: dict[Callable[..., None], str] = {
    serve: "routeiq serve --config config.yaml --port 4000",
    workers: "routeiq workers --config config.yaml --measure",
    init: "routeiq init --config config.yaml --alias auto --write",
    check: "routeiq check --config config.yaml",
    route: 'routeiq route "What is 17 times 23?" --config config.yaml',
    decide: (
        "routeiq decide --artifact knn.npz --data ./outcomes --suite mmlupro --split test --lambda sweep "
        "--output decisions.parquet"
    ),
    sync: "routeiq sync --source s3://models/gateway --dest /app/config --reload-url http://localhost:4000",
    calibrate: (
        "routeiq calibrate --model new-model --artifact knn.npz --data ./outcomes --suite mmlupro "
        "--output knn-new.npz --url http://127.0.0.1:4000"
    ),
    version: "routeiq version --json",
}

_WITHOUT_SECRETS = ("config", "version")

_EVAL = "Example: routeiq eval --artifact knn.npz --data ./outcomes --suite mmlupro --json eval.json --html eval.html"


def _say_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def application(reporter: Reporter) -> typer.Typer:
    """Return the command line; `--debug` is noted with the reporter."""
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

    for command, example in _EXAMPLES.items():
        app.command(epilog=f"Example: {example}")(command)
    app.command("eval", epilog=_EVAL)(evaluate)
    app.add_typer(train, name="train")
    app.add_typer(admin_group(), name="admin")
    app.add_typer(config_group(), name="config")
    app.add_typer(import_group, name="import")
    add_demo(app)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; `arguments` default to those of the process."""
    reporter = Reporter()
    try:
        application(reporter)(sys.argv[1:] if arguments is None else list(arguments), prog_name="routeiq")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001 - the end of the command: every error becomes a message and a status
        return reporter.report(error)
    return 0
