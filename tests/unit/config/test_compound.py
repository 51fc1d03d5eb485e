"""Compound models in the settings: what they compile to, and every mistake with its place and its remedy."""

from pathlib import Path

import pytest

from routeiq.config import compile as compiling
from routeiq.config.compile import compile_snapshot
from routeiq.config.load import load
from routeiq.core.errors import ArtifactError, ConfigError, UnknownCandidate, UnknownKey, UnknownStrategy
from routeiq.routing.snapshot import Snapshot
from tests.unit.config.scene import CANDIDATES, EMBEDDER, ORACLE, Shelf, artifact, config


def compiled(folder: Path, section: str) -> Snapshot:
    """The snapshot of a section."""
    return compile_snapshot(load(config(folder, section)), CANDIDATES, Shelf(), EMBEDDER)


def test_a_compound_model_is_ready_to_serve(tmp_path: Path) -> None:
    """Candidates are ordered by price, a model that only plays a part is known, and the budget is the operator's."""
    said = (
        "compound: {deep: {method: llm-multiround, candidates: [big], model: small, max_calls: 5, max_cost_usd: 0.1}}"
    )
    found = compiled(tmp_path, said).compounds["deep"]
    assert found.candidates == ("big",)
    assert found.route.table.names == ("big", "small")
    assert found.plan.model == "small"
    assert (found.budget.max_calls, found.budget.max_cost_usd, found.budget.deadline_s) == (5, 0.1, 120.0)
    both = compiled(tmp_path, "compound: {deep: {method: automix, candidates: [big, small]}}")
    assert both.compounds["deep"].candidates == ("small", "big")
    assert both.routes == {}
    assert both.route("deep") is both.compounds["deep"].route


def test_the_version_follows_them(tmp_path: Path) -> None:
    """Another threshold is another version of the configuration."""
    one = compiled(tmp_path, "compound: {deep: {method: automix, candidates: [big, small], threshold: 0.5}}")
    other = compiled(tmp_path, "compound: {deep: {method: automix, candidates: [big, small], threshold: 0.6}}")
    assert one.version != other.version


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("{method: automix, candidates: [big], treshold: 1}", UnknownKey, "deep.treshold.*did you mean 'threshold'"),
        ("{method: automatix, candidates: [big]}", ConfigError, "deep.method.*'automix'.*found 'automatix'"),
        ("{method: automix}", ConfigError, "deep.candidates"),
        ("{method: automix, candidates: [bigg]}", UnknownCandidate, r"candidates\[?.?0.*did you mean 'big'"),
        ("{method: automix, candidates: [big, big]}", ConfigError, "'big' is listed twice"),
        ("{method: automix, candidates: [big], model: bigg}", UnknownCandidate, "deep.model.*did you mean 'big'"),
        ("{method: automix, candidates: [big], rounds: 3}", ConfigError, "automix does not read 'rounds'"),
        ("{method: router-r1, candidates: [big]}", ConfigError, "router-r1 needs `model`"),
        ("{method: knn-multiround, candidates: [big]}", ArtifactError, "knn-multiround needs a trained artifact"),
        (
            "{method: cascade, candidates: [big], confidence: expected_score}",
            ArtifactError,
            "cascade by expected_score needs a trained artifact",
        ),
        ("{method: automix, candidates: [big], max_calls: 0}", ConfigError, "deep.max_calls"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, said: str, error: type[Exception], words: str) -> None:
    """Each mistake says where it is, what was found and what would do."""
    with pytest.raises(error, match=words):
        compiled(tmp_path, f"compound: {{deep: {said}}}")


@pytest.mark.parametrize("name", ["small", "auto"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    """A compound model cannot have the name of a model or of an alias."""
    with pytest.raises(ConfigError, match=f"'{name}' is also"):
        compiled(tmp_path, f"aliases: {{auto: {{}}}}\ncompound: {{{name}: {{method: automix, candidates: [big]}}}}")


def test_a_method_is_not_a_strategy(tmp_path: Path) -> None:
    """Whoever names a method as a strategy is told where it belongs."""
    with pytest.raises(UnknownStrategy, match="'automix' is a method of compound models; name it under `compound`"):
        compiled(tmp_path, "strategy: automix")


def believing(folder: Path, candidates: list[str], more: str = "") -> float:
    """The threshold of a cascade by expected score whose artifact was trained with .8 for these candidates."""
    facts = {"threshold": 0.8, "cascade": {"candidates": candidates}}
    path = config(folder, f"compound: {{deep: {{method: cascade, candidates: [big, small], artifact: a.npz, {more}}}}}")
    shelf = Shelf({str(folder / "a.npz"): artifact(training=facts)})
    return compile_snapshot(load(path), CANDIDATES, shelf, EMBEDDER).compounds["deep"].plan.threshold


def test_the_trained_threshold_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cascade by expected score believes from the artifact's threshold on, unless the operator names another."""
    monkeypatch.setattr(compiling, "strategies", lambda named: {"oracle": ORACLE})
    by = "confidence: expected_score"
    assert believing(tmp_path, ["small", "big"], by) == 0.8
    assert believing(tmp_path, ["small", "big"], f"{by}, threshold: 0.3") == 0.3
    assert believing(tmp_path, ["small", "big"]) == 0.5


def test_a_threshold_of_other_candidates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trained for three models does not fit two of them; the error says how to train it for these."""
    monkeypatch.setattr(compiling, "strategies", lambda named: {"oracle": ORACLE})
    with pytest.raises(ConfigError, match=r"trained for small, big, huge.*--models big,small.*or set `threshold`"):
        believing(tmp_path, ["small", "big", "huge"], "confidence: expected_score")
