"""Small pieces that routing tests are made of."""

from collections.abc import Mapping

from routeiq.core.candidate import Candidate
from routeiq.core.decision import Decision
from routeiq.core.request import RouteRequest
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals

SMALL = Candidate("small", 0.1e-6, 0.2e-6, context_window=8_000, size=8, weight=3.0)
MEDIUM = Candidate("medium", 0.5e-6, 1.0e-6, context_window=32_000, size=70, weight=1.0)
LARGE = Candidate("large", 5.0e-6, 15.0e-6, context_window=200_000, size=400, weight=0.0)
POOL = (SMALL, MEDIUM, LARGE)


def snapshot(strategy: str, pool: tuple[Candidate, ...] = POOL, tuning: Tuning | None = None) -> Snapshot:
    """Return a snapshot with one alias `auto`."""
    table = CandidateTable(pool)
    profile = build(recipe(strategy), table, None, tuning or Tuning())
    return Snapshot("v1", {"auto": Route("auto", table, profile)})


def request(**changes: object) -> RouteRequest:
    """Return a request to `auto`."""
    return RouteRequest(**{"id": "r1", "alias": "auto", "text": "hello", "prompt_tokens": 10, **changes})


def decide(
    strategy: str | Snapshot,
    asked: RouteRequest | None = None,
    barred: Mapping[str, str] | None = None,
    draw: float = 0.0,
    turn: int = 0,
    vitals: Vitals | None = None,
) -> Decision:
    """Decide one request."""
    picture = snapshot(strategy) if isinstance(strategy, str) else strategy
    return Router(picture).decide(
        asked or request(),
        Features(absent="no_embedder"),
        vitals or Vitals(),
        decision_id="dec_1",
        barred=barred,
        draw=draw,
        turn=turn,
    )
