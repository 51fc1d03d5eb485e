"""Sentence encoders run by ONNX Runtime: better vectors than the default embedder's, a hundred times dearer."""

from routeiq.adapters.onnx.minilm import OnnxEmbedder

__all__ = ["OnnxEmbedder"]
