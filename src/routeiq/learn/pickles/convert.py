"""What a pickled router holds, as an artifact of the family that decides most like it.

Owns the arithmetic only; `learn.pickles.sandbox` opened the file. LLMRouter trains on the label "best model of the
prompt", so what its routers say is no expected score but a preference: an imported artifact has their order, and the
numbers are shares of votes or squashed logits. What a request costs is not in those files.

    KNeighborsClassifier    knn   shares of the same number of neighbours, nearer ones weighing more, by cosine
    SVC, LinearSVC          svm   one margin per model; of a kernel, the nearest linear margins to its votes
    MLP (either library)    mlp   the network as it is
    mf state dict           mf    the bilinear form as it is
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import DataError
from routeiq.learn.pickles.sandbox import Opened
from routeiq.routing import codec
from routeiq.routing.table import Floats

FAINT = 1e-3
"""Prior mass of the label shares, in votes: they count only where there is no neighbour."""

STEEP = 4.0
"""What a whole vote is in logits."""

Arrays = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Arrays of an artifact, the share of known vectors on which it decides like the original, None where exact."""

    strategy: str
    arrays: dict[str, Any]
    prior: Floats
    dimensions: int
    agreement: float | None = None
    said: dict[str, Any] = field(default_factory=dict)


def convert(opened: Opened, models: Sequence[str], embedder: str, *, norm: float = 1.0, created: str = "") -> Artifact:
    """Return the sealed artifact of a router that was opened.

    `models` names the models in the order of the router's outputs, empty where the file names them. `embedder` is the
    id of the embedder whose vectors it was trained on. `norm` is how long those vectors were where ours have length 1;
    a router that remembers vectors needs no telling. Raises DataError.
    """
    names = tuple(models) or opened.models
    try:
        made = _KINDS[opened.kind](opened.arrays, norm)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"the arrays of this {opened.kind} router do not fit together ({error})") from None
    _check(names, opened, made)
    m, nan = len(names), np.full(len(names), np.nan)
    common = {
        "prior_score": made.prior, "prior_tokens": nan, "input_price": nan, "output_price": nan,
    }  # fmt: skip
    silent: dict[str, Any] = {}
    if made.strategy != "knn":
        silent = {"token_weights": np.zeros((m, made.dimensions), dtype=np.float32), "token_offset": np.zeros(m)}
    training: dict[str, Any] = {"imported_from": f"LLMRouter {opened.kind}", "norm": norm, **made.said}
    if made.agreement is not None:
        training["agreement"] = round(made.agreement, 4)
    manifest = Manifest(
        strategy=made.strategy, version="", candidates=names, sha256="", created=created, embedder=embedder,
        dimensions=made.dimensions, training=training,
    )  # fmt: skip
    return codec.seal(Artifact(manifest, {**common, **silent, **made.arrays}))


def _check(names: tuple[str, ...], opened: Opened, made: Made) -> None:
    if not names:
        raise DataError(
            f"this {opened.kind} router has {made.prior.size} outputs and no names; give them in its order with "
            "--models A,B,... (LLMRouter's order is that in which models first appear in its training data)"
        )
    if len(names) != made.prior.size or len(set(names)) < len(names):
        raise DataError(
            f"{len(names)} names ({', '.join(names[:10])}) for {made.prior.size} outputs; name each output once"
        )


def _neighbours(arrays: Arrays, norm: float) -> Made:
    points, labels = np.asarray(arrays["points"], dtype=np.float64), np.asarray(arrays["labels"])
    m, (n, d) = int(labels.max()) + 1, points.shape
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    one_hot = np.eye(m)[labels]
    k = int(arrays["neighbours"][0])
    kept = k + 1 if k + 1 < n else 0
    made = {
        "mean": np.zeros(d, dtype=np.float32), "basis": np.eye(d, dtype=np.float32),
        "scale": np.ones(d, dtype=np.float32), "points": unit.astype(np.float32), "prompts": np.ones(n),
        "score_sum": one_hot, "score_count": np.ones((n, m)), "tokens_sum": np.zeros((n, m)),
        "latency_sum": np.zeros((n, m)), "prior_latency": np.full(m, np.nan),
        "kernel": np.array([-1.0, FAINT, float(kept), 1.0]),
    }  # fmt: skip
    asked = np.linspace(0, n - 1, min(n, 300)).astype(np.intp)
    original = _votes(points, one_hot, k, asked, lambda a, b: -((a[:, None] - b[None]) ** 2).sum(axis=2), even=True)
    own = _votes(unit, one_hot, k, asked, lambda a, b: a @ b.T, even=False)
    agreement = float((original.argmax(axis=1) == own.argmax(axis=1)).mean())
    return Made("knn", made, one_hot.mean(axis=0), d, agreement, {"neighbours": k})


def _votes(
    points: Floats, one_hot: Floats, k: int, asked: Any, near: Callable[[Floats, Floats], Floats], *, even: bool
) -> Floats:
    """Return the votes of each asked point's nearest others, shape (asked, m), even or by nearness as `knn` weighs."""
    found = np.zeros((len(asked), one_hot.shape[1]))
    for at, row in enumerate(asked):
        closeness = near(points[row : row + 1], points)[0]
        closeness[row] = -np.inf
        nearest = np.argsort(-closeness, kind="stable")[: k + 1]
        weight = np.ones(k) if even else np.maximum(closeness[nearest[:k]] - closeness[nearest[-1]], 0.0) ** 2
        found[at] = weight @ one_hot[nearest[:k]]
    return found


