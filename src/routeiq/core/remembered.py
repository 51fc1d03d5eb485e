"""What an outcome log gives back: a decision with everything that came of it, and how the log itself is doing.

Owns which feedback counts. Storing is the business of the adapters that implement `core.ports.OutcomeLog`.
"""

from dataclasses import dataclass, field

from routeiq.core.decision import Decision, Reason
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Vector
from routeiq.core.request import Caller, Surface


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """What is kept of a prompt.

    `tokens` is the estimate the decision was made with. `digest` is the salted hash of the text in hexadecimal, equal
    for equal texts within one installation, `None` where none was computed. `embedding` has shape (dimensions,),
    float32 (16 bits of precision are stored). `text` is `None` unless the operator had prompts stored.
    """

    surface: Surface = Surface.CHAT
    tokens: int = 0
    digest: str | None = None
    embedding: Vector | None = field(default=None, repr=False, compare=False)
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One decision as it is remembered; implements `core.ports.Remembered`. `feedback` is all of it, oldest first."""

    decision: Decision
    caller: Caller = Caller()
    prompt: PromptRecord = PromptRecord()
    outcome: Outcome | None = None
    feedback: tuple[Feedback, ...] = ()

    @property
    def embedding(self) -> Vector | None:
        """The prompt's vector, None when there was none."""
        return self.prompt.embedding

    @property
    def effective(self) -> tuple[Feedback, ...]:
        """The feedback that counts, see `effective`."""
        return effective(self.feedback)

    @property
    def score(self) -> float | None:
        """Mean of the scores that count (0..1), one for each source; None when nobody gave a score."""
        scores = [given.score for given in self.effective if given.score is not None]
        return sum(scores) / len(scores) if scores else None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How an outcome log is doing.

    `healthy` is whether the last write succeeded. `queued` records wait to be written; `dropped` is how many were
    given up on since the start. `last_error_reason` is one word (`disk_full`, `read_only`, `locked`, `corrupt`, ...)
    and stays after recovery. A log in a database that is away keeps records on disk: `spilled` and `replayed` count
    what this worker put there and brought from there to the database, `on_disk` waits there, as last seen.
    """

    healthy: bool = True
    queued: int = 0
    dropped: int = 0
    last_error_reason: str | None = None
    on_disk: int = 0
    spilled: int = 0
    replayed: int = 0


def whose(decision: Decision, outcome: Outcome | None) -> str | None:
    """Return the model whose answer it was, as far as is known; None where the host's cache answered for a virtual
    model: it keeps answers under that name, whichever candidate gave them.
    """
    if outcome is None:
        return decision.choice
    return outcome.model if decision.reason is Reason.NAMED or not outcome.cached else None


def effective(feedback: tuple[Feedback, ...]) -> tuple[Feedback, ...]:
    """Return the feedback that counts: of each source the latest score, and the latest comparison with each model.

    `feedback` is oldest first, and so is what is returned.
    """
    latest = {(given.source, given.other): given for given in feedback}
    kept = {given.id for given in latest.values()}
    return tuple(given for given in feedback if given.id in kept)
