"""Places a new model in artifacts that were trained without it, from what `learn.newcomer` believes of it.

Owns one function for each family: the new model's columns are made from those of the known models, by the share it has
of each, so that the artifact expects of it what the posterior does, on any prompt. Nothing is trained, and the known
models' columns stay as they are to the bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError, DataError, nearest
from routeiq.learn.matrix import mean_of_known
from routeiq.learn.newcomer import Newcomer
from routeiq.routing import codec
from routeiq.routing.table import Floats
from routeiq.routing.trained import sigmoid

Arrays = Mapping[str, Any]

CURVE_STEPS = 50
"""Newton steps that fit abilities to a curve; it ends long before."""


@dataclass(frozen=True, slots=True)
class Price:
    """List price of a new model, US dollars per token; NaN where unknown."""

    input_price: float = float("nan")
    output_price: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A new model as an artifact sees it: its share of each known column (m,), its level, its mean output tokens."""

    name: str
    share: Floats
    level: float
    tokens: float
    prior: Floats

    def of(self, columns: Any) -> Floats:
        """Return the share of columns (m, ...)."""
        return np.tensordot(self.share, np.asarray(columns, dtype=np.float64), axes=1)


def supported() -> tuple[str, ...]:
    """Return the strategies in which a new model can be placed."""
    return tuple(sorted(_FAMILIES))


def place(artifact: Artifact, name: str, newcomer: Newcomer, price: Price, said: Mapping[str, Any]) -> Artifact:
    """Return a sealed artifact with one model more, whose parent is the one given.

    `said` goes into the manifest under `training.calibrated`. Raises ArtifactError for a strategy that does not support
    it, and DataError when the artifact has the model already, or none of those that the newcomer was compared with.
    """
    manifest, family = artifact.manifest, _FAMILIES.get(artifact.manifest.strategy)
    if family is None:
        raise ArtifactError(
            f"a new model cannot be placed in strategy {manifest.strategy!r}; it can in "
            f"{', '.join(supported())}; train it anew instead"
        )
    if name in manifest.candidates:
        raise DataError(f"artifact {manifest.version!r} knows {name!r} already; train it anew to learn more of it")
    part = _part(artifact, name, newcomer)
    arrays = {**artifact.arrays, **family(artifact.arrays, part, newcomer)}
    for key, value in (
        ("prior_score", part.level),
        ("prior_tokens", part.tokens),
        ("input_price", price.input_price),
        ("output_price", price.output_price),
    ):
        arrays[key] = _longer(artifact.arrays[key], value)
    calibrated = {**manifest.training.get("calibrated", {}), name: {**_facts(newcomer), **said}}
    changed = replace(
        manifest,
        version="",
        sha256="",
        signature=None,
        parent=manifest.version,
        candidates=(*manifest.candidates, name),
        training=_means({**manifest.training, "calibrated": calibrated}, name, part, price),
    )
    return codec.seal(Artifact(changed, arrays))


def _part(artifact: Artifact, name: str, newcomer: Newcomer) -> _Part:
    models, arrays = newcomer.factors.matrix.models, artifact.arrays
    known = {model: at for at, model in enumerate(models)}
    candidates = artifact.manifest.candidates
    if not any(model in known for model in candidates):
        raise DataError(
            f"the data have none of the models of artifact {artifact.manifest.version!r}; "
            f"{nearest(candidates[0], models)}"
        )
    share = np.array([newcomer.share[known[model]] if model in known else 0.0 for model in candidates])
    tokens = mean_of_known(newcomer.factors.matrix.output_tokens)
    usual = float(np.nanmean(tokens)) if not np.isnan(tokens).all() else float("nan")
    prior = np.nan_to_num(np.asarray(arrays["prior_score"], dtype=np.float64), nan=0.5)
    return _Part(name, share, newcomer.level, usual * newcomer.output_ratio, prior)


def _facts(newcomer: Newcomer) -> dict[str, Any]:
    return {
        "score": round(newcomer.level, 4),
        "deviation": round(newcomer.deviation, 4),
        "scores": newcomer.told,
        "output_ratio": round(newcomer.output_ratio, 4),
        "fingerprint": newcomer.factors.matrix.fingerprint(),
    }


def _means(training: Mapping[str, Any], name: str, part: _Part, price: Price) -> dict[str, Any]:
    """Return the manifest's facts with the new model's mean score and cost among what lambda refers to."""
    means = training.get("means")
    if not isinstance(means, Mapping):
        return dict(training)
    others = [float(known["cost_usd"]) for known in means.values()]
    cost = part.tokens * price.output_price + float(training.get("mean_input_tokens", 0.0)) * price.input_price
    unknown = max(others, default=0.0)
    return {
        **training,
        "means": {**means, name: {"score": part.level, "cost_usd": unknown if np.isnan(cost) else cost}},
    }


def _longer(values: Any, value: float) -> Any:
    found = np.asarray(values)
    return np.append(found, np.asarray([value], dtype=found.dtype))


def _row(values: Any, row: Floats) -> Any:
    """Return values (m, ...) with one row more, of the same type."""
    found = np.asarray(values)
    return np.concatenate([found, np.asarray(row, dtype=found.dtype)[None]])


def _column(values: Any, column: Floats) -> Any:
    """Return values (..., m) with one column more, of the same type."""
    found = np.asarray(values)
    return np.concatenate([found, np.asarray(column, dtype=found.dtype)[..., None]], axis=-1)


