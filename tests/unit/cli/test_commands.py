"""The commands on small real files: what they print, what they change, how they end."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from tests.unit.cli.conftest import Command
from tests.unit.learn.scene import world, write_world

Config = Callable[[str], Path]

CHEAPEST = "routeiq_settings:\n  aliases:\n    auto: {strategy: cheapest-capable}\n"
KNN = "routeiq_settings:\n  strategy: knn\n  artifact: knn.npz\n  aliases:\n    auto:\n"


@pytest.fixture
def learned(config: Config, trained: Path) -> Path:
    """Return a configuration that routes by the trained artifact, which stands beside it."""
    path = config(KNN)
    for file in trained.iterdir():
        shutil.copy(file, path.parent)
    return path


def test_help_of_every_command_has_an_example(command: Command) -> None:
    """Every command explains itself and shows one line to start from."""
    for name in (("serve",), ("init",), ("check",), ("route",), ("train", "knn"), ("version",)):
        shown = command(*name, "--help")
        assert shown.status == 0
        assert f"Example: routeiq {' '.join(name)}" in shown.out


def test_version_names_what_is_installed(command: Command) -> None:
    """Versions of the parts that decide are printed, for people and for programs."""
    found = json.loads(command("version", "--json").out)
    assert set(found) == {"routeiq", "python", "litellm", "embedder"}
    assert found["embedder"].startswith("minilm-static")
    assert found["embedder"] in command("version").out
    assert command("--version").out.strip() == found["routeiq"]


def test_check_shows_what_the_configuration_comes_to(command: Command, config: Config) -> None:
    """A valid configuration ends with 0 and shows aliases, strategies, candidates and their prices."""
    shown = command("check", "--config", config(CHEAPEST))
    assert shown.status == 0
    assert "auto  strategy cheapest-capable" in shown.out
    assert "10.000" in shown.out
    assert "valid" in shown.out
    assert "sk-secret" not in shown.out + shown.err


@pytest.mark.parametrize("name", ["config", "config.conf", "config.yaml.txt"])
def test_a_file_that_litellm_would_pass_over_is_refused(command: Command, config: Config, name: str) -> None:
    """Check and serve refuse a name with which LiteLLM would serve nothing, to everybody; the ending is named."""
    path = config(CHEAPEST)
    renamed = path.rename(path.with_name(name))
    for subcommand in ("check", "serve"):
        shown = command(subcommand, "--config", renamed)
        assert shown.status == 2
        assert "error[config_invalid]" in shown.err
        assert "ends in .yaml or .yml, and else starts without models and without a master key" in shown.err
        assert name in shown.err
    for ending in ("other.yml", "other.YAML"):
        assert command("check", "--config", renamed.rename(path.with_name(ending))).status == 0
        renamed = path.with_name(ending)


def test_check_of_a_plain_configuration_says_that_nothing_happens(command: Command, config: Config) -> None:
    """Without our section the file is valid, and RouteIQ stays out of the way."""
    shown = command("check", "--config", config(""))
    assert shown.status == 0
    assert "RouteIQ routes and records nothing" in shown.out


def test_check_warns_of_what_is_probably_not_meant(command: Command, config: Config, learned: Path) -> None:
    """Idle members of the group, unknown prices and models the artifact does not know are pointed out."""
    text = learned.read_text().replace("    auto:\n", "    auto: {candidates: [cheap, dear]}\n")
    learned.write_text(text)
    assert "the routing group has poet, which the alias's candidates leave out" in command("check", "-c", learned).err
    renamed = text.replace("dear", "precious").replace(
        "model_info: {input_cost_per_token: 10.0e-6", "model_info: {x: 1"
    )
    learned.write_text(renamed.replace("output_cost_per_token: 20.0e-6", "y: 1"))
    shown = command("check", "-c", learned)
    assert shown.status == 0
    assert "auto: the artifact was not trained on precious" in shown.err
    assert "auto: no price is known of precious" in shown.err


def test_check_of_a_section_without_aliases_says_how_to_add_one(command: Command, config: Config) -> None:
    """A section that routes nothing is valid, with a warning."""
    shown = command("check", "-c", config("routeiq_settings:\n"))
    assert shown.status == 0
    assert "has no aliases, so nothing is routed" in shown.err


def flip_a_byte(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "reason", "words"),
    [
        (lambda path: flip_a_byte(path.with_name("knn.npz")), "artifact_digest", "routeiq_settings.artifact: "),
        (lambda path: path.with_name("knn.npz").unlink(), "artifact_invalid", "routeiq_settings.artifact: "),
        (
            lambda path: path.write_text(
                path.read_text().replace("cheap", "a").replace("dear", "b").replace("poet", "c")
            ),
            "artifact_candidates",
            "trained on cheap, dear, poet; none of them is a candidate (a, b, c)",
        ),
        (
            lambda path: path.write_text(path.read_text() + "  embedder: {kind: none}\n"),
            "artifact_embedder",
            "prompts are embedded with None",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("strategy: knn", "strategy: kmn")),
            "unknown_strategy",
            "did you mean 'knn'?",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("auto:\n", "auto: {candidates: [chaep]}\n")),
            "unknown_candidate",
            "'chaep' is not in the model_list; did you mean 'cheap'?",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("artifact:", "artefact:")),
            "unknown_key",
            "config.yaml:19: routeiq_settings.artefact: unknown key 'artefact'; did you mean 'artifact'?",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("aliases:", "aliases: [")),
            "config_invalid",
            "not readable as YAML",
        ),
        (
            lambda path: path.write_text(path.read_text() + "  outcome_log: {store_prompts: often}\n"),
            "config_invalid",
            "outcome_log.store_prompts: expected a valid boolean",
        ),
    ],
    ids=["digest", "absent", "candidates", "embedder", "strategy", "candidate", "key", "yaml", "type"],
)
def test_check_refuses_bad_input(
    command: Command, learned: Path, damage: Callable[[Path], object], reason: str, words: str
) -> None:
    """Each kind of bad input ends with 2 and one message: the reason, the place, what was found and what is near."""
    assert command("check", "-c", learned).status == 0
    damage(learned)
    shown = command("check", "-c", learned)
    assert shown.status == 2
    assert shown.err.startswith(f"error[{reason}]: {learned}")
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_route_prints_the_ranking(command: Command, config: Config) -> None:
    """The candidates are shown in the order in which they would be tried, with price and reason."""
    shown = command("route", "What is 17 times 23?", "--config", config(CHEAPEST))
    assert shown.status == 0
    assert "auto goes to cheap  (best, probability 1.00)" in shown.out
    rows = [line for line in shown.out.splitlines() if line.startswith("│")]
    assert [row.split("│")[2].strip() for row in rows] == ["cheap", "poet", "dear"]


def test_route_explains_a_learned_decision(command: Command, learned: Path) -> None:
    """The learned strategy sends each topic to who was good at it for the money, with the score it expects."""
    learned.write_text(learned.read_text().replace("auto:\n", "auto: {objective: {cost_weight: 0.1}}\n"))
    verse = json.loads(command("route", "sonnet moon rose rhyme", "--config", learned, "--json").out)
    maths = json.loads(command("route", "integral matrix root sum", "--config", learned, "--json").out)
    assert verse["choice"] == "poet"
    assert maths["choice"] == "cheap"
    scores = {candidate["name"]: candidate["expected_score"] for candidate in maths["candidates"]}
    assert scores["poet"] < scores["cheap"]
    assert verse["artifact"].startswith("knn-")
    assert verse["schema"] == "1"


def test_route_takes_hint_alias_and_standard_input(
    command: Command, config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A hint is honoured as over HTTP, a prompt may come from a pipe, and an unknown alias names the nearest."""
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("from a pipe " * 10)
    path = config(CHEAPEST)
    with prompt.open() as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        shown = json.loads(command("route", "-", "-c", path, "--hint", "poet", "--json").out)
    assert (shown["choice"], shown["reason"]) == ("poet", "hint")
    unknown = command("route", "hi", "-c", path, "--alias", "atuo")
    assert unknown.status == 2
    assert "did you mean 'auto'?" in unknown.err


