"""Which audit the settings ask for, that it is written when a gateway closes, and what it hears of reloads."""

from dataclasses import replace
from pathlib import Path

import pytest

from routeiq.adapters.files.audit import FileAudit
from routeiq.adapters.files.audit_lines import newest_first, verify
from routeiq.config.load import load
from routeiq.config.reload import SyncStatus
from routeiq.core.audit import SIGNAL, AuditTrail, NoAudit, acts
from routeiq.testing.fakes import FakeClock, RecordingAudit
from routeiq.wiring.auditing import audit_of, telling_of
from tests.unit.test_wiring import assembled

OK = SyncStatus("ok", "v1", "d1", "d1", 0.0, 0.0)


def kept(folder: Path, section: str) -> object:
    """The audit of a configuration."""
    (folder / "config.yaml").write_text(f"model_list: []\n{section}\n")
    return audit_of(load(folder / "config.yaml"), FakeClock())


def test_the_settings_say_where_or_that_none_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the configuration unless another folder is named; none without a section, or for `null`."""
    at = kept(tmp_path, "routeiq_settings:")
    assert isinstance(at, FileAudit)
    assert at.folder == tmp_path / "audit"
    named = kept(tmp_path, "routeiq_settings: {audit: {path: /var/kept}}")
    assert isinstance(named, FileAudit)
    assert named.folder == Path("/var/kept")
    assert isinstance(kept(tmp_path, "routeiq_settings: {audit: {path: null}}"), NoAudit)
    assert isinstance(kept(tmp_path, ""), NoAudit)
    monkeypatch.setenv("ROUTEIQ_AUDIT_PATH", str(tmp_path / "elsewhere"))
    from_environment = kept(tmp_path, "routeiq_settings: {audit: {path: null}}")
    assert isinstance(from_environment, FileAudit)
    assert from_environment.folder == tmp_path / "elsewhere"
    assert not (tmp_path / "audit").exists()  # nothing is made before there is something to keep


async def test_closing_a_gateway_writes_what_waits(tmp_path: Path) -> None:
    """What was told a moment before the end is in the file, under one pseudonym, with a salt of its own."""
    gateway = assembled(tmp_path, "embedder: {kind: none}")
    with acts("hash-of-key", "req-1"):
        gateway.audit.tell("secret.rotated", "REDIS_URL")
    await gateway.close()
    [entry] = newest_first(gateway.settings.path.parent / "audit")
    assert (entry["kind"], entry["subject"], entry["request_id"]) == ("secret.rotated", "REDIS_URL", "req-1")
    assert entry["actor"].startswith("key:")
    assert entry["worker"] == gateway.shared.worker
    assert gateway.checks()["audit"] == "ok"
    assert verify(gateway.settings.path.parent / "audit").lines == 1


def test_changes_of_the_configuration_are_told_with_what_they_changed() -> None:
    """Versions before and after, why one was refused, and a refused artifact as such, by whoever made it so."""
    audit = RecordingAudit()
    tell = telling_of(AuditTrail(audit, FakeClock(), "w", lambda: "r"), "v1")
    tell(replace(OK, version="v2", digest="d2"))
    tell(replace(OK, state="rejected", version="v2", seen="e" * 64, reason="unknown_key", message="config.yaml:3: no"))
    tell(replace(OK, state="rejected", seen="f" * 64, reason="artifact_signature", message="knn.npz: not signed"))
    with acts(SIGNAL):
        tell(replace(OK, state="rolled_back", version="v1"))
    assert [(e.kind, e.subject, e.before, e.after, e.result, e.reason) for e in audit.events] == [
        ("config.reloaded", "configuration", "v1", "v2", "ok", None),
        ("config.rejected", "configuration", "v2", "e" * 12, "refused", "unknown_key"),
        ("config.rejected", "configuration", "v2", "f" * 12, "refused", "artifact_signature"),
        ("artifact.refused", "knn.npz: not signed", None, None, "refused", "artifact_signature"),
        ("config.rolled_back", "configuration", "v2", "v1", "ok", None),
    ]
    assert [e.actor for e in audit.events] == ["gateway"] * 4 + ["signal"]
