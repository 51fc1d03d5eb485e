"""Artifacts as bytes: what is kept, what is refused, and why."""

import io
import json
import pickle
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routeiq.core.artifact import ARTIFACT_SCHEMA, Artifact, Manifest
from routeiq.core.errors import (
    ArtifactDigestMismatch,
    ArtifactError,
    ArtifactSchemaTooNew,
    EmbedderMismatch,
)
from routeiq.routing.codec import Encoded, check_embedder, decode, encode, seal

MANIFEST = Manifest(
    strategy="knn", version="", candidates=("a", "b"), sha256="", created="", embedder="words@1", dimensions=3,
    metrics={"valid_score": 0.5}, training={"seed": 0, "suites": ["toy"]},
)  # fmt: skip
ARTIFACT = Artifact(MANIFEST, {"one": np.arange(6, dtype=np.float32).reshape(2, 3), "two": np.array([1.5, np.nan])})


def with_manifest(**changes: Any) -> Encoded:
    """Encode the artifact with a changed manifest; None removes a field."""
    encoded = encode(ARTIFACT)
    manifest = {**json.loads(encoded.manifest), **changes}
    return replace(encoded, manifest=json.dumps({k: v for k, v in manifest.items() if v is not None}).encode())


def test_what_is_encoded_is_decoded() -> None:
    """Manifest and arrays come back as they were."""
    found = decode(encode(ARTIFACT), "x.npz")
    assert found.manifest == seal(ARTIFACT).manifest
    assert found.manifest.version == f"knn-{found.manifest.sha256[:12]}"
    for name, array in ARTIFACT.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_the_same_content_gives_the_same_bytes() -> None:
    """Neither time nor the order of arrays nor their memory layout is in the bytes."""
    backwards = {name: np.asfortranarray(ARTIFACT.arrays[name]) for name in reversed(list(ARTIFACT.arrays))}
    assert encode(replace(ARTIFACT, arrays=backwards)) == encode(ARTIFACT)


def test_a_given_version_is_kept() -> None:
    """Only an artifact without a version gets one from its digest."""
    named = replace(ARTIFACT, manifest=replace(MANIFEST, version="mine-1"))
    assert decode(encode(named), "x.npz").manifest.version == "mine-1"


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_truncated_arrays_are_a_digest_mismatch(cut: int) -> None:
    """A file that ends early is refused by name, with the remedy."""
    encoded = encode(ARTIFACT)
    with pytest.raises(ArtifactDigestMismatch, match=r"x\.npz.*truncated.*train anew"):
        decode(replace(encoded, arrays=encoded.arrays[:cut]), "x.npz")


def test_one_flipped_bit_is_a_digest_mismatch() -> None:
    """Changed arrays are refused before they are parsed."""
    encoded = encode(ARTIFACT)
    changed = bytearray(encoded.arrays)
    changed[len(changed) // 2] ^= 1
    with pytest.raises(ArtifactDigestMismatch, match=r"x\.npz"):
        decode(replace(encoded, arrays=bytes(changed)), "x.npz")


def test_a_newer_schema_is_refused_as_such() -> None:
    """The message says to upgrade, whatever else the newer manifest holds."""
    with pytest.raises(ArtifactSchemaTooNew, match=f"schema {ARTIFACT_SCHEMA + 1}.*upgrade"):
        decode(with_manifest(schema=ARTIFACT_SCHEMA + 1, novelty=1), "x.npz")


def test_an_older_manifest_without_a_schema_is_read() -> None:
    """The first schema is assumed where none is stated."""
    assert decode(with_manifest(schema=None), "x.npz").manifest.schema == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"candidates": None}, "candidates"),
        ({"sha256": None}, "sha256"),
        ({"strategie": "knn"}, "did you mean 'strategy'"),
        ({"candidates": "a"}, "list of model names"),
        ({"candidates": []}, "list of model names"),
        ({"candidates": ["a", "a"]}, "each model once"),
        ({"strategy": 3}, "text"),
        ({"embedder": 3}, "text or null"),
        ({"dimensions": "many"}, "whole number"),
        ({"metrics": []}, "JSON object"),
        ({"schema": "one"}, "whole number"),
        ({"schema": True}, "whole number"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused_naming_it(changes: dict[str, Any], said: str) -> None:
    """File, field and expectation are in the message."""
    with pytest.raises(ArtifactError, match=r"x\.npz") as caught:
        decode(with_manifest(**changes), "x.npz")
    assert said in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(content: bytes) -> None:
    """Truncated, foreign and hostile manifests end in the same kind of error."""
    with pytest.raises(ArtifactError, match=r"x\.npz"):
        decode(Encoded(content, b""), "x.npz")


def sealed_over(arrays: bytes) -> Encoded:
    """A manifest whose digest fits any bytes."""
    import hashlib

    return replace(with_manifest(sha256=hashlib.sha256(arrays).hexdigest()), arrays=arrays)


def test_pickled_objects_are_never_loaded() -> None:
    """An array file that holds a pickle is refused even with the right digest."""

    class Danger:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("a pickle was loaded",))

    content = io.BytesIO()
    np.savez(content, evil=np.array([Danger()], dtype=object))
    for arrays in (content.getvalue(), pickle.dumps(Danger())):
        with pytest.raises(ArtifactError, match="without pickled objects"):
            decode(sealed_over(arrays), "x.npz")


def test_an_archive_of_something_else_is_refused() -> None:
    """A zip file whose members are not arrays is an artifact error."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("one.npy", b"\x93NUMPY\x01\x00broken")
    with pytest.raises(ArtifactError, match=r"x\.npz"):
        decode(sealed_over(content.getvalue()), "x.npz")


def test_another_embedder_is_refused() -> None:
    """Id and dimensions must be those of training; an artifact without embedder takes any."""
    check_embedder(ARTIFACT, "words@1", 3)
    with pytest.raises(EmbedderMismatch, match=r"words@1.*other@2"):
        check_embedder(ARTIFACT, "other@2", 3)
    with pytest.raises(EmbedderMismatch, match="None"):
        check_embedder(ARTIFACT, None)
    with pytest.raises(EmbedderMismatch, match="3 dimensions"):
        check_embedder(ARTIFACT, "words@1", 4)
    check_embedder(replace(ARTIFACT, manifest=replace(MANIFEST, embedder=None)), None)
