"""Rules of a policy: their file, and what they come to for a request."""

from pathlib import Path

import pytest

from routeiq.config.compile import compile_snapshot
from routeiq.config.load import load
from routeiq.core.errors import ConfigError, NoCandidate, UnknownCandidate, UnknownKey
from routeiq.core.request import Caller, RouteRequest
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.vitals import Vitals
from tests.unit.config.scene import CANDIDATES, EMBEDDER, Shelf, config


def compiled(folder: Path, policy: str, more: str = "") -> Snapshot:
    (folder / "policy.yaml").write_text(policy)
    path = config(folder, f"policy: policy.yaml\nstrategy: largest\naliases:\n  auto:\n{more}")
    return compile_snapshot(load(path), CANDIDATES, Shelf(), EMBEDDER)


def chosen(snapshot: Snapshot, **caller: object) -> set[str]:
    """The candidates that are left for a caller."""
    request = RouteRequest("r", "auto", caller=Caller(**caller))
    try:
        decision = Router(snapshot).decide(request, Features(), Vitals(), decision_id="d", draw=0.5)
    except NoCandidate:
        return set()
    return set(decision.ranking)


RULES = """\
rules:
  - {name: lawyers, teams: [legal], allow: [small]}
  - {name: batch, tags: [batch, night], aliases: [auto], deny: [big]}
  - {name: one, users: [eve], deny: [small, big]}
  - {name: key, keys: [abc], teams: [sales], allow: [big]}
"""


def test_rules_take_away_from_those_they_are_for(tmp_path: Path) -> None:
    """A rule holds where all that it names matches; several hold together."""
    snapshot = compiled(tmp_path, RULES)
    assert chosen(snapshot) == {"small", "big"}
    assert chosen(snapshot, team="legal") == {"small"}
    assert chosen(snapshot, tags=("night",)) == {"small"}
    assert chosen(snapshot, user="eve") == set()
    assert chosen(snapshot, key_hash="abc") == {"small", "big"}
    assert chosen(snapshot, key_hash="abc", team="sales") == {"big"}
    assert chosen(snapshot, key_hash="abc", team="sales", tags=("batch",)) == set()


def test_whom_no_rule_is_for_may_be_refused(tmp_path: Path) -> None:
    """With `default: deny` a policy is a list of those who may."""
    snapshot = compiled(tmp_path, "default: deny\nrules:\n  - {name: lawyers, teams: [legal], allow: [small]}\n")
    assert (chosen(snapshot), chosen(snapshot, team="legal")) == (set(), {"small"})
    route = snapshot.routes["auto"]
    assert {getattr(stage, "permission", False) for stage in route.profile.filters if stage.name == "policy"} == {True}


def test_rules_are_part_of_the_version(tmp_path: Path) -> None:
    """Two policies are two versions, so that one can be put back after the other; an empty one costs nothing."""
    versions = {compiled(tmp_path, text).version for text in (RULES, RULES.replace("eve", "adam"), "rules: []")}
    assert len(versions) == 3
    assert "policy" not in [stage.name for stage in compiled(tmp_path, "rules: []").routes["auto"].profile.filters]
    assert tmp_path / "policy.yaml" in load(tmp_path / "config.yaml").files


@pytest.mark.parametrize(
    ("policy", "kind", "words"),
    [
        ("rules: [", ConfigError, "is not YAML"),
        ("- a", ConfigError, "expected a mapping with `rules`"),
        ("rule: []", UnknownKey, "unknown key 'rule'; did you mean 'rules'"),
        ("rules: [{name: a, team: [x], deny: [big]}]", UnknownKey, "did you mean 'teams'"),
        ("rules: [{name: a, teams: [x]}]", ConfigError, "expected either `allow` or `deny`"),
        ("rules: [{name: a, allow: [small], deny: [big]}]", ConfigError, "expected either `allow` or `deny`"),
        ("rules: [{teams: [x], deny: [big]}]", ConfigError, r"rules\[0\]\.name"),
        ("rules: [{name: a, deny: [bog]}]", UnknownCandidate, "did you mean 'big'"),
        ("rules: [{name: a, aliases: [outo], deny: [big]}]", ConfigError, "did you mean 'auto'"),
        ("default: maybe", ConfigError, "default"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, policy: str, kind: type[ConfigError], words: str) -> None:
    """File, rule and key, what was found and what is near."""
    with pytest.raises(kind, match=words) as refused:
        compiled(tmp_path, policy)
    assert "policy.yaml" in refused.value.message
    assert refused.value.file == tmp_path / "policy.yaml"
