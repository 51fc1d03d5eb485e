"""What is asked of the router: one prompt, who sent it, and what its answer needs.

Owns the request as the routing core sees it. It knows nothing of HTTP or of LiteLLM; `adapters.litellm` builds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Surface(StrEnum):
    """The API through which a prompt came in."""

    CHAT = "chat"
    COMPLETION = "completion"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDING = "embedding"


class Capability(StrEnum):
    """Something a model must be able to do to serve a request."""

    TOOLS = "tools"
    VISION = "vision"
    JSON_MODE = "json_mode"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent the request, as LiteLLM authenticated it.

    `key_hash` is LiteLLM's hash of the virtual key, never the key. `admin` callers hold the master key.
    """

    key_hash: str | None = None
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    admin: bool = False


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """One prompt to be routed.

    `text` is what features are computed from: the last user turn for conversations. It is kept out of `repr` so that
    it cannot reach a log by accident. `prompt_tokens` is an estimate over all messages; `output_tokens` is the
    caller's limit if one was given. `hint` is the model the caller would like (`X-RouteIQ-Hint`). `tools` are the
    schemas of the functions on offer, as the client sent them: not checked, and kept out of `repr` like the text.
    `end_user` is the person behind the caller, as the calling application names them. `follows_up` says that the
    last turn answers something the model asked for (the result of a tool call), so that only this model can well go on.
    `begins` says that neither an id of the caller's nor an answer among the turns shows that this goes on from
    anything: then `session` is only the name by which later turns will be known.
    """

    id: str
    alias: str
    surface: Surface = Surface.CHAT
    text: str = field(default="", repr=False)
    prompt_tokens: int = 0
    output_tokens: int | None = None
    needs: frozenset[Capability] = frozenset()
    caller: Caller = Caller()
    session: str | None = None
    hint: str | None = None
    stream: bool = False
    tools: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    end_user: str | None = None
    follows_up: bool = False
    begins: bool = False
