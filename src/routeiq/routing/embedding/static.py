"""The default embedder: one vector per token, looked up and averaged.

Owns: reading the shipped table (int8 rows with one scale each, memory-mapped and therefore shared between worker
processes), the budget for long texts, and the mean. Does not own: tokenising (`wordpiece`), how the table was made
(`scripts/distil_embedder.py`), or what becomes of the vector.

Weights of the tokens (rare ones count more) are part of the rows' lengths, so a text's vector is the plain sum of its
rows, normalised: the form of Arora et al., "A simple but tough-to-beat baseline for sentence embeddings" (ICLR 2017).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError
from routeiq.routing.embedding.wordpiece import WordPiece

FloatArray = npt.NDArray[np.float32]

EDGE_CHARACTERS: Final = 1_000
"""A text longer than twice this is read at both ends only: its first and its last so many characters.

A prompt says what it wants at its start or at its end; what stands between is most often material. The bound is what
keeps an embedding under a millisecond whatever a client sends, so it is part of the embedder's id.
"""

FILES: Final = ("vocab.txt", "scales.npy", "vectors.npy")
"""The files that `digest` covers, in its order; `manifest.json` beside them holds the digest."""


class StaticEmbedder:
    """Token vectors of one folder on disk. Immutable after construction and safe to share between threads."""

    inline: Final = True

    def __init__(self, folder: Path) -> None:
        """Map the table in `folder` and check its digest (about 40 ms for 30,000 tokens).

        Raises ArtifactDigestMismatch if the files are not the ones the manifest was written for, and ArtifactError if
        one is missing or the vocabulary does not fit the vectors.
        """
        manifest = _read_manifest(folder)
        try:
            self._wordpiece = WordPiece.from_file(folder / "vocab.txt")
            self._scales: FloatArray = np.load(folder / "scales.npy", allow_pickle=False)
            # np.memmap's subclass costs more than the lookup; a plain view keeps the mapping alive.
            self._vectors: npt.NDArray[np.int8] = np.asarray(np.load(folder / "vectors.npy", mmap_mode="r"))
            found = digest(folder)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"token vectors in {folder} cannot be read: {error}") from error
        if found != manifest["sha256"]:
            raise ArtifactDigestMismatch(
                f"token vectors in {folder} have digest {found[:12]}, manifest.json says {manifest['sha256'][:12]}; "
                "restore the folder or write it again with scripts/distil_embedder.py"
            )
        rows = self._wordpiece.size
        if self._vectors.shape[:1] != (rows,) or self._scales.shape != (rows,):
            raise ArtifactError(
                f"token vectors in {folder}: {rows} tokens in vocab.txt, but vectors {self._vectors.shape} "
                f"and scales {self._scales.shape}; expected one row each"
            )
        self.dimensions: Final[int] = self._vectors.shape[1]
        budgeted = hashlib.sha256(f"{found} {EDGE_CHARACTERS}".encode()).hexdigest()
        self.id: Final = f"{manifest['name']}@{budgeted[:12]}"

    def embed(self, text: str) -> FloatArray:
        """Vector of one text: float32 (dimensions,), of unit length, or all zero if the text has no known word."""
        if len(text) > 2 * EDGE_CHARACTERS:
            text = f"{text[:EDGE_CHARACTERS]} {text[-EDGE_CHARACTERS:]}"
        ids = self._wordpiece.ids(text)
        if not ids:
            return np.zeros(self.dimensions, dtype=np.float32)
        index = np.array(ids)
        rows = self._vectors.take(index, axis=0).astype(np.float32)
        # einsum and not a matrix product: BLAS would wake its threads for a product of this size.
        total: FloatArray = np.einsum("ij,i->j", rows, self._scales.take(index))
        length = float(np.sqrt(np.einsum("i,i->", total, total)))
        return total / np.float32(length) if length > 0.0 else total

    def pieces(self, text: str) -> list[int]:
        """Ids of the tokens of a whole text, without the budget for long ones; the vocabulary ships with the table."""
        return self._wordpiece.ids(text)

    def embed_many(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of many texts: float32 (len(texts), dimensions), each equal to `embed` of it bit for bit."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed(text)
        return vectors


def digest(folder: Path) -> str:
    """SHA-256 over the files of a table, in the order of `FILES`."""
    total = hashlib.sha256()
    for name in FILES:
        with (folder / name).open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    missing = [key for key in ("name", "sha256") if not isinstance(manifest, dict) or key not in manifest]
    if missing:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}; expected the manifest of a table of token vectors")
    return dict(manifest)
