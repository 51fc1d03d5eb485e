"""`routeiq admin champion`, and a configuration that names its pointer by an address."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.app import run
from routeiq.config.champion import pointer_in
from routeiq.core.artifact import Artifact, Manifest


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    arrays = dict.fromkeys(("prior_score", "prior_tokens", "input_price", "output_price"), np.ones(2))
    FileArtifactStore().save(
        str(tmp_path / "best-1.2.npz"), Artifact(Manifest("fixed", "", ("a", "b"), "", ""), arrays)
    )
    return tmp_path / "best-1.2.npz"


def test_the_pointer_is_the_artifacts(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has the digest and version of the manifest, and the name of the file or where it will be."""
    manifest = FileArtifactStore().load(str(artifact)).manifest
    for options, name in ([], "best-1.2.npz"), (["--at", "s3://b/best.npz", "--note", "good"], "s3://b/best.npz"):
        assert run(["admin", "champion", str(artifact), *options]) == 0
        found = pointer_in(capsys.readouterr().out.encode(), "x")
        assert found is not None
        assert (found.artifact, found.sha256, found.version) == (name, manifest.sha256, manifest.version)
    assert run(["admin", "champion", str(artifact), "--at", "s4://b/best.npz"]) == 2
    assert "--at: 's4' is no scheme" in capsys.readouterr().err


def test_check_fetches_and_shows_what_a_pointer_names(
    tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`routeiq check` compiles with the artifact at the address, of the strategy it was trained for."""
    assert run(["admin", "champion", str(artifact)]) == 0
    (tmp_path / "champion.json").write_text(capsys.readouterr().out)
    group = {
        "group_name": "auto",
        "models": ["a", "b"],
        "routing_strategy": "priority",
        "model_priorities": {"a": 1, "b": 1},
    }
    wanted = {
        "model_list": [{"model_name": n, "litellm_params": {"model": f"openai/{n}"}} for n in "ab"],
        "router_settings": {"routing_groups": [group]},
        "routeiq_settings": {
            "strategy": "trained",
            "artifact": f"file://{tmp_path}/champion.json",
            "artifact_cache": {"path": "cache"},
            "aliases": {"auto": {}},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(wanted))
    assert run(["check", "--config", str(tmp_path / "config.yaml")]) == 0
    assert FileArtifactStore().load(str(artifact)).manifest.version in " ".join(capsys.readouterr().out.split())
    (tmp_path / "champion.json").write_text('{"artifact": "best-1.2.npz", "sha256": "' + 64 * "0" + '"}')
    wanted["routeiq_settings"]["artifact_cache"]["path"] = "other"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(wanted))
    assert run(["check", "--config", str(tmp_path / "config.yaml")]) != 0
    assert "write the pointer anew" in " ".join(capsys.readouterr().err.split())
