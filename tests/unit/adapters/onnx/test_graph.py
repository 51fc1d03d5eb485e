"""The ONNX graph builder against a plain forward pass, on a small encoder with random weights."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from routeiq.adapters.onnx.graph import EncoderShape, build_encoder, read_safetensors
from tests.unit.adapters.onnx.encoder import SHAPE, random_weights, reference, write_safetensors


def test_the_graph_computes_what_the_paper_says() -> None:
    """Every hidden state of the exported encoder equals the plain forward pass."""
    weights = random_weights()
    session = onnxruntime.InferenceSession(build_encoder(weights, SHAPE).SerializeToString())
    ids = [3, 11, 42, 7, 7, 19]
    feed = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
    assert np.allclose(session.run(None, feed)[0][0], reference(weights, ids), atol=2e-4)


def test_padding_does_not_change_the_tokens_that_are_read() -> None:
    """Masked positions leave the hidden states of the others as they are."""
    session = onnxruntime.InferenceSession(build_encoder(random_weights(), SHAPE).SerializeToString())
    alone = session.run(None, {"input_ids": np.array([[5, 6, 9]]), "attention_mask": np.ones((1, 3), dtype=np.int64)})
    feed = {"input_ids": np.array([[5, 6, 9, 0, 0]]), "attention_mask": np.array([[1, 1, 1, 0, 0]])}
    assert np.allclose(session.run(None, feed)[0][0, :3], alone[0][0], atol=1e-5)


def test_safetensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Names, shapes and values survive, and metadata is no tensor."""
    weights = random_weights()
    write_safetensors(tmp_path / "model.safetensors", weights)
    found = read_safetensors(tmp_path / "model.safetensors")
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_a_missing_weight_is_named() -> None:
    """A checkpoint that lacks a tensor fails with the tensor's name."""
    weights = random_weights()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(KeyError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        build_encoder(weights, SHAPE)


def test_another_architecture_is_refused() -> None:
    """Only what the graph can express is exported; the error says what was found."""
    with pytest.raises(ValueError, match=r"'roberta'.*only 'bert' with 'gelu'"):
        EncoderShape.from_config({"model_type": "roberta", "hidden_act": "gelu"})
