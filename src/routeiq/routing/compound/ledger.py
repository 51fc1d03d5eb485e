"""What one compound request may spend and has spent: calls, money, time.

Owns the arithmetic of the budget. The first call is always allowed, so that a request gets an answer; from then on a
call is allowed when it fits by number, by expected cost and by time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CALLS, COST, TIME = "calls", "cost", "deadline"
"""Why a call is not allowed, one word each."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one request: number of calls, US dollars (None for no bound), seconds until the answer must begin."""

    max_calls: int = 8
    max_cost_usd: float | None = None
    deadline_s: float = 120.0


@dataclass(slots=True)
class Ledger:
    """The account of one request. `expected` maps model names to what a call is expected to cost, in US dollars.

    A call of unknown price is expected to cost what the dearest known one does. `elapsed` returns the seconds since the
    request came in. `scores` (0..1) are what came of checking an answer, by the number of its call.
    """

    budget: Budget
    expected: Mapping[str, float]
    elapsed: Callable[[], float] = lambda: 0.0
    calls: int = 0
    spent_usd: float = 0.0
    refused: str | None = None
    scores: dict[int, float] = field(default_factory=dict)
    _reserved: dict[int, float] = field(default_factory=dict)

    def allows(self, *models: str | None, keep: str | None = None) -> bool:
        """Return whether calls to all these models fit at once, with one to `keep` still to come. None: whoever.

        What did not fit stands in `refused`.
        """
        wanted = (*models, *(() if keep is None else (keep,)))
        self.refused = self._short(wanted)
        return self.refused is None

    def _short(self, models: tuple[str | None, ...]) -> str | None:
        if self.calls == 0 and len(models) == 1:
            return None
        if self.elapsed() >= self.budget.deadline_s:
            return TIME
        if self.calls + len(models) > self.budget.max_calls:
            return CALLS
        limit = self.budget.max_cost_usd
        if limit is not None:
            committed = self.spent_usd + sum(self._reserved.values())
            if committed + sum(map(self.price, models)) > limit:
                return COST
        return None

    def price(self, model: str | None) -> float:
        """Return what a call is expected to cost; the dearest known price for whoever is not known."""
        dearest = max(self.expected.values(), default=0.0)
        return dearest if model is None else self.expected.get(model, dearest)

    def begin(self, model: str) -> int:
        """Count a call and set its expected cost aside; return its number, from 0."""
        number = self.calls
        self.calls += 1
        self._reserved[number] = self.price(model)
        return number

    def end(self, number: int, cost_usd: float | None) -> None:
        """Book what a call did cost; where that is not known, what it was expected to cost."""
        expected = self._reserved.pop(number, 0.0)
        self.spent_usd += expected if cost_usd is None else cost_usd
