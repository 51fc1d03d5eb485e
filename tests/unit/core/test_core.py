"""Nouns, errors and header names."""

import inspect

import pytest

from routeiq.core import errors
from routeiq.core.decision import Decision, Reason
from routeiq.core.headers import decision_headers, hint
from routeiq.core.request import RouteRequest


def decision(**changes: object) -> Decision:
    """Return a decision for `small`."""
    fields = {
        "id": "dec_1", "request_id": "r", "at": 0.0, "alias": "auto", "strategy": "knn", "choice": "small",
        "ranking": ("small",), "propensity": 1.0, "reason": Reason.BEST, "score": 0.5,
    }  # fmt: skip
    return Decision(**{**fields, **changes})


def test_reasons_are_single_words_and_distinct() -> None:
    """Every error has a reason of its own that can be a metric label."""
    kinds = [k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, errors.RouteIQError)]
    reasons = [kind.reason for kind in kinds]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isalpha() for reason in reasons)


def test_the_tree_in_the_docstring_is_complete() -> None:
    """The drawing of the error tree names every class with its reason."""
    kinds = [k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, errors.RouteIQError)]
    for kind in kinds:
        if kind is not errors.RouteIQError:
            line = next(line for line in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in line)
            assert kind.reason in line


@pytest.mark.parametrize(
    ("name", "known", "clause"),
    [("knm", ["knn", "random"], "did you mean 'knn'?"), ("zzz", ["knn"], "known: knn"), ("a", [], "none is known")],
)
def test_nearest_names_what_exists(name: str, known: list[str], clause: str) -> None:
    """A wrong name is answered with the nearest right one, or with what there is."""
    assert errors.nearest(name, known) == clause


def test_headers_name_the_decision() -> None:
    """The headers are few, versioned and say which candidate served."""
    assert decision_headers(decision(), served="large") == {
        "x-routeiq-model": "large",
        "x-routeiq-strategy": "knn",
        "x-routeiq-reason": "best",
        "x-routeiq-decision-id": "dec_1",
        "x-routeiq-schema": "1",
        "x-routeiq-score": "0.5000",
    }


def test_headers_cannot_be_split() -> None:
    """A model name with a line break cannot add a header."""
    value = decision_headers(decision(choice="a\r\nx-evil: 1"))["x-routeiq-model"]
    assert "\r" not in value
    assert "\n" not in value


def test_hint_is_read_without_regard_to_case() -> None:
    """The hint header is found however it is spelled, and an empty one is none."""
    assert hint({"x-routeiq-hint": " large "}) == "large"
    assert hint({"x-routeiq-hint": ""}) is None
    assert hint({}) is None


def test_the_prompt_is_not_in_the_repr() -> None:
    """A request that is logged by accident does not show its prompt."""
    assert "secret" not in repr(RouteRequest("r", "auto", text="secret"))
