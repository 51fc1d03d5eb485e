"""Compiling: a valid configuration becomes routes, and everything that can fail fails here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from routeiq.config import compile as compiling
from routeiq.config.compile import compile_snapshot
from routeiq.config.load import load
from routeiq.core.candidate import Candidate
from routeiq.core.errors import (
    ArtifactDigestMismatch,
    ArtifactError,
    CandidateMismatch,
    ConfigError,
    EmbedderMismatch,
    UnknownCandidate,
    UnknownStrategy,
)
from routeiq.core.reward import Objective
from routeiq.routing.pickers import EpsilonGreedy
from routeiq.routing.snapshot import Snapshot
from routeiq.routing.strategies import BUILT_IN
from tests.unit.config.scene import CANDIDATES, EMBEDDER, LITELLM, ORACLE, Shelf, artifact, config, write


@pytest.fixture(autouse=True)
def _learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the strategy `oracle` be provided by an installed package."""
    monkeypatch.setattr(compiling, "strategies", lambda named: {"oracle": ORACLE})


def compiled(
    path: Path, shelf: Shelf | None = None, candidates: Sequence[Candidate] = CANDIDATES, embedder: Any = EMBEDDER
) -> Snapshot:
    """Load and compile."""
    return compile_snapshot(load(path), candidates, shelf or Shelf(), embedder)


def trained(folder: Path, **changes: Any) -> Shelf:
    """Return a shelf with one artifact where the settings of these tests look for it."""
    return Shelf({str(folder / "oracle.npz"): artifact(**changes)})


def test_an_alias_becomes_a_route(tmp_path: Path) -> None:
    """An alias that says nothing is routed by the default strategy over the models of its routing group."""
    snapshot = compiled(config(tmp_path, "aliases:\n  auto:"))
    route = snapshot.routes["auto"]
    assert route.table.candidates == CANDIDATES
    assert route.profile.strategy == "round-robin"
    assert [stage.name for stage in route.profile.filters] == ["capability", "context_window"]


def test_the_artifact_may_say_its_strategy(tmp_path: Path) -> None:
    """`trained` stands for the strategy that the artifact was trained for, in the section and in an alias."""
    for section in (
        "strategy: trained\nartifact: oracle.npz\naliases:\n  auto:",
        "aliases:\n  auto:\n    strategy: trained\n    artifact: oracle.npz",
    ):
        assert compiled(config(tmp_path, section), trained(tmp_path)).routes["auto"].profile.strategy == "oracle"
    with pytest.raises(ConfigError, match="'trained' is the strategy of an artifact; name one under `artifact`"):
        compiled(config(tmp_path, "aliases:\n  auto:\n    strategy: trained"))
    with pytest.raises(UnknownStrategy, match="unheard"):
        compiled(
            config(tmp_path, "strategy: trained\nartifact: oracle.npz\naliases:\n  auto:"),
            trained(tmp_path, strategy="unheard"),
        )


def test_without_our_section_nothing_is_routed(tmp_path: Path) -> None:
    """A plain LiteLLM configuration compiles to a snapshot without routes."""
    assert compiled(write(tmp_path, LITELLM)).routes == {}


def test_candidates_keep_the_operators_order(tmp_path: Path) -> None:
    """Listed candidates are the candidates, in the order they are listed."""
    snapshot = compiled(config(tmp_path, "aliases: {auto: {candidates: [big, small]}}"))
    assert snapshot.routes["auto"].table.names == ("big", "small")


def test_tuning_arrives(tmp_path: Path) -> None:
    """Objective, exploration and allow list reach the profile."""
    text = (
        "strategy: oracle\nartifact: oracle.npz\n"
        "aliases: {auto: {objective: {cost_weight: 0.2, latency_weight: 0.1}, exploration: {epsilon: 0.05}}}\n"
        "allow_list: {red: [big]}"
    )
    profile = compiled(config(tmp_path, text), trained(tmp_path)).routes["auto"].profile
    assert profile.objective == Objective(0.2, 0.1)
    assert profile.picker == EpsilonGreedy(0.05)
    assert profile.filters[-1].name == "allow_list"
    assert (profile.artifact, profile.embedder) == ("oracle-1", "static-v1")


@pytest.mark.parametrize(
    ("said", "trained_for", "expected"),
    [("", 0.3, 0.3), ("objective: {cost_weight: 0}", 0.3, 0.0), ("objective: {latency_weight: 1}", 0.3, 0.3),
     ("", "cheap", 0.0), ("", -1, 0.0)],
)  # fmt: skip
def test_an_artifact_brings_the_cost_weight_it_was_trained_for(
    tmp_path: Path, said: str, trained_for: object, expected: float
) -> None:
    """Where an alias leaves out the cost weight, that of the training run counts; nonsense does not."""
    text = f"strategy: oracle\nartifact: oracle.npz\naliases: {{auto: {{{said}}}}}"
    profile = compiled(config(tmp_path, text), trained(tmp_path, training={"cost_weight": trained_for}))
    assert profile.routes["auto"].profile.objective.cost_weight == expected


def test_an_artifact_is_read_only_for_strategies_that_learn(tmp_path: Path) -> None:
    """An alias with a static strategy does not touch the artifact of the section."""
    shelf = Shelf()
    compiled(config(tmp_path, "artifact: absent.npz\naliases: {auto: {strategy: random}}"), shelf)
    assert shelf.asked == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("strategy: kn", r"config.yaml:14: routeiq_settings.strategy: unknown strategy 'kn'"),
        ("aliases: {auto: {strategy: chepest-capable}}", r"aliases.auto.strategy: .*did you mean 'cheapest-capable'\?"),
    ],
)
def test_an_unknown_strategy_lists_what_there_is(tmp_path: Path, section: str, message: str) -> None:
    """A strategy that does not exist names the nearest and lists all, wherever it is named."""
    with pytest.raises(UnknownStrategy, match=message) as caught:
        compiled(config(tmp_path, section))
    listed = caught.value.message.partition("strategies: ")[2].rstrip(")").split(", ")
    assert set(BUILT_IN) <= set(listed)


