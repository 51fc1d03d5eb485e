"""Ten decisions before a configuration may serve: what fails on these would have failed on somebody's prompt.

Owns the prompts and what they ask for: short and long, several scripts, code, tools, an image. What a decision is worth
is not judged here, only that there is one, with finite numbers, for every virtual model.
"""

from collections.abc import Iterator
from math import isfinite

from routeiq.core.errors import ConfigError, NoCandidate
from routeiq.core.ports import Embedder
from routeiq.core.request import Capability, RouteRequest, Surface
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.vitals import Vitals

PROMPTS = (
    "What is the capital of Australia?",
    "",
    "Summarise the minutes below in three sentences, then list who has to do what.\n" + "The vote was taken. " * 200,
    "Prove that there are infinitely many primes.",
    "def total(xs):\n    return sum(x for x in xs if x > 0)\n\nWhat does total([-1, 2, 3]) return?",
    "Übersetze ins Englische: Der Zug fährt um halb neun.",
    "次の文を要約してください。" * 20,
    "Extract name and date as JSON: 'Ann Lee, born 3 May 1980'.",
    "A train leaves at 09:40 and travels 210 km at 84 km/h. When does it arrive?",
    "🙂" * 50,
)
"""What is asked; the eighth wants JSON."""

_JSON_PROMPT = 7


def rehearse(snapshot: Snapshot, embedder: Embedder | None) -> None:
    """Decide for every prompt on every route; raises ConfigError naming alias and mistake.

    That a prompt leaves no candidate (none of them speaks JSON, say) is not a mistake.
    """
    router, vitals = Router(snapshot), Vitals()
    for alias in snapshot.routes:
        for number, (request, features) in enumerate(_requests(alias, embedder)):
            try:
                decision = router.decide(request, features, vitals, decision_id="dec_rehearsal", draw=0.5)
            except NoCandidate:
                continue
            except Exception as error:
                raise ConfigError(
                    f"alias {alias!r} cannot decide: {type(error).__name__} on rehearsal prompt {number + 1} of "
                    f"{len(PROMPTS)} (strategy {snapshot.routes[alias].profile.strategy!r})"
                ) from error
            if not isfinite(decision.propensity) or not decision.ranking:
                raise ConfigError(f"alias {alias!r} decides without a ranking on rehearsal prompt {number + 1}")


def _requests(alias: str, embedder: Embedder | None) -> Iterator[tuple[RouteRequest, Features]]:
    for number, prompt in enumerate(PROMPTS):
        needs = frozenset({Capability.JSON_MODE}) if number == _JSON_PROMPT else frozenset[Capability]()
        request = RouteRequest(
            f"rehearsal-{number}", alias, Surface.CHAT, text=prompt, prompt_tokens=len(prompt) // 4, needs=needs
        )
        if embedder is None:
            yield request, Features(absent="no_embedder")
        else:
            yield request, Features(embedder.embed(prompt), embedder.id)
