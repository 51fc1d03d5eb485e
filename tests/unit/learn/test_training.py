"""A whole training run: from a data folder to a saved artifact and a report that can be trusted."""

from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.errors import DataError
from routeiq.learn.embeddings import EmbeddingCache
from routeiq.learn.knn import train
from routeiq.learn.training import SplitReport, TrainReport
from tests.unit.learn.scene import (
    MODELS,
    WordEmbedder,
    model_rows,
    outcome_rows,
    prompt_rows,
    world,
    write,
    write_world,
)


def run(folder: Path, **options: object) -> TrainReport:
    """Train on the toy world in a folder, and save beside it."""
    store = FileArtifactStore(folder / "out")
    return train(
        write_world(folder / "data", world(1200)), ["toy"], store, "knn.npz", embedder=WordEmbedder(), **options
    )


def split(report: TrainReport, name: str) -> SplitReport:
    """Return the report of one split."""
    return next(part for part in report.splits if part.split == name)


def test_it_beats_the_best_fixed_model_where_there_is_something_to_learn(tmp_path: Path) -> None:
    """On two topics with two specialists the gain is far above the noise, in score and in AIQ."""
    report = run(tmp_path)
    test = split(report, "test")
    assert test.gain.low > 0
    assert test.aiq_gain.low > 0
    assert test.measures["knn"].score <= test.measures["oracle"].score
    assert report.best_fixed == "dear"


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    """Rows per split, models, version, embedder and parameters are those of the saved artifact."""
    report = run(tmp_path, seed=4)
    manifest = FileArtifactStore(tmp_path / "out").load("knn").manifest
    assert report.models == manifest.candidates == MODELS
    assert report.version == manifest.version
    assert report.embedder == manifest.embedder == "words@1"
    assert report.parameters["seed"] == 4
    assert sum(report.rows.values()) == 1200
    assert manifest.training["prompts"] == report.rows["train"]
    assert {"knn", "random", "cheapest", "best_fixed", "zero_router", "oracle"} == set(report.splits[0].measures)


def test_the_manifest_holds_what_valid_says_and_nothing_of_test(tmp_path: Path) -> None:
    """Whoever compares artifacts cannot tune to the test split."""
    report = run(tmp_path)
    metrics = FileArtifactStore(tmp_path / "out").load("knn").manifest.metrics
    assert metrics["valid_score"] == pytest.approx(split(report, "valid").measures["knn"].score, abs=1e-6)
    assert {"valid_aiq", "valid_best_fixed_score", "valid_zero_router_aiq", "cv_aiq"} <= set(metrics)
    assert not [name for name in metrics if "test" in name]


def test_the_same_run_writes_the_same_files(tmp_path: Path) -> None:
    """Both files are the same to the byte, with and without a cache of embeddings."""
    run(tmp_path / "a")
    run(tmp_path / "b", cache=EmbeddingCache(tmp_path / "cache"))
    run(tmp_path / "c", cache=EmbeddingCache(tmp_path / "cache"))
    for name in ("knn.npz", "knn.json"):
        contents = {(tmp_path / folder / "out" / name).read_bytes() for folder in "abc"}
        assert len(contents) == 1


def test_progress_rises_from_0_to_1(tmp_path: Path) -> None:
    """Every stage is announced in its turn, and the part done never falls."""
    seen: list[tuple[str, float]] = []
    run(tmp_path, progress=lambda stage, done: seen.append((stage, done)))
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["read", "embed", "fit", "measure", "save"]
    parts = [done for _, done in seen]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0.0, 1.0)


def test_a_choice_of_models_is_trained_on_alone(tmp_path: Path) -> None:
    """`models` limits the candidates of the artifact."""
    assert run(tmp_path, models=["poet", "dear"]).models == ("dear", "poet")


def test_data_without_other_splits_is_trained_on_without_a_report(tmp_path: Path) -> None:
    """With prompts for training only there is an artifact, and nothing is claimed of it."""
    matrix = world(60)
    prompts = [{**row, "split": "train"} for row in prompt_rows(matrix)]
    folder = write(tmp_path / "data", prompts, outcome_rows(matrix), model_rows())
    report = train(folder, ["toy"], FileArtifactStore(tmp_path), "knn", embedder=WordEmbedder())
    assert report.splits == ()


def test_data_without_a_train_split_is_an_error(tmp_path: Path) -> None:
    """Nothing to learn from is said, with the remedy."""
    matrix = world(60)
    prompts = [{**row, "split": "test"} for row in prompt_rows(matrix)]
    folder = write(tmp_path / "data", prompts, outcome_rows(matrix), model_rows())
    with pytest.raises(DataError, match="split 'train'"):
        train(folder, ["toy"], FileArtifactStore(tmp_path), "knn", embedder=WordEmbedder())


def test_one_prompt_again_and_again_is_an_error(tmp_path: Path) -> None:
    """What is the same everywhere tells nothing of other prompts, however often it stands there."""
    matrix = world(60)
    prompts = [{**row, "split": "train", "prompt": "the same"} for row in prompt_rows(matrix)]
    folder = write(tmp_path / "data", prompts, outcome_rows(matrix), model_rows())
    with pytest.raises(DataError, match=r"all 60 prompts .* the same text"):
        train(folder, ["toy"], FileArtifactStore(tmp_path), "knn", embedder=WordEmbedder())


@pytest.mark.recorded
@pytest.mark.parametrize("suite", ["mmlupro", "routellm"])
def test_it_pays_on_recorded_outcomes(recorded_data: Path, tmp_path: Path, suite: str) -> None:
    """With the default embedder it is far above chance and the cheapest model, level with the best fixed one in score,
    above the zero router in AIQ, and it saves money at 98 % of the quality.
    """
    report = train(recorded_data, [suite], FileArtifactStore(tmp_path), "knn")
    found = split(report, "test")
    own, measures = found.measures["knn"], found.measures
    assert own.score > measures["random"].score + 0.05
    assert own.score > measures["cheapest"].score + 0.1
    assert found.gain.low > -0.015
    assert own.aiq > measures["zero_router"].aiq + 0.005
    assert own.saving98 > measures["zero_router"].saving98
    assert own.score < measures["oracle"].score


@pytest.mark.recorded
def test_shuffled_outcomes_teach_nothing(recorded_data: Path) -> None:
    """Where scores do not belong to the prompts, predictions stay near the means and nothing is gained or lost."""
    from dataclasses import replace

    from routeiq.learn import evaluate
    from routeiq.learn.dataset import read
    from routeiq.learn.embeddings import embed
    from routeiq.learn.knn import fit
    from routeiq.learn.training import measure_split
    from routeiq.routing.embedding import load_default

    embedder = load_default()
    matrix = read(recorded_data, ["zeroeval"]).complete()
    train_rows, test_rows = matrix.split("train"), matrix.split("test")
    order = np.random.default_rng(0).permutation(len(train_rows))
    shuffled = replace(train_rows, score=train_rows.score[order])
    artifact = fit(shuffled, embed(embedder, shuffled.texts), embedder.id)
    reference = evaluate.Reference.of(shuffled)
    found = measure_split("test", artifact, test_rows, embed(embedder, test_rows.texts), reference)
    assert artifact.manifest.training["mass"] == 50.0
    assert abs(found.measures["knn"].score - found.measures["best_fixed"].score) < 0.02