def test_an_unknown_strategy_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strategy that ROUTEIQ_STRATEGY names and nobody knows is reported as the variable's mistake."""
    monkeypatch.setenv("ROUTEIQ_STRATEGY", "roundrobin")
    with pytest.raises(UnknownStrategy, match=r"variable ROUTEIQ_STRATEGY: .*did you mean 'round-robin'"):
        compiled(config(tmp_path, "aliases: {auto: }"))


def test_a_candidate_outside_the_model_list_names_the_nearest(tmp_path: Path) -> None:
    """A candidate that LiteLLM does not have is an error with line and nearest name."""
    with pytest.raises(
        UnknownCandidate, match=r"config.yaml:17: .*candidates\[1\]: 'bigg' is not .*did you mean 'big'"
    ):
        compiled(config(tmp_path, "aliases:\n  auto:\n    candidates: [\n      small, bigg]"))


def test_a_candidate_outside_the_group_or_listed_twice_is_refused(tmp_path: Path) -> None:
    """Candidates must be in the routing group, because LiteLLM offers no others, and each once."""
    other = LITELLM.replace("models: [small, big]", "models: [small]").replace("{small: 1, big: 1}", "{small: 1}")
    with pytest.raises(ConfigError, match="'big' is not in the routing group 'auto'"):
        compiled(config(tmp_path, "aliases: {auto: {candidates: [small, big]}}", other))
    with pytest.raises(ConfigError, match="'big' is listed twice"):
        compiled(config(tmp_path, "aliases: {auto: {candidates: [big, big]}}"))


def test_a_team_may_only_be_given_candidates_that_exist(tmp_path: Path) -> None:
    """A name in the allow list that is not in the model list would lock the team out, so it is an error."""
    with pytest.raises(UnknownCandidate, match=r"allow_list.red\[0\]: 'smal' .*did you mean 'small'"):
        compiled(config(tmp_path, "allow_list: {red: [smal]}"))


def test_a_learned_strategy_without_artifact_says_how_to_train(tmp_path: Path) -> None:
    """A strategy that needs an artifact names the command that makes one."""
    with pytest.raises(ArtifactError, match=r"aliases.auto: .*needs a trained artifact: .*routeiq train oracle"):
        compiled(config(tmp_path, "strategy: oracle\naliases: {auto: }"))


def test_an_artifact_that_cannot_be_read_names_the_setting(tmp_path: Path) -> None:
    """What the store says of an artifact is kept, with file and line of the setting before it."""
    shelf = Shelf({str(tmp_path / "oracle.npz"): ArtifactDigestMismatch("expected abc, found def")})
    with pytest.raises(ArtifactDigestMismatch, match=r"config.yaml:15: routeiq_settings.artifact: expected abc"):
        compiled(config(tmp_path, "strategy: oracle\nartifact: oracle.npz\naliases: {auto: }"), shelf)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"candidates": ("gpt", "claude")}, CandidateMismatch, "trained on gpt, claude; none of them is a candidate"),
        ({"embedder": "minilm-9"}, EmbedderMismatch, "trained on vectors of 'minilm-9', .* embedded with 'static-v1'"),
        ({"strategy": "knn"}, ArtifactError, "trained for strategy 'knn', not for 'oracle'"),
    ],
)
def test_an_artifact_of_another_world_is_refused(
    tmp_path: Path, changes: dict[str, Any], kind: type[ArtifactError], message: str
) -> None:
    """An artifact trained on other candidates, another embedder or for another strategy is never served."""
    path = config(tmp_path, "aliases: {auto: {strategy: oracle, artifact: oracle.npz}}")
    with pytest.raises(kind, match=message) as caught:
        compiled(path, trained(tmp_path, **changes))
    assert "routeiq_settings.aliases.auto.artifact: " in caught.value.message


def test_an_artifact_with_an_embedder_needs_one(tmp_path: Path) -> None:
    """Without an embedder an artifact that was trained on vectors is refused."""
    path = config(tmp_path, "aliases: {auto: {strategy: oracle, artifact: oracle.npz}}")
    with pytest.raises(EmbedderMismatch, match="embedded with None"):
        compiled(path, trained(tmp_path), embedder=None)


def test_an_artifact_that_knows_some_candidates_is_served(tmp_path: Path) -> None:
    """One known candidate is enough; the others are ranked behind it until they are trained on."""
    path = config(tmp_path, "aliases: {auto: {strategy: oracle, artifact: oracle.npz}}")
    assert compiled(path, trained(tmp_path, candidates=("small", "gone"))).routes["auto"].profile.artifact == "oracle-1"


def test_the_version_follows_what_decisions_depend_on(tmp_path: Path) -> None:
    """The snapshot's version changes with a setting or a price and not with where outcomes are kept."""
    path = config(tmp_path, "aliases: {auto: }")
    first = compiled(path).version
    assert compiled(path).version == first
    dearer = (CANDIDATES[0], Candidate("big", 6.0e-6, 15.0e-6))
    assert compiled(path, candidates=dearer).version != first
    assert compiled(config(tmp_path, "aliases: {auto: {strategy: random}}")).version != first
    assert compiled(config(tmp_path, "aliases: {auto: }\noutcome_log: {path: other.db}")).version == first
