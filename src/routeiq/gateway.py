"""The gateway's Redis for people at a prompt.

    python -c "from routeiq.gateway import get_redis; print(get_redis().ping())"

Owns a client of the vendor's own kind for the address in the environment. The gateway itself uses `adapters.redis`.
"""

from typing import Any

from routeiq.config.environment import read_environment
from routeiq.core.errors import ConfigError


def get_redis() -> Any:
    """Return redis-py's client for REDIS_URL (or ROUTEIQ_REDIS_URL), whichever of its four forms.

    Raises ConfigError when the environment names no Redis, or the library is not installed.
    """
    environment, _ = read_environment()
    address = environment.redis
    if address is None:
        raise ConfigError("no Redis is configured; set REDIS_URL, for example REDIS_URL=redis://127.0.0.1:6379")
    try:
        from routeiq.adapters.redis.prompt import client
    except ModuleNotFoundError as error:
        raise ConfigError(f"REDIS_URL needs {error.name}; run: pip install 'routeiq-router[redis]'") from None
    return client(address)
