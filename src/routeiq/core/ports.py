"""The ports: what the inside asks of the outside. Every port has an embedded and, where it makes sense, a distributed
implementation; one contract suite runs over both.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.decision import Decision
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.request import Caller, RouteRequest

Vector: TypeAlias = Any
"""A numpy float32 array of shape (dimensions,). Named here so that core stays free of numpy."""


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds since the epoch, for records."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...


class Embedder(Protocol):
    """Text to a vector of unit length.

    `inline` says that `embed` takes less than a millisecond whatever the text, so that it may run on the event loop;
    others run in a thread, under a deadline.
    """

    @property
    def id(self) -> str:
        """Name and content digest; artifacts remember it."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def inline(self) -> bool:
        """Whether `embed` may run on the event loop."""
        ...

    def embed(self, text: str) -> Vector:
        """Return the vector of one text, shape (dimensions,), float32; the zero vector for an empty text."""
        ...

    def embed_many(self, texts: Sequence[str]) -> Any:
        """Return the vectors of many texts, shape (len(texts), dimensions); equal to `embed` of each."""
        ...


class CandidateSource(Protocol):
    """Where candidates come from (LiteLLM's model_list)."""

    def candidates(self) -> Sequence[Candidate]:
        """Return every model group that could be a candidate now."""
        ...


class Authenticator(Protocol):
    """Who may call RouteIQ's own endpoints: LiteLLM's keys, checked by LiteLLM."""

    async def authenticate(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the caller for the (lower-case) headers of a request, or None when its key is missing or wrong."""
        ...

    async def permitted(self, caller: Caller, model: str) -> bool:
        """Return whether the caller could call a model by name."""
        ...


class ArtifactStore(Protocol):
    """Where trained artifacts are kept."""

    def load(self, name: str) -> Artifact:
        """Return a verified artifact; raises ArtifactError or one of its kinds."""
        ...

    def save(self, name: str, artifact: Artifact) -> Artifact:
        """Write an artifact so that a reader sees all of it or none; returns it with its digest filled in."""
        ...


class PosteriorStore(Protocol):
    """Where what a process has learned since an artifact was trained is kept, for its next start."""

    def load(self, alias: str, digest: str) -> Artifact | None:
        """Return what was kept for the artifact with a digest, or None; `alias` is one that serves it.

        What cannot be read is put aside, so that it is not lost and not in the way. Raises ArtifactError when nothing
        can be kept.
        """
        ...

    def save(self, digest: str, state: Artifact) -> None:
        """Keep a state that takes the place of the former, all of it or none; raises ArtifactError."""
        ...

    def put_aside(self, digest: str) -> None:
        """Move what is kept out of the way, because it cannot be used."""
        ...

    def close(self) -> None:
        """Leave what was kept to the next process."""
        ...


class OutcomeLog(Protocol):
    """What was decided and what came of it, durably.

    `record_*` never block and never raise: they are called on the request path, and are written in batches.
    `add_feedback` returns only when the feedback would survive a crash.
    """

    def record_decision(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Queue a decision with what is known of its prompt."""
        ...

    def record_outcome(self, outcome: Outcome) -> None:
        """Queue an outcome."""
        ...

    async def add_feedback(self, feedback: Feedback) -> None:
        """Store feedback; raises UnknownDecision, or StoreUnavailable when it cannot be made durable."""
        ...

    async def find(self, decision_id: str) -> "Remembered | None":
        """Return what is known of a decision, or None."""
        ...

    async def flush(self) -> None:
        """Return when everything queued so far is durable, or raise StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Flush and release the store."""
        ...


class Remembered(Protocol):
    """A decision as the log gives it back."""

    @property
    def decision(self) -> Decision:
        """What was decided."""
        ...

    @property
    def caller(self) -> Caller:
        """Whose request it was."""
        ...

    @property
    def embedding(self) -> Vector | None:
        """The prompt's vector, shape (dimensions,), None when there was none."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, None while it is under way."""
        ...

    @property
    def feedback(self) -> tuple[Feedback, ...]:
        """All feedback, oldest first."""
        ...


class Telemetry(Protocol):
    """Spans, metrics and log lines about decisions. Never raises and never blocks."""

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Report a decision; `parent` is the vendor's own handle of the enclosing span, or None."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """Report an outcome."""
        ...

    def failed(self, where: str, error: BaseException) -> None:
        """Count an error that RouteIQ swallowed so that the request could go on; `where` is of low cardinality."""
        ...