def _machine(arrays: Arrays, norm: float) -> Made:
    """Return margins fitted to the votes of the pairwise machines on their own support vectors."""
    vectors, count = np.asarray(arrays["vectors"], dtype=np.float64), np.asarray(arrays["count"])
    votes, deciding = _pairwise(arrays, vectors, count)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    mean, target = unit.mean(axis=0), STEEP * (votes - 0.5)
    centred = unit - mean
    strength = 1e-3 * float((centred**2).sum()) / max(1, min(unit.shape))
    gram = centred @ centred.T + strength * np.eye(len(unit))
    weights = (centred.T @ np.linalg.solve(gram, target - target.mean(axis=0))).T
    offset = target.mean(axis=0) - weights @ mean
    own = unit @ weights.T + offset
    agreement = float((own.argmax(axis=1) == deciding.argmax(axis=1)).mean())
    return Made("svm", _margins(weights, offset), count / count.sum(), vectors.shape[1], agreement)


def _pairwise(arrays: Arrays, vectors: Floats, count: Any) -> tuple[Floats, Floats]:
    """Return each class's share of won pairs on the support vectors, and that with ties broken by the margins.

    The coefficients are in LIBSVM's order: of the pair (i, j), row j - 1 for the vectors of i and row i for those of j.
    """
    gamma, m, starts = float(arrays["gamma"][0]), len(count), np.concatenate([[0], np.cumsum(count)])
    squared = (vectors**2).sum(axis=1)
    product = vectors @ vectors.T
    kernel = product if gamma == 0.0 else np.exp(-gamma * (squared[:, None] + squared[None] - 2.0 * product))
    dual, intercept = np.asarray(arrays["dual"]), np.asarray(arrays["intercept"])
    won, margin, pair = np.zeros((len(vectors), m)), np.zeros((len(vectors), m)), 0
    for i in range(m):
        for j in range(i + 1, m):
            of_i, of_j = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            decision = kernel[:, of_i] @ dual[j - 1, of_i] + kernel[:, of_j] @ dual[i, of_j] + intercept[pair]
            won[:, i] += decision > 0
            won[:, j] += decision <= 0
            margin[:, i] += decision
            margin[:, j] -= decision
            pair += 1
    share = won / max(1, m - 1)
    return share, won + margin / (3.0 * (np.abs(margin) + 1.0))


def _linear(arrays: Arrays, norm: float) -> Made:
    weights, offset = _both(np.asarray(arrays["weights"]) * norm, np.asarray(arrays["offset"]))
    return Made("svm", _margins(weights, offset), np.full(len(offset), 1.0 / len(offset)), weights.shape[1])


def _margins(weights: Floats, offset: Floats) -> dict[str, Any]:
    m = len(offset)
    return {
        "weights": weights.astype(np.float32), "offset": offset, "platt_slope": np.ones(m),
        "platt_offset": np.zeros(m), "believed": np.ones(1),
    }  # fmt: skip


def _both(weights: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Return a row for each of two classes where one output decides between them."""
    if len(offset) != 1:
        return weights, offset
    return np.concatenate([-weights, weights]) / 2.0, np.concatenate([-offset, offset]) / 2.0


def _network(arrays: Arrays, norm: float) -> Made:
    depth = sum(name.startswith("weight") for name in arrays)
    layers = [(np.asarray(arrays[f"weight{at}"]), np.asarray(arrays[f"offset{at}"])) for at in range(depth)]
    if depth == 1:
        return _linear({"weights": layers[0][0], "offset": layers[0][1]}, norm)
    for (former, _), (weights, offset) in pairwise(layers):
        if weights.shape != (len(offset), len(former)):
            raise ValueError("a layer does not take what the one before gives")
    weights, offset = _both(*layers[-1])
    made = {
        "hidden_weights": (layers[0][0] * norm).astype(np.float32), "hidden_offset": layers[0][1],
        "output_weights": weights, "output_offset": offset, "believed": np.ones(1),
    }  # fmt: skip
    for at, (between, its_offset) in enumerate(layers[1:-1], start=1):
        made |= {f"deeper{at}_weights": between, f"deeper{at}_offset": its_offset}
    return Made("mlp", made, np.full(len(offset), 1.0 / len(offset)), layers[0][0].shape[1])


def _factors(arrays: Arrays, norm: float) -> Made:
    """Return the form classifier @ (model * (projection @ prompt)), scaled so that no score of a unit vector is cut."""
    models = np.asarray(arrays["P.weight"])
    models = models / np.maximum(np.linalg.norm(models, axis=1, keepdims=True), 1e-12)
    projection = np.asarray(arrays["text_proj.weight"])
    weighed = models * np.asarray(arrays["classifier.weight"]).reshape(1, -1)
    longest = float(np.linalg.norm(weighed @ projection, axis=1).max())
    made = {
        "projection": projection.astype(np.float32), "projection_offset": np.zeros(len(projection)),
        "models": weighed.T * (0.5 / max(longest, 1e-12)),
    }  # fmt: skip
    return Made("mf", made, np.full(len(models), 0.5), projection.shape[1])


_KINDS: Mapping[str, Callable[[Arrays, float], Made]] = {
    "knn": _neighbours,
    "svm": _machine,
    "linear-svm": _linear,
    "mlp": _network,
    "mf": _factors,
}
