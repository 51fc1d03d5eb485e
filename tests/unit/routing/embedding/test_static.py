"""The static embedder: the shipped table, and a table small enough to check by hand."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError
from routeiq.core.ports import Embedder
from routeiq.routing.embedding import StaticEmbedder, load_default
from routeiq.routing.embedding.static import EDGE_CHARACTERS, digest

SHIPPED = load_default()
TOKENS = ["[UNK]", "red", "green", "##er"]


def write_table(folder: Path, *, rows: int = 4) -> Path:
    """A table of four tokens in three dimensions: scale 0.5, 1, 1, 1."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    np.save(folder / "scales.npy", np.array([0.5, 1, 1, 1], dtype=np.float32)[:rows])
    np.save(folder / "vectors.npy", np.array([[2, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 0]], dtype=np.int8)[:rows])
    (folder / "manifest.json").write_text(json.dumps({"name": "tiny", "sha256": digest(folder)}))
    return folder


def test_a_vector_is_the_normalised_sum_of_its_tokens(tmp_path: Path) -> None:
    """Rows are scaled, added, and brought to length one."""
    embedder = StaticEmbedder(write_table(tmp_path / "tiny"))
    assert np.allclose(embedder.embed("red green"), [0.6, 0.8, 0.0])
    assert np.allclose(embedder.embed("unheard"), [1.0, 0.0, 0.0])
    assert embedder.dimensions == 3
    assert embedder.id.startswith("tiny@")


def test_the_shipped_embedder_keeps_the_port() -> None:
    """The default embedder has everything that the port asks for, and may run on the event loop."""
    embedder: Embedder = SHIPPED
    assert embedder.inline
    assert embedder.dimensions == 256
    vector = embedder.embed("What is the capital of France?")
    assert vector.dtype == np.float32
    assert vector.shape == (256,)
    assert np.isclose(np.linalg.norm(vector), 1.0, atol=1e-5)


@pytest.mark.parametrize("text", ["", " \n\t", "\u0000\u200d"])
def test_a_text_without_words_is_the_zero_vector(text: str) -> None:
    """Nothing to read gives zero, not noise and not an error."""
    assert not SHIPPED.embed(text).any()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(), max_size=6))
def test_single_and_batch_agree_bit_for_bit(texts: list[str]) -> None:
    """What else is in a batch does not change a vector."""
    batch = SHIPPED.embed_many(texts)
    assert batch.shape == (len(texts), 256)
    assert all(np.array_equal(row, SHIPPED.embed(text)) for row, text in zip(batch, texts, strict=True))


def test_case_and_white_space_do_not_matter() -> None:
    """A prompt shouted, indented or wrapped is the same prompt."""
    plain = SHIPPED.embed("write a function that sorts a list")
    assert np.array_equal(plain, SHIPPED.embed("  WRITE a\tfunction\n\nthat  sorts a list\r\n"))


def test_related_texts_are_nearer_than_unrelated_ones() -> None:
    """Paraphrases without a shared content word are nearer than texts on something else."""
    texts = [
        "The doctor prescribed antibiotics for the infection.",
        "A physician gave medicine against the bacteria.",
        "Sort the array of integers in Python.",
        "Order a list of numbers with code.",
    ]
    similarity = SHIPPED.embed_many(texts) @ SHIPPED.embed_many(texts).T
    assert similarity[0, 1] > max(similarity[0, 2], similarity[0, 3])
    assert similarity[2, 3] > max(similarity[2, 0], similarity[2, 1])


