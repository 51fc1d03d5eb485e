"""A small world with something to learn: two topics, three models, and an embedder that tells the topics apart."""

import csv
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.learn.matrix import OutcomeMatrix

MODELS = ("cheap", "dear", "poet")
PRICES = {"cheap": 0.1, "dear": 10.0, "poet": 0.2}
"""US dollars per million tokens, input; output is twice that."""

ABILITY = {"maths": {"cheap": 0.85, "dear": 0.9, "poet": 0.1}, "verse": {"cheap": 0.2, "dear": 0.6, "poet": 0.9}}
WORDS = {
    "maths": "sum integral prime matrix root proof angle ratio digit vector".split(" "),  # noqa: SIM905
    "verse": "rhyme sonnet moon rose stanza lyric elegy muse ballad ode".split(" "),  # noqa: SIM905
}


@dataclass(frozen=True)
class WordEmbedder:
    """The normalised sum of one fixed vector per word."""

    id: str = "words@1"
    dimensions: int = 24
    inline: bool = True

    def embed(self, text: str) -> np.ndarray:
        """Return the vector of a text."""
        total = np.zeros(self.dimensions)
        for word in text.split():
            total += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimensions)
        length = np.linalg.norm(total)
        return (total / length if length else total).astype(np.float32)

    def embed_many(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts."""
        return np.stack([self.embed(text) for text in texts])


def world(prompts: int = 400, seed: int = 0, suite: str = "toy") -> OutcomeMatrix:
    """Return outcomes in canonical order, four fifths of them for training."""
    chance = np.random.default_rng(seed)
    topics = ["maths" if i % 2 else "verse" for i in range(prompts)]
    score = np.array([[float(chance.random() < ABILITY[t][m]) for m in MODELS] for t in topics])
    tokens = np.array([[400.0 if t == "maths" else 100.0 for _ in MODELS] for t in topics])
    price = np.array([PRICES[m] for m in MODELS]) / 1e6
    return OutcomeMatrix(
        ids=tuple(f"p{i:04d}" for i in range(prompts)),
        texts=tuple(" ".join(chance.choice(WORDS[t], 5)) for t in topics),
        suites=(suite,) * prompts,
        categories=tuple(topics),
        splits=tuple({4: "valid", 6: "test"}.get(i // 2 % 8, "train") for i in range(prompts)),
        prompt_tokens=np.full(prompts, 10.0),
        models=MODELS,
        input_price=price,
        output_price=2 * price,
        score=score,
        cost_usd=10 * price + tokens * 2 * price,
        input_tokens=np.full(score.shape, 10.0),
        output_tokens=tokens,
        latency_s=tokens / 100,
    )  # fmt: skip


def vectors(matrix: OutcomeMatrix) -> np.ndarray:
    """Return the embeddings of a matrix's prompts."""
    return WordEmbedder().embed_many(matrix.texts)


def prompt_rows(matrix: OutcomeMatrix) -> list[dict[str, Any]]:
    """Return the lines of prompts.parquet."""
    return [
        {"suite": matrix.suites[i], "prompt_id": matrix.ids[i], "prompt": matrix.texts[i], "split": matrix.splits[i],
         "category": matrix.categories[i], "input_tokens": 10}
        for i in range(len(matrix))
    ]  # fmt: skip


def outcome_rows(matrix: OutcomeMatrix) -> list[dict[str, Any]]:
    """Return the lines of outcomes.parquet."""
    return [
        {"suite": matrix.suites[i], "prompt_id": matrix.ids[i], "model": model, "score": matrix.score[i, j],
         "input_tokens": 10, "output_tokens": int(matrix.output_tokens[i, j]), "cost_usd": matrix.cost_usd[i, j],
         "latency_s": matrix.latency_s[i, j]}
        for i in range(len(matrix)) for j, model in enumerate(matrix.models)
    ]  # fmt: skip


def model_rows(suite: str = "toy") -> list[dict[str, Any]]:
    """Return the lines of models.csv."""
    return [
        {"suite": suite, "model": m, "in_pool": "True", "usd_per_m_input": PRICES[m], "usd_per_m_output": 2 * PRICES[m]}
        for m in MODELS
    ]


def write(
    folder: Path,
    prompts: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Mapping[str, Any]],
    models: Iterable[Mapping[str, Any]],
) -> Path:
    """Write the three files of a data folder and return the folder."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in prompts]), folder / "prompts.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in outcomes]), folder / "outcomes.parquet")
    rows = list(models)
    with (folder / "models.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write_world(folder: Path, matrix: OutcomeMatrix | None = None) -> Path:
    """Write a world as a data folder."""
    matrix = matrix or world()
    suite = matrix.suites[0]
    return write(folder, prompt_rows(matrix), outcome_rows(matrix), model_rows(suite))
