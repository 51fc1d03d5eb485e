"""Loading settings: what is valid, what each mistake is told, and what the environment changes."""

from pathlib import Path

import pytest

from routeiq.config.load import load
from routeiq.config.settings import RouteIQSettings
from routeiq.core.errors import ConfigError, UnknownKey
from tests.unit.config.scene import LITELLM, config, write


def test_a_file_without_our_section_is_valid_and_disables_routeiq(tmp_path: Path) -> None:
    """A plain LiteLLM configuration loads, and says that RouteIQ has nothing to do."""
    settings = load(write(tmp_path, LITELLM))
    assert not settings.enabled
    assert settings.routeiq.aliases == {}
    assert settings.model_names == ("small", "big")
    assert settings.warnings == ()


def test_an_empty_section_enables_routeiq_with_its_defaults(tmp_path: Path) -> None:
    """The bare key means: route nothing, but observe."""
    settings = load(write(tmp_path, LITELLM + "routeiq_settings:\n"))
    assert settings.enabled
    assert settings.routeiq == RouteIQSettings()
    assert settings.outcome_log == tmp_path / "routeiq.db"


def test_every_setting_arrives(tmp_path: Path) -> None:
    """What stands in the section is what the settings say, paths relative to the file's folder."""
    settings = load(
        config(
            tmp_path,
            "strategy: knn\n"
            "artifact: models/knn.npz\n"
            "aliases:\n"
            "  auto:\n"
            "    candidates: [small, big]\n"
            "    strategy: largest\n"
            "    artifact: /elsewhere/other.npz\n"
            "    objective: {cost_weight: 0.1, latency_weight: 2}\n"
            "    exploration: {epsilon: 0.02}\n"
            "  plain:\n"
            "embedder: {kind: onnx, path: minilm, deadline_ms: 25}\n"
            "outcome_log: {path: null, store_prompts: true}\n"
            "allow_list: {team-a: [small]}\n"
            "decision_log: false\n",
        )
    )
    auto, plain = settings.routeiq.aliases["auto"], settings.routeiq.aliases["plain"]
    assert auto.candidates == ["small", "big"]
    assert (auto.objective.cost_weight, auto.objective.latency_weight) == (0.1, 2.0)
    assert auto.exploration.epsilon == 0.02
    assert (settings.strategy(auto), settings.strategy(plain)) == ("largest", "knn")
    assert settings.artifact(auto) == Path("/elsewhere/other.npz")
    assert settings.artifact(plain) == tmp_path / "models/knn.npz"
    assert settings.encoder == tmp_path / "minilm"
    assert settings.routeiq.embedder.deadline_ms == 25
    assert settings.outcome_log is None
    assert settings.routeiq.outcome_log.store_prompts
    assert settings.routeiq.allow_list == {"team-a": ["small"]}
    assert not settings.routeiq.decision_log


