"""A small BERT encoder with random weights, its forward pass in plain numpy, and its checkpoint file."""

import json
import math
import struct
from pathlib import Path

import numpy as np

from routeiq.adapters.onnx.graph import EncoderShape

SHAPE = EncoderShape(layers=2, heads=4, hidden=32)
INNER, VOCABULARY, POSITIONS = 64, 50, 40


def random_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a small BERT under the names of a Hugging Face checkpoint."""
    rng = np.random.default_rng(seed)

    def tensor(*sizes: int) -> np.ndarray:
        return rng.normal(0, 0.3, sizes).astype(np.float32)

    hidden = SHAPE.hidden
    weights = {
        "embeddings.word_embeddings.weight": tensor(VOCABULARY, hidden),
        "embeddings.position_embeddings.weight": tensor(POSITIONS, hidden),
        "embeddings.token_type_embeddings.weight": tensor(2, hidden),
        "embeddings.LayerNorm.weight": 1 + tensor(hidden),
        "embeddings.LayerNorm.bias": tensor(hidden),
    }
    for layer in range(SHAPE.layers):
        prefix = f"encoder.layer.{layer}"
        square = [f"attention.self.{name}" for name in ("query", "key", "value")] + ["attention.output.dense"]
        sizes = dict.fromkeys(square, (hidden, hidden))
        sizes |= {"intermediate.dense": (INNER, hidden), "output.dense": (hidden, INNER)}
        for name, (rows, columns) in sizes.items():
            weights[f"{prefix}.{name}.weight"] = tensor(rows, columns)
            weights[f"{prefix}.{name}.bias"] = tensor(rows)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{prefix}.{name}.weight"] = 1 + tensor(hidden)
            weights[f"{prefix}.{name}.bias"] = tensor(hidden)
    return weights


def reference(weights: dict[str, np.ndarray], ids: list[int], shape: EncoderShape = SHAPE) -> np.ndarray:
    """The forward pass of BERT for one text, written from the paper in float64: (tokens, hidden)."""
    table = {name: value.astype(np.float64) for name, value in weights.items()}

    def dense(name: str, value: np.ndarray) -> np.ndarray:
        return value @ table[f"{name}.weight"].T + table[f"{name}.bias"]

    def normalise(name: str, value: np.ndarray) -> np.ndarray:
        centred = value - value.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + shape.epsilon)
        return scaled * table[f"{name}.weight"] + table[f"{name}.bias"]

    hidden = table["embeddings.word_embeddings.weight"][ids] + table["embeddings.token_type_embeddings.weight"][0]
    hidden = normalise("embeddings.LayerNorm", hidden + table["embeddings.position_embeddings.weight"][: len(ids)])
    size = shape.hidden // shape.heads
    for layer in range(shape.layers):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (dense(f"{prefix}.attention.self.{name}", hidden) for name in ("query", "key", "value"))
        context = np.empty_like(hidden)
        for head in range(shape.heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            weight = np.exp(scores - scores.max(axis=-1, keepdims=True))
            context[:, part] = weight / weight.sum(axis=-1, keepdims=True) @ value[:, part]
        attended = dense(f"{prefix}.attention.output.dense", context)
        hidden = normalise(f"{prefix}.attention.output.LayerNorm", hidden + attended)
        inner = dense(f"{prefix}.intermediate.dense", hidden)
        inner = inner / 2 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        hidden = normalise(f"{prefix}.output.LayerNorm", hidden + dense(f"{prefix}.output.dense", inner))
    return hidden


def write_safetensors(path: Path, weights: dict[str, np.ndarray]) -> None:
    """The format as its specification describes it."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in weights.items():
        raw = value.tobytes()
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
