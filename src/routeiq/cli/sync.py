"""`routeiq sync`: brings configuration and artifacts from an object store to a folder, once or as a sidecar."""

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from routeiq.adapters.object_store import open_folder
from routeiq.cli.asking import ask
from routeiq.cli.output import stderr, stdout
from routeiq.config.environment import read_environment
from routeiq.config.outbound import check_addresses
from routeiq.config.sync import Synced, Syncer
from routeiq.core.errors import ConfigError, RouteIQError, SourceUnavailable

RELOAD_S = 60.0
"""How long a gateway may take to reload before the sidecar goes on without its answer."""


def sync(
    source: Annotated[str, typer.Option(help="s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, https://HOST/PATH or a folder.")],
    dest: Annotated[Path, typer.Option(help="Folder to bring the objects to.")],
    objects: Annotated[list[str] | None, typer.Option("--object", help="Name of an object; needed over HTTP.")] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 15.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; exit status 1 when nothing can be had.")] = False,
    process: Annotated[int | None, typer.Option("--signal", help="Process to send SIGHUP after a change.")] = None,
    reload_url: Annotated[str | None, typer.Option(help="Gateway to ask for a reload after a change.")] = None,
) -> None:
    """Fetch what changed (by ETag), check that it came whole, put it in place by renames, and say so to the gateway.

    The gateway does the same by itself when ROUTEIQ_CONFIG_SOURCE is set; a sidecar keeps the credentials out of
    it.
    """
    check_addresses(read_environment()[0], {"--source": source})
    syncer = Syncer(open_folder(source, objects or ()), dest)
    while True:
        try:
            done = syncer.sync(wait=once)
        except SourceUnavailable as error:
            if once:
                raise
            stderr().print(f"warning: {error.message}; trying again in {interval:g} s")
        else:
            _tell(done, process, reload_url)
            if once:
                return
        time.sleep(interval)


def _tell(done: Synced, process: int | None, reload_url: str | None) -> None:
    if not done.changed:
        return
    names = ", ".join((*done.fetched, *(f"-{name}" for name in done.removed)))
    stdout().print(f"fetched {done.bytes} bytes: {names}")
    if process is not None:
        try:
            os.kill(process, signal.SIGHUP)
        except OSError as error:
            raise ConfigError(f"process {process} cannot be sent SIGHUP: {error.strerror}") from None
    if reload_url is not None:
        _reload(reload_url)


def _reload(url: str) -> None:
    """Ask a gateway to reload; that it refuses a version, or is not there, is said and does not end the sidecar."""
    try:
        ask(url, "POST", "/routeiq/reload", timeout_s=RELOAD_S)
    except RouteIQError as error:
        stderr().print(f"warning: {url} has not taken it up: {error.message}; /_health/config-sync there says more")
    else:
        stdout().print(f"{url} has taken it up")
