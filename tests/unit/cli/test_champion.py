"""`routeiq admin champion`, and a configuration that names its pointer by an address."""

import os
import shutil
from dataclasses import replace
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


def test_a_process_that_starts_looks_for_the_newest(
    tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What was fetched before serves only while nothing newer is there, or the place is gone."""
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/a}}
router_settings:
  routing_groups:
    - {group_name: auto, models: [a], routing_strategy: priority, model_priorities: {a: 1}}
routeiq_settings:
  strategy: trained
  artifact: file://PLACE/best-1.2.npz
  artifact_cache: {path: cache}
  aliases: {auto: {}}
"""
    place, config = tmp_path / "place", tmp_path / "config.yaml"
    place.mkdir()
    config.write_text(text.replace("PLACE", str(place)))

    def shown() -> str:
        for looked in tmp_path.glob("cache/at/*/looked"):
            os.utime(looked, (0, 0))  # as if it had been long ago
        assert run(["check", "--config", str(config)]) == 0
        return " ".join(capsys.readouterr().out.split())

    versions = []
    for score in (1.0, 2.0):
        found = FileArtifactStore().load(str(artifact))
        arrays = {**found.arrays, "prior_score": np.full(2, score)}
        manifest = replace(found.manifest, version=f"fixed-{score:.0f}")
        FileArtifactStore().save(str(place / "best-1.2.npz"), Artifact(manifest, arrays))
        versions.append(manifest.version)
        assert manifest.version in shown()
    shutil.rmtree(place)
    assert versions[-1] in shown()
    assert "what was fetched before is served" in caplog.text


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
