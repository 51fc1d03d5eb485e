"""`cascade`: from the cheapest candidate upwards, until one may be believed.

Owns the order and the two confidences. Source: FrugalGPT (arXiv 2305.05176) for the cascade; self-consistency (arXiv
2203.11171) as confidence; the expected score of a trained artifact in place of FrugalGPT's scoring model.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from routeiq.routing.compound.ledger import Ledger
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Reply, Role, Run, ask_in_turn, best
from routeiq.routing.compound.words import essence
from routeiq.routing.table import TYPICAL_OUTPUT_TOKENS, CandidateTable

EXPECTED_SCORE = "expected_score"
SELF_CONSISTENCY = "self_consistency"

TYPICAL_PROMPT_TOKENS: Final = 500
"""Length of the prompt by which candidates are ordered from the cheapest to the dearest."""


def by_price(table: CandidateTable) -> NDArray[np.intp]:
    """Return the positions of candidates from the cheapest to the dearest; as they stand where a price is unknown."""
    price = table.cost(TYPICAL_PROMPT_TOKENS, TYPICAL_OUTPUT_TOKENS)
    return np.arange(len(table)) if np.isnan(price).any() else np.argsort(price, kind="stable")


def cascade(question: Question, pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Return the first answer whose confidence reaches the threshold, from the cheapest candidate upwards."""
    run = _expected if plan.confidence == EXPECTED_SCORE else _consistent
    return run(pool, ledger, plan)


def _expected(pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Ask the cheapest whose expected score reaches the threshold, else the dearest; the others when that fails.

    This confidence needs no answer, so candidates that would not be believed are not called.
    """
    trusted = tuple(p for p in pool if p.expected_score is not None and p.expected_score >= plan.threshold)
    first = trusted or pool[-1:]
    rest = tuple(p for p in best(pool) if p not in first)
    reply = yield from ask_in_turn((*first, *rest), ledger)
    if reply is None:
        return None
    score = next((p.expected_score for p in pool if p.name == reply.model), None)
    return Answer(reply, score)


def _consistent(pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Ask each candidate several times; an answer that enough of its own answers agree with is believed."""
    kept: list[tuple[float, Reply]] = []
    cut: str | None = None
    for prospect in pool:
        if prospect is pool[-1]:
            if not ledger.allows(prospect.name):
                cut = ledger.refused
                break
            (reply,) = yield (Ask(prospect.name, Role.ANSWER, live=True),)
            if reply.ok:
                return Answer(reply)
            break
        asks = (Ask(prospect.name, Role.ANSWER), *(Ask(prospect.name, Role.SAMPLE) for _ in range(plan.samples - 1)))
        if not ledger.allows(*(ask.model for ask in asks)):
            cut = ledger.refused
            if kept or not ledger.allows(prospect.name):
                break
            asks = asks[:1]
        replies = yield asks
        found = agreement(replies)
        if found is not None:
            kept.append(found)
            ledger.scores[found[1].number] = found[0]
            if cut is None and found[0] >= plan.threshold:
                return Answer(found[1], found[0])
        if cut is not None and kept:
            break
    if not kept:
        return None
    score, reply = max(kept, key=lambda pair: pair[0])
    return Answer(reply, score, cut=cut or "failure")


def agreement(replies: tuple[Reply, ...]) -> tuple[float, Reply] | None:
    """Return the share of the calls that gave the most frequent answer, and the first reply that gave it.

    A call that failed agrees with nothing. None when all failed.
    """
    groups: dict[str, list[Reply]] = {}
    for reply in replies:
        if reply.ok:
            groups.setdefault(essence(reply.text), []).append(reply)
    if not groups:
        return None
    largest = max(groups.values(), key=len)
    return len(largest) / len(replies), largest[0]
