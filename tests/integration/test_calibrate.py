"""`routeiq calibrate` against a running gateway: a new model is asked, graded, and placed."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.app import run
from routeiq.learn import irt, knn
from routeiq.learn.dataset import read
from routeiq.routing.embedding import load_default
from routeiq.testing.demo.teach import SUITE
from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks import all_tasks
from tests.integration.outcomes import write_outcomes
from tests.integration.serving import KEY, Serving, free_port

POOL = ["sim-tiny", "sim-small", "sim-medium"]
NEW = "sim-large"

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Scene:
    """The gateway, its provider, and a folder with recorded outcomes and two artifacts."""

    gateway: Serving
    provider: ReplayProcess
    folder: Path

    def calibrate(self, *more: str, key: str = KEY) -> "Done":
        """Run the command in this process."""
        arguments = ["calibrate", "--model", NEW, "--data", str(self.folder / "data"), "--suite", SUITE]
        arguments += ["--url", self.gateway.url, "--prompts", "24", "--yes", *more]
        out, err = io.StringIO(), io.StringIO()
        env = {"LITELLM_MASTER_KEY": key, "COLUMNS": "200"}
        with patch.dict(os.environ, env), redirect_stdout(out), redirect_stderr(err):
            return Done(run(arguments), out.getvalue(), err.getvalue())

    def artifacts(self) -> list[str]:
        """The options that name both artifacts."""
        return [part for name in ("knn", "irt") for part in ("--artifact", str(self.folder / f"{name}.npz"))]


def taught(folder: Path) -> None:
    """Recorded outcomes of the pool, with right answers where an answer is one text or number, and two artifacts."""
    tasks = {task.id: task for task in all_tasks()}
    data = folder / "data"
    data.mkdir()
    write_outcomes(data, POOL, prompts=120, tools=False)
    table = pyarrow.parquet.read_table(data / "prompts.parquet")
    checks = [tasks[name].check for name in table["prompt_id"].to_pylist()]
    right = [json.loads(check.expected) for check in checks]
    references = [str(value[0]) if isinstance(value, list) else str(value) for value in right]
    usable = [ref if check.kind in ("number", "text") else None for ref, check in zip(references, checks, strict=True)]
    checkers = ["number" if check.kind == "number" else "exact" for check in checks]
    table = table.append_column("reference", pyarrow.array(usable, pyarrow.string()))
    table = table.append_column("checker", pyarrow.array(checkers, pyarrow.string()))
    pyarrow.parquet.write_table(table, data / "prompts.parquet")
    matrix, embedder = read(data, (SUITE,), POOL).split("train"), load_default()
    for family in (knn, irt):
        artifact = family.fit(matrix, embedder.embed_many(matrix.texts), embedder.id)
        FileArtifactStore().save(str(folder / family.STRATEGY), artifact)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway for all tests."""
    folder = tmp_path_factory.mktemp("calibrate")
    taught(folder)
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        at = {"api_base": f"{provider.base_url}/v1", "api_key": "sk-provider-2Nq7rKd4"}
        price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
        whole: dict[str, Any] = {
            "model_list": [
                {"model_name": name, "litellm_params": {"model": f"openai/{name}", **at}, "model_info": dict(price)}
                for name in (*POOL, NEW)
            ],
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        (folder / "gateway").mkdir()
        gateway = Serving.start(whole, folder / "gateway", free_port(), {})
        try:
            yield Scene(gateway, provider, folder)
        finally:
            gateway.stop()


def test_a_new_model_gets_its_place(scene: Scene) -> None:
    """Cost first, then answers, then two new artifacts whose parents are the given ones and which know the model."""
    scene.provider.reset()
    done = scene.calibrate(*scene.artifacts(), "--output", str(scene.folder / "new"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 prompts to sim-large" in done.stdout
    assert "about $0.0" in done.stdout
    assert "sim-large" in done.stdout
    for name in ("knn", "irt"):
        former = FileArtifactStore().load(str(scene.folder / name)).manifest
        found = FileArtifactStore().load(str(scene.folder / "new" / name)).manifest
        assert (found.parent, found.candidates) == (former.version, (*former.candidates, NEW))
        calibrated = found.training["calibrated"][NEW]
        assert (calibrated["scores"], calibrated["by"]) == (24, "reference")
        assert calibrated["score"] > 0.5
    assert len([row for row in scene.provider.journal() if row.model == NEW]) == 24


def test_it_goes_on_where_it_was_left(scene: Scene) -> None:
    """Bad answers are told and not scored; the next run asks only for what is missing."""
    scene.provider.reset()
    scene.provider.fault(NEW, "error_401", times=18)
    options = ["--artifact", str(scene.folder / "knn.npz"), "--output", str(scene.folder / "again.npz"), "--seed", "1"]
    first = scene.calibrate(*options)
    assert first.returncode == 1
    assert "18 bad answers (http_401)" in first.stderr
    assert "only 6 of 24" in first.stderr
    assert not (scene.folder / "again.npz").exists()
    scene.provider.reset()
    second = scene.calibrate(*options)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "18 prompts to sim-large" in second.stdout
    assert "6 answers are there already" in second.stdout
    assert len([row for row in scene.provider.journal() if row.model == NEW]) == 18
    lines = (scene.folder / "again.answers.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 24 + 18


def test_a_judge_that_does_not_judge_is_told(scene: Scene) -> None:
    """What a judge says that is no grade is a bad answer, not a score."""
    scene.provider.reset()
    options = ["--artifact", str(scene.folder / "knn.npz"), "--output", str(scene.folder / "judged.npz")]
    done = scene.calibrate(*options, "--judge", "sim-medium", "--prompts", "4")
    assert done.returncode == 1
    assert "judge_not_understood" in done.stderr
    assert "as many calls to sim-medium" in done.stdout


def test_mistakes_are_told_before_anything_is_sent(scene: Scene) -> None:
    """A wrong key, a model that is not there, an output that would replace the artifact: status 2 and no call."""
    scene.provider.reset()
    artifact, out = str(scene.folder / "knn.npz"), str(scene.folder / "x.npz")
    given = ["--artifact", artifact, "--output", out]
    for more, key, message in (
        (given, "sk-wrong-9Zx4", "refuses the key"),
        ([*given, "--model", "sim-larg"], KEY, "did you mean 'sim-large'?"),
        (["--artifact", artifact, "--output", artifact], KEY, "would replace"),
        ([*given, "--url", "ftp://x"], KEY, "no address of a gateway"),
        ([*given, "--url", "http://127.0.0.1:9"], KEY, "does not answer"),
    ):
        done = scene.calibrate(*more, key=key)
        assert done.returncode == 2, done.stdout + done.stderr
        assert message in done.stderr
        assert key not in done.stdout + done.stderr
    assert scene.provider.journal() == []


def test_published_scores_need_no_call(scene: Scene) -> None:
    """`--from-benchmarks` reads model_info and calls nobody."""
    scene.provider.reset()
    path = scene.folder / "models.yaml"
    family = read(scene.folder / "data", (SUITE,), POOL).categories[0]
    path.write_text(
        "model_list:\n"
        f"  - model_name: {NEW}\n    litellm_params: {{model: openai/{NEW}}}\n"
        f"    model_info: {{benchmarks: {{{SUITE}: 0.9, {family}: 0.95}}}}\n"
    )
    options = ["--from-benchmarks", "--config", str(path), *scene.artifacts(), "--output", str(scene.folder / "stated")]
    done = scene.calibrate(*options)
    assert done.returncode == 0, done.stdout + done.stderr
    said = FileArtifactStore().load(str(scene.folder / "stated" / "knn")).manifest.training["calibrated"][NEW]
    assert said["by"] == "benchmarks"
    assert said["score"] > 0.6
    path.write_text(path.read_text().replace(SUITE, "unheard-of").replace(family, "never"))
    refused = scene.calibrate(*options)
    assert refused.returncode == 2
    assert "has no score that says anything here" in refused.stderr
    assert scene.provider.journal() == []
