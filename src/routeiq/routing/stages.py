"""The extension surface of routing on one page: Filter, Scorer, Picker, and what they are given.

A strategy is a profile: filters take candidates out, weighted scorers predict what each would give, one picker turns
utilities into probabilities. All three are synchronous, do no I/O and hold no state that changes with a request: what
varies (load, randomness, turn) is handed in. An exception here is caught once, in `flow`, and the request goes on with
the operator's order.

Arrays have shape (n,) over the candidates of `View.table` and are never written to after they are returned.
"""

from dataclasses import dataclass, field
from typing import Protocol

from routeiq.core.decision import Reason
from routeiq.core.ports import Vector
from routeiq.core.request import RouteRequest
from routeiq.routing.table import Bools, CandidateTable, Floats
from routeiq.routing.vitals import Vitals


@dataclass(frozen=True, slots=True)
class Features:
    """What was computed from the prompt before the decision.

    `embedding` is a float32 array of shape (dimensions,), or None, and then `absent` is the reason word.
    """

    embedding: Vector | None = field(default=None, repr=False)
    embedder: str | None = None
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything a stage may look at. `vitals` is read only."""

    request: RouteRequest
    features: Features
    table: CandidateTable
    vitals: Vitals


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a scorer expects of each candidate.

    `score` has shape (n,), in [0, 1], NaN where the scorer has no opinion: such a candidate is ranked behind those it
    knows. `quality` says whether the score predicts the quality of the answer (and is reported as such) or only states
    a preference. `cost_usd`, `latency_s` and `evidence` (effective number of recorded outcomes) are given by scorers
    that know better than the price list; None otherwise. `variance` is that of `score` as an estimate (not of single
    answers), given by scorers whose picker explores by it. `typical_cost_usd` is what a request costs on average over
    models and training prompts: a scorer that tells dear prompts from cheap ones gives it, so that the cost weight
    counts a dollar alike on both; without it a cost counts relative to the other candidates' on this prompt.
    """

    score: Floats
    quality: bool = False
    cost_usd: Floats | None = None
    latency_s: Floats | None = None
    evidence: Floats | None = None
    variance: Floats | None = None
    typical_cost_usd: float | None = None


class Filter(Protocol):
    """Takes out candidates that cannot or may not serve the request.

    A filter with an attribute `permission` that is true says who may use what: what it takes out is never served, also
    when routing fails and the operator's order is used, and an error in it refuses the request.
    """

    @property
    def name(self) -> str:
        """The word that explanations give for a candidate it removed."""
        ...

    def exclude(self, view: View) -> Bools | None:
        """Return True for each candidate to take out, shape (n,), or None for nobody."""
        ...


class Scorer(Protocol):
    """Predicts what each candidate would give. Scores every candidate; filtering is not its business."""

    @property
    def name(self) -> str:
        """The scorer's name in explanations."""
        ...

    def predict(self, view: View) -> Prediction:
        """Return a prediction over all candidates; must not depend on which of them are filtered out."""
        ...


@dataclass(frozen=True, slots=True)
class Pick:
    """A picker's answer: the position it chose and the probabilities it chose with, shape (m,), summing to 1."""

    position: int
    probability: Floats


class Picker(Protocol):
    """Chooses by utility, and states with which probability it would have chosen each candidate."""

    @property
    def on_best(self) -> Reason:
        """The reason reported when the choice has the best utility."""
        ...

    @property
    def off_best(self) -> Reason:
        """The reason reported when it has not."""
        ...

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose among the m >= 1 candidates that were not filtered out.

        `utility` (m,) is finite; `cost_usd` (m,) may be NaN and only breaks ties; `draw` is uniform in [0, 1) and the
        only source of chance; `turn` counts the decisions of this alias in this process.
        """
        ...


class UncertainPicker(Picker, Protocol):
    """A picker that also looks at how uncertain utilities are. It is asked by `pick` where no scorer says."""

    def pick_uncertain(self, utility: Floats, deviation: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose as `pick` does; `deviation` (m,) is the standard deviation of each utility, 0 where unknown."""
        ...
