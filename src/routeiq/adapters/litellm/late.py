"""What LiteLLM loads with its first request, loaded before workers are forked, so that they share it.

Owns the list, which is found by comparing `sys.modules` before and after a request of each kind. A name that a release
has no more is passed over: then a worker loads what it needs itself, as LiteLLM alone would.
"""

import logging
from collections.abc import Iterable
from importlib import import_module
from typing import Final

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