def test_a_long_text_is_read_at_both_ends() -> None:
    """The first and last thousand characters decide; what stands between does not."""
    head, tail = "head words " * (EDGE_CHARACTERS // 11 + 1), "tail words " * (EDGE_CHARACTERS // 11 + 1)
    head, tail = head[:EDGE_CHARACTERS], tail[-EDGE_CHARACTERS:]
    one = SHIPPED.embed(head + "middle " * 500 + tail)
    assert np.array_equal(one, SHIPPED.embed(head + "other " * 50_000 + tail))
    assert not np.allclose(one, SHIPPED.embed(head + "middle " * 500 + head))


HOSTILE = {
    "a megabyte of one word": "a" * 1_000_000,
    "a megabyte of one word with spaces": "word " * 200_000,
    "Chinese": "模型路由器选择最好的答案" * 5_000,
    "decoded noise": np.random.default_rng(0).bytes(1_000_000).decode("utf-8", "replace"),
    "Latin-1 noise": np.random.default_rng(0).bytes(1_000_000).decode("latin-1"),
    "all of Unicode": "".join(map(chr, np.random.default_rng(0).integers(0xE000, 0x110000, 100_000))),
    "letters without spaces": "".join(map(chr, np.random.default_rng(0).integers(97, 123, 100_000))),
    "words of 99 letters": " ".join("q" * 99 for _ in range(10_000)),
    "near misses": "characterizatiox counterintelligencx " * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_costs_more_than_a_few_ordinary_ones(text: str) -> None:
    """The dearest input costs less than twelve times a prompt of two thousand characters."""
    ordinary = "Explain how the committee decided which proposal to support, and why it matters. " * 25
    typical = min(_seconds(ordinary) for _ in range(15))
    fresh = (text[shift:] for shift in range(15))  # another cut each time, so that no cache helps
    assert min(_seconds(part) for part in fresh) < 12 * typical


def _seconds(text: str) -> float:
    start = time.perf_counter()
    SHIPPED.embed(text)
    return time.perf_counter() - start


def test_threads_share_one_embedder() -> None:
    """Threads that embed at once get what one thread gets, with the word cache turning over."""
    rng = np.random.default_rng(1)
    texts = ["".join(map(chr, rng.integers(97, 101, 400))) + " " + "".join(map(chr, rng.integers(97, 123, 8))) * 3] * 50
    texts = [f"{text} {index:x}qz{index * 7919:x}" for index, text in enumerate(texts)]
    expected = SHIPPED.embed_many(texts)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(SHIPPED.embed_many(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(expected, result) for result in results)


def test_the_id_changes_with_the_content(tmp_path: Path) -> None:
    """Two tables of one name but other vectors have different ids."""
    first, second = write_table(tmp_path / "first"), write_table(tmp_path / "second")
    np.save(second / "scales.npy", np.array([0.5, 1, 1, 2], dtype=np.float32))
    (second / "manifest.json").write_text(json.dumps({"name": "tiny", "sha256": digest(second)}))
    assert StaticEmbedder(first).id != StaticEmbedder(second).id


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    """A table that is not the one its manifest was written for is never used."""
    folder = write_table(tmp_path / "tiny")
    np.save(folder / "scales.npy", np.array([9, 1, 1, 1], dtype=np.float32))
    with pytest.raises(ArtifactDigestMismatch, match=r"distil_embedder\.py"):
        StaticEmbedder(folder)


def test_a_vocabulary_of_another_length_is_refused(tmp_path: Path) -> None:
    """The error names the folder and both sizes."""
    folder = write_table(tmp_path / "tiny", rows=3)
    with pytest.raises(ArtifactError, match=r"tiny: 4 tokens in vocab\.txt, but vectors \(3, 3\)"):
        StaticEmbedder(folder)


@pytest.mark.parametrize("name", ["vocab.txt", "scales.npy", "vectors.npy", "manifest.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """Each file of the folder is needed, and the error names the one that is not there."""
    folder = write_table(tmp_path / "tiny")
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        StaticEmbedder(folder)


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    """The error says which keys are missing."""
    folder = write_table(tmp_path / "tiny")
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ArtifactError, match="lacks name, sha256"):
        StaticEmbedder(folder)


def test_the_shipped_table_fits_into_the_wheel_and_carries_its_notice() -> None:
    """The default embedder is under twelve megabytes, and the licence of the model it came from stands beside it."""
    folder = Path(load_default.__code__.co_filename).with_name("data") / "minilm-static-256"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
    assert "Apache License, Version 2.0" in (folder / "NOTICE").read_text(encoding="utf-8")
