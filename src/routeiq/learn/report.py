"""An evaluation as JSON: stable keys, numbers as they are, null for what is not defined.

Owns the keys, which docs/reference/measures.md lists. Nothing here is rounded or computed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from math import isfinite
from typing import Any

from routeiq.learn.comparison import Evaluation

SCHEMA = 1


def to_json(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as a JSON object; NaN becomes null."""
    said = {
        "schema": SCHEMA,
        "router": found.router,
        "suites": found.suites,
        "split": found.split,
        "prompts": found.prompts,
        "incomplete": found.incomplete,
        "fingerprint": found.fingerprint,
        "best_fixed": found.best_fixed,
        "cheapest": found.cheapest,
        "measures": {name: {**asdict(one), "arena": found.arena[name]} for name, one in found.rows.items()},
        "intervals": found.intervals,
        "gains": found.gains,
        "cost_weight": {f"{share:g}": weight for share, weight in found.cost_weight.items()},
        "arena_best": {"arena": found.arena_best[0], "lambda": found.arena_best[1]},
        "calibration": found.calibration,
        "two_models": found.two_models and {
            **asdict(found.two_models),
            "weak": found.all_models[found.two_models.weak],
            "strong": found.all_models[found.two_models.strong],
        },
        "models": found.models,
        "curve": [
            {"lambda": p.lambda_, "cost_usd": p.cost_usd, "score": p.score,
             "shares": dict(zip(found.all_models, p.shares, strict=True))}
            for p in found.points
        ],
        "hull": [{"cost_usd": cost, "score": score} for cost, score in found.hull],
        "zero_hull": [{"cost_usd": cost, "score": score} for cost, score in found.zero_hull],
        "categories": found.categories,
        "leave_out": found.left_out,
        "learning_curve": found.learning_curve,
        "stability": found.stability,
        "leakage": found.leakage,
        "notes": found.notes,
    }  # fmt: skip
    return {key: _plain(value) for key, value in said.items()}


def dumps(found: Evaluation) -> str:
    """Return an evaluation as JSON text."""
    return json.dumps(to_json(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
