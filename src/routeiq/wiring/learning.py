"""What turns text into vectors, where artifacts come from, and what they and the settings compile to."""

from collections.abc import Sequence
from pathlib import Path

from routeiq.config.compile import compile_snapshot
from routeiq.config.load import Settings
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ConfigError
from routeiq.core.ports import ArtifactStore, Embedder, Telemetry
from routeiq.routing.learners import Learners
from routeiq.routing.snapshot import Snapshot


def embedder_of(settings: Settings) -> Embedder | None:
    """Return the embedder that the settings name, None for `kind: none`; raises ConfigError."""
    if settings.routeiq.embedder.kind == "none":
        return None
    return encoder(settings.encoder)


def encoder(folder: Path | None) -> Embedder:
    """Return the encoder in a folder, or the built-in embedder; raises ConfigError."""
    if folder is None:
        from routeiq.routing.embedding import load_default

        return load_default()
    try:
        from routeiq.adapters.onnx import OnnxEmbedder
    except ModuleNotFoundError as error:
        raise ConfigError(f"an ONNX encoder needs {error.name}; run: pip install 'routeiq-router[onnx]'") from None
    return OnnxEmbedder(folder)


def snapshot_of(settings: Settings, candidates: Sequence[Candidate], embedder: Embedder | None) -> Snapshot:
    """Return the compiled configuration; raises ConfigError or ArtifactError."""
    return compile_snapshot(settings, candidates, artifacts_of(settings), embedder)


def artifacts_of(settings: Settings) -> ArtifactStore:
    """Return where artifacts come from, with whose word they need; raises ConfigError."""
    from routeiq.adapters.files.artifacts import FileArtifactStore

    wanted = settings.routeiq.signatures
    if not wanted.trusted_keys:
        return FileArtifactStore()
    try:
        from routeiq.adapters.signing import SignedArtifactStore, TrustedKeys
    except ModuleNotFoundError as error:
        raise ConfigError(f"signatures need {error.name}; run: pip install 'routeiq-router[proxy]'") from None
    try:
        trusted = TrustedKeys(wanted.trusted_keys)
    except ConfigError as error:
        raise ConfigError(f"{settings.where('signatures', 'trusted_keys')}: {error.message}") from None
    return SignedArtifactStore(FileArtifactStore(), trusted, wanted.required)


def learners_of(settings: Settings, telemetry: Telemetry) -> Learners:
    """Return what learns while serving, with its state in files."""
    from routeiq.adapters.files.posteriors import FilePosteriorStore

    online = settings.routeiq.online
    return Learners(
        store=FilePosteriorStore(settings.learned),
        failed=telemetry.failed,
        answered=online.answered_score,
        save_updates=online.save_updates,
        save_seconds=online.save_seconds,
    )
