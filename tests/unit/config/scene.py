"""Configurations that settings tests are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError
from routeiq.routing.pickers import Best
from routeiq.routing.scorers.static import Size
from routeiq.routing.strategies import Recipe

LITELLM = """\
model_list:
  - model_name: small
    litellm_params: {model: openai/small-1, api_base: http://127.0.0.1:9/v1, api_key: os.environ/SOME_KEY}
  - model_name: big
    litellm_params: {model: openai/big-1, api_base: http://127.0.0.1:9/v1, api_key: sk-secret}
router_settings:
  num_retries: 2
  routing_groups:
    - group_name: auto
      models: [small, big]
      routing_strategy: priority
      model_priorities: {small: 1, big: 1}
"""
"""Two models and a virtual one in twelve lines; the section that follows begins in line 13, its keys in line 14."""


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text)
    return path


def config(folder: Path, section: str, litellm: str = LITELLM) -> Path:
    """Write a configuration whose RouteIQ section holds the given text, indented by two spaces."""
    indented = "".join(f"  {line}\n" for line in section.splitlines())
    return write(folder, f"{litellm}routeiq_settings:\n{indented}")


CANDIDATES = (
    Candidate("small", 0.1e-6, 0.2e-6, context_window=8_000),
    Candidate("big", 5.0e-6, 15.0e-6, context_window=200_000),
)
"""What LiteLLM knows of the two models."""


@dataclass(frozen=True)
class Vectors:
    """An embedder in name only: compiling compares ids and embeds nothing."""

    id: str = "static-v1"
    dimensions: int = 2
    inline: bool = True

    def embed(self, text: str) -> Any:
        """Return a fixed vector."""
        return np.zeros(2, dtype=np.float32)

    def embed_many(self, texts: Sequence[str]) -> Any:
        """Return fixed vectors."""
        return np.zeros((len(texts), 2), dtype=np.float32)


EMBEDDER = Vectors()


@dataclass
class Shelf:
    """Artifacts in memory, by path; an exception in place of an artifact is raised. Remembers what was asked for."""

    artifacts: dict[str, Artifact | ArtifactError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def load(self, name: str) -> Artifact:
        """Return the artifact on the shelf."""
        self.asked.append(name)
        found = self.artifacts[name]
        if isinstance(found, ArtifactError):
            raise found
        return found

    def save(self, name: str, artifact: Artifact) -> Artifact:
        """Put an artifact on the shelf."""
        self.artifacts[name] = artifact
        return artifact


def artifact(**changes: Any) -> Artifact:
    """Return an artifact of the learned strategy that these tests bring along."""
    fields = {
        "strategy": "oracle",
        "version": "oracle-1",
        "candidates": ("small", "big"),
        "sha256": "0" * 64,
        "created": "2026-11-20T00:00:00Z",
        "embedder": "static-v1",
    }
    return Artifact(Manifest(**{**fields, **changes}), {})


ORACLE = Recipe("oracle", "prefers small", lambda table, trained: Size(largest=False), Best, needs_artifact=True)
"""A learned strategy, as another package would bring it."""
