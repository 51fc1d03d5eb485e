"""The ONNX embedder over a small encoder, built with the same graph builder as the real one."""

import importlib.util
import json
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from routeiq.adapters.onnx import OnnxEmbedder
from routeiq.adapters.onnx.graph import build_encoder, read_safetensors
from routeiq.core.errors import ArtifactError
from routeiq.core.ports import Embedder
from tests.unit.adapters.onnx.encoder import SHAPE, random_weights, reference, write_safetensors

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "route", "the", "prompt", "to", "a", "model", "##s", "."]
TEXT = "Route the prompts to a model."


def export_script() -> ModuleType:
    """scripts/export_minilm.py, which is no package."""
    path = Path(__file__).resolve().parents[4] / "scripts" / "export_minilm.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXPORT = export_script()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder like the one in the package of all-MiniLM-L6-v2, but small."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_safetensors(folder / "model.safetensors", random_weights())
    config = {"model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {"hidden_size": 32, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the export script writes from it."""
    return EXPORT.export(checkpoint, tmp_path_factory.mktemp("exported"))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the angle between two vectors."""
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_vector_is_the_mean_of_the_last_hidden_states(exported: Path) -> None:
    """[CLS], the tokens and [SEP] are averaged and brought to length one, as in the reference forward pass."""
    embedder: Embedder = OnnxEmbedder(exported, max_tokens=32)
    ids = [2, 5, 6, 7, 11, 8, 9, 10, 12, 3]
    expected = reference(random_weights(), ids).mean(axis=0)
    vector = embedder.embed(TEXT)
    assert cosine(vector, expected) > 0.99999
    assert np.isclose(np.linalg.norm(vector), 1.0, atol=1e-5)
    assert vector.dtype == np.float32
    assert embedder.dimensions == 32
    assert not embedder.inline


def test_single_and_batch_agree_bit_for_bit(exported: Path) -> None:
    """What else is in a batch does not change a vector."""
    embedder = OnnxEmbedder(exported, max_tokens=32)
    texts = ["a model", TEXT * 3, "", "the prompt"]
    batch = embedder.embed_many(texts)
    assert batch.shape == (4, 32)
    assert all(np.array_equal(row, embedder.embed(text)) for row, text in zip(batch, texts, strict=True))
    assert not batch[2].any()


def test_an_8_bit_export_is_close_and_its_batch_agrees_too(checkpoint: Path, exported: Path, tmp_path: Path) -> None:
    """Quantised per channel, the vector keeps its direction and stays independent of its neighbours."""
    embedder = OnnxEmbedder(EXPORT.export(checkpoint, tmp_path / "int8", int8=True), max_tokens=32)
    texts = [TEXT, "a model. " * 5, "route"]
    batch = embedder.embed_many(texts)
    assert all(np.array_equal(row, embedder.embed(text)) for row, text in zip(batch, texts, strict=True))
    full = OnnxEmbedder(exported, max_tokens=32).embed_many(texts)
    assert min(cosine(one, other) for one, other in zip(batch, full, strict=True)) > 0.98


def test_a_text_is_read_up_to_its_number_of_tokens(exported: Path) -> None:
    """Beyond the limit nothing is read, whether the text is a little or a megabyte too long."""
    embedder = OnnxEmbedder(exported, max_tokens=6)
    assert np.array_equal(embedder.embed("route the prompt to"), embedder.embed("route the prompt to a model"))
    assert np.array_equal(
        embedder.embed("route the prompt to"), embedder.embed("route the prompt to " + "a" * 1_000_000)
    )


def test_a_tokenizer_json_serves_as_well_as_a_vocabulary(exported: Path, tmp_path: Path) -> None:
    """A folder as Hugging Face tools write it gives the same vectors."""
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    model = {"type": "WordPiece", "vocab": {token: index for index, token in enumerate(TOKENS)}}
    tokenizer = {"model": model, "normalizer": {"type": "BertNormalizer", "lowercase": True}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    same = OnnxEmbedder(tmp_path, max_tokens=32)
    assert np.array_equal(same.embed(TEXT), OnnxEmbedder(exported, max_tokens=32).embed(TEXT))
    tokenizer["normalizer"]["lowercase"] = False  # type: ignore[index]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ArtifactError, match="uncased BERT"):
        OnnxEmbedder(tmp_path)


def test_a_graph_that_wants_token_types_gets_them(exported: Path, tmp_path: Path) -> None:
    """An encoder exported by other tools has a third input, which is filled with zeros."""
    model = onnx.load(str(exported / "model.onnx"))
    shape = ["batch", "tokens"]
    model.graph.input.append(onnx.helper.make_tensor_value_info("token_type_ids", onnx.TensorProto.INT64, shape))
    onnx.save(model, str(tmp_path / "model.onnx"))
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    same = OnnxEmbedder(tmp_path, max_tokens=32)
    assert np.array_equal(same.embed(TEXT), OnnxEmbedder(exported, max_tokens=32).embed(TEXT))


def test_threads_share_one_session(exported: Path) -> None:
    """Threads that embed at once get what one thread gets."""
    embedder = OnnxEmbedder(exported, max_tokens=32)
    texts = [TEXT, "a model", "to the prompts"] * 20
    expected, results = embedder.embed_many(texts), []
    threads = [threading.Thread(target=lambda: results.append(embedder.embed_many(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(expected, result) for result in results)


def test_the_id_tells_graphs_and_limits_apart(exported: Path) -> None:
    """The same graph has the same id; another limit, which gives other vectors, has another."""
    assert OnnxEmbedder(exported, max_tokens=32).id == OnnxEmbedder(exported, max_tokens=32).id
    assert OnnxEmbedder(exported, max_tokens=32).id != OnnxEmbedder(exported, max_tokens=16).id


def test_a_folder_without_an_encoder_is_refused_with_what_to_do(exported: Path, tmp_path: Path) -> None:
    """Each thing that can be missing or broken is named."""
    with pytest.raises(ArtifactError, match=r"neither vocab\.txt nor tokenizer\.json"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    with pytest.raises(ArtifactError, match=r"model\.onnx does not exist; write it with scripts/export_minilm\.py"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ArtifactError, match="not a graph that ONNX Runtime can run"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]")
    with pytest.raises(ArtifactError, match=r"'\[SEP\]' is not in list"):
        OnnxEmbedder(tmp_path)


def test_safetensors_of_the_checkpoint_build_the_same_graph(checkpoint: Path, exported: Path) -> None:
    """The export is what the graph builder makes of the weights, byte for byte."""
    weights = read_safetensors(checkpoint / "model.safetensors")
    assert build_encoder(weights, SHAPE).SerializeToString() == (exported / "model.onnx").read_bytes()
