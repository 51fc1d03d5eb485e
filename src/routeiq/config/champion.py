"""The pointer to the artifact that is to serve: a small JSON object, changed to have another artifact serve everywhere.

    {"artifact": "knn-8dfd2f3c77a1.npz", "sha256": "8dfd2f...", "version": "knn-8dfd2f3c77a1"}

Owns its form and its check against the artifact that it names. `artifact` is an address, or a name relative to the
pointer; `sha256` is the digest of the arrays, as the artifact's manifest has it; `version` is the manifest's, and may
be left out, like `note`, which is for people.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from routeiq.config.addresses import checked
from routeiq.core.artifact import Manifest
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError, nearest

FIELDS: Final = ("artifact", "sha256", "version", "note")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Champion:
    """What a pointer says."""

    artifact: str
    sha256: str
    version: str | None = None

    def check(self, manifest: Manifest, name: str) -> None:
        """Raise ArtifactDigestMismatch unless the artifact is the one that the pointer at `name` means."""
        for what, said, found in (
            ("sha256", self.sha256, manifest.sha256),
            ("version", self.version, manifest.version),
        ):
            if said is not None and said != found:
                raise ArtifactDigestMismatch(
                    f"{name} points to {self.artifact} with {what} {said[:40]}, but that artifact has {found[:40]}: it "
                    "was replaced, or the pointer was written for another; write the pointer anew, and give every "
                    "version of an artifact a name of its own"
                )


def pointer_in(content: bytes, name: str) -> Champion | None:
    """Return the pointer that a JSON text is, None when it is something else; raises ArtifactError for a wrong one."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "artifact" not in found or "candidates" in found:
        return None
    return _pointer(found, name)


def _pointer(found: Mapping[str, Any], name: str) -> Champion:
    for key in found:
        if key not in FIELDS:
            raise ArtifactError(f"{name}: the pointer has an unknown field {key!r}; {nearest(key, FIELDS)}")
    artifact, digest, version = found["artifact"], found.get("sha256"), found.get("version")
    if not isinstance(artifact, str) or not artifact:
        raise ArtifactError(f"{name}: the pointer has artifact {artifact!r:.80}, expected an address or a name")
    try:
        checked(artifact)
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}") from None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ArtifactError(
            f"{name}: the pointer has sha256 {digest!r:.80}, expected the 64 hexadecimal digits of the artifact's "
            "manifest; `routeiq admin champion` writes a pointer"
        )
    if not isinstance(version, str | None):
        raise ArtifactError(f"{name}: the pointer has version {version!r:.80}, expected text")
    return Champion(artifact, digest, version)