def _fixed(arrays: Arrays, part: _Part, newcomer: Newcomer) -> dict[str, Any]:
    return {}


def _tokens(arrays: Arrays) -> dict[str, Any]:
    """Return the token functions with the mean of the known models' for the new one."""
    weights, offset = np.asarray(arrays["token_weights"]), np.asarray(arrays["token_offset"])
    found = {
        "token_weights": _row(weights, weights.mean(axis=0)),
        "token_offset": _longer(offset, float(offset.mean())),
    }
    if "input_line" in arrays:
        found["input_line"] = _column(arrays["input_line"], np.asarray(arrays["input_line"]).mean(axis=1))
    return found


def _linear(arrays: Arrays, part: _Part, newcomer: Newcomer) -> dict[str, Any]:
    """Place in a linear function of each model: what is expected beyond the mean is the share of the others'."""
    offset = part.level + float(part.share @ (np.asarray(arrays["offset"]) - part.prior))
    return {
        "weights": _row(arrays["weights"], part.of(arrays["weights"])),
        "offset": _longer(arrays["offset"], offset),
        **_tokens(arrays),
    }


def _ensemble(arrays: Arrays, part: _Part, newcomer: Newcomer) -> dict[str, Any]:
    """Place in category table and linear part alike; what the table expects adds up to the mean with the offset."""
    table = np.asarray(arrays["category_score"], dtype=np.float64)
    return {
        **_linear(arrays, part, newcomer),
        "category_score": _column(arrays["category_score"], table @ part.share),
    }


def _neighbours(arrays: Arrays, part: _Part, newcomer: Newcomer) -> dict[str, Any]:
    """Place at the points: the sums that its share of the others' would have given there, on all their prompts."""
    prompts = np.asarray(arrays["prompts"], dtype=np.float64)
    count = np.maximum(np.asarray(arrays["score_count"], dtype=np.float64), 1e-9)
    beyond = np.where(np.asarray(arrays["score_count"]) > 0, np.asarray(arrays["score_sum"]) / count - part.prior, 0.0)
    expected = np.clip(part.level + beyond @ part.share, 0.0, 1.0)
    placed = {
        "score_sum": _column(arrays["score_sum"], expected * prompts),
        "score_count": _column(arrays["score_count"], prompts),
    }
    for name, prior, own in (("tokens_sum", "prior_tokens", part.tokens), ("latency_sum", "prior_latency", np.nan)):
        usual = np.asarray(arrays[prior], dtype=np.float64)
        known = (usual > 0) & ~np.isnan(usual)
        ratio = (np.asarray(arrays[name])[:, known] / usual[known]).mean(axis=1) if known.any() else prompts
        own = float(np.nanmean(usual)) if np.isnan(own) and known.any() else own
        placed[name] = _column(arrays[name], ratio * np.nan_to_num(own))
        if prior == "prior_latency":
            placed[prior] = _longer(arrays[prior], own if known.any() else np.nan)
    return placed


def _item_response(arrays: Arrays, part: _Part, newcomer: Newcomer) -> dict[str, Any]:
    """Place by the abilities whose curve is nearest to what is expected, over typical prompts.

    Typical are prompts whose items lie where the benchmarks' do and around them; expected is the share of the known
    models' curves there. Abilities are found by Newton's method on the cross-entropy, drawn to the known models' mean.
    """
    ability = np.asarray(arrays["ability"], dtype=np.float64)
    items, difficulty = _typical(arrays, ability.shape[1])
    curves = sigmoid(items @ ability.T - difficulty[:, None])
    wanted = np.clip(part.level + (curves - curves.mean(axis=0)) @ part.share, 0.01, 0.99)
    mean = ability.mean(axis=0)
    found = mean.copy()
    for _ in range(CURVE_STEPS):
        chance = sigmoid(items @ found - difficulty)
        gradient = items.T @ (chance - wanted) / len(items) + 1e-3 * (found - mean)
        bend = (items.T * (chance * (1.0 - chance))) @ items / len(items) + 1e-3 * np.eye(mean.size)
        step = np.linalg.solve(bend, gradient)
        found = found - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    return {
        "ability": _row(arrays["ability"], found),
        "recorded": _longer(arrays["recorded"], float(newcomer.told)),
        **_tokens(arrays),
    }


def _typical(arrays: Arrays, skills: int) -> tuple[Floats, Floats]:
    """Return items (t, s), the first entry 1, and difficulties (t,): benchmarks, and steps from them on each axis."""
    benchmarks = np.asarray(arrays["benchmark_discrimination"], dtype=np.float64)
    difficulty = np.asarray(arrays["benchmark_difficulty"], dtype=np.float64)
    spread = np.maximum(benchmarks.std(axis=0), 0.5)
    steps = [np.zeros(skills)] + [sign * spread * np.eye(skills)[k] for k in range(1, skills) for sign in (-1.0, 1.0)]
    items = np.concatenate([benchmarks + step for step in steps])
    hard = np.concatenate([difficulty] * len(steps))
    return np.concatenate([items, items]), np.concatenate([hard - 0.7, hard + 0.7])


_FAMILIES: Mapping[str, Callable[[Arrays, _Part, Newcomer], dict[str, Any]]] = {
    "ensemble": _ensemble,
    "fixed": _fixed,
    "irt": _item_response,
    "knn": _neighbours,
    "linear": _linear,
}
