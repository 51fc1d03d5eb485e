"""`llm-multiround`: a language model says after every round whom to ask what next, or that enough is known.

Source: the multi-round family of LLMRouter with a prompted router model; the protocol is ours: two actions,
one a line.
"""

from routeiq.routing.compound.ledger import Ledger
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Role, Run, ask_in_turn, best
from routeiq.routing.compound.words import NO_REPLY, move, next_move, notes_of


def llm_multiround(question: Question, pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Ask as the router model says, at most `rounds` times, then answer with what was found out.

    The router model may name who answers; otherwise the candidate with the best expectation does. A move that cannot be
    read, a router model that fails, and a question that is not plain lead to the answer at once.
    """
    names = tuple(prospect.name for prospect in pool)
    order = best(pool)
    found: list[tuple[str, str]] = []
    cut: str | None = None
    router = plan.model or order[0].name
    for _ in range(plan.rounds if question.plain else 0):
        if not ledger.allows(router, keep=order[0].name):
            cut = ledger.refused
            break
        (reply,) = yield (Ask(router, Role.POLICY, prompt=next_move(question.text, names, found)),)
        said = move(reply.text, names) if reply.ok else None
        if said is None:
            cut = "failure" if not reply.ok else "unreadable"
            break
        if said.question is None:
            order = tuple(sorted(order, key=lambda prospect: prospect.name != said.model))
            break
        if not ledger.allows(said.model, keep=order[0].name):
            cut = ledger.refused
            break
        (reply,) = yield (Ask(said.model, Role.PART, prompt=said.question),)
        found.append((said.question, reply.text if reply.ok else NO_REPLY))
    notes = notes_of(found) if found else None
    answer = yield from ask_in_turn(order, ledger, Role.AGGREGATE if found else Role.ANSWER, notes)
    return None if answer is None else Answer(answer, cut=cut)
