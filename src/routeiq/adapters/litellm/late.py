"""What LiteLLM loads and builds with its first request, done before a worker is ready, and shared where it is forked.

Owns the list of modules, which is found by comparing `sys.modules` before and after a request of each kind, and the
building of routes, which the web framework leaves to the first request that is compared with them. A name that a
release has no more is passed over: then a worker loads what it needs itself, as LiteLLM alone would.
"""

import logging
from collections.abc import Iterable
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

LATE: Final = (
    "openai.resources",
    "litellm.litellm_core_utils.default_encoding",
    "litellm.integrations.otel.logger",
    "litellm.integrations.shadow_eval_logger",
    "litellm.integrations.weave",
    "litellm.integrations.websearch_interception.handler",
    "litellm.llms.a2a.chat.guardrail_translation.handler",
    "litellm.llms.anthropic.chat.guardrail_translation.handler",
    "litellm.llms.bedrock.passthrough.guardrail_translation.handler",
    "litellm.llms.cohere.rerank.guardrail_translation.handler",
    "litellm.llms.gemini.google_genai.guardrail_translation.handler",
    "litellm.llms.litellm_proxy.chat.transformation",
    "litellm.llms.mistral.ocr.guardrail_translation.handler",
    "litellm.llms.openai.completion.guardrail_translation.handler",
    "litellm.llms.openai.embeddings.guardrail_translation.handler",
    "litellm.llms.openai.speech.guardrail_translation.handler",
    "litellm.llms.openai.transcriptions.guardrail_translation.handler",
    "litellm.llms.openai.videos.guardrail_translation.handler",
    "litellm.llms.pass_through.guardrail_translation.handler",
    "litellm.proxy._experimental.mcp_server.auth.user_api_key_auth_mcp",
    "litellm.proxy._experimental.mcp_server.guardrail_translation.handler",
    "litellm.proxy._experimental.mcp_server.mcp_server_manager",
    "litellm.proxy.anthropic_endpoints.endpoints",
    "litellm.proxy.guardrails.guardrail_helpers",
    "litellm.proxy.hooks.mcp_semantic_filter",
    "litellm.proxy.pass_through_endpoints.llm_passthrough_endpoints",
    "litellm.proxy.response_polling.background_streaming",
    "litellm.responses.mcp.litellm_proxy_mcp_handler",
)

BUILT_LATE: Final = (
    "openai.types.chat:ChatCompletion.model_rebuild",
    "openai.types.chat:ChatCompletionChunk.model_rebuild",
    "litellm.types.utils:ModelResponse.model_rebuild",
    "litellm.types.utils:ModelResponseStream.model_rebuild",
    "litellm.proxy._types:UserAPIKeyAuth.model_rebuild",
    "litellm.llms:load_guardrail_translation_mappings",
)
"""What builds something that is otherwise built when it is first used; each is called without arguments."""

NOWHERE: Final = "/routeiq/nowhere"
"""A path that no route of LiteLLM's has."""

logger = logging.getLogger(__name__)


def load_late(names: Iterable[str] = LATE) -> tuple[str, ...]:
    """Import what is there of these modules, and return the names of those that could not be."""
    missing = []
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever somebody's module raises, a worker can do without it here
            logger.debug("%s is not loaded before the fork (%s)", name, type(error).__name__)
            missing.append(name)
    return tuple(missing)


def build_late(names: Iterable[str] = BUILT_LATE) -> tuple[str, ...]:
    """Call what is there of these functions, and return the names of those that could not be called."""
    missing = []
    for name in names:
        module, _, path = name.partition(":")
        try:
            attrgetter(path)(import_module(module))()
        except Exception as error:  # noqa: BLE001 - then it is built by the first request, as in LiteLLM alone
            logger.debug("%s is not built before the first request (%s)", name, type(error).__name__)
            missing.append(name)
    return tuple(missing)


def build_routes(app: Any) -> None:
    """Have every route of an application built: a path that is nowhere is compared with all of them.

    LiteLLM has hundreds, and a client whose route comes late in the list would wait seconds for all those before it.
    """
    scope = {"type": "http", "method": "GET", "path": NOWHERE, "root_path": "", "headers": [], "query_string": b""}
    for route in app.routes:
        try:
            route.matches(dict(scope))
        except Exception as error:  # noqa: BLE001 - somebody's route that cannot be built fails its own requests only
            logger.debug("a route is not built before the first request (%s)", type(error).__name__)
