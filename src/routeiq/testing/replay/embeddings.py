"""OpenAI's `/v1/embeddings`: vectors that depend on the text and the model, and mean nothing.

Owns the format and the vectors. They are unit vectors drawn from a hash: equal texts get equal vectors, different texts
nearly orthogonal ones, so a test can tell which text and model a vector came from and nothing else.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import shake_128
from math import sqrt
from typing import Any

import orjson

from routeiq.testing.replay.surface import BadRequest, model_of
from routeiq.testing.tasks.usage import estimate_tokens

DEFAULT_DIMENSIONS = 256
MAX_DIMENSIONS = 4096
LATENCY_S = 0.05


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A request for vectors; token lists have been written out as text."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int
    base64: bool


def read_embedding(body: Mapping[str, Any]) -> EmbeddingCall:
    """The call in `body`, or `BadRequest`."""
    given = body.get("input")
    if isinstance(given, str):
        inputs: Sequence[Any] = [given]
    elif isinstance(given, list) and given and all(isinstance(x, int) for x in given):
        inputs = [given]
    elif isinstance(given, list) and given:
        inputs = given
    else:
        raise BadRequest(f"'input' must be a string or a non-empty list, got {type(given).__name__}")
    if not all(isinstance(x, str | list) for x in inputs):
        raise BadRequest("'input' must hold strings or lists of tokens")
    dimensions = body.get("dimensions") or DEFAULT_DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise BadRequest(f"'dimensions' must be a whole number from 1 to {MAX_DIMENSIONS}, got {dimensions!r}")
    texts = tuple(x if isinstance(x, str) else " ".join(map(str, x)) for x in inputs)
    return EmbeddingCall(model_of(body), texts, dimensions, body.get("encoding_format") == "base64")


def vector(model: str, text: str, dimensions: int) -> list[float]:
    """The unit vector of `text` under `model`."""
    digest = shake_128(f"{model}\x1f{text}".encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = struct.unpack(f"<{dimensions}h", digest)
    norm = sqrt(sum(x * x for x in raw)) or 1.0
    return [x / norm for x in raw]


def embedding_body(call: EmbeddingCall) -> bytes:
    """The response; base64 is what the official client asks for, little-endian float32."""
    data = []
    for index, text in enumerate(call.inputs):
        values: Any = vector(call.model, text, call.dimensions)
        if call.base64:
            values = b64encode(struct.pack(f"<{call.dimensions}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    tokens = sum(map(estimate_tokens, call.inputs))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": call.model, "usage": usage})
