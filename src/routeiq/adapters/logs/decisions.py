"""One log line for a decision, and one for an error that was swallowed.

Owns which decisions are told. Lines carry names, numbers and ids; never a prompt, never the text of an error.
"""

import logging
import random
from collections.abc import Mapping
from typing import Any, Final

from routeiq.adapters.logs.redact import describe
from routeiq.core.decision import Decision, Reason
from routeiq.core.errors import RouteIQError
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock
from routeiq.core.request import RouteRequest
from routeiq.core.trace import TRACE_HEADERS, TraceContext, carried

LOGGER: Final = logging.getLogger("routeiq.decisions")
MESSAGE: Final = "routing decision"

QUIET_S: Final = 10.0
"""The same error at the same place is told once in this time; what was left out is counted in the next line."""


class LogTelemetry:
    """Implements `core.ports.Telemetry` as log lines.

    `share` of the decisions are told, 1 for all and 0 for none; a decision that fell back to the operator's order is
    told in any case, as a warning. `chance` draws which.
    """

    def __init__(self, clock: Clock, chance: random.Random, share: float = 1.0) -> None:
        self._clock = clock
        self._chance = chance
        self._share = share
        self._told: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Write a line, `parent` being the enclosing span, the headers of the request, or None."""
        if decision.reason is Reason.STATIC_ORDER:
            level = logging.WARNING
        elif self._share >= 1.0 or (self._share > 0.0 and self._chance.random() < self._share):
            level = logging.INFO
        else:
            return
        if LOGGER.isEnabledFor(level):
            # Made by hand: looking for the caller's file and line would cost as much as all the rest.
            fields = {"routeiq": _fields(decision, parent)}
            LOGGER.handle(LOGGER.makeRecord(LOGGER.name, level, "", 0, MESSAGE, (), None, extra=fields))

    def ended(self, outcome: Outcome) -> None:
        """Do nothing: the outcome log keeps outcomes, and LiteLLM tells of failed calls."""

    def failed(self, where: str, error: BaseException) -> None:
        """Write type and place of an error that was swallowed, at most once in ten seconds for each."""
        key, now = (where, type(error).__name__), self._clock.monotonic()
        if now - self._told.get(key, -QUIET_S) < QUIET_S:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._told[key] = now
        fields = {
            "where": where,
            "reason": error.reason if isinstance(error, RouteIQError) else "internal",
            "exception": describe(error),
            "left_out": self._left_out.pop(key, 0),
        }
        LOGGER.warning("an error was swallowed so that a request could go on", extra={"routeiq": fields})


def _fields(decision: Decision, parent: Any) -> Mapping[str, Any]:
    return {
        "trace": _trace(parent),
        "strategy": decision.strategy,
        "model": decision.choice,
        "duration_ms": round(decision.duration_ms, 3),
        "decision_id": decision.id,
        "request_id": decision.request_id,
        "alias": decision.alias,
        "reason": decision.reason.value,
        "degraded": decision.degraded,
    }


def _trace(parent: Any) -> TraceContext | None:
    """Return where in a trace the decision stands; a span is known by what it can do, its vendor is not."""
    if isinstance(parent, Mapping):
        return carried({name.lower(): value for name, value in parent.items() if name.lower() in TRACE_HEADERS})
    context = getattr(parent, "get_span_context", lambda: None)()
    if context is None or not context.is_valid:
        return None
    return TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}")
