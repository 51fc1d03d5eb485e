"""`automix`: the cheap model answers and checks itself; what it does not vouch for goes to the next.

Source: AutoMix (arXiv 2310.12963): few-shot self-verification, asked k times, the share of "correct" as confidence, and
its threshold router in place of the POMDP.
"""

from routeiq.routing.compound.ledger import Ledger
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Reply, Role, Run
from routeiq.routing.compound.words import verdict, verification


def automix(question: Question, pool: tuple[Prospect, ...], ledger: Ledger, plan: Plan) -> Run:
    """Return the first answer that its own model (or `plan.model`) calls right often enough, or the dearest one's.

    An answer that nobody could check is not accepted as long as there is another candidate. When calls run out or
    fail, the answer with the best verdict is served.
    """
    kept: list[tuple[float, Reply]] = []
    cut: str | None = None
    for prospect in pool:
        if not ledger.allows(prospect.name):
            cut = ledger.refused
            break
        last = prospect is pool[-1]
        (reply,) = yield (Ask(prospect.name, Role.ANSWER, live=last),)
        if not reply.ok:
            continue
        if last:
            return Answer(reply)
        checks = _checks(question, reply, plan.model or prospect.name, plan.samples)
        if not ledger.allows(*(check.model for check in checks)):
            kept.append((0.0, reply))
            cut = ledger.refused
            break
        verdicts = yield checks
        score = vouched(verdicts)
        _note(ledger, reply, score, verdicts)
        kept.append((score or 0.0, reply))
        if score is not None and score >= plan.threshold:
            return Answer(reply, score)
    if not kept:
        return None
    score, reply = max(kept, key=lambda pair: pair[0])
    return Answer(reply, score, cut=cut or "failure")


def _checks(question: Question, reply: Reply, verifier: str, samples: int) -> tuple[Ask, ...]:
    """Return the verifications; each has its examples in another order, so that no cache answers for all of them."""
    prompts = (verification(question.text, reply.text, turn) for turn in range(samples))
    return tuple(Ask(verifier, Role.VERIFY, prompt=prompt) for prompt in prompts)


def vouched(replies: tuple[Reply, ...]) -> float | None:
    """Return the share of verdicts that are "correct" among those that can be read; None when none can."""
    verdicts = [found for reply in replies if reply.ok and (found := verdict(reply.text)) is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def _note(ledger: Ledger, reply: Reply, score: float | None, verdicts: tuple[Reply, ...]) -> None:
    """Leave the score of an answer, and each verdict as 1 or 0, for the explanation."""
    if score is not None:
        ledger.scores[reply.number] = score
    for told in verdicts:
        if told.ok and (found := verdict(told.text)) is not None:
            ledger.scores[told.number] = float(found)
