"""`routeiq admin keygen`, `sign` and `verify`, and what the settings make of signatures."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.app import run
from routeiq.core.artifact import Artifact, Manifest


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "knn.npz"
    made = Artifact(Manifest("knn", "", ("a", "b"), "", "2026"), {"x": np.arange(3.0)})
    FileArtifactStore().save(str(path), made)
    return path


def test_keygen_sign_verify(tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new key signs, its public half verifies, and a changed manifest does not pass."""
    key = tmp_path / "signing.pem"
    assert run(["admin", "keygen", "--output", str(key)]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == (tmp_path / "signing.pub").read_text().strip()
    assert run(["admin", "verify", str(artifact), "--trusted", str(key.with_suffix(".pub"))]) == 2
    assert run(["admin", "sign", str(artifact), "--key", str(key)]) == 0
    assert run(["admin", "verify", str(artifact), "--trusted", str(key.with_suffix(".pub"))]) == 0
    manifest = artifact.with_suffix(".json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created": "2027"}))
    capsys.readouterr()
    assert run(["admin", "verify", str(artifact), "--trusted", str(key.with_suffix(".pub"))]) == 2
    assert "changed after it was signed" in capsys.readouterr().err


def test_settings_refuse_what_nobody_trusted_signed(
    tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`routeiq check` refuses an unsigned artifact where signatures are required, and names key and remedy."""
    run(["admin", "keygen", "--output", str(tmp_path / "signing.pem")])
    public = capsys.readouterr().out.strip()

    def check(signatures: object) -> tuple[int, str]:
        ranks = {"a": 1, "b": 1}
        group = {"group_name": "auto", "models": ["a", "b"], "routing_strategy": "priority", "model_priorities": ranks}
        wanted = {
            "model_list": [{"model_name": n, "litellm_params": {"model": f"openai/{n}"}} for n in "ab"],
            "router_settings": {"routing_groups": [group]},
            "routeiq_settings": {
                "strategy": "knn",
                "artifact": str(artifact),
                "aliases": {"auto": {}},
                "signatures": signatures,
            },
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(wanted))
        status = run(["check", "--config", str(tmp_path / "config.yaml")])
        return status, " ".join(capsys.readouterr().err.split())

    status, said = check({"trusted_keys": [public], "required": True})
    assert status != 0
    assert "is not signed" in said
    assert check({"required": True})[0] == 2
    status, said = check({"trusted_keys": ["ed25519:short"]})
    assert status == 2
    assert "signatures.trusted_keys" in said
