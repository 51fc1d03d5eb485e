"""Binding a trained artifact to candidates: checks, columns, cost."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, CandidateMismatch
from routeiq.core.request import RouteRequest
from routeiq.routing.stages import Features, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, Binding, Linear, checked, sigmoid, squashed
from routeiq.routing.vitals import Vitals

SHAPES = {**COMMON, "weights": "mD", "limits": "2"}


def artifact(**arrays: object) -> Artifact:
    """An artifact of two models in three dimensions."""
    own = {
        "prior_score": np.array([0.5, np.nan]),
        "prior_tokens": np.array([100.0, 200.0]),
        "input_price": np.array([1e-6, 2e-6]),
        "output_price": np.array([3e-6, 4e-6]),
        "weights": np.arange(6.0).reshape(2, 3),
        "limits": np.zeros(2),
    }
    return Artifact(Manifest("toy", "toy-1", ("a", "b"), "", "", embedder="e@1", dimensions=3), {**own, **arrays})


def view(features: Features, table: CandidateTable, **request: object) -> View:
    """A view of a request with ten tokens."""
    return View(RouteRequest(**{"id": "r", "alias": "auto", "prompt_tokens": 10, **request}), features, table, Vitals())


def test_arrays_as_declared_pass() -> None:
    """NaN is a number that is not known in the arrays where that can be."""
    assert checked(artifact(), SHAPES)["weights"].shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("weights", np.zeros((2, 4)), "has shape"),
        ("weights", np.zeros((3, 3)), "has shape"),
        ("limits", np.zeros(3), "has shape"),
        ("limits", np.zeros((2, 1)), "has shape"),
        ("limits", np.array(["a", "b"]), "expected floats"),
        ("limits", np.array([1.0, np.nan]), "not finite"),
    ],
)
def test_an_array_that_is_not_as_declared_is_refused(name: str, values: np.ndarray, message: str) -> None:
    """The message names the array, what was found, and the remedy."""
    with pytest.raises(ArtifactError, match=f"(?s){name}.*{message}.*train it anew"):
        checked(artifact(**{name: values}), SHAPES)


def test_an_array_that_is_missing_is_refused() -> None:
    """The message names the array and the strategy that needs it."""
    whole = artifact()
    arrays = {name: values for name, values in whole.arrays.items() if name != "limits"}
    with pytest.raises(ArtifactError, match=r"'limits'.*'toy'"):
        checked(replace(whole, arrays=arrays), SHAPES)


def test_columns_follow_the_table() -> None:
    """Known candidates get their own columns, a stranger is unknown, and nobody known is an error."""
    binding = Binding.of(artifact(), CandidateTable((Candidate("b"), Candidate("x"), Candidate("a"))))
    np.testing.assert_array_equal(binding.prior_tokens, [200.0, np.nan, 100.0])
    np.testing.assert_array_equal(
        binding.rows(np.array([[1.0], [2.0]]), np.array([3.0, 4.0]))[0], [[2.0], [0.0], [1.0]]
    )
    with pytest.raises(CandidateMismatch, match=r"a, b.*x"):
        Binding.of(artifact(), CandidateTable((Candidate("x"),)))


def test_cost_is_expected_tokens_at_the_price_in_force() -> None:
    """The table's price counts, the price at training where it has none, and the caller's limit caps the length."""
    table = CandidateTable((Candidate("a"), Candidate("b", 0.0, 1.0), Candidate("x", 1.0, 1.0)))
    binding = Binding.of(artifact(), table)
    found = binding.means(view(Features(), table))
    np.testing.assert_allclose(found.cost_usd, [10 * 1e-6 + 100 * 3e-6, 200.0, np.nan])
    capped = binding.means(view(Features(), table, output_tokens=50))
    np.testing.assert_allclose(capped.cost_usd, [10 * 1e-6 + 50 * 3e-6, 50.0, np.nan])


@pytest.mark.parametrize("line", [None, np.zeros(2), np.array([[np.nan, 1.0], [0.0, 0.0]])])
def test_without_a_usable_line_input_tokens_are_the_prompts(line: np.ndarray | None) -> None:
    """An artifact that does not say what models count of a prompt leaves its length as it is."""
    table = CandidateTable((Candidate("a"), Candidate("b")))
    binding = Binding.of(artifact() if line is None else artifact(input_line=line), table)
    cost = binding.prediction(view(Features(), table), binding.prior_score, np.zeros(2)).cost_usd
    np.testing.assert_allclose(cost, [10e-6, 20e-6])


def test_input_tokens_are_those_that_a_model_counts() -> None:
    """Slope and offset of a model make its input dearer; a model placed later counts the prompt as it is."""
    table = CandidateTable((Candidate("b"), Candidate("a")))
    binding = Binding.of(artifact(input_line=np.array([[1.5], [5.0]])), table)
    cost = binding.prediction(view(Features(), table), binding.prior_score, np.zeros(2)).cost_usd
    np.testing.assert_allclose(cost, [20e-6, 20e-6])


def test_means_say_that_nothing_is_known() -> None:
    """Evidence is 0 where there is a mean; a model without any score has no opinion."""
    table = CandidateTable((Candidate("a"), Candidate("b")))
    found = Binding.of(artifact(), table).means(view(Features(), table))
    np.testing.assert_array_equal(found.score, [0.5, np.nan])
    np.testing.assert_array_equal(found.evidence, [0.0, np.nan])


def test_expected_tokens_stay_within_reason() -> None:
    """However far a prompt is from the known ones, lengths are within about twenty times of the mean."""
    binding = Binding.of(artifact(), CandidateTable((Candidate("a"), Candidate("b"))))
    assert binding.tokens(np.array([0.0, np.log(2.0)])).tolist() == pytest.approx([100.0, 400.0])
    assert binding.tokens(np.array([1e9, -1e9])).tolist() == pytest.approx([100 * np.exp(3), 200 * np.exp(-3)])


def test_a_vector_is_of_use_only_when_it_is_this_embedders() -> None:
    """Absent, of another embedder, of another length, zero, or not finite: none of these is used."""
    table = CandidateTable((Candidate("a"),))
    binding = Binding.of(artifact(), table)
    good = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    assert binding.vector(view(Features(good, "e@1"), table)) is good
    others = [
        Features(absent="embedder_timeout"), Features(good, "f@1"), Features(good[:2], "e@1"),
        Features(0 * good, "e@1"), Features(good * np.float32(np.nan), "e@1"),
        Features(np.array([np.inf, 0.0, 0.0]), "e@1"),
    ]  # fmt: skip
    assert [binding.vector(view(features, table)) for features in others] == [None] * len(others)


def test_functions_are_bounded_without_warnings() -> None:
    """Far arguments give the limits, and NaN stays NaN."""
    np.testing.assert_allclose(sigmoid(np.array([-1e9, 0.0, 1e9])), [0.0, 0.5, 1.0], atol=1e-12)
    np.testing.assert_array_equal(squashed(np.array([-1.0, 0.5, 2.0, np.nan])), [0.0, 0.5, 1.0, np.nan])
    functions = Linear.of(np.eye(3), np.ones(3))
    np.testing.assert_allclose(functions(np.array([1.0, 2.0, 3.0], dtype=np.float32)), [2.0, 3.0, 4.0])
