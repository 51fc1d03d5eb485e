"""Experiments in the settings: arms become routes, and every mistake is found before anything is served."""

import math
from pathlib import Path
from typing import Any

import pytest

from routeiq.config import compile as compiling
from routeiq.config.compile import compile_snapshot
from routeiq.config.load import load
from routeiq.core.errors import ArtifactError, ConfigError, UnknownCandidate, UnknownKey, UnknownStrategy
from routeiq.core.experiment import Unit
from routeiq.routing.affinity import Stay
from routeiq.routing.snapshot import Snapshot
from tests.unit.config.scene import CANDIDATES, EMBEDDER, ORACLE, Shelf, artifact, config

SECTION = """\
strategy: cheapest-capable
aliases:
  auto: {objective: {cost_weight: 0.5}}
experiments:
  exp:
    alias: auto
"""


@pytest.fixture(autouse=True)
def _learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the strategy `oracle` be provided by an installed package."""
    monkeypatch.setattr(compiling, "strategies", lambda named: {"oracle": ORACLE})


def compiled(folder: Path, more: str, shelf: Shelf | None = None, section: str = SECTION) -> Snapshot:
    """Compile a configuration with an experiment; `more` are further lines of it."""
    indented = "".join(f"    {line}\n" for line in more.splitlines())
    return compile_snapshot(load(config(folder, section + indented)), CANDIDATES, shelf or Shelf(), EMBEDDER)


def test_each_arm_is_a_route_of_its_own(tmp_path: Path) -> None:
    """An arm has its strategy, artifact, objective and candidates, and the alias's where it says nothing."""
    shelf = Shelf({str(tmp_path / "o.npz"): artifact()})
    learned = "{strategy: oracle, artifact: o.npz, objective: {cost_weight: 2}}"
    arms = f"arms:\n  b: {learned}\n  control:\n  c: {{candidates: [big]}}"
    [found] = compiled(tmp_path, arms, shelf).experiments
    assert found.plan.arms == ("control", "b", "c")
    assert (found.plan.alias, found.plan.unit, found.plan.starts, found.plan.ends) == (
        "auto",
        Unit.USER,
        -math.inf,
        math.inf,
    )
    profiles = {arm: route.profile for arm, route in found.routes.items()}
    assert [profiles[arm].strategy for arm in found.plan.arms] == ["cheapest-capable", "oracle", "cheapest-capable"]
    assert (profiles["b"].artifact, profiles["b"].objective.cost_weight) == ("oracle-1", 2.0)
    assert found.routes["c"].table.names == ("big",)
    assert found.routes["control"].table.names == ("small", "big")


def test_the_run_changes_with_what_makes_counts_incomparable(tmp_path: Path) -> None:
    """Other weights or times count on; another strategy, unit, salt or artifact begins anew."""

    def run(more: str, **manifest: Any) -> str:
        shelf = Shelf({str(tmp_path / "o.npz"): artifact(**manifest)})
        return compiled(tmp_path, more, shelf).experiments[0].plan.run

    plain = run("arms: {control: , b: {strategy: random}}")
    assert plain == run("arms: {control: {weight: 9}, b: {strategy: random}}\nends: 2027-01-01T00:00:00Z")
    assert plain != run("arms: {control: , b: {strategy: smallest}}")
    assert plain != run("unit: team\narms: {control: , b: {strategy: random}}")
    assert plain != run("salt: again\narms: {control: , b: {strategy: random}}")
    learned = "arms: {control: , b: {strategy: oracle, artifact: o.npz}}"
    assert run(learned) != run(learned, version="oracle-2")


def test_the_version_covers_the_arms(tmp_path: Path) -> None:
    """A snapshot whose arm serves another artifact is another snapshot."""
    learned = "arms: {control: , b: {strategy: oracle, artifact: o.npz}}"
    versions = {
        compiled(tmp_path, learned, Shelf({str(tmp_path / "o.npz"): artifact(version=v)})).version for v in ("1", "2")
    }
    assert len(versions) == 2


