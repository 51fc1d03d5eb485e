"""The composition root: settings to running parts. The only room that may import everything, and it decides nothing.

Two ways in. `install` is what `LITELLM_WORKER_STARTUP_HOOKS=routeiq.wiring:install` calls in each worker of an
unmodified `litellm --config` (plugin mode). `app` is the ASGI factory that `routeiq serve` runs: our edge around
LiteLLM's application (serve mode). Heavy imports stand in functions: the command line imports this room too.
"""

from routeiq.wiring.clock import SystemClock
from routeiq.wiring.gateway import Gateway, assemble
from routeiq.wiring.learning import embedder_of, encoder, snapshot_of
from routeiq.wiring.plugin import install
from routeiq.wiring.serve import app, preload

__all__ = [
    "Gateway",
    "SystemClock",
    "app",
    "assemble",
    "embedder_of",
    "encoder",
    "install",
    "preload",
    "snapshot_of",
]
