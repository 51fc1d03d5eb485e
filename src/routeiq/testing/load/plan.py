"""Who sends what and when: pure, so that the same plan is the same load every time.

Owns the arrival times. An open loop does not wait for answers: with a closed one a slow server is asked less, and its
slowness disappears from the figures ("coordinated omission").
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

MOST_SHOTS = 200_000
LONGEST_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Sender:
    """One team and its key. `rate` is in requests per second; `streamed` is the share of them that is streamed.

    `arrivals` are "poisson" (as independent users come) or "constant". In `prompt`, `{n}` becomes the number of the
    request. `more` is added to every body, `headers` to every request. It sends from `begin_s` on for `last_s` seconds
    (None: to the end of the plan).
    """

    team: str
    key: str
    rate: float
    streamed: float = 0.5
    arrivals: Literal["poisson", "constant"] = "poisson"
    model: str = "auto"
    prompt: str = "How many herons stand in the reeds of lake {n}?"
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    begin_s: float = 0.0
    last_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A load, bounded in time and in number: at most `limit` requests within `duration_s` seconds."""

    senders: Sequence[Sender]
    duration_s: float
    limit: int = MOST_SHOTS
    seed: int = 0
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0.0 < self.duration_s <= LONGEST_S:
            raise ValueError(f"duration_s: expected more than 0 and at most {LONGEST_S:g}, found {self.duration_s:g}")
        if not 0 < self.limit <= MOST_SHOTS:
            raise ValueError(f"limit: expected 1 to {MOST_SHOTS}, found {self.limit}")
        for sender in self.senders:
            if not sender.rate > 0.0 or not 0.0 <= sender.streamed <= 1.0:
                raise ValueError(f"sender {sender.team!r}: expected a rate above 0 and a streamed share of 0 to 1")


@dataclass(frozen=True, slots=True)
class Shot:
    """One request that is due `at` seconds after the start; `number` counts within its sender."""

    at: float
    sender: Sender
    number: int
    streamed: bool


def shots(plan: Plan) -> list[Shot]:
    """Return all requests of a plan in the order in which they are due, the first `limit` of them."""
    found = [shot for place, sender in enumerate(plan.senders) for shot in _of(sender, plan, place)]
    return sorted(found, key=lambda shot: shot.at)[: plan.limit]


def _of(sender: Sender, plan: Plan, place: int) -> list[Shot]:
    chance = random.Random(f"{plan.seed}/{place}/{sender.team}")  # noqa: S311 - arrival times, not secrets
    end = plan.duration_s if sender.last_s is None else min(plan.duration_s, sender.begin_s + sender.last_s)
    found: list[Shot] = []
    at = sender.begin_s
    while len(found) < plan.limit:
        at += 1.0 / sender.rate if sender.arrivals == "constant" else chance.expovariate(sender.rate)
        if at >= end:
            break
        found.append(Shot(at, sender, len(found), chance.random() < sender.streamed))
    return found
