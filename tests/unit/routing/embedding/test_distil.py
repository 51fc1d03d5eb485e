"""The script that makes the default embedder, on a vocabulary of a dozen tokens and a teacher made up here."""

import importlib
import json
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from routeiq.routing.embedding import StaticEmbedder

ROOT = Path(__file__).resolve().parents[4]
TOKENS = 40


@pytest.fixture
def distil(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/distil_embedder.py with small batches."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    script = importlib.import_module("distil_embedder")
    monkeypatch.setattr(script, "BATCH", 64)
    monkeypatch.setattr(script, "EPOCHS", 40)
    return script


def scene() -> tuple[list[list[int]], np.ndarray]:
    """Texts of random tokens and a teacher who adds up hidden vectors, with a little noise."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(TOKENS, 8))
    texts = [rng.integers(0, TOKENS, rng.integers(1, 9)).tolist() for _ in range(640)]
    targets = np.array([hidden[text].sum(axis=0) for text in texts]) + rng.normal(0, 0.1, (640, 8))
    return texts, (targets / np.linalg.norm(targets, axis=1, keepdims=True)).astype(np.float32)


def agreement(table: np.ndarray, texts: list[list[int]], targets: np.ndarray) -> float:
    """Mean cosine between the sums over the table's rows and the targets."""
    sums = np.array([table[text].sum(axis=0) for text in texts])
    return float(((sums / np.linalg.norm(sums, axis=1, keepdims=True)) * targets).sum(axis=1).mean())


def test_the_fit_turns_the_sums_towards_the_teacher(distil: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """From vectors that know nothing, the fit gets most of the way, on texts it has not seen too."""
    monkeypatch.setattr(distil, "LEARNING_RATE", 0.05)
    monkeypatch.setattr(distil, "PAIRS", 0.5)  # in so few dimensions the pairs would outweigh the directions
    texts, targets = scene()
    start = np.random.default_rng(1).normal(size=(TOKENS, 8)).astype(np.float32)
    table = distil.fit(start.copy(), texts[:512], targets[:512])
    assert agreement(start, texts[512:], targets[512:]) < 0.3
    assert agreement(table, texts[512:], targets[512:]) > 0.9


def test_the_gradient_is_the_slope_of_the_loss(distil: ModuleType) -> None:
    """Moving one number of the table changes the loss as its gradient says."""
    texts, targets = scene()
    texts, targets = texts[:32], targets[:32]
    table = np.random.default_rng(1).normal(size=(TOKENS, 8))

    def loss(values: np.ndarray) -> float:
        units = np.array([values[text].sum(axis=0) for text in texts])
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        pairs = ((units @ units.T - targets @ targets.T) ** 2).mean()
        return float(1 - (units * targets).sum(axis=1).mean() + distil.PAIRS * pairs)

    _, rows, gradient = distil._gradient(table, distil._counts(texts, TOKENS), targets)
    for row, column in [(0, 0), (7, 3), (20, 7)]:
        step = np.zeros_like(table)
        step[rows[row], column] = 1e-5
        slope = (loss(table + step) - loss(table - step)) / 2e-5
        assert gradient[row, column] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_the_same_input_gives_the_same_bytes(distil: ModuleType, tmp_path: Path) -> None:
    """Two runs write equal folders, which the embedder opens, within half a step of the fitted rows."""
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[UNK]", *(chr(97 + i % 26) * (1 + i // 26) for i in range(TOKENS - 1))]) + "\n")
    texts, targets = scene()
    for name in ("one", "two"):
        table = distil.fit(np.ones((TOKENS, 8), dtype=np.float32), texts, targets)
        distil.write(tmp_path / name, table, vocabulary, {"teacher": "a sum"})
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["NOTICE", "manifest.json", "scales.npy", "vectors.npy", "vocab.txt"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    expected = table[1] + table[2]
    vector = StaticEmbedder(tmp_path / "one").embed("a b")
    assert float(vector @ expected / np.linalg.norm(expected)) > 0.999
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["teacher"] == "a sum"


def test_only_words_are_taken_from_documentation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Doctests, rulers and tests are left out; sentences are taken once; short functions are taken as code."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    corpus = importlib.import_module("distil_corpus")
    body = '    """Return the sum of both numbers.\n\n    >>> add(1, 2)\n    """\n    total = a + b\n    return total\n'
    source = f'"""A module that adds numbers.\n------\n"""\n\n\ndef add(a, b):\n{body}'
    wheel = tmp_path / "adder-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("adder/a.py", source)
        archive.writestr("adder/again.py", source)
        archive.writestr("adder/tests/test_a.py", '"""A sentence that only a test has."""')
        archive.writestr("adder/broken.py", "def (")
    sentences, functions = corpus.read_wheel(wheel)
    assert sentences == ["A module that adds numbers.", "Return the sum of both numbers."]
    assert functions == [f"def add(a, b):\n{body}".rstrip("\n")]
