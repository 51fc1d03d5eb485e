"""What the stacked families are fitted from: inputs read alike in training and service, folds, heads."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.request import RouteRequest
from routeiq.learn.hardness import ENOUGH_TEXTS, anchors, trust
from routeiq.learn.heads import FAMILIES, Heads, categories_of
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.stack import Stack
from routeiq.learn.training import predict, request_of, table_of
from routeiq.routing.hardness.kernel import Kernel, likeness
from routeiq.routing.hardness.reading import Reading
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import recipe
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import WordEmbedder, vectors, world

EMBEDDER = WordEmbedder()
TOOLS = '[{"name": "solve", "description": "solve an integral", "parameters": {"properties": {"a": {}}}}]'


def worded(prompts: int = ENOUGH_TEXTS + 20) -> OutcomeMatrix:
    """Return a world whose prompts have enough words for word pieces to count, and tools now and then."""
    chance, matrix = np.random.default_rng(5), world(prompts)
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ade", "ile", "ore", "une", "act", "end", "ing", "ous", "ist")]
    words += [f"{a}{b}" for a in ("river", "table", "letter", "number") for b in ("", "s", "ed", "less", "like")]
    texts = tuple(f"{text} {' '.join(chance.choice(words, 12))} {i % 17}" for i, text in enumerate(matrix.texts))
    return replace(matrix, texts=texts, tools=tuple(TOOLS if i % 3 == 0 else "" for i in range(len(texts))))


MATRIX = worded()
STACK = Stack.of(MATRIX, vectors(MATRIX), EMBEDDER.id, 0)


def test_service_reads_a_prompt_as_training_did() -> None:
    """The row of a request is, centred and scaled, the row of the recorded prompt."""
    reading, table = Reading.of(STACK.inputs.arrays), table_of(MATRIX)
    kernel, landmarks = Kernel.of(STACK.inputs.arrays), STACK.inputs.arrays["landmark"].astype(np.float64)
    for i in range(0, len(MATRIX), 37):
        vector = EMBEDDER.embed(MATRIX.texts[i])
        view = View(request_of(MATRIX, i), Features(vector, EMBEDDER.id), table, Vitals())
        row = kernel.scaled(reading.input(view, vector))
        np.testing.assert_allclose(row, STACK.inputs.plain[i], atol=1e-4)
        np.testing.assert_allclose(kernel(row), likeness(STACK.inputs.plain[[i]], landmarks)[0], atol=1e-4)


def test_a_request_without_text_is_an_average_prompt() -> None:
    """Where only the embedding is known, numbers and words count as their means."""
    vector = EMBEDDER.embed(MATRIX.texts[0])
    view = View(RouteRequest("r", "auto"), Features(vector, EMBEDDER.id), table_of(MATRIX), Vitals())
    row = Kernel.of(STACK.inputs.arrays).scaled(Reading.of(STACK.inputs.arrays).input(view, vector))
    np.testing.assert_allclose(row[EMBEDDER.dimensions :], 0.0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scorer_gives_what_the_heads_expect(family: str) -> None:
    """An artifact of any average of heads predicts, prompt by prompt, what was fitted."""
    artifact = STACK.artifact("ensemble", family, 1.0, {}, {})
    scorer = recipe("ensemble").scorer(table_of(MATRIX), artifact)
    found = predict(scorer, table_of(MATRIX), vectors(MATRIX), EMBEDDER.id, MATRIX)
    heads = STACK.heads()
    reading = Reading.of(STACK.inputs.arrays)
    near = np.array([reading.trust(vector) for vector in vectors(MATRIX)])[:, None]
    expected = heads.mean + near * (heads.predict(STACK.inputs.rows).average(family) - heads.mean)
    np.testing.assert_allclose(found, np.clip(expected, 0.0, 1.0), atol=2e-3)


def test_prompts_that_ask_the_same_are_left_out_together() -> None:
    """Questions that differ only in the answers on offer are in one fold; whole categories are in one task fold."""
    twice = tuple(f"which is {i // 2}? (a) {i} (b) {i + 1}" for i in range(120))
    matrix = replace(world(120), texts=twice)
    stack = Stack.of(matrix, vectors(matrix), EMBEDDER.id, 0)
    assert (stack.folds()[::2] == stack.folds()[1::2]).all()
    assert len(set(stack.folds().tolist())) == 5
    tasks = stack.task_folds()
    assert all(len(set(tasks[stack.tasks == task].tolist())) == 1 for task in set(stack.tasks.tolist()))


def test_a_component_without_signal_is_left_at_its_mean() -> None:
    """Heads fitted to noise expect the training means."""
    chance = np.random.default_rng(0)
    rows, score = chance.standard_normal((300, 20)) / 20**0.5, (chance.random((300, 4)) < 0.5).astype(float)
    heads = Heads.fit(rows, score, np.zeros(300, dtype=np.intp), np.zeros((300, 4)))
    assert np.abs(heads.predict(rows).ridge - score.mean(axis=0)).max() < 0.12


def test_rare_categories_are_thrown_together_and_missing_ones_made_up() -> None:
    """Names at few prompts are one category; where there is a single name, clusters stand in."""
    rows = np.random.default_rng(0).standard_normal((60, 5))
    named = categories_of(["a"] * 30 + ["b"] * 20 + list("cdefghijkl"), rows, 0)
    assert len(set(named.tolist())) == 3
    assert len(set(categories_of([""] * 60, rows, 0).tolist())) > 1


def test_strange_prompts_are_trusted_less() -> None:
    """Nine in ten prompts like the training ones are believed in full, ones unlike any are not."""
    chance = np.random.default_rng(0)
    spread = np.where(np.arange(40) < 4, 1.0, 0.05)
    learned = chance.standard_normal((300, 40)) * spread
    strange = chance.standard_normal((100, 40)) * spread[::-1]
    assert (trust(chance.standard_normal((100, 40)) * spread, learned, 0)[0] == 1.0).mean() > 0.8
    assert trust(strange, learned, 0)[0].mean() < 0.2
    assert (np.diff(anchors(learned, 0)[1]) > 0).all()
