"""Who vouches for an artifact: Ed25519 signatures over manifests."""

from routeiq.adapters.signing.ed25519 import SigningKey, TrustedKeys, read_public_key
from routeiq.adapters.signing.store import SignedArtifactStore

__all__ = ["SignedArtifactStore", "SigningKey", "TrustedKeys", "read_public_key"]
