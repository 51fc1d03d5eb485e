"""What command line tests start from: an environment without our variables, and a terminal wide enough for tables."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from routeiq.cli.app import run
from tests.unit.learn.scene import MODELS, PRICES, world, write_world


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


Command = Callable[..., Finished]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs a command in this process."""
    for name in list(os.environ):
        if name.startswith(("ROUTEIQ_", "LITELLM_", "OTEL_")) or name in {"CONFIG_FILE_PATH", "WORKER_CONFIG"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "240")

    def call(*arguments: str | Path) -> Finished:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Finished(status, written.out, written.err)

    return call


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recorded outcomes of three models on two topics, too few to tune on and so quickly trained."""
    return write_world(tmp_path_factory.mktemp("outcomes"), world(prompts=128))


@pytest.fixture(scope="session")
def trained(outcomes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the artifact `knn.npz` that was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    output = folder / "knn.npz"
    assert run(["train", "knn", "--data", str(outcomes), "--suite", "toy", "--output", str(output)]) == 0
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a configuration over the three models with a section of ours."""
    entries = "".join(
        f"  - model_name: {name}\n"
        f"    litellm_params: {{model: openai/{name}-1, api_key: sk-secret}}\n"
        f"    model_info: {{input_cost_per_token: {PRICES[name]}e-6, output_cost_per_token: {2 * PRICES[name]}e-6}}\n"
        for name in MODELS
    )
    group = (
        "router_settings:\n  routing_groups:\n    - group_name: auto\n      models: [cheap, dear, poet]\n"
        "      routing_strategy: priority\n      model_priorities: {cheap: 1, dear: 1, poet: 1}\n"
    )

    def write(section: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(f"model_list:\n{entries}{group}{section}")
        return path

    return write
