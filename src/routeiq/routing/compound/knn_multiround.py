"""`knn-multiround`: smaller questions, each to the candidate that recorded outcomes recommend, then one answer.

Source: the multi-round family of LLMRouter (decompose, route each part by nearest neighbours, aggregate), over our
artifacts, which rank candidates for each part.
"""

from routeiq.routing.compound.ledger import Ledger
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Role, Run, ask_in_turn, best
from routeiq.routing.compound.words import decomposition, notes_of, parts


def knn_multiround(question: Question, pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Decompose, ask the parts, and have the candidate with the best expectation put the answer together.

    A question that is not plain, has one part, or could not be decomposed is answered by that candidate alone.
    """
    order = best(pool)
    found: list[tuple[str, str]] = []
    cut: str | None = None
    decomposer = plan.model or pool[0].name
    if question.plain and ledger.allows(decomposer, keep=order[0].name):
        (reply,) = yield (Ask(decomposer, Role.DECOMPOSE, prompt=decomposition(question.text, plan.rounds)),)
        smaller = parts(reply.text)[: plan.rounds] if reply.ok else ()
        cut = None if reply.ok else "failure"
        if len(smaller) > 1:
            room = len(smaller)
            while room and not ledger.allows(*(None,) * room, keep=order[0].name):
                cut = ledger.refused
                room -= 1
            replies = (yield tuple(Ask(None, Role.PART, prompt=part) for part in smaller[:room])) if room else ()
            found = [(part, reply.text) for part, reply in zip(smaller[:room], replies, strict=True) if reply.ok]
    elif question.plain:
        cut = ledger.refused
    notes = notes_of(found) if found else None
    answer = yield from ask_in_turn(order, ledger, Role.AGGREGATE if found else Role.ANSWER, notes)
    return None if answer is None else Answer(answer, cut=cut)
