"""`routeiq serve`: checks everything that can be checked, then runs the gateway in this process."""

from typing import Annotated, Literal

import typer

from routeiq.adapters.litellm.host import refuse_bad_version
from routeiq.cli.options import Config
from routeiq.cli.output import stderr, warn, working
from routeiq.cli.prices import known_candidates
from routeiq.config.environment import export_for_litellm
from routeiq.config.load import load
from routeiq.config.master_key import check_master_key
from routeiq.core.errors import ConfigError
from routeiq.wiring import embedder_of, snapshot_of

DRAIN_S = 30
"""How long requests under way may take to end after a signal to stop, in seconds."""

HEADERS_LIMIT = 1 << 20
"""Most bytes of a request's head where h11 parses it; its own 16 KB cut a head that comes in pieces."""

LogLevel = Literal["critical", "error", "warning", "info", "debug"]


def serve(
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a server in a container
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 4000,
    log_level: Annotated[LogLevel, typer.Option(help="Least severe of the server's own messages to show.")] = "info",
) -> None:
    """Run the gateway: LiteLLM's proxy with RouteIQ around it.

    The configuration is validated first; a mistake ends with exit status 2 before anything is started.
    """
    with working("checking the configuration"):
        settings = load(config)
        check_master_key(settings)
        refuse_bad_version()
        snapshot_of(settings, known_candidates(settings), embedder_of(settings))
    warn(settings.warnings)
    export_for_litellm(settings.path)
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise ConfigError("the server is not installed; run: pip install 'routeiq-router[proxy]'") from None
    stderr().print(f"RouteIQ serves {settings.path} on http://{host}:{port} (LiteLLM takes about ten seconds to start)")
    uvicorn.run(
        "routeiq.wiring:app",
        factory=True,
        host=host,
        port=port,
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
        h11_max_incomplete_event_size=HEADERS_LIMIT,
    )