def test_a_ramp_becomes_stages(tmp_path: Path) -> None:
    """Each step of the schedule is an allocation that holds from its time on."""
    first, second = "2026-12-01T00:00:00Z", "2026-12-02T00:00:00+01:00"
    steps = f"ramp:\n  - {{at: {first}, weights: {{control: 1, b: 1}}}}\n"
    steps += f"  - {{at: {second}, weights: {{control: 0, b: 2}}}}"
    [found] = compiled(tmp_path, "arms: {control: {weight: 19}, b: }\n" + steps).experiments
    at = [at for at, _ in found.plan.stages]
    assert at == [-math.inf, 1796083200.0, 1796083200.0 + 23 * 3600]
    assert [stage.shares.get("b", 0.0) for _, stage in found.plan.stages] == pytest.approx([0.05, 0.5, 1.0])


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ("arms: {a: , b: }", ConfigError, "no arm is called 'control'"),
        ("arms: {control: }", ConfigError, "experiments.exp.arms"),
        ("arms: {control: {weight: 0}, b: {weight: 0}}", ConfigError, "the weights are all 0"),
        ("arms: {control: , b: {weight: -1}}", ConfigError, "greater than or equal to 0"),
        ("arms: {control: , b: {strategy: randon}}", UnknownStrategy, "experiments.exp.arms.b.strategy"),
        ("arms: {control: , b: {strategy: oracle}}", ArtifactError, "experiments.exp.arms.b"),
        ("arms: {control: , b: {candidates: [bigg]}}", UnknownCandidate, "did you mean 'big'?"),
        ("arms: {control: , b: {candidates: [big, big]}}", ConfigError, "listed twice"),
        ("arms: {control: , b: {stratgy: random}}", UnknownKey, "did you mean 'strategy'?"),
        ("arms: {control: , b: }\nunits: user", UnknownKey, "did you mean 'unit'?"),
        (
            "arms: {control: , b: }\nramp: [{at: 2026-12-01T00:00:00Z, weights: {control: 1}}]",
            ConfigError,
            "no weight for b",
        ),
        (
            "arms: {control: , b: }\nramp: [{at: 2026-12-01T00:00:00Z, weights: {}, wieghts: {}}]",
            UnknownKey,
            "did you mean 'weights'?",
        ),
        ("arms: {control: , b: }\nramp: [{at: 2026-12-01T00:00:00, weights: {}}]", ConfigError, "timezone"),
        (
            "arms: {control: , b: }\nstarts: 2026-12-01T00:00:00Z\nends: 2026-11-01T00:00:00Z",
            ConfigError,
            "is not after `starts`",
        ),
        ("arms: {control: , 'b c': }", ConfigError, "pattern"),
    ],
)
def test_mistakes_are_found(tmp_path: Path, more: str, error: type[ConfigError], words: str) -> None:
    """A mistake says where it stands, what was found and what was meant."""
    with pytest.raises(error, match=r"config\.yaml") as caught:
        compiled(tmp_path, more)
    assert words in str(caught.value)


def test_an_experiment_needs_an_alias_of_its_own(tmp_path: Path) -> None:
    """An unknown alias, or one that takes part in another experiment, is a mistake."""
    arms = "arms: {control: , b: }\n"
    with pytest.raises(ConfigError, match="did you mean 'auto'"):
        compiled(tmp_path, arms, section=SECTION.replace("alias: auto", "alias: autoo"))
    second = "  other:\n    alias: auto\n    arms: {control: , b: }\n"
    with pytest.raises(ConfigError, match="already takes part in experiment 'exp'"):
        compiled(tmp_path, "", section=SECTION + "    " + arms + second)


@pytest.mark.parametrize(
    ("alias", "stay"),
    [
        ("{strategy: oracle, artifact: o.npz}", Stay(0.1, 60.0, 0.9)),
        ("{strategy: oracle, artifact: o.npz, affinity: false}", None),
        ("{strategy: random}", None),
        ("{strategy: random, affinity: true}", Stay(0.1, 60.0, 0.9)),
    ],
)
def test_learned_strategies_keep_conversations(tmp_path: Path, alias: str, stay: Stay | None) -> None:
    """Affinity is on by default where utilities are qualities, and where the alias says so."""
    shelf = Shelf({str(tmp_path / "o.npz"): artifact()})
    section = f"aliases:\n  auto: {alias}\naffinity: {{margin: 0.1, cache_ttl_s: 60, cached_discount: 0.9}}\n"
    assert compiled(tmp_path, "", shelf, section).routes["auto"].stay == stay
