"""Fits strategy `knn`: similarity-weighted means of recorded scores, drawn towards each model's global mean.

Owns what is stored at each point and the choice of the kernel by cross-validation. Prediction is
`routing.scorers.neighbours`, the geometry `learn.geometry`. Scores are averaged as they are; no prompt is ever labelled
with "its best model", because on most prompts several models tie for best (kernel regression: Nadaraya 1964, Watson
1964; on routing: arXiv 2606.07587; shrinkage by evidence: docs/reference/strategies/knn.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import DataError
from routeiq.core.ports import ArtifactStore, Embedder
from routeiq.learn import evaluate
from routeiq.learn.embeddings import EmbeddingCache
from routeiq.learn.geometry import Singles, Subspace, fit_subspace, prototypes, sums
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.learn.training import Progress, TrainReport, train_family
from routeiq.routing import codec
from routeiq.routing.embedding import load_default
from routeiq.routing.table import Floats

STRATEGY = "knn"
FOLDS = 5
ENOUGH_TO_TUNE = 100
"""Complete prompts needed for cross-validation; with fewer the default kernel is used."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How similarity becomes weight.

    `neighbours` is the number of nearest prompts that weigh at all (0: all of them), `threshold` the similarity below
    which a prompt weighs nothing, `mass` the weight of the global mean in prompts of similarity 1.
    """

    neighbours: int = 0
    threshold: float = 0.1
    mass: float = 20.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the cost of a decision: directions searched, and points kept, each standing for similar prompts."""

    dimensions: int = 64
    whitening: float = 0.5
    points: int = 512


GRID: tuple[Kernel, ...] = tuple(
    Kernel(k, t, mass) for k, t, mass in product((0, 320, 160), (0.0, 0.1, 0.2, 0.3), (5.0, 10.0, 20.0, 50.0))
)

