"""What turns text into vectors, where artifacts come from, and what they and the settings compile to."""

import logging
from collections.abc import Sequence
from pathlib import Path

from routeiq.config.compile import compile_snapshot
from routeiq.config.load import Settings
from routeiq.config.outbound import check_outbound
from routeiq.config.rehearsal import rehearse
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ConfigError
from routeiq.core.ports import Embedder, Telemetry
from routeiq.routing.learners import Learners
from routeiq.routing.snapshot import Snapshot
from routeiq.wiring.artifacts import Artifacts, artifacts_of

logger = logging.getLogger("routeiq.wiring")


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


def snapshot_of(
    settings: Settings,
    candidates: Sequence[Candidate],
    embedder: Embedder | None,
    artifacts: Artifacts | None = None,
    *,
    serving: bool = False,
) -> Snapshot:
    """Return the compiled configuration; raises ConfigError, ArtifactError, or SourceUnavailable for an address.

    `artifacts` are those of the process, which is `serving` already, or is about to and waits for what it needs.
    """
    check_outbound(settings)
    artifacts = artifacts or artifacts_of(settings)
    if not serving:
        artifacts.begin(settings)
    return compile_snapshot(settings, candidates, artifacts.store(settings, strict=serving), embedder)


def warm(snapshot: Snapshot, embedder: Embedder | None) -> None:
    """Decide a few times before the first request does, and say what cannot: a process that starts goes on with it."""
    try:
        rehearse(snapshot, embedder if embedder is not None and embedder.inline else None)
    except ConfigError as error:
        logger.warning("%s", error.message)


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
