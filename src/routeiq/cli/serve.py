"""`routeiq serve`: checks everything that can be checked, then runs the gateway, in this process or in several."""

import gc
import logging
import os
import sys
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from routeiq.adapters.litellm.host import refuse_bad_version
from routeiq.cli.options import Config
from routeiq.cli.output import stderr, warn, working
from routeiq.cli.prices import known_candidates
from routeiq.config.document import check_name
from routeiq.config.environment import export_for_litellm
from routeiq.config.load import Settings, load
from routeiq.config.master_key import check_master_key
from routeiq.config.preload import Preloaded
from routeiq.config.scratch import Scratch
from routeiq.config.secrets import Secrets
from routeiq.core.errors import ConfigError, RouteIQError
from routeiq.reloading import fetch_configuration
from routeiq.wiring import app, embedder_of, preload, snapshot_of

if TYPE_CHECKING:
    import socket

    from routeiq.http.siblings import Siblings
    from routeiq.http.worker import Place

LogLevel = Literal["critical", "error", "warning", "info", "debug"]


@dataclass(slots=True)
class Work:
    """What a worker does, in its own process; `preloaded` is what it inherits, if it was forked."""

    config: Path | None
    count: int
    folder: Path | None
    log_level: str
    preloaded: Preloaded | None = None

    def __call__(self, place: "Place") -> None:
        """Serve. Raises SystemExit with status 3 when the configuration cannot be used any more."""
        from routeiq.http.foreman import Foreman
        from routeiq.http.worker import serve as run

        gc.enable()
        foreman = None if place.line is None else Foreman(place.line)
        if foreman is not None:
            place = replace(place, news=foreman.heard)
        try:
            run(lambda: app(self.preloaded, self._siblings(place), foreman), place, self.log_level)
        except RouteIQError as error:
            stderr().print(f"error[{error.reason}]: {error.message}", markup=False)
            raise SystemExit(3) from None

    def _siblings(self, place: "Place") -> "Siblings | None":
        from routeiq.adapters.prometheus.merge import merged
        from routeiq.http.siblings import Siblings

        return None if self.folder is None else Siblings(self.folder, place.index, self.count, merged)

    def load(self) -> None:
        """Load what workers inherit, again if it was loaded before; raises ConfigError or ArtifactError."""
        Secrets.of_process()
        self.preloaded = preload(load(self.config))


def serve(
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a server in a container
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 4000,
    workers: Annotated[
        str | None,
        typer.Option(
            help="How many worker processes; `auto` or 0 for what `routeiq workers` recommends. "
            "Default: ROUTEIQ_WORKERS, else `auto` with Redis, else 1.",
            metavar="N|auto",
        ),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--preload/--no-preload",
            help="Load everything once and fork the workers, which then share memory; else each loads for itself.",
        ),
    ] = True,
    log_level: Annotated[LogLevel, typer.Option(help="Least severe of the server's own messages to show.")] = "info",
) -> None:
    """Run the gateway: LiteLLM's proxy with RouteIQ around it.

    The configuration is validated first; a mistake ends with exit status 2 before anything is started. SIGTERM drains:
    readiness says no, what runs may finish, and the exit status is 0. SIGUSR2 replaces the workers one by one.
    """
    with working("checking the configuration"):
        stale = fetch_configuration(config)
        settings = load(config)
        check_name(settings.path)
        check_master_key(settings)
        refuse_bad_version()
        count = worker_count(workers or settings.environment.workers or unasked(settings), settings)
        snapshot_of(settings, known_candidates(settings), embedder_of(settings))
    warn((*settings.warnings, *([stale] if stale else [])))
    export_for_litellm(settings.path)
    try:
        from routeiq.http.acceptor import bound
        from routeiq.http.worker import Place
    except ModuleNotFoundError:
        raise ConfigError("the server is not installed; run: pip install 'routeiq-router[proxy]'") from None
    at = authority(host, port)
    try:
        listener = bound(host, port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {at} ({error.strerror}); stop what listens there, or choose another --port"
        ) from None
    several = "" if count == 1 else f" with {count} workers"
    where = f"http://{at}{several}"
    stderr().print(f"RouteIQ serves {settings.path} on {where} (LiteLLM takes about ten seconds to start)")
    if count == 1:
        Work(config, 1, None, log_level)(Place(listener))
        return
    with Scratch("serve") as scratch:
        status = _supervise(Work(config, count, scratch.path, log_level), listener, shared, settings)
    raise typer.Exit(status)


def unasked(settings: Settings) -> str:
    """Return what to run when nobody says: what is recommended, where workers share their state, else one.

    Without Redis each worker would count experiments, limits and failures for itself, which nobody asked for.
    """
    return "1" if settings.environment.redis is None else "auto"


def authority(host: str, port: int) -> str:
    """Return host and port as they stand in an address, where one of IPv6 is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def worker_count(asked: str, settings: Settings) -> int:
    """Return the number of workers that was asked for; raises ConfigError for what is none."""
    if asked not in ("auto", "0"):
        if not asked.isdecimal() or int(asked) > 999:
            raise ConfigError(f"--workers: expected a number from 0 to 999 or `auto`, found {asked!r}")
        return int(asked)
    from routeiq.cli.workers import recommended

    return recommended(settings)


def _supervise(work: Work, listener: "socket.socket", shared: bool, settings: Settings) -> int:
    from routeiq.http.supervisor import Supervisor

    _say_what_workers_do()
    if shared:
        work.load()
    return Supervisor(
        get_context("fork") if shared else get_context("spawn"),
        work,
        listener,
        work.count,
        settings.environment.drain_timeout_s,
        work.load if shared else lambda: None,
    ).run()


def _say_what_workers_do() -> None:
    """Write the supervisor's messages to standard error; standard output belongs to the workers' lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"routeiq[{os.getpid()}]: %(message)s"))
    logger = logging.getLogger("routeiq.http.supervisor")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
