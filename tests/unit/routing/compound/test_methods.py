"""The methods of compound models, driven step by step without any I/O."""

from collections.abc import Callable

from routeiq.routing.compound.ledger import Budget, Ledger
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.compound.steps import Answer, Ask, Plan, Prospect, Question, Reply, Role, best

POOL = (Prospect("small", 0.4, 0.001), Prospect("middle", 0.6, 0.01), Prospect("big", 0.9, 0.1))
Say = Callable[[Ask], str | None]
"""What a call is answered with; None when it fails."""


def drive(
    method: str, say: Say, plan: Plan, budget: Budget | None = None, question: Question | None = None
) -> tuple[Answer | None, list[Ask]]:
    """Run a method to its end; return what it came to and what it asked."""
    ledger = Ledger(budget or Budget(64), {p.name: p.expected_cost_usd or 0.0 for p in POOL})
    asked: list[Ask] = []
    run = METHODS[method].run(question or Question("What?"), POOL, ledger, plan)
    try:
        asks = next(run)
        while True:
            replies = []
            for ask in asks:
                asked.append(ask)
                model, text = ask.model or "middle", say(ask)
                number = ledger.begin(model)
                ledger.end(number, None)
                error = "http_500" if text is None else None
                replies.append(Reply(model, ask.role, number, text or "", error=error))
            asks = run.send(tuple(replies))
    except StopIteration as end:
        return end.value, asked


def roles(asked: list[Ask]) -> list[tuple[str | None, str]]:
    return [(ask.model, ask.role.value) for ask in asked]


def vouches(*models: str) -> Say:
    """Models that call their answers right; the others call them wrong."""
    return lambda ask: (
        f"Verdict: {'Correct' if ask.model in models else 'Incorrect'}" if ask.role is Role.VERIFY else "x"
    )


def test_automix_stops_at_the_first_answer_that_is_vouched_for() -> None:
    """The cheapest answers and is checked; the next follows only where it does not vouch for itself."""
    found, asked = drive("automix", vouches("middle"), Plan(samples=2))
    assert found is not None
    assert (found.reply.model, found.score, found.cut) == ("middle", 1.0, None)
    pair = ["verify", "verify"]
    assert [role for _, role in roles(asked)] == ["answer", *pair, "answer", *pair]


def test_automix_does_not_check_the_dearest() -> None:
    """Where nobody vouches the dearest answers, as it comes."""
    found, asked = drive("automix", vouches(), Plan(samples=1))
    assert found is not None
    assert (found.reply.model, found.score) == ("big", None)
    assert asked[-1].live


def test_automix_serves_the_best_verdict_when_the_rest_fails() -> None:
    """A dear model that is down does not take away the answers that are there."""

    def say(ask: Ask) -> str | None:
        if ask.model == "big":
            return None
        if ask.role is Role.VERIFY:
            return (
                "Verdict: Correct" if ask.model == "small" and "check" not in (ask.prompt or "") else "Verdict: wrong"
            )
        return "x"

    found, _ = drive("automix", say, Plan(threshold=1.0, samples=4))
    assert found is not None
    assert (found.reply.model, found.cut) == ("small", "failure")


def test_an_answer_that_could_not_be_checked_is_not_accepted() -> None:
    """A threshold of zero still wants a verdict."""
    found, _ = drive("automix", lambda ask: None if ask.role is Role.VERIFY else "x", Plan(threshold=0.0))
    assert found is not None
    assert found.reply.model == "big"


def test_cascade_by_agreement_goes_on_while_answers_differ() -> None:
    """The share of samples that agree must reach the threshold."""
    said = iter(["1", "2", "3", "7", "7", "8"])
    found, asked = drive("cascade", lambda ask: next(said), Plan(threshold=0.6, samples=3))
    assert found is not None
    assert (found.reply.model, found.reply.text, round(found.score or 0, 2)) == ("middle", "7", 0.67)
    assert roles(asked)[:3] == [("small", "answer"), ("small", "sample"), ("small", "sample")]


def test_cascade_by_expectation_calls_only_whom_it_believes() -> None:
    """The cheapest that is expected to be good enough is asked, the dearest when none is, others when that fails."""
    plan = Plan(threshold=0.5, confidence="expected_score")
    assert roles(drive("cascade", lambda ask: "x", plan)[1]) == [("middle", "answer")]
    high = Plan(threshold=0.95, confidence="expected_score")
    assert roles(drive("cascade", lambda ask: "x", high)[1]) == [("big", "answer")]
    found, asked = drive("cascade", lambda ask: "x" if ask.model == "small" else None, plan)
    assert [model for model, _ in roles(asked)] == ["middle", "big", "small"]
    assert found is not None
    assert found.score == 0.4


