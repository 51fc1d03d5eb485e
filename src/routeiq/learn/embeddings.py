"""Embeddings of training prompts, computed once and kept on disk.

Owns the cache file: one per embedder, keyed by a digest of the text. It holds no text. A cache that cannot be read is
computed anew, one that cannot be written is done without: a cache is never worth an error.
"""

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeiq.core.ports import Embedder
from routeiq.learn.geometry import Singles

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class EmbeddingCache:
    """Vectors by embedder and text in a folder, which is made when needed."""

    folder: Path

    def load(self, embedder: Embedder) -> dict[bytes, Singles]:
        """Return what is known for an embedder, by text digest; empty when there is nothing usable."""
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            with np.load(io.BytesIO(self._file(embedder).read_bytes()), allow_pickle=False) as stored:
                keys, vectors = stored["keys"], stored["vectors"]
            if keys.shape == (len(vectors), _DIGEST) and vectors.shape[1:] == (embedder.dimensions,):
                return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
        return {}

    def store(self, embedder: Embedder, known: dict[bytes, Singles]) -> None:
        """Replace what is stored for an embedder, in one step."""
        if not known:
            return
        keys = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(len(known), _DIGEST)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".new")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, keys=keys, vectors=np.stack(list(known.values())))
                os.replace(temporary, self._file(embedder))
            finally:
                Path(temporary).unlink(missing_ok=True)

    def _file(self, embedder: Embedder) -> Path:
        return self.folder / f"embeddings-{hashlib.sha256(embedder.id.encode()).hexdigest()[:16]}.npz"


_DIGEST = 16


def embed(
    embedder: Embedder,
    texts: Sequence[str],
    cache: EmbeddingCache | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Singles:
    """Return the vectors of texts, shape (n, dimensions), float32, in their order; each text is embedded once.

    `progress` is called with the part that is done, 0..1.
    """
    keys = [_key(text) for text in texts]
    known = cache.load(embedder) if cache else {}
    missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
    for at in range(0, len(missing), _AT_ONCE):
        progress(at / len(missing))
        part = missing[at : at + _AT_ONCE]
        vectors = np.asarray(embedder.embed_many([text for _, text in part]), dtype=np.float32)
        known.update((key, vector) for (key, _), vector in zip(part, vectors, strict=True))
    if cache and missing:
        cache.store(embedder, known)
    progress(1.0)
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, embedder.dimensions), dtype=np.float32)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]
