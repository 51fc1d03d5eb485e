"""The process around the provider: arguments, socket, port file, signals, parent.

Owns the start and the end of the process. The application is in `app`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from routeiq.testing.replay.answers import AnswerSource
from routeiq.testing.replay.app import Provider, build_app
from routeiq.testing.replay.faults import BadFault, parse_fault
from routeiq.testing.replay.recorded import BadRecording, RecordedSource
from routeiq.testing.replay.simulated import SimulatedSource

PARENT_POLL_S = 0.25
DRAIN_S = 1
"""Whole seconds a running call may take to end after SIGTERM; hanging ones are cut then."""


class _Server(uvicorn.Server):  # type: ignore[misc] # uvicorn is untyped under strict mode
    """A server that leaves signals to us: uvicorn's own handling ends the process by the signal, not with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m routeiq.testing.replay",
        description="An OpenAI- and Anthropic-compatible provider that replays recorded or simulated answers.",
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--port-file", type=Path, help="written with the port once the provider answers")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="folder of recorded outcomes; needs --suite")
    source.add_argument("--tasks", action="store_true", help="the built-in tasks, answered by simulated models")
    parser.add_argument("--suite", help="suite of the recorded outcomes, or several with commas")
    parser.add_argument("--models", help="models to serve, with commas; without it all in the suite's pool")
    parser.add_argument("--time-scale", type=float, default=50.0, help="divides latencies; 'inf' means no latency")
    parser.add_argument("--seed", type=int, default=0, help="fixes every draw")
    parser.add_argument("--fault", action="append", default=[], metavar="MODEL=FAULT[:TIMES[:DELAY_S]]")
    parser.add_argument("--parent-pid", type=int, help="end when this process is no longer the parent; 0 never")
    return parser


def _source(parser: argparse.ArgumentParser, args: argparse.Namespace) -> AnswerSource:
    models = [name.strip() for name in args.models.split(",")] if args.models else None
    if args.tasks:
        try:
            return SimulatedSource(args.seed, models)
        except KeyError as error:
            parser.error(str(error.args[0]))
    if not args.suite:
        parser.error("--data needs --suite")
    try:
        return RecordedSource.load(args.data, args.suite.split(","), models, args.seed)
    except BadRecording as error:
        parser.error(str(error))


def write_port_file(path: Path, port: int) -> None:
    """Write the port so that a reader sees the whole number or no file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(f"{port}\n", encoding="ascii")
    partial.replace(path)


async def _watch_parent(parent: int, stop: Callable[[], None]) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_POLL_S)
    stop()


async def _serve(provider: Provider, listener: socket.socket, port_file: Path | None, parent: int) -> None:
    config = uvicorn.Config(
        build_app(provider),
        lifespan="off",
        access_log=False,
        log_level="critical",
        timeout_graceful_shutdown=DRAIN_S,
        backlog=2048,
    )
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    watch = asyncio.create_task(_watch_parent(parent, stop)) if parent else None
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if port_file is not None and server.started:
        write_port_file(port_file, listener.getsockname()[1])
    try:
        await serving
    finally:
        if watch is not None:
            watch.cancel()
        if port_file is not None:
            port_file.unlink(missing_ok=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


def main(argv: Sequence[str] | None = None) -> int:
    """Run the provider until it is told to stop; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if not args.time_scale > 0:
        parser.error(f"--time-scale must be above 0, got {args.time_scale}")
    parent = os.getppid() if args.parent_pid is None else args.parent_pid
    provider = Provider(_source(parser, args), args.time_scale, salt=secrets.token_hex(4))
    try:
        for order in args.fault:
            provider.faults.set(*parse_fault(order))
    except BadFault as error:
        parser.error(f"--fault: {error}")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", args.port))
    except OSError as error:
        sys.stderr.write(f"replay provider: port {args.port} of 127.0.0.1: {error.strerror}\n")
        return 1
    listener.set_inheritable(False)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(provider, listener, args.port_file, parent))
    return 0
