"""Records that tests of the outcome log and of telemetry are made of."""

import random
import time
from typing import Any

from routeiq.core.decision import Affinity, CandidateReport, Decision, Hold, InnerCall, Reason
from routeiq.core.outcome import Feedback, Outcome, Status, Usage
from routeiq.core.request import Caller, RouteRequest, Surface

SALT = bytes(range(32))
PROMPT = "What is the capital of Assyria?"


class WallClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def a_request(number: int = 1, **changes: Any) -> RouteRequest:
    """Return a request with a prompt and a caller."""
    caller = Caller(key_hash="hash-of-key", team="red", user="ada", tags=("eu", "batch"))
    return RouteRequest(
        **{
            "id": f"req_{number}",
            "alias": "auto",
            "surface": Surface.RESPONSES,
            "text": PROMPT,
            "prompt_tokens": 9,
            "caller": caller,
            **changes,
        }
    )


def a_decision(number: int = 1, candidates: int = 3, **changes: Any) -> Decision:
    """Return a decision with every field filled in."""
    names = tuple(f"model-{i}" for i in range(candidates))
    reports = tuple(
        CandidateReport(name, 1.0 / candidates, 0.5 - i / 100, 0.7 - i / 100, 0.001 * (i + 1), 0.4, 31.5, None)
        for i, name in enumerate(names)
    )
    return Decision(
        **{
            "id": f"dec_{number}",
            "request_id": f"req_{number}",
            "at": 1_000.0 + number,
            "alias": "auto",
            "strategy": "knn",
            "choice": names[0],
            "ranking": names,
            "propensity": 0.91,
            "reason": Reason.BEST,
            "candidates": reports,
            "calls": (
                InnerCall("model-0", "answer", 9, 30, 0.001, 0.4, 0.66, None, True),
                InnerCall("model-1", "verify"),
            ),
            "score": 0.7,
            "degraded": "embedder_timeout",
            "artifact": "knn-3",
            "embedder": "static-1",
            "snapshot": "s7",
            "experiment": "exp",
            "arm": "b",
            "unit": "0f3a-00c0ffee00c0ffee",
            "affinity": Affinity("model-0", Hold.KEPT, "model-1", 0.02, 0.05, 0.001, 4_000),
            "duration_ms": 0.21,
            **changes,
        }
    )


def an_outcome(number: int = 1, **changes: Any) -> Outcome:
    """Return the outcome of a decision."""
    return Outcome(
        **{
            "decision_id": f"dec_{number}",
            "request_id": f"req_{number}",
            "at": 1_001.0 + number,
            "model": "model-0",
            "status": Status.SUCCESS,
            "usage": Usage(12, 34),
            "cost_usd": 0.002,
            "latency_s": 0.8,
            "ttft_s": 0.2,
            "retries": 1,
            "streamed": True,
            **changes,
        }
    )


def some_feedback(number: int = 1, score: float | None = 1.0, **changes: Any) -> Feedback:
    """Return feedback on a decision, with an id of its own."""
    return Feedback(
        **{
            "id": f"fb_{random.getrandbits(64):x}",
            "decision_id": f"dec_{number}",
            "at": 2_000.0,
            "source": "judge",
            "score": score,
            **changes,
        }
    )
