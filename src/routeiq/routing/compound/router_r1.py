"""`router-r1`: a policy model thinks, asks other models, reads what they say, and writes the answer itself.

Source: Router-R1 (arXiv 2506.09033), its protocol of think, search, information and answer blocks. The paper trains the
policy by reinforcement; any model that follows the protocol can be named, a trained one or not.
"""

from routeiq.routing.compound.ledger import Ledger
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Reply, Role, Run, ask_in_turn, best
from routeiq.routing.compound.words import (
    LAST_TURN,
    NO_REPLY,
    NOT_AN_ACTION,
    act,
    information,
    notes_of,
    policy_prompt,
)


def router_r1(question: Question, pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Let the policy take at most `rounds` turns and one more to answer.

    Where it gives no answer, or the question is not plain, the candidate with the best expectation answers with what
    was found out.
    """
    names = tuple(prospect.name for prospect in pool)
    order = best(pool)
    policy = plan.model or order[0].name
    transcript: list[str] = []
    found: list[tuple[str, str]] = []
    cut: str | None = None
    for turn in range(plan.rounds + 1 if question.plain else 0):
        if not ledger.allows(policy, keep=order[0].name):
            cut = ledger.refused
            break
        last = [LAST_TURN] if turn == plan.rounds else []
        (reply,) = yield (Ask(policy, Role.POLICY, prompt=policy_prompt(question.text, names, [*transcript, *last])),)
        if not reply.ok:
            cut = "failure"
            break
        action = act(reply.text, names)
        transcript.append(action.said)
        if action.answer is not None:
            return Answer(reply, text=action.answer)
        if action.model is None or action.question is None:
            transcript.append(information(NOT_AN_ACTION))
            continue
        if turn == plan.rounds or not ledger.allows(action.model, keep=order[0].name):
            cut = "unreadable" if turn == plan.rounds else ledger.refused
            break
        told = yield (Ask(action.model, Role.PART, prompt=action.question),)
        text = _text(told)
        found.append((action.question, text))
        transcript.append(information(text))
    notes = notes_of(found) if found else None
    answer = yield from ask_in_turn(order, ledger, Role.AGGREGATE if found else Role.ANSWER, notes)
    return None if answer is None else Answer(answer, cut=cut or ("unreadable" if question.plain else None))


def _text(replies: tuple[Reply, ...]) -> str:
    return replies[0].text if replies[0].ok else NO_REPLY
