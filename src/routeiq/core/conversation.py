"""What is remembered of a conversation between its turns, and under which name."""

import json
from dataclasses import dataclass
from hashlib import blake2b

from routeiq.core.request import RouteRequest


@dataclass(frozen=True, slots=True)
class Conversation:
    """The last turn: the model that served it, when (seconds since the epoch), and how long its prompt was in tokens.

    `artifact` is the version the turn was decided with, None for strategies without one.
    """

    model: str
    at: float
    prompt_tokens: int = 0
    artifact: str | None = None

    def encoded(self) -> bytes:
        """Return the form in which it is shared."""
        return json.dumps([self.model, self.at, self.prompt_tokens, self.artifact], separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, text: bytes) -> "Conversation | None":
        """Return what is remembered, or None when it cannot be read."""
        try:
            model, at, tokens, artifact = json.loads(text)
            return cls(str(model), float(at), int(tokens), None if artifact is None else str(artifact))
        except (ValueError, TypeError):
            return None


def conversation_key(request: RouteRequest) -> str | None:
    """Return the name under which a request's conversation is remembered, None when it belongs to none.

    Clients choose session ids as they like, so the name is a digest, and it covers key and alias: nobody can touch the
    conversation of somebody else by guessing its id.
    """
    if request.session is None:
        return None
    parts = (request.caller.key_hash or "", request.alias, request.session)
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