GAIN_KEPT, ERROR_KEPT = 0.9, 2 / 3
"""Of the kernels that keep this much of the best gain in AIQ and of the best fall in squared error, both against the
global means, the most cautious one is chosen."""


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    shape: Shape | None = None,
    kernels: Sequence[Kernel] = GRID,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `knn` trained on all prompts of a matrix.

    `vectors` has shape (n, D), one embedding per prompt; `embedder` is the id of what made them. The order of prompts
    and models does not matter, and the same data, shape and seed give the same bytes. `progress` is called with the
    part that is done, 0..1. Raises DataError.
    """
    if len(matrix) < 2 or len(matrix.models) < 2:
        raise DataError(
            f"{len(matrix)} prompt(s) on {len(matrix.models)} model(s): training needs two of each at least"
        )
    order = matrix.order()
    vectors, matrix = np.asarray(vectors, dtype=np.float32)[order], matrix.canonical()
    if not np.isfinite(vectors).all():
        raise DataError(f"embedder {embedder!r} gave vectors with numbers that are not finite; use another embedder")
    shape = shape or Shape()
    kernel, aiq = choose_kernel(matrix, vectors, shape, kernels, seed, progress)
    learned = _Points.of(matrix, vectors, shape, seed)
    training = {
        "fingerprint": matrix.fingerprint(),
        "prompts": len(matrix),
        "suites": sorted(set(matrix.suites)),
        "seed": seed,
        **asdict(shape),
        **asdict(kernel),
        "chosen_by": "default" if aiq is None else f"AIQ, {FOLDS}-fold cross-validation",
    }
    manifest = Manifest(
        strategy=STRATEGY,
        version="",
        candidates=matrix.models,
        sha256="",
        created=created,
        embedder=embedder,
        dimensions=int(vectors.shape[1]),
        metrics={} if aiq is None else {"cv_aiq": round(aiq, 6)},
        training=training,
    )
    return codec.seal(Artifact(manifest, learned.arrays(matrix, kernel)))


def train(
    data_dir: str | Path,
    suites: Sequence[str],
    store: ArtifactStore,
    output: str,
    *,
    embedder: Embedder | None = None,
    models: Sequence[str] | None = None,
    seed: int = 0,
    cache: EmbeddingCache | None = None,
    created: str = "",
    progress: Progress = lambda stage, done: None,
) -> TrainReport:
    """Train `knn` on the training split of recorded outcomes, measure it on the others, and save it as `output`.

    `embedder` is the default one unless given. `progress` is called with a stage ("read", "embed", "fit", "measure",
    "save") and the part of the whole run that is done, 0..1. Raises DataError, ConfigError, ArtifactError.
    """
    used = embedder or load_default()

    def fit_split(matrix: OutcomeMatrix, vectors: Singles, part: Callable[[float], None]) -> Artifact:
        return fit(matrix, vectors, used.id, seed=seed, created=created, progress=part)

    return train_family(fit_split, data_dir, suites, store, output, used, models=models, cache=cache, progress=progress)


def choose_kernel(
    matrix: OutcomeMatrix,
    vectors: Singles,
    shape: Shape,
    kernels: Sequence[Kernel],
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Kernel, float | None]:
    """Return the kernel and its cross-validated AIQ; the default kernel and None where there is too little data.

    Of the kernels that keep most of the gain, the one that leans most on the global means: on prompts unlike the
    training data it loses least, and there a router cannot win.
    """
    complete = ~np.isnan(matrix.score).any(axis=1)
    if len(kernels) == 1:
        return kernels[0], None
    if complete.sum() < ENOUGH_TO_TUNE:
        return Kernel(), None
    fold_of = np.random.default_rng(seed).permutation(len(matrix)) % FOLDS
    gain, fall = np.zeros((FOLDS, len(kernels))), np.zeros((FOLDS, len(kernels)))
    plain = np.zeros(FOLDS)
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        held = (fold_of == fold) & complete
        known, known_vectors = matrix.rows(fold_of != fold), vectors[fold_of != fold]
        points = _Points.of(known, known_vectors, shape, seed)
        reference = evaluate.Reference.of(known)
        judged = evaluate.Judged.of(matrix.rows(held), reference)
        similarity = points.similarity(vectors[held])
        means = np.tile(reference.score, (len(judged), 1))
        plain[fold] = _aiq(means, judged, reference)
        for at, kernel in enumerate(kernels):
            predicted = points.predict(similarity, kernel)
            gain[fold, at] = _aiq(predicted, judged, reference) - plain[fold]
            fall[fold, at] = ((means - judged.score) ** 2).mean() - ((predicted - judged.score) ** 2).mean()
    best = _cautious(gain, fall, kernels)
    progress(1.0)
    return kernels[best], float(plain.mean() + gain[:, best].mean())


def _cautious(gain: Floats, fall: Floats, kernels: Sequence[Kernel]) -> int:
    """Return the kernel that leans most on the global means among those that keep most of the best gain.

    `gain` (folds, kernels) is the gain in AIQ, `fall` the fall in squared error, both against predicting the global
    means. The hull of any noise lies above that of constants, so a gain counts only where the error falls too, and by
    more than twice its standard error; where it never does, the most cautious of all kernels is returned.
    """
    error = 2.0 * fall.std(axis=0, ddof=1) / np.sqrt(len(fall))
    rise, drop = gain.mean(axis=0), fall.mean(axis=0)
    near = [at for at in range(len(kernels)) if drop[at] > error[at] and drop[at] >= ERROR_KEPT * drop.max()]
    enough = GAIN_KEPT * max((rise[at] for at in near), default=0.0)
    good = [at for at in near if rise[at] >= enough] or range(len(kernels))
    return max(good, key=lambda at: (kernels[at].mass, kernels[at].threshold, rise[at]))


def _aiq(predicted: Floats, judged: evaluate.Judged, reference: evaluate.Reference) -> float:
    choices = evaluate.choose(predicted, reference, evaluate.LAMBDAS[::4])
    return evaluate.measure_choices(choices, judged, reference).aiq


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """What was learned: the points, and per point and model the sums of what was recorded there."""

    space: Subspace
    points: Singles
    prompts: Floats
    score_sum: Floats
    score_count: Floats
    tokens_sum: Floats
    latency_sum: Floats
    prior_score: Floats
    prior_tokens: Floats
    prior_latency: Floats

    @classmethod
    def of(cls, matrix: OutcomeMatrix, vectors: Singles, shape: Shape, seed: int) -> "_Points":
        space = fit_subspace(vectors, shape.dimensions, shape.whitening)
        directions = space.directions(vectors)
        belongs = prototypes(directions, shape.points, np.random.default_rng(seed))
        _, belongs = np.unique(belongs, return_inverse=True)
        count = int(belongs.max()) + 1
        centres = sums(directions, belongs, count)
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
        known = ~np.isnan(matrix.score)
        prior_tokens, prior_latency = mean_of_known(matrix.output_tokens), mean_of_known(matrix.latency_s)
        return cls(
            space=space,
            points=centres.astype(np.float32),
            prompts=np.bincount(belongs, minlength=count).astype(np.float64),
            score_sum=sums(np.where(known, matrix.score, 0.0), belongs, count),
            score_count=sums(known.astype(np.float64), belongs, count),
            tokens_sum=sums(_filled(matrix.output_tokens, prior_tokens), belongs, count),
            latency_sum=sums(_filled(matrix.latency_s, prior_latency), belongs, count),
            prior_score=matrix.mean_score(),
            prior_tokens=prior_tokens,
            prior_latency=prior_latency,
        )

    def similarity(self, vectors: Singles) -> Singles:
        """Return the similarity of vectors (q, D) to each point, shape (q, p)."""
        return np.asarray((self.space.directions(vectors) * self.space.trust(vectors)[:, None]) @ self.points.T)

    def predict(self, similarity: Singles, kernel: Kernel) -> Floats:
        """Return predicted scores, shape (q, m)."""
        threshold = np.full((len(similarity), 1), kernel.threshold, dtype=np.float32)
        kept = self.kept(kernel)
        if kept:
            threshold = np.maximum(threshold, np.partition(similarity, -kept, axis=1)[:, -kept][:, None])
        weight = np.maximum(similarity - threshold, 0.0) / np.maximum(1e-6, 1.0 - threshold)
        weight *= weight
        prior = np.nan_to_num(self.prior_score)
        score: Floats = (weight @ self.score_sum + kernel.mass * prior) / (weight @ self.score_count + kernel.mass)
        return score

    def kept(self, kernel: Kernel) -> int:
        """Return how many points hold about as many prompts as the kernel keeps; 0 for all of them."""
        wanted = round(kernel.neighbours * len(self.points) / float(self.prompts.sum()))
        return 0 if not kernel.neighbours or wanted >= len(self.points) else max(1, wanted)

    def arrays(self, matrix: OutcomeMatrix, kernel: Kernel) -> dict[str, Floats | Singles]:
        """Return the artifact's arrays; their shapes are documented in `routing.scorers.neighbours`."""
        single = ("score_sum", "score_count", "tokens_sum", "latency_sum", "prompts")
        double = ("prior_score", "prior_tokens", "prior_latency")
        return {
            "mean": self.space.mean,
            "basis": self.space.basis,
            "scale": self.space.scale,
            "points": self.points,
            "input_price": matrix.input_price,
            "output_price": matrix.output_price,
            "kernel": np.array([kernel.threshold, kernel.mass, self.kept(kernel), self.space.familiarity]),
            **{name: getattr(self, name).astype(np.float32) for name in single},
            **{name: getattr(self, name) for name in double},
        }


def _filled(cells: Floats, prior: Floats) -> Floats:
    """Return cells with the model's mean where nothing was recorded, 0 for a model without any."""
    return np.where(np.isnan(cells), np.nan_to_num(prior), cells)
