"""`routeiq import`."""

import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.sql.sqlite import SqliteOutcomeLog
from tests.unit.adapters.records import PROMPT, SALT, WallClock, a_decision, a_request, an_outcome, some_feedback
from tests.unit.cli.conftest import Command


def spend(number: int, **changed: object) -> dict[str, object]:
    """Return a row of LiteLLM_SpendLogs without a score."""
    return {
        "request_id": f"r{number}", "call_type": "acompletion", "status": "success", "model_group": "ab"[number % 2],
        "messages": [{"role": "user", "content": f"question {number // 2}"}], "spend": 0.01, "metadata": {}, **changed,
    }  # fmt: skip


def test_import_joins_scores_and_lists_what_it_left_out(command: Command, tmp_path: Path) -> None:
    """Logs and a file of scores make a folder that can be trained on, and the report names each row left out."""
    (tmp_path / "log.json").write_text(json.dumps([spend(i) for i in range(200)] + [spend(999)]))
    scores = [f"r{i},{i % 2}" for i in range(200)]
    (tmp_path / "scores.csv").write_text("\n".join(["id,score", *scores, "r3,good"]))
    shown = command(
        "import", "--from", "litellm-spend-logs", tmp_path / "log.json", "--scores", tmp_path / "scores.csv",
        "--output", tmp_path / "data", "--suite", "mine", "--report", tmp_path / "report.json",
    )  # fmt: skip
    assert shown.status == 0, shown.err
    assert "100 prompts" in shown.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(Path(item["file"]).name, item["row"]) for item in report["skipped"]] == [
        ("scores.csv", 201),
        ("log.json", 201),
    ]
    trained = command("train", "knn", "--data", tmp_path / "data", "--suite", "mine", "--output", tmp_path / "k.npz")
    assert trained.status == 0, trained.err


def test_import_names_the_nearest_format(command: Command, tmp_path: Path) -> None:
    """An unknown format is a mistake of usage, answered with the nearest name."""
    shown = command("import", "--from", "litelm-payloads", tmp_path / "x", "--output", tmp_path / "y")
    assert shown.status == 2
    assert "did you mean 'litellm-payloads'?" in shown.err


def test_import_says_which_log_is_missing(command: Command, tmp_path: Path) -> None:
    """An outcome log that does not exist is an error that names it."""
    shown = command("import", "--from", "outcome-log", tmp_path / "none.sqlite3", "--output", tmp_path / "y")
    assert shown.status == 2
    assert "there is no such file" in shown.err


async def test_import_reads_our_own_outcome_log(command: Command, tmp_path: Path) -> None:
    """A request that somebody judged comes out of the log with its score; one whose text was not kept is listed."""
    for name, kept in (("with.db", True), ("without.db", False)):
        log = SqliteOutcomeLog(tmp_path / name, salt=SALT, clock=WallClock(), settle_s=0.05, store_prompts=kept)
        log.record_decision(a_request(), a_decision(), None)
        log.record_outcome(an_outcome())
        await log.add_feedback(some_feedback(score=0.5))
        await log.close()
    shown = command(
        "import", "--from", "outcome-log", tmp_path / "with.db", tmp_path / "without.db", "--output", tmp_path / "data"
    )
    assert shown.status == 0, shown.err
    assert "1 prompts" in shown.out
    assert "store_prompts" in shown.out
    assert PROMPT not in shown.out


def test_import_turns_a_trained_router_into_an_artifact(command: Command, tmp_path: Path) -> None:
    """Its kind, models and agreement are printed; without the embedder's name, or as a hostile file, it is refused."""
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(120, 8))
    router = KNeighborsClassifier(5).fit(vectors, np.array(["small", "large"])[(vectors[:, 0] > 0).astype(int)])
    (tmp_path / "knnrouter.pkl").write_bytes(pickle.dumps(router))
    given = ["import", "llmrouter-model", tmp_path / "knnrouter.pkl", "--output", tmp_path / "knn.npz"]
    refused = command(*given)
    assert (refused.status, "--onnx FOLDER or --embedder ID" in refused.err) == (2, True)
    shown = command(*given, "--embedder", "longformer@1")
    assert shown.status == 0, shown.err
    assert "2 models (large, small), 8 dimensions" in shown.out
    assert "decides like the original" in shown.out
    assert "routeiq eval" in shown.err
    manifest = FileArtifactStore().load(str(tmp_path / "knn")).manifest
    assert (manifest.strategy, manifest.embedder, manifest.dimensions) == ("knn", "longformer@1", 8)
    (tmp_path / "knnrouter.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    hostile = command(*given, "--embedder", "longformer@1")
    assert (hostile.status, "holds os.system" in hostile.err) == (2, True)
