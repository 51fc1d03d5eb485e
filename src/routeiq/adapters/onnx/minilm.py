"""A BERT-shaped sentence encoder (all-MiniLM-L6-v2 and its relatives) as an embedder.

Owns: loading an ONNX graph and its vocabulary from a folder, mean pooling, normalising. Does not own: making the
folder (`scripts/export_minilm.py`), tokenising (`routing.embedding.wordpiece`), or keeping the work off the event
loop: `inline` is False, and the caller runs `embed` in a thread under a deadline.

Source: Reimers and Gurevych, Sentence-BERT (arXiv 1908.10084): mean over the tokens' last hidden states.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from routeiq.core.errors import ArtifactError, ConfigError
from routeiq.routing.embedding.wordpiece import WordPiece

FloatArray = npt.NDArray[np.float32]

MAX_TOKENS: Final = 256
"""Tokens read from the start of a text, [CLS] and [SEP] included: what all-MiniLM-L6-v2 was trained with."""

CHARACTERS_PER_TOKEN: Final = 20
"""Text beyond `max_tokens` times this is not even tokenised, so that a megabyte costs what a page does."""


class OnnxEmbedder:
    """A sentence encoder in ONNX Runtime. `embed` may be called from several threads at once."""

    inline: Final = False

    def __init__(self, path: Path, *, name: str = "onnx", max_tokens: int = MAX_TOKENS, threads: int = 1) -> None:
        """Load `path`/model.onnx with `path`/vocab.txt or `path`/tokenizer.json; runs it on `threads` cores.

        The graph takes int64 `input_ids` and `attention_mask` (and `token_type_ids`, if it wants them) of shape
        (batch, tokens); its first output is (batch, tokens, dimensions), or (batch, dimensions) if it pools itself.
        Raises ConfigError if ONNX Runtime is not installed, ArtifactError if the folder holds no such encoder.
        """
        self._wordpiece, specials = _read_vocabulary(path)
        self._first, self._last = specials
        self._session = _open_session(path / "model.onnx", threads)
        self._inputs: Final = frozenset(value.name for value in self._session.get_inputs())
        if not {"input_ids", "attention_mask"} <= self._inputs:
            raise ArtifactError(
                f"{path / 'model.onnx'} has the inputs {sorted(self._inputs)}; expected input_ids and attention_mask"
            )
        self._max_tokens: Final = max_tokens
        self._budget: Final = max_tokens * CHARACTERS_PER_TOKEN
        self.dimensions: Final = int(self._run([self._first, self._last]).shape[0])
        self.id: Final = f"{name}@{_digest(path, max_tokens)[:12]}"

    def embed(self, text: str) -> FloatArray:
        """Vector of one text: float32 (dimensions,), of unit length; all zero if the text has no word.

        A text is read from its start, up to the embedder's number of tokens.
        """
        ids = self._wordpiece.ids(text[: self._budget])[: self._max_tokens - 2]
        if not ids:
            return np.zeros(self.dimensions, dtype=np.float32)
        pooled = self._run([self._first, *ids, self._last])
        length = float(np.linalg.norm(pooled))
        return pooled / np.float32(length) if length > 0.0 else pooled

    def embed_many(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of many texts: float32 (len(texts), dimensions), each equal to `embed` of it bit for bit.

        They run one by one: in an 8-bit graph the scale of the activations is taken over the whole batch, so a text's
        vector would depend on its neighbours.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed(text)
        return vectors

    def _run(self, ids: list[int]) -> FloatArray:
        tokens = np.array([ids], dtype=np.int64)
        feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(tokens)
        output: FloatArray = self._session.run(None, feed)[0][0]
        pooled: FloatArray = output.mean(axis=0, dtype=np.float32) if output.ndim == 2 else output
        return pooled


def _open_session(model: Path, threads: int) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures
    except ImportError as error:
        raise ConfigError("the ONNX embedder needs ONNX Runtime: pip install 'routeiq-router[onnx]'") from error
    if not model.is_file():
        raise ArtifactError(f"{model} does not exist; write it with scripts/export_minilm.py")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    unusable = (failures.Fail, failures.InvalidGraph, failures.InvalidProtobuf, failures.NotImplemented)
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except unusable as error:
        raise ArtifactError(f"{model} is not a graph that ONNX Runtime can run: {error}") from error


def _read_vocabulary(folder: Path) -> tuple[WordPiece, tuple[int, int]]:
    """The tokenizer and the ids of [CLS] and [SEP]."""
    lines, tokenizer = folder / "vocab.txt", folder / "tokenizer.json"
    try:
        if lines.is_file():
            tokens = lines.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        elif tokenizer.is_file():
            tokens = _tokens_of(json.loads(tokenizer.read_text(encoding="utf-8")), tokenizer)
        else:
            raise ArtifactError(f"{folder} has neither vocab.txt nor tokenizer.json")
        return WordPiece(tokens), (tokens.index("[CLS]"), tokens.index("[SEP]"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the vocabulary in {folder} cannot be used: {error}") from error


def _tokens_of(tokenizer: Any, path: Path) -> list[str]:
    """Vocabulary of a Hugging Face tokenizer.json, in order of id; raises ArtifactError unless uncased WordPiece."""
    model, normalizer = tokenizer.get("model") or {}, tokenizer.get("normalizer") or {}
    kind = (model.get("type"), normalizer.get("type"), normalizer.get("lowercase"))
    if kind != ("WordPiece", "BertNormalizer", True):
        raise ArtifactError(f"{path} is {kind}; expected ('WordPiece', 'BertNormalizer', True), uncased BERT")
    vocabulary: dict[str, int] = model["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _digest(folder: Path, max_tokens: int) -> str:
    total = hashlib.sha256(f"{max_tokens} {CHARACTERS_PER_TOKEN}".encode())
    for name in ("model.onnx", "vocab.txt", "tokenizer.json"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
