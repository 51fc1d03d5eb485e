"""The table of methods, and a compound model made ready: a method, its choices, its budget, its candidates.

Owns the names that `routeiq_settings.compound.NAME.method` accepts and what each of them needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from routeiq.routing.compound.automix import automix
from routeiq.routing.compound.cascade import cascade
from routeiq.routing.compound.knn_multiround import knn_multiround
from routeiq.routing.compound.ledger import Budget
from routeiq.routing.compound.llm_multiround import llm_multiround
from routeiq.routing.compound.router_r1 import router_r1
from routeiq.routing.compound.steps import Method, Plan
from routeiq.routing.snapshot import Route


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """One method. `needs` are settings without which it cannot run, `takes` those that it reads beside the common ones.

    `answers_alone` says that the text of an answer is one candidate's reply to the client's own request, so that a
    score of the answer is a score of that candidate.
    """

    name: str
    summary: str
    run: Method
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    answers_alone: bool = True


METHODS: Mapping[str, MethodEntry] = {
    entry.name: entry
    for entry in (
        MethodEntry(
            "cascade",
            "from the cheapest upwards until one may be believed",
            cascade,
            takes=("artifact", "confidence", "threshold", "samples"),
        ),
        MethodEntry(
            "automix",
            "the cheap model answers and checks itself, else the next",
            automix,
            takes=("model", "threshold", "samples"),
        ),
        MethodEntry(
            "knn-multiround",
            "smaller questions, each to whom recorded outcomes recommend",
            knn_multiround,
            needs=("artifact",),
            takes=("artifact", "model", "rounds", "objective"),
            answers_alone=False,
        ),
        MethodEntry(
            "llm-multiround",
            "a language model says after every round whom to ask next",
            llm_multiround,
            needs=("model",),
            takes=("artifact", "model", "rounds"),
            answers_alone=False,
        ),
        MethodEntry(
            "router-r1",
            "a policy model thinks, asks other models and answers",
            router_r1,
            needs=("model",),
            takes=("artifact", "model", "rounds"),
            answers_alone=False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Compound:
    """A compound model as it serves.

    `route` holds all models it may call, and says what is expected of them; `candidates` are those that may answer,
    from the cheapest to the dearest. `plan.model` may be another one, which then only plays the method's own part.
    """

    route: Route
    method: MethodEntry
    plan: Plan
    budget: Budget
    candidates: tuple[str, ...]

    @property
    def name(self) -> str:
        """What clients give as `model`."""
        return self.route.alias
