"""What becomes of the environment variables of former versions, name by name.

Owns the table and the new values; pure. That old names still work, with a warning, is `config.environment`'s.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from routeiq.config.redis_url import old_variables

RENAMED: Final[Mapping[str, str]] = {
    "LLMROUTER_MODELS_PATH": "ROUTEIQ_MODELS_PATH",
    "LLMROUTER_HOT_RELOAD": "ROUTEIQ_HOT_RELOAD",
    "LLMROUTER_RELOAD_INTERVAL": "ROUTEIQ_RELOAD_INTERVAL",
    "LLMROUTER_ALLOW_PRIVATE_IPS": "ROUTEIQ_SSRF_ALLOW_PRIVATE",
    "LLMROUTER_SSRF_ALLOWLIST_HOSTS": "ROUTEIQ_SSRF_HOST_ALLOWLIST",
    "LLMROUTER_SSRF_ALLOWLIST_CIDRS": "ROUTEIQ_SSRF_CIDR_ALLOWLIST",
}
"""Old name to new name; the value stays."""

REMOVED: Final[Mapping[str, str]] = {
    "MCP_GATEWAY_ENABLED": "there is no such switch any more",
    "SSRF_PROTECTION_ENABLED": "it cannot be switched off; name what may be reached in ROUTEIQ_SSRF_HOST_ALLOWLIST",
    "A2A_GATEWAY_ENABLED": "there is no such switch any more",
    "MCP_HA_SYNC_ENABLED": "what workers share is shared whenever there is REDIS_URL",
    "LLMROUTER_ENABLE_MCP_TOOL_INVOCATION": "there is no such switch any more",
    "LLMROUTER_HA_MODE": "replicas need no leader; set REDIS_URL",
    "LLMROUTER_ROUTER_CALLBACK_ENABLED": "it is always on",
}
"""Old name to why it has no successor."""

REMOVED_PREFIX: Final = "LLMROUTER_CONFIG_SYNC_"
SAMPLE_RATE: Final = "LLMROUTER_OTEL_SAMPLE_RATE"

UNCHANGED: Final = (
    "LITELLM_MASTER_KEY",
    "LITELLM_CONFIG_PATH",
    "DATABASE_URL",
    "STORE_MODEL_IN_DB",
    "ROUTEIQ_MAX_CONCURRENT_REQUESTS",
    "ROUTEIQ_DRAIN_TIMEOUT_SECONDS",
)
UNCHANGED_PREFIX: Final = "OTEL_"

SECRET: Final = frozenset({"REDIS_URL"})
"""New names whose value may hold a secret."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one variable, or of several that become one; `new` is empty for what is to be removed."""

    old: tuple[str, ...]
    new: Mapping[str, str] = field(default_factory=dict, repr=False)
    note: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything has to be done."""
        return dict.fromkeys(self.old) != dict.fromkeys(self.new)


def migrate(environ: Mapping[str, str], known: Collection[str]) -> tuple[Step, ...]:
    """Return what becomes of the variables of former versions that are set, in a fixed order.

    `known` are the names that this version reads: a renamed variable whose new name is not among them is left out.
    """
    return tuple(_steps(environ, known))


def _steps(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Step]:
    for name in sorted(environ):
        if name in UNCHANGED or name.startswith(UNCHANGED_PREFIX):
            yield Step((name,), {name: environ[name]}, "no change")
    for old, new in RENAMED.items():
        if old in environ:
            yield _renamed(old, new, environ, known)
    if SAMPLE_RATE in environ:
        rate = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": environ[SAMPLE_RATE]}
        yield Step((SAMPLE_RATE,), rate)
    if not environ.get("REDIS_URL"):
        found = old_variables(environ)
        if found is not None:
            note = "LiteLLM's own cache reads the old names too; keep them if it is configured without a URL"
            yield Step(found[1], {"REDIS_URL": found[0]}, note)
    for old in sorted(environ):
        if old in REMOVED:
            yield Step((old,), {}, REMOVED[old])
        elif old.startswith(REMOVED_PREFIX):
            yield Step((old,), {}, "configuration in an object store is named by ROUTEIQ_CONFIG_SOURCE")


def _renamed(old: str, new: str, environ: Mapping[str, str], known: Collection[str]) -> Step:
    if environ.get(new):
        return Step((old,), {}, f"{new} is set already")
    if new not in known:
        return Step((old,), {}, f"it would be called {new}, which this version does not read")
    return Step((old,), {new: environ[old]})
