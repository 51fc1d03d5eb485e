"""What a compound model's method is made of: the question, who may be asked, what it asks for, and how it ends.

Owns the nouns and the form of a method: a generator that yields calls to be made together, is sent their replies in the
same order, and returns the answer. A method does no I/O, knows no clock and no chance, and never raises on a reply.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from routeiq.core.outcome import Usage
from routeiq.routing.compound.ledger import Ledger


class Role(StrEnum):
    """What a call is for."""

    ANSWER = "answer"
    """The client's own request."""
    SAMPLE = "sample"
    """The client's own request once more, to see whether the answers agree."""
    VERIFY = "verify"
    """Is this answer right?"""
    DECOMPOSE = "decompose"
    """Which smaller questions is this one made of?"""
    PART = "part"
    """A smaller question, or one that a policy thought of."""
    POLICY = "policy"
    """What is to be done next?"""
    AGGREGATE = "aggregate"
    """The client's own request, with what was found out so far."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the client asks. `plain` means that `text` is all of it: no tools, no images, no earlier turns."""

    text: str
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Prospect:
    """A candidate that may be asked, and what is expected of its answer to the client's request."""

    name: str
    expected_score: float | None = None
    expected_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A call to be made.

    Without a `prompt` it is the client's own request, `notes` added to its last turn. Without a `model` it goes to the
    candidate that the artifact ranks first for the prompt. A `live` call may be passed on to the client as it comes:
    its reply may have no text, and is only good for an `Answer`.
    """

    model: str | None
    role: Role
    prompt: str | None = None
    notes: str | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call. `error` is one word or a class name where there is no answer; `number` counts from 0."""

    model: str
    role: Role
    number: int
    text: str = ""
    usage: Usage = Usage()
    cost_usd: float | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a method: one of the replies is the answer, with its text replaced where `text` is given.

    `score` is how sure the method is of it (0..1). `cut` is one word for what kept the method from going on.
    """

    reply: Reply
    score: float | None = None
    text: str | None = None
    cut: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The operator's choices for one compound model.

    `threshold` (0..1) is what a confidence must reach. `samples` are how often an answer is verified or sampled.
    `model` plays the method's own part: verifier, decomposer or policy. `rounds` bounds smaller questions.
    """

    threshold: float = 0.5
    samples: int = 3
    confidence: str = "self_consistency"
    model: str | None = None
    rounds: int = 4


Run: TypeAlias = Generator[tuple[Ask, ...], tuple[Reply, ...], Answer | None]
"""A method at work on one request. It returns None when no call gave an answer."""

Method: TypeAlias = Callable[[Question, tuple[Prospect, ...], Ledger, Plan], Run]
"""A method: question, prospects from the cheapest to the dearest (at least one), what may be spent, choices."""


def best(pool: tuple[Prospect, ...]) -> tuple[Prospect, ...]:
    """Return the prospects by expected score, or the dearest first where nothing is expected of any."""
    dearest = tuple(reversed(pool))
    if all(prospect.expected_score is None for prospect in pool):
        return dearest
    return tuple(sorted(dearest, key=lambda p: -1.0 if p.expected_score is None else p.expected_score, reverse=True))


def ask_in_turn(
    order: tuple[Prospect, ...], ledger: Ledger, role: Role = Role.ANSWER, notes: str | None = None
) -> Generator[tuple[Ask, ...], tuple[Reply, ...], Reply | None]:
    """Put the client's request to one prospect after the other until one answers; return that reply, or None."""
    for prospect in order:
        if not ledger.allows(prospect.name):
            continue
        (reply,) = yield (Ask(prospect.name, role, notes=notes, live=True),)
        if reply.ok:
            return reply
    return None