def test_route_without_a_virtual_model_says_how_to_get_one(command: Command, config: Config) -> None:
    """There is nothing to route with when no alias is configured."""
    shown = command("route", "hi", "-c", config(""))
    assert shown.status == 2
    assert "`routeiq init --write` adds one" in shown.err


def test_init_shows_the_difference_and_changes_nothing(command: Command, config: Config) -> None:
    """Without --write the file stays as it is, and the difference is on standard output."""
    path = config("")
    before = path.read_text()
    shown = command("init", "--config", path)
    assert shown.status == 0
    assert "+routeiq_settings:" in shown.out
    assert "-" not in {line[0] for line in shown.out.splitlines()[2:] if line}
    assert path.read_text() == before


def test_init_writes_what_check_accepts(command: Command, config: Config) -> None:
    """With --write the file is changed, a copy is kept, the result is valid, and a second run has nothing to do."""
    path = config("")
    before = path.read_text()
    assert command("init", "-c", path, "--strategy", "largest", "--write", "--yes").status == 0
    assert path.with_name("config.yaml.bak").read_text() == before
    assert "strategy largest" in command("check", "-c", path).out
    again = command("init", "-c", path, "--write", "--yes")
    assert again.status == 0
    assert "nothing to add" in again.out


def test_init_does_not_write_unasked(command: Command, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can be asked, --write needs --yes."""
    path = config("")
    before = path.read_text()
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        shown = command("init", "-c", path, "--write")
    assert shown.status == 2
    assert "add --yes" in shown.err
    assert path.read_text() == before


def test_init_refuses_an_unknown_strategy(command: Command, config: Config) -> None:
    """A strategy that does not exist is not written into anybody's file."""
    shown = command("init", "-c", config(""), "--strategy", "chepest-capable")
    assert shown.status == 2
    assert "did you mean 'cheapest-capable'?" in shown.err


def test_train_measures_what_it_writes(command: Command, outcomes: Path, tmp_path: Path) -> None:
    """Training writes the artifact and its manifest, and prints the router beside what it must beat."""
    output = tmp_path / "knn.npz"
    shown = command("train", "knn", "--data", outcomes, "--suite", "toy", "--output", output)
    assert shown.status == 0
    assert output.exists()
    assert output.with_suffix(".json").exists()
    for row in ("knn", "best fixed model", "cheapest model", "random", "zero router", "oracle"):
        assert f"│ {row} " in shown.out
    assert "knn against the best fixed model (" in shown.out


def test_train_names_the_nearest_suite(command: Command, outcomes: Path, tmp_path: Path) -> None:
    """A suite that is not in the data ends with 2 and the nearest name."""
    shown = command("train", "knn", "--data", outcomes, "--suite", "toi", "--output", tmp_path / "knn.npz")
    assert shown.status == 2
    assert shown.err.strip().startswith("error[data_invalid]: ")
    assert "did you mean 'toy'?" in shown.err


def test_train_auto_says_what_it_chose_and_why(command: Command, tmp_path: Path) -> None:
    """It names the strategy, the gain it was shown to have, and takes the operator's objective."""
    data = write_world(tmp_path / "data", world(300))
    arguments = ("train", "auto", "--data", data, "--suite", "toy", "--output", tmp_path / "auto.npz")
    shown = command(*arguments, "--objective", "quality_floor=0.85", "--require-gain")
    assert shown.status == 0, shown.err
    assert "chose " in shown.out
    assert "quality_floor=0.85" in shown.out
    wrong = command(*arguments, "--objective", "quality=0.6")
    assert wrong.status == 2
    assert "quality_floor" in wrong.err


def test_train_auto_steps_aside_where_nothing_can_be_learned(command: Command, tmp_path: Path) -> None:
    """With shuffled scores the best fixed model is served, which is a failure only for those who ask for a gain."""
    matrix = world(160)
    shuffled = replace(matrix, score=matrix.score[np.random.default_rng(0).permutation(len(matrix))])
    data = write_world(tmp_path / "data", shuffled)
    arguments = ("train", "auto", "--data", data, "--suite", "toy", "--output", tmp_path / "auto.npz")
    shown = command(*arguments)
    assert shown.status == 0, shown.err
    assert "best fixed model" in shown.out
    assert FileArtifactStore().load(str(tmp_path / "auto.npz")).manifest.strategy == "fixed"
    assert command(*arguments, "--require-gain").status == 1
