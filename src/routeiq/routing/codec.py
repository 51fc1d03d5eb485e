"""An artifact as bytes: the manifest as JSON, the arrays as `.npz` without pickled objects.

Owns the form and its checks: the digest is compared before the arrays are parsed, and the same content always gives the
same bytes (fixed timestamps, sorted names), so that a digest identifies what was learned. Where the bytes are kept is
the business of an `ArtifactStore`.
"""

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from routeiq.core.artifact import ARTIFACT_SCHEMA, Artifact, Manifest
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError, ArtifactSchemaTooNew, EmbedderMismatch, nearest

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER, _FIELD_HEADER, _PADDING_FIELD, _ALIGNMENT = 30, 4, 0xD935, 64
_FIELDS = {field.name for field in fields(Manifest)}
_REQUIRED = ("strategy", "version", "candidates", "sha256")
_TEXT = ("strategy", "version", "sha256", "created")
_OPTIONAL_TEXT = ("embedder", "parent", "signature")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Both files of an artifact."""

    manifest: bytes
    arrays: bytes


def seal(artifact: Artifact) -> Artifact:
    """Return the artifact with the digest of its arrays and, where it has none yet, a version derived from it."""
    digest = hashlib.sha256(_pack(artifact.arrays)).hexdigest()
    manifest = artifact.manifest
    version = manifest.version or f"{manifest.strategy}-{digest[:12]}"
    return replace(artifact, manifest=replace(manifest, sha256=digest, version=version))


def encode(artifact: Artifact) -> Encoded:
    """Return the bytes of an artifact, sealed; the same artifact always gives the same bytes."""
    sealed = seal(artifact)
    manifest = json.dumps(asdict(sealed.manifest), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return Encoded((manifest + "\n").encode(), _pack(sealed.arrays))


def signed_part(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest that a signature covers: everything but the signature, the arrays by their digest.

    The same manifest gives the same bytes however its file is laid out.
    """
    content = {key: value for key, value in asdict(manifest).items() if key != "signature"}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode(encoded: Encoded, name: str) -> Artifact:
    """Return a verified artifact; `name` is the file that errors speak of.

    Raises ArtifactError for a manifest or arrays that cannot be read, ArtifactSchemaTooNew for a newer form, and
    ArtifactDigestMismatch when the arrays are not the ones the manifest was written for.
    """
    manifest = decode_manifest(encoded.manifest, name)
    found = hashlib.sha256(encoded.arrays).hexdigest()
    if found != manifest.sha256:
        raise ArtifactDigestMismatch(
            f"the arrays of artifact {name} ({len(encoded.arrays)} bytes) have sha256 {found[:12]}..., its manifest "
            f"says {manifest.sha256[:12]}...: the file is truncated, was changed, or belongs to another manifest; "
            "copy both files again or train anew"
        )
    return Artifact(manifest, _unpack(encoded.arrays, name))


def decode_manifest(content: bytes, name: str) -> Manifest:
    """Return the checked manifest of artifact `name`; raises ArtifactError or ArtifactSchemaTooNew."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"the manifest of artifact {name} is not JSON ({error}): it is truncated or was changed; "
            "copy both files again or train anew"
        ) from error
    if not isinstance(found, dict):
        raise ArtifactError(
            f"the manifest of artifact {name} is not a JSON object; copy both files again or train anew"
        )
    schema = found.get("schema", ARTIFACT_SCHEMA)
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ArtifactError(f"the manifest of artifact {name} has schema {schema!r}, expected a whole number from 1")
    if schema > ARTIFACT_SCHEMA:
        raise ArtifactSchemaTooNew(
            f"artifact {name} has schema {schema}, this RouteIQ reads up to {ARTIFACT_SCHEMA}; "
            "upgrade RouteIQ, or train anew with this version"
        )
    _check_fields(found, name)
    return Manifest(**{**found, "created": found.get("created", ""), "candidates": tuple(found["candidates"])})


def check_embedder(artifact: Artifact, embedder: str | None, dimensions: int | None = None) -> None:
    """Raise EmbedderMismatch unless the artifact was trained on the vectors of this embedder (or needs none).

    `embedder` is the id of the embedder in use, None when there is none; `dimensions` the length of its vectors.
    """
    manifest = artifact.manifest
    if manifest.embedder is None:
        return
    if embedder != manifest.embedder:
        raise EmbedderMismatch(
            f"artifact {manifest.version!r} was trained on vectors of embedder {manifest.embedder!r}, the one in use "
            f"is {embedder!r}; set that embedder, or train the artifact anew with this one"
        )
    if dimensions is not None and manifest.dimensions is not None and dimensions != manifest.dimensions:
        raise EmbedderMismatch(
            f"artifact {manifest.version!r} expects vectors of {manifest.dimensions} dimensions, embedder {embedder!r} "
            f"gives {dimensions}; train the artifact anew"
        )


def _check_fields(found: Mapping[str, Any], name: str) -> None:
    def wrong(key: str, expected: str) -> ArtifactError:
        return ArtifactError(f"the manifest of artifact {name} has {key} {found[key]!r:.80}, expected {expected}")

    for key in _REQUIRED:
        if key not in found:
            raise ArtifactError(f"the manifest of artifact {name} has no {key!r}; copy both files again or train anew")
    for key in found:
        if key not in _FIELDS:
            raise ArtifactError(
                f"the manifest of artifact {name} has an unknown field {key!r}; {nearest(key, _FIELDS)}"
            )
    for key in _TEXT:
        if not isinstance(found.get(key, ""), str):
            raise wrong(key, "text")
    for key in _OPTIONAL_TEXT:
        if not isinstance(found.get(key), str | None):
            raise wrong(key, "text or null")
    candidates = found["candidates"]
    if not isinstance(candidates, list) or not all(isinstance(c, str) for c in candidates) or not candidates:
        raise wrong("candidates", "a list of model names")
    if len(set(candidates)) < len(candidates):
        raise wrong("candidates", "each model once")
    if not isinstance(found.get("dimensions"), int | None):
        raise wrong("dimensions", "a whole number or null")
    for key in ("metrics", "training"):
        if not isinstance(found.get(key, {}), dict):
            raise wrong(key, "a JSON object")


def _pack(arrays: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.extra = _padding(content.tell() + _LOCAL_HEADER + len(info.filename.encode()))
            archive.writestr(info, member.getvalue())
    return content.getvalue()


def _padding(start: int) -> bytes:
    """Return the extra field of a member that would start at `start`, so that its array can be used where it lies.

    Numpy pads its own header to 64 bytes; the field is the one that Android's `zipalign` writes.
    """
    missing = -start % _ALIGNMENT
    if missing == 0:
        return b""
    length = missing if missing >= _FIELD_HEADER else missing + _ALIGNMENT
    return struct.pack("<HH", _PADDING_FIELD, length - _FIELD_HEADER) + bytes(length - _FIELD_HEADER)


def _unpack(content: bytes, name: str) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {member: archive[member] for member in archive.files}
    except (ValueError, OSError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"the arrays of artifact {name} cannot be read ({error}); expected a .npz file without pickled objects; "
            "copy both files again or train anew"
        ) from error
