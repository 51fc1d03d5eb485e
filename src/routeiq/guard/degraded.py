"""What RouteIQ does without at the moment: one small state machine per thing it depends on.

Owns when a dependency counts as gone and when as back, and that each change is told once. Noticing is for whoever
calls the dependency; doing without it is theirs too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from routeiq.core.ports import Clock

REDIS: Final = "redis"
DATABASE: Final = "database"
OBJECT_STORE: Final = "object_store"
EMBEDDER: Final = "embedder"

REASONS: Final[Mapping[str, str]] = {
    REDIS: "state_unavailable",
    DATABASE: "store_unavailable",
    OBJECT_STORE: "source_unavailable",
    EMBEDDER: "embedder_timeout",
}
"""The reason word of each dependency: in the response header, the metric, the log and readiness."""

FAILURES: Final = 2
SUCCESSES: Final = 3
"""How many failures in a row mean that a dependency is gone, and how many answers in a row that it is back."""

Changed = Callable[[str, bool, float], None]
"""Is told the dependency, whether it is degraded now, and for how many seconds it was the other way."""


@dataclass(slots=True)
class Dependency:
    """One dependency. More answers are needed to come back than failures to go, so that a shaky one does not flap."""

    since: float
    degraded: bool = False
    in_a_row: int = 0

    def answered(self, ok: bool, now: float) -> bool:
        """Note one try; return whether that changed the state."""
        if ok is not self.degraded:
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        if self.in_a_row < (SUCCESSES if self.degraded else FAILURES):
            return False
        self.degraded, self.in_a_row, self.since = not self.degraded, 0, now
        return True


@dataclass(slots=True)
class Degraded:
    """All dependencies of one worker. A dependency exists from the first time it is expected or reported."""

    clock: Clock
    _known: dict[str, Dependency] = field(default_factory=dict)
    _calls: list[Changed] = field(default_factory=list)

    def on_change(self, call: Changed) -> None:
        """Have every change told."""
        self._calls.append(call)

    def expect(self, name: str) -> None:
        """Let a dependency be shown, healthy until reported otherwise."""
        self._known.setdefault(name, Dependency(self.clock.monotonic()))

    def report(self, name: str, ok: bool) -> None:
        """Note whether a try to use a dependency was answered."""
        self.expect(name)
        known, now = self._known[name], self.clock.monotonic()
        before = known.since
        if known.answered(ok, now):
            for call in self._calls:
                call(name, known.degraded, now - before)

    def gone(self, name: str) -> bool:
        """Return whether a dependency is done without now."""
        known = self._known.get(name)
        return known is not None and known.degraded

    def missing(self) -> str | None:
        """Return the reason word when a request has to do without what other workers know, or the log's database."""
        gone = next((name for name in (REDIS, DATABASE) if self.gone(name)), None)
        return REASONS[gone] if gone is not None else None

    def count(self) -> int:
        """Return how many dependencies are done without now."""
        return sum(known.degraded for known in self._known.values())

    def checks(self) -> dict[str, str]:
        """Return for each dependency "ok" or its reason word."""
        return {name: REASONS.get(name, "degraded") if known.degraded else "ok" for name, known in self._known.items()}

    def status(self) -> dict[str, object]:
        """Return for each dependency whether it is degraded, and since how many seconds."""
        now = self.clock.monotonic()
        return {
            name: {"degraded": known.degraded, "for_s": round(now - known.since, 3)}
            for name, known in self._known.items()
        }
