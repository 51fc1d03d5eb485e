"""The ONNX graph of a BERT encoder, built from its weights without PyTorch.

Owns: reading a safetensors file and writing the encoder as standard ONNX operators, so that a folder for
`OnnxEmbedder` can be made from any BERT-shaped sentence encoder in seconds. Does not own: where the weights come
from, tokenising, or running the graph. Needs the `onnx` package (imported inside the functions); serving does not.

Source of the architecture: Devlin et al., BERT (arXiv 1810.04805), encoder with post-layer-normalisation and exact
(erf) GELU, as all-MiniLM-L6-v2 (sentence-transformers) uses it.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

OPSET = 17
"""ONNX operator set of the graph: the first one with LayerNormalization, readable by every ONNX Runtime since 1.12."""

_SAFETENSORS_TYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """The numbers of a BERT encoder that its weights do not tell by themselves."""

    layers: int
    heads: int
    hidden: int
    epsilon: float = 1e-12

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "EncoderShape":
        """Read the shape from a Hugging Face `config.json`; raises ValueError for another architecture."""
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            found = f"model_type {config.get('model_type')!r} with hidden_act {config.get('hidden_act')!r}"
            raise ValueError(f"config.json describes {found}; only 'bert' with 'gelu' can be exported")
        return cls(
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            hidden=int(config["hidden_size"]),
            epsilon=float(config["layer_norm_eps"]),
        )


def read_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read every tensor of a safetensors file: name -> array (copied out of the file).

    Format: 8 bytes little-endian header length, JSON header (dtype, shape, data_offsets), raw little-endian data.
    """
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _SAFETENSORS_TYPES:
            known = ", ".join(_SAFETENSORS_TYPES)
            raise ValueError(f"{path}: tensor {name} has type {entry['dtype']}; expected one of {known}")
        start, end = entry["data_offsets"]
        data = np.frombuffer(raw[8 + length + start : 8 + length + end], dtype=_SAFETENSORS_TYPES[entry["dtype"]])
        tensors[name] = data.reshape(entry["shape"])
    return tensors


def build_encoder(weights: Mapping[str, FloatArray], shape: EncoderShape) -> Any:
    """Build the encoder as an `onnx.ModelProto`.

    Inputs `input_ids` and `attention_mask`: int64 (batch, tokens). Output `last_hidden_state`: float32
    (batch, tokens, hidden). Token types are all zero, so their vector is folded into the positions. `weights` has
    the names of a Hugging Face BERT checkpoint; a missing one raises KeyError with its name.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph(weights)
    hidden = _embeddings(graph, shape)
    mask = _attention_bias(graph)
    for layer in range(shape.layers):
        hidden = _layer(graph, shape, f"encoder.layer.{layer}", hidden, mask)
    graph.node("Identity", [hidden], "last_hidden_state")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert_encoder",
            [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in _INPUTS],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", shape.hidden])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="routeiq",
    )
    checker.check_model(model)
    return model


_INPUTS = ("input_ids", "attention_mask")


class _Graph:
    """Collects nodes and initializers; every method returns the name of the value that it made."""

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._count = 0

    def node(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        self._count += 1
        name = output or f"{operator.lower()}_{self._count}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}_{self._count}", **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if all(known.name != name for known in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name].astype(np.float32))

    def dense(self, prefix: str, value: str) -> str:
        kernel = self.constant(f"{prefix}.kernel", self.weights[f"{prefix}.weight"].T.astype(np.float32))
        return self.node("Add", [self.node("MatMul", [value, kernel]), self.weight(f"{prefix}.bias")])

    def normalise(self, prefix: str, value: str, epsilon: float) -> str:
        scale, bias = self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")
        return self.node("LayerNormalization", [value, scale, bias], axis=-1, epsilon=epsilon)


def _embeddings(graph: _Graph, shape: EncoderShape) -> str:
    """Word vectors plus position (and token type 0) vectors, normalised: (batch, tokens, hidden)."""
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], axis=0)
    position_table = (
        graph.weights["embeddings.position_embeddings.weight"]
        + graph.weights["embeddings.token_type_embeddings.weight"][0]
    )
    table = graph.constant("positions", position_table.astype(np.float32))
    zero = graph.constant("zero", np.array([0], dtype=np.int64))
    one = graph.constant("one", np.array([1], dtype=np.int64))
    tokens = graph.node("Gather", [graph.node("Shape", ["input_ids"]), one], axis=0)
    positions = graph.node("Slice", [table, zero, tokens, zero])
    return graph.normalise("embeddings.LayerNorm", graph.node("Add", [words, positions]), shape.epsilon)


def _attention_bias(graph: _Graph) -> str:
    """0 where a token may be read and -10,000 where it is padding: (batch, 1, 1, tokens)."""
    axes = graph.constant("mask_axes", np.array([1, 2], dtype=np.int64))
    expanded = graph.node("Unsqueeze", ["attention_mask", axes])
    as_float = graph.node("Cast", [expanded], to=1)
    absent = graph.node("Sub", [graph.constant("float_one", np.array(1.0, dtype=np.float32)), as_float])
    return graph.node("Mul", [absent, graph.constant("minus_infinity", np.array(-10_000.0, dtype=np.float32))])


def _layer(graph: _Graph, shape: EncoderShape, prefix: str, hidden: str, mask: str) -> str:
    """One transformer block: self-attention and feed-forward, each with a residual and a normalisation after it."""
    attended = graph.dense(f"{prefix}.attention.output.dense", _attention(graph, shape, prefix, hidden, mask))
    hidden = graph.normalise(
        f"{prefix}.attention.output.LayerNorm", graph.node("Add", [attended, hidden]), shape.epsilon
    )
    inner = _gelu(graph, graph.dense(f"{prefix}.intermediate.dense", hidden))
    outer = graph.dense(f"{prefix}.output.dense", inner)
    return graph.normalise(f"{prefix}.output.LayerNorm", graph.node("Add", [outer, hidden]), shape.epsilon)


def _attention(graph: _Graph, shape: EncoderShape, prefix: str, hidden: str, mask: str) -> str:
    size = shape.hidden // shape.heads
    split = graph.constant("split_heads", np.array([0, 0, shape.heads, size], dtype=np.int64))
    merge = graph.constant("merge_heads", np.array([0, 0, shape.hidden], dtype=np.int64))

    def heads(name: str, order: list[int]) -> str:
        projected = graph.dense(f"{prefix}.attention.self.{name}", hidden)
        return graph.node("Transpose", [graph.node("Reshape", [projected, split])], perm=order)

    query, key, value = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    root = graph.constant("root_of_head_size", np.array(np.sqrt(size), dtype=np.float32))
    scores = graph.node("Div", [graph.node("MatMul", [query, key]), root])
    weights = graph.node("Softmax", [graph.node("Add", [scores, mask])], axis=-1)
    context = graph.node("Transpose", [graph.node("MatMul", [weights, value])], perm=[0, 2, 1, 3])
    return graph.node("Reshape", [context, merge])


def _gelu(graph: _Graph, value: str) -> str:
    """x / 2 * (1 + erf(x / sqrt 2)), spelled in the form that ONNX Runtime fuses into one kernel."""
    root_two = graph.constant("root_two", np.array(np.sqrt(2.0), dtype=np.float32))
    half = graph.constant("half", np.array(0.5, dtype=np.float32))
    error = graph.node("Erf", [graph.node("Div", [value, root_two])])
    shifted = graph.node("Add", [error, graph.constant("float_one", np.array(1.0, dtype=np.float32))])
    return graph.node("Mul", [graph.node("Mul", [value, shifted]), half])