def test_references_stay_with_litellm_and_are_resolved_for_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.environ/NAME` is untouched in LiteLLM's sections and replaced in ours."""
    monkeypatch.setenv("WHERE", "/var/outcomes.db")
    settings = load(config(tmp_path, "outcome_log: {path: os.environ/WHERE}"))
    assert settings.outcome_log == Path("/var/outcomes.db")
    assert settings.model_list[0]["litellm_params"]["api_key"] == "os.environ/SOME_KEY"


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    """A reference to a variable that is not set names key and variable."""
    with pytest.raises(ConfigError, match=r"routeiq_settings.artifact: os.environ/NOWHERE refers to .* not set"):
        load(config(tmp_path, "artifact: os.environ/NOWHERE"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("stratgy: knn", r"config.yaml:14: routeiq_settings.stratgy: unknown key 'stratgy'; did you mean 'strategy'\?"),
        ("aliases: {auto: {candidate: [a]}}", r"aliases.auto.candidate: unknown key .* did you mean 'candidates'\?"),
        (
            "aliases:\n  auto:\n    objective: {cost: 1}",
            r"config.yaml:16: .*objective.cost: unknown key 'cost'; known: cost_weight, latency_weight",
        ),
        ("embedder: {deadline: 3}", r"embedder.deadline: unknown key 'deadline'; did you mean 'deadline_ms'\?"),
        (
            "zzz: 1",
            r"unknown key 'zzz'; known: .*allow_list, artifact, ",
        ),
    ],
)
def test_an_unknown_key_names_line_and_nearest(tmp_path: Path, section: str, message: str) -> None:
    """A key that does not exist is an error with file, line, key path and the nearest known key."""
    with pytest.raises(UnknownKey, match=message):
        load(config(tmp_path, section))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("strategy: [knn]", r"config.yaml:14: routeiq_settings.strategy: expected a valid string, found \['knn'\]"),
        ("strategy: ''", r"routeiq_settings.strategy: .*at least 1 character, found ''"),
        ("aliases: [auto]", r"routeiq_settings.aliases: expected a mapping, found \['auto'\]"),
        ("aliases: {auto: fast}", r"aliases.auto: expected a mapping, found 'fast'"),
        ("aliases: {auto: {candidates: small}}", r"aliases.auto.candidates: expected a valid list, found 'small'"),
        ("aliases: {auto: {candidates: []}}", r"aliases.auto.candidates: .*at least 1 item.*, found \[\]"),
        ("aliases: {auto: {exploration: {epsilon: 2}}}", r"epsilon: expected less than or equal to 1, found 2"),
        (
            "aliases: {auto: {objective: {cost_weight: -1}}}",
            r"cost_weight: expected greater than or equal to 0, found -1",
        ),
        ("aliases: {auto: {objective: {cost_weight: .nan}}}", r"cost_weight: .*finite number.*, found nan"),
        ("embedder: {kind: torch}", r"embedder.kind: expected 'static', 'onnx' or 'none', found 'torch'"),
        ("embedder: {kind: onnx}", r"routeiq_settings.embedder: kind 'onnx' needs `path`"),
        ("embedder: {path: x}", r"routeiq_settings.embedder: kind 'static' takes no `path`"),
        ("embedder: {deadline_ms: soon}", r"embedder.deadline_ms: expected a valid number.*, found 'soon'"),
        ("outcome_log: {store_prompts: perhaps}", r"store_prompts: expected a valid boolean.*, found 'perhaps'"),
        ("allow_list: {team-a: []}", r"allow_list.team-a: .*at least 1 item"),
        ("decision_log: 7", r"decision_log: expected a valid boolean.*, found 7"),
    ],
)
def test_a_wrong_value_says_what_was_expected_and_found(tmp_path: Path, section: str, message: str) -> None:
    """A value of the wrong type or out of range names the key, what was expected and what stands there."""
    with pytest.raises(ConfigError, match=message):
        load(config(tmp_path, section))


def test_a_long_value_is_not_quoted(tmp_path: Path) -> None:
    """A value that is too long for a message is described instead."""
    with pytest.raises(ConfigError, match=r"decision_log: .* found a str of length 500"):
        load(config(tmp_path, f"decision_log: {'x' * 500}"))


@pytest.mark.parametrize("name", ["routeiq_setings", "routeiq", "RouteIQ_settings", "routiq_settings"])
def test_a_misspelt_section_is_not_ignored(tmp_path: Path, name: str) -> None:
    """A section name close to ours is an error, because LiteLLM would ignore it and nothing would be routed."""
    with pytest.raises(UnknownKey, match=rf"config.yaml:13: {name}: .* did you mean 'routeiq_settings'\?"):
        load(write(tmp_path, f"{LITELLM}{name}: {{}}\n"))


def test_a_model_list_that_is_none_is_refused(tmp_path: Path) -> None:
    """The model list must be a list of mappings with a name."""
    with pytest.raises(ConfigError, match="model_list: expected a list, found a dict"):
        load(write(tmp_path, "model_list: {a: 1}\n"))
    with pytest.raises(ConfigError, match=r"config.yaml:2: model_list\[0\]: expected a mapping with a `model_name`"):
        load(write(tmp_path, "model_list:\n  - name: a\n"))


def test_the_environment_replaces_the_default_strategy_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROUTEIQ_STRATEGY wins over the section's strategy and yields to an alias's own."""
    monkeypatch.setenv("ROUTEIQ_STRATEGY", "smallest")
    settings = load(config(tmp_path, "strategy: largest\naliases:\n  auto:\n  other: {strategy: random}"))
    assert settings.strategy(settings.routeiq.aliases["auto"]) == "smallest"
    assert settings.strategy(settings.routeiq.aliases["other"]) == "random"


def test_the_environment_may_name_the_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the environment takes the place of the section's artifact, not of an alias's own."""
    monkeypatch.setenv("ROUTEIQ_MODEL_S3_URI", "gs://models/knn.npz")
    settings = load(config(tmp_path, "artifact: knn.npz\naliases:\n  auto:\n  own: {artifact: own.npz}"))
    assert settings.artifact(settings.routeiq.aliases["auto"]) == "gs://models/knn.npz"
    assert settings.artifact(settings.routeiq.aliases["own"]) == tmp_path / "own.npz"
    assert settings.artifacts == (tmp_path / "own.npz", "gs://models/knn.npz")
    for wrong, words in ("knn.npz", "expected an address such as s3://"), ("ftp://host/knn.npz", "no scheme"):
        monkeypatch.setenv("ROUTEIQ_MODEL_S3_URI", wrong)
        with pytest.raises(ConfigError, match=f"ROUTEIQ_MODEL_S3_URI: .*{words}"):
            load(tmp_path / "config.yaml")


def test_artifacts_are_looked_up_in_the_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROUTEIQ_MODELS_PATH is where relative artifact paths start."""
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setenv("ROUTEIQ_MODELS_PATH", str(models))
    settings = load(config(tmp_path, "artifact: knn.npz\naliases:\n  auto:"))
    assert settings.artifact(settings.routeiq.aliases["auto"]) == models / "knn.npz"


def test_settings_do_not_show_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows neither the master key nor anything of LiteLLM's part."""
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-master")
    shown = repr(load(config(tmp_path, "strategy: random")))
    assert "sk-master" not in shown
    assert "sk-secret" not in shown
