"""An artifact store that hands out only what somebody trusted has signed.

Owns when a signature is asked for. Where artifacts are kept is the inner store's business.
"""

from dataclasses import dataclass

from routeiq.adapters.signing.ed25519 import TrustedKeys
from routeiq.core.artifact import Artifact
from routeiq.core.ports import ArtifactStore


@dataclass(frozen=True, slots=True)
class SignedArtifactStore:
    """Implements `core.ports.ArtifactStore` around another store.

    A signed artifact must be signed by a trusted key; an unsigned one is refused when signatures are `required`.
    """

    inner: ArtifactStore
    trusted: TrustedKeys
    required: bool = False

    def load(self, name: str) -> Artifact:
        """Return a verified artifact; raises what the inner store raises, or ArtifactSignatureInvalid."""
        artifact = self.inner.load(name)
        if self.required or artifact.manifest.signature is not None:
            self.trusted.verify(artifact.manifest, name)
        return artifact

    def save(self, name: str, artifact: Artifact) -> Artifact:
        """Write an artifact as the inner store does."""
        return self.inner.save(name, artifact)
