"""Embeddings of training prompts: each text once, and again from disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from routeiq.learn.embeddings import EmbeddingCache, embed
from tests.unit.learn.scene import WordEmbedder


@dataclass(frozen=True)
class Counting(WordEmbedder):
    """Remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    def embed_many(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts."""
        self.asked.extend(texts)
        return super().embed_many(texts)


def test_each_text_is_embedded_once_and_in_order() -> None:
    """Repeated prompts cost nothing and get the same vector."""
    embedder = Counting()
    found = embed(embedder, ["a b", "c", "a b"])
    assert embedder.asked == ["a b", "c"]
    np.testing.assert_array_equal(found, embedder.embed_many(["a b", "c", "a b"]))


def test_a_cache_is_used_again_and_grows(tmp_path: Path) -> None:
    """A second run embeds only what is new, and no text is written to disk."""
    cache = EmbeddingCache(tmp_path / "cache")
    first, second = Counting(), Counting()
    embed(first, ["secret words", "more"], cache)
    found = embed(second, ["more", "secret words", "new"], cache)
    assert second.asked == ["new"]
    np.testing.assert_array_equal(found, WordEmbedder().embed_many(["more", "secret words", "new"]))
    assert b"secret" not in b"".join(path.read_bytes() for path in cache.folder.iterdir())


def test_another_embedder_does_not_see_the_cache(tmp_path: Path) -> None:
    """Vectors are kept per embedder."""
    cache = EmbeddingCache(tmp_path)
    embed(Counting(), ["a"], cache)
    other = Counting(id="words@2")
    embed(other, ["a"], cache)
    assert other.asked == ["a"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_a_broken_cache_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """A cache that cannot be read is never an error."""
    cache = EmbeddingCache(tmp_path)
    embed(Counting(), ["a"], cache)
    for path in tmp_path.iterdir():
        path.write_bytes(content)
    again, after = Counting(), Counting()
    embed(again, ["a"], cache)
    embed(after, ["a"], cache)
    assert (again.asked, after.asked) == (["a"], [])


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A folder that is a file, or no space, costs time and nothing else."""
    (tmp_path / "file").write_text("")
    assert embed(Counting(), ["a"], EmbeddingCache(tmp_path / "file")).shape == (1, 24)


def test_progress_ends_at_1() -> None:
    """The part that is done rises to 1."""
    seen: list[float] = []
    embed(WordEmbedder(), [str(i) for i in range(600)], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
