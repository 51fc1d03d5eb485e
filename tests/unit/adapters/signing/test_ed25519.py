"""Keys, signatures, and what is refused for want of one."""

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.signing import SignedArtifactStore, SigningKey, TrustedKeys
from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import ArtifactSignatureInvalid, ConfigError
from routeiq.routing.codec import seal

ALICE, BOB = SigningKey.generate(), SigningKey.generate()


def artifact(signed_by: SigningKey | None = None) -> Artifact:
    sealed = seal(Artifact(Manifest("knn", "", ("a", "b"), "", "2026"), {"x": np.arange(3.0)}))
    if signed_by is None:
        return sealed
    return replace(sealed, manifest=replace(sealed.manifest, signature=signed_by.sign(sealed.manifest)))


def test_a_signature_outlives_the_file(tmp_path: Path) -> None:
    """What was signed, written and read again is accepted, and the key that signed it is named."""
    store = SignedArtifactStore(FileArtifactStore(), TrustedKeys([BOB.public, ALICE.public]), required=True)
    store.save(str(tmp_path / "knn.npz"), artifact(ALICE))
    found = store.load(str(tmp_path / "knn.npz"))
    assert TrustedKeys([ALICE.public]).verify(found.manifest, "knn") == ALICE.sign(found.manifest).split(":")[1]


@pytest.mark.parametrize("change", [{"candidates": ("a", "c")}, {"version": "other"}, {"sha256": "0" * 64}])
def test_every_field_is_signed(change: dict[str, object]) -> None:
    """A manifest that was changed in any field after it was signed is refused."""
    manifest = replace(artifact(ALICE).manifest, **change)  # type: ignore[arg-type]
    with pytest.raises(ArtifactSignatureInvalid, match="changed after it was signed"):
        TrustedKeys([ALICE.public]).verify(manifest, "knn")


def test_a_strangers_signature_is_refused() -> None:
    """A key that is not trusted is named together with those that are."""
    with pytest.raises(ArtifactSignatureInvalid, match="not trusted") as refused:
        TrustedKeys([BOB.public]).verify(artifact(ALICE).manifest, "knn")
    assert ALICE.sign(artifact().manifest).split(":")[1] in refused.value.message


def test_a_strangers_signature_under_a_trusted_name_is_refused() -> None:
    """That a signature claims to be of a trusted key is not enough."""
    mine, theirs = ALICE.sign(artifact().manifest).split(":"), BOB.sign(artifact().manifest).split(":")
    forged = replace(artifact().manifest, signature=":".join([mine[0], mine[1], theirs[2]]))
    with pytest.raises(ArtifactSignatureInvalid):
        TrustedKeys([ALICE.public]).verify(forged, "knn")


@pytest.mark.parametrize("signature", ["", "ed25519", "ed25519:x", "rsa:1:2", "ed25519:{id}:%%%", "ed25519:{id}:"])
def test_nonsense_is_refused(signature: str) -> None:
    """Whatever stands in the place of a signature is an error of one kind."""
    number = ALICE.sign(artifact().manifest).split(":")[1]
    manifest = replace(artifact().manifest, signature=signature.format(id=number))
    with pytest.raises(ArtifactSignatureInvalid):
        TrustedKeys([ALICE.public]).verify(manifest, "knn")


def test_an_unsigned_artifact_passes_unless_signatures_are_required(tmp_path: Path) -> None:
    """Keys alone do not refuse what was never signed; `required` does."""
    name, keys = str(tmp_path / "knn.npz"), TrustedKeys([ALICE.public])
    FileArtifactStore().save(name, artifact())
    assert SignedArtifactStore(FileArtifactStore(), keys).load(name).manifest.signature is None
    with pytest.raises(ArtifactSignatureInvalid, match="is not signed"):
        SignedArtifactStore(FileArtifactStore(), keys, required=True).load(name)


@pytest.mark.parametrize("password", [None, "correct horse"])
def test_a_key_survives_its_file(tmp_path: Path, password: str | None) -> None:
    """A key is read back with its password only, its file is its owner's, and is never overwritten."""
    path = tmp_path / "signing.pem"
    ALICE.write(path, password)
    assert SigningKey.read(path, password).public == ALICE.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="not overwritten"):
        BOB.write(path)
    with pytest.raises(ConfigError):
        SigningKey.read(path, "wrong" if password else "unneeded")
    if password:
        with pytest.raises(ConfigError, match="needs a password"):
            SigningKey.read(path)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 43 + "=", "ed25519:" + "é" * 44])
def test_a_public_key_that_is_none_says_what_one_is(text: str) -> None:
    """The message names the form and where it comes from."""
    with pytest.raises(ConfigError, match="routeiq admin keygen"):
        TrustedKeys([text])