def test_knn_multiround_asks_the_parts_and_puts_them_together() -> None:
    """Parts go to whom the artifact recommends, and the best candidate gets them with the client's request."""

    def say(ask: Ask) -> str:
        return "1. What is A?\n2. What is B?" if ask.role is Role.DECOMPOSE else f"told {ask.prompt}"

    found, asked = drive("knn-multiround", say, Plan())
    assert found is not None
    assert roles(asked) == [("small", "decompose"), (None, "part"), (None, "part"), ("big", "aggregate")]
    assert "told What is B?" in (asked[-1].notes or "")
    short, few = drive("knn-multiround", say, Plan(), Budget(3))
    assert short is not None
    assert (short.cut, len(few)) == ("calls", 3)


def test_knn_multiround_answers_at_once_where_there_is_nothing_to_split() -> None:
    """One part, or a question that is not plain, goes to the best candidate alone."""
    _, asked = drive("knn-multiround", lambda ask: "1. What?", Plan())
    assert roles(asked) == [("small", "decompose"), ("big", "answer")]
    _, asked = drive("knn-multiround", lambda ask: "x", Plan(), question=Question("What?", plain=False))
    assert roles(asked) == [("big", "answer")]


def test_llm_multiround_does_what_the_router_model_says() -> None:
    """It asks whom the router model names, and the one it names at last answers."""
    said = iter(["ASK small: What is A?", "seven", "ANSWER middle", "done"])
    found, asked = drive("llm-multiround", lambda ask: next(said), Plan(model="big"))
    assert found is not None
    assert roles(asked) == [("big", "policy"), ("small", "part"), ("big", "policy"), ("middle", "aggregate")]
    assert "seven" in (asked[2].prompt or "")
    assert "seven" in (asked[3].notes or "")


def test_router_r1_reads_what_it_asked_for() -> None:
    """The policy's answer is the text, and replies to its questions stand in its context."""
    said = iter(["<search> small: What is A? </search>", "seven", "hm", "<answer> 7 </answer>"])
    found, asked = drive("router-r1", lambda ask: next(said), Plan(model="middle"))
    assert found is not None
    assert (found.text, found.reply.model) == ("7", "middle")
    assert [role for _, role in roles(asked)] == ["policy", "part", "policy", "policy"]
    assert "<information>\nseven\n</information>" in (asked[2].prompt or "")
    assert "That was no action." in (asked[3].prompt or "")


def test_router_r1_is_answered_for_when_it_does_not_answer() -> None:
    """A policy that never answers ends with the best candidate's answer."""
    found, asked = drive("router-r1", lambda ask: "hm", Plan(model="small", rounds=2))
    assert found is not None
    assert (found.reply.model, found.text, found.cut) == ("big", None, "unreadable")
    assert [model for model, _ in roles(asked)] == ["small", "small", "small", "big"]


def test_the_first_call_is_always_allowed_and_the_rest_must_fit() -> None:
    """A ledger allows one call whatever it costs, and then what fits by number, money and time."""
    now = [0.0]
    ledger = Ledger(Budget(3, 0.02, 10.0), {"small": 0.001, "big": 0.5}, lambda: now[0])
    assert ledger.allows("big")
    assert not ledger.allows("big", "big")
    ledger.end(ledger.begin("small"), 0.001)
    assert ledger.allows("small", keep="small")
    assert (ledger.allows("big"), ledger.refused) == (False, "cost")
    assert (ledger.allows("nobody-knows"), ledger.refused) == (False, "cost")
    assert (ledger.allows("small", "small", "small"), ledger.refused) == (False, "calls")
    now[0] = 10.0
    assert (ledger.allows("small"), ledger.refused) == (False, "deadline")


def test_money_that_is_set_aside_counts_until_it_is_booked() -> None:
    """Calls under way count with what they are expected to cost."""
    ledger = Ledger(Budget(9, 0.0025), {"small": 0.001})
    first, _ = ledger.begin("small"), ledger.begin("small")
    assert not ledger.allows("small")
    ledger.end(first, 0.0)
    assert ledger.allows("small")


def test_the_best_prospect_is_the_dearest_where_nothing_is_expected() -> None:
    """Expectations rank prospects; without any, price does."""
    assert [p.name for p in best(POOL)] == ["big", "middle", "small"]
    assert [p.name for p in best(tuple(Prospect(p.name) for p in POOL))] == ["big", "middle", "small"]
    assert best((Prospect("a", 0.9), Prospect("b", 0.1), Prospect("c")))[0].name == "a"
