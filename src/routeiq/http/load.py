"""`GET /routeiq/load`: how busy the worker that answers is, for autoscalers, load balancers and people.

Owns the form of the answer. Teams and keys are named to admins only.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from routeiq.core.ports import Clock
from routeiq.core.request import Caller
from routeiq.guard.admission import Admission
from routeiq.guard.breakers import Breakers
from routeiq.http.answers import Json


@dataclass(frozen=True, slots=True)
class LoadEndpoint:
    """Answers from the parts that own the numbers."""

    admission: Admission
    breakers: Breakers | None
    clock: Clock

    async def __call__(self, request: Request, caller: Caller, parameter: str) -> Response:
        """Return the numbers of this worker."""
        admission, now = self.admission, self.clock.monotonic()
        limits, load = admission.limits, admission.load
        p95, allowed = load.latencies.p95(now), admission.bound.allowed
        form: dict[str, object] = {
            "in_flight": admission.in_flight,
            "queued": admission.waiting,
            "active_streams": load.streams(),
            "prompt_tokens_in_flight": admission.tokens,
            "requests_per_second": round(load.requests.per_second(now), 3),
            "token_throughput": round(load.tokens.per_second(now), 3),
            "p95_latency_ms": None if p95 is None else round(p95 * 1000.0, 3),
            "mean_hold_s": round(admission.hold_s, 3),
            "limits": {
                "max_concurrent_requests": limits.concurrency,
                "max_queued_requests": limits.queued,
                "max_tokens_in_flight": limits.tokens,
                "allowed_by_latency": None if allowed == float("inf") else int(allowed),
            },
            "refused": dict(admission.refusals),
            "breakers": {} if self.breakers is None else {n: s.value for n, s in self.breakers.states().items()},
        }
        if caller.admin:
            form["bulkheads"] = {n: {"in_flight": h, "queued": w} for n, (h, w) in admission.under_way().items()}
        return Json(form)
