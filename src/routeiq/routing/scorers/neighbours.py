"""Scores by similar prompts: what each candidate scored on the recorded prompts nearest to this one.

Owns prediction from a `knn` artifact; `learn.knn` fits it, and docs/reference/strategies/knn.md has the method, its
sources and the measurements. Arrays of the artifact, for p points in d directions of a D-dimensional embedding and m
models (its manifest's `candidates`):

    mean (D,), basis (d, D), scale (d,)     the subspace that is searched, see `learn.geometry`
    points (p, d)                           unit vectors, each standing for one prompt or several similar ones
    score_sum, score_count (p, m)           sum and number of the recorded scores at each point
    tokens_sum, latency_sum (p, m)          sums of output tokens and of seconds; a model without any has NaN prior
    prompts (p,)                            number of prompts at each point
    prior_score, prior_tokens, prior_latency (m,)   each model's mean over all training prompts
    input_price, output_price (m,)          list prices at training, US dollars per token, NaN where unknown
    kernel (4,)                             threshold, prior mass, points kept (0 for all), familiarity
"""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.blocks import Blocked, Singles
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, checked

_SHAPES: Mapping[str, str] = {
    **COMMON,
    "mean": "D", "basis": "dD", "scale": "d", "points": "pd", "prompts": "p",
    "score_sum": "pm", "score_count": "pm", "tokens_sum": "pm", "latency_sum": "pm",
    "prior_latency": "m", "kernel": "4",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """Finds how much each point weighs for a prompt.

    `basis` has one row more than there are directions: the mean of the training embeddings, so that one product gives
    the coordinates and what is needed for the length of the centred vector.
    """

    basis: Blocked
    offset: Singles
    mean_energy: float
    scale: Singles
    points: Blocked
    threshold: float
    kept: int
    familiarity: float

    def weights(self, vector: Singles) -> Singles | None:
        """Return the weight of each point, shape (p,), or None for a vector that says nothing (zero, not finite).

        A weight is max(0, s - t)^2 / (1 - t)^2 for the similarity s: the cosine in the subspace, reduced by how much
        of the vector lies outside it. t is the threshold or, if that is higher, the similarity of the last point kept.
        """
        energy = float(vector.dot(vector))
        if not 0.0 < energy < np.inf:
            return None
        product = self.basis.times(vector)
        z = product[:-1] - self.offset
        centred = energy - 2.0 * float(product[-1]) + self.mean_energy
        length = sqrt(float(z.dot(z)))
        if length < 1e-12 or centred < 1e-12:
            return None
        plain = z * self.scale
        trust = min(1.0, sqrt(float(plain.dot(plain)) / centred) / self.familiarity)
        similarity = self.points.times(z * np.float32(trust / length))
        threshold = self.threshold
        if self.kept:
            threshold = max(threshold, float(np.partition(similarity, -self.kept)[-self.kept]))
        weight: Singles = np.maximum(similarity - np.float32(threshold), np.float32(0.0))
        weight *= np.float32(1.0 / max(1e-6, 1.0 - threshold))
        weight *= weight
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourScorer:
    """Predicts score, cost, latency and evidence of each candidate from recorded outcomes of similar prompts.

    Each expectation is a weighted mean over points, drawn towards the candidate's mean over all training prompts by a
    prior mass: with little evidence it *is* that mean. Candidates the artifact was not trained on get NaN.
    """

    binding: Binding
    search: _Search
    sums: Blocked
    """Rows: scores (n), tokens (n), latencies (n, if any), number of scores (n, unless complete), prompts (1)."""
    mass: float
    prior_latency: Floats | None
    complete: bool
    name: str = "knn"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "NeighbourScorer":
        """Return the scorer over a table; raises CandidateMismatch when the artifact knows none of its candidates."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        prior_latency = binding.pick(arrays["prior_latency"])
        has_latency = not np.isnan(prior_latency).all()
        complete = artifact.once("knn complete", lambda: _complete(arrays))
        stacked = ["score_sum", "tokens_sum", *(["latency_sum"] if has_latency else [])]
        return cls(
            binding=binding,
            search=_search(arrays),
            sums=_sums(artifact, [*stacked, *([] if complete else ["score_count"])], binding),
            mass=float(arrays["kernel"][1]),
            prior_latency=prior_latency if has_latency else None,
            complete=complete,
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        binding, prior_latency = self.binding, self.prior_latency
        vector = binding.vector(view)
        weight = None if vector is None else self.search.weights(vector)
        if weight is None:
            return binding.means(view, prior_latency)
        n, mass = binding.prior_score.size, self.mass
        total = self.sums.times(weight)
        everything = float(total[-1])
        evidence = np.full(n, everything) if self.complete else total[-1 - n : -1].astype(np.float64)
        score = (total[:n] + mass * binding.prior_score) / (evidence + mass)
        tokens = (total[n : 2 * n] + mass * binding.prior_tokens) / (everything + mass)
        latency = prior_latency
        if latency is not None:
            latency = (total[2 * n : 3 * n] + mass * latency) / (everything + mass)
        return binding.prediction(view, score, tokens, latency, evidence)


def _complete(arrays: Mapping[str, Any]) -> bool:
    """Return whether every model was scored on every prompt."""
    counts = np.asarray(arrays["score_count"])
    return bool((counts == np.asarray(arrays["prompts"])[:, None]).all())


def _sums(artifact: Artifact, names: Sequence[str], binding: Binding) -> Blocked:
    """Return the sums of the candidates; those that serve already, of this or another version, are not built again."""
    place: list[weakref.ref[Blocked]] = artifact.once(("knn sums", binding.column.tobytes()), list)
    built = place[0]() if place else None
    if built is None:
        built = Blocked(_stacked(artifact.arrays, names, binding))
        place[:] = [weakref.ref(built)]
    return built


def _stacked(arrays: Mapping[str, Any], names: Sequence[str], binding: Binding) -> Singles:
    """Return the sums of every candidate, row below row, and at last the prompts; 0 for what is not known.

    Row by row: whole arrays in between would be given back to the system all at once, and requests wait for that.
    """
    prompts, n = np.asarray(arrays["prompts"]), binding.column.size
    rows: Singles = np.zeros((len(names) * n + 1, prompts.size), dtype=np.float32)
    for place, name in enumerate(names):
        values = np.asarray(arrays[name])
        for i in np.flatnonzero(binding.column >= 0):
            rows[place * n + i] = values[:, binding.column[i]]
    rows[-1] = prompts
    return rows


def _search(arrays: Mapping[str, Any]) -> _Search:
    mean = np.asarray(arrays["mean"], dtype=np.float32)
    basis = np.asarray(arrays["basis"], dtype=np.float32)
    points = np.asarray(arrays["points"])
    threshold, _, kept, familiarity = (float(value) for value in arrays["kernel"])
    return _Search(
        basis=Blocked(np.concatenate([basis, mean[None, :]])),
        offset=basis @ mean,
        mean_energy=float(mean.dot(mean)),
        scale=np.asarray(arrays["scale"], dtype=np.float32),
        points=Blocked(points),
        threshold=threshold,
        kept=int(kept) if kept < len(points) else 0,
        familiarity=familiarity,
    )
