"""A trained artifact bound to a table of candidates: what every learned scorer does alike.

Owns the check of an artifact's arrays, the mapping of its columns to candidates, the question whether a prompt's
embedding is of use, and the step from expected tokens to expected cost. What the arrays mean for a score is the
business of the family's scorer. Every artifact of a family that is built on this has, for m models:

    prior_score, prior_tokens (m,)    each model's mean over all training prompts, NaN where nothing was recorded
    input_price, output_price (m,)    list prices at training, US dollars per token, NaN where unknown

and may have what models count of a prompt, which differs by tokenizer and by what is added to it (tools above all):

    input_line (2, m)                 input tokens counted: slope x the prompt's length in tokens + offset
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError, CandidateMismatch
from routeiq.routing.blocks import Blocked, Singles
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats

COMMON: Mapping[str, str] = {"prior_score": "m", "prior_tokens": "m", "input_price": "m", "output_price": "m"}
"""Arrays of every artifact, with their shapes as letters."""

MAY_BE_UNKNOWN = frozenset({*COMMON, "prior_latency"})
"""Arrays in which NaN says that a number is not known."""

LINEAR_TOKENS: Mapping[str, str] = {"token_weights": "mD", "token_offset": "m"}
"""Arrays for tokens that are a linear function of the embedding: the logarithm of their ratio to the model's mean."""

_FAR = 3.0
"""How far expected tokens may be from their mean, as a logarithm: about twenty times."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """The columns of an artifact in the order of a table's n candidates, and what is known of each without a prompt."""

    embedder: str | None
    dimensions: int | None
    column: NDArray[np.intp] = field(repr=False)
    prior_score: Floats
    prior_tokens: Floats
    input_price: Floats
    output_price: Floats
    input_line: tuple[Floats, Floats]
    typical_cost_usd: float | None = None

    @classmethod
    def of(cls, artifact: Artifact, table: CandidateTable) -> "Binding":
        """Bind an artifact whose arrays were checked; raises CandidateMismatch when it knows none of the candidates."""
        column = columns(artifact, table)
        arrays, known = artifact.arrays, column >= 0

        def price(name: str, listed: Floats) -> Floats:
            return np.where(np.isnan(listed) & known, pick(arrays[name], column), listed)

        return cls(
            embedder=artifact.manifest.embedder,
            dimensions=artifact.manifest.dimensions,
            column=column,
            prior_score=pick(arrays["prior_score"], column),
            prior_tokens=pick(arrays["prior_tokens"], column),
            input_price=price("input_price", table.input_price),
            output_price=price("output_price", table.output_price),
            input_line=_line(arrays.get("input_line"), column),
            typical_cost_usd=(float(arrays["typical_cost"][0]) or None) if "typical_cost" in arrays else None,
        )

    def pick(self, values: Any, missing: float = np.nan) -> Floats:
        """Return columns (..., n) of values (..., m) in the order of the table; `missing` for unknown candidates."""
        return pick(values, self.column, missing)

    def vector(self, view: View) -> Singles | None:
        """Return the prompt's embedding, or None when there is none, another embedder's, or one that says nothing."""
        vector = view.features.embedding
        if vector is None or view.features.embedder != self.embedder or vector.shape != (self.dimensions,):
            return None
        return vector if 0.0 < float(vector.dot(vector)) < np.inf else None

    def rows(self, weights: Any, offset: Any) -> tuple[Floats, Floats]:
        """Return weights (n, ...) and offset (n,) of the table's candidates from those of the models; 0 for unknown."""
        return self.pick(np.asarray(weights).T, 0.0).T, self.pick(offset, 0.0)

    def means(self, view: View, latency: Floats | None = None) -> Prediction:
        """Return what is expected of a prompt of which nothing is known: the means over all training prompts."""
        evidence = np.where(np.isnan(self.prior_score), np.nan, 0.0)
        return self.prediction(view, self.prior_score, self.prior_tokens, latency, evidence)

    def tokens(self, log_ratio: Floats) -> Floats:
        """Return expected output tokens (n,) from the logarithm of their ratio to each model's mean."""
        return self.prior_tokens * np.exp(np.minimum(np.maximum(log_ratio, -_FAR), _FAR))

    def prediction(
        self,
        view: View,
        score: Floats,
        tokens: Floats,
        latency: Floats | None = None,
        evidence: Floats | None = None,
    ) -> Prediction:
        """Return a prediction of quality from expected scores and output tokens, both (n,); cost is tokens at price."""
        limit = view.request.output_tokens
        length = tokens if limit is None else np.minimum(tokens, limit)
        slope, extra = self.input_line
        counted = np.maximum(slope * view.request.prompt_tokens + extra, 0.0)
        cost = self.input_price * counted + self.output_price * length
        return Prediction(
            score,
            quality=True,
            cost_usd=cost,
            latency_s=latency,
            evidence=evidence,
            typical_cost_usd=self.typical_cost_usd,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Several linear functions of a vector, computed by one product: `weights` (r, D), `offset` (r,)."""

    weights: Blocked
    offset: Singles

    @classmethod
    def of(cls, weights: Any, offset: Any) -> "Linear":
        """Return the functions `weights @ vector + offset`."""
        return cls(Blocked(np.asarray(weights, dtype=np.float32)), np.asarray(offset, dtype=np.float32))

    def __call__(self, vector: Singles) -> Floats:
        """Return the values for a vector (D,), shape (r,)."""
        return (self.weights.times(vector) + self.offset).astype(np.float64)


def squashed(score: Floats) -> Floats:
    """Return scores cut to 0..1; NaN stays NaN."""
    return np.asarray(np.minimum(np.maximum(score, 0.0), 1.0))


def sigmoid(logit: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -35.0, 35.0))))


def checked(artifact: Artifact, shapes: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the arrays of an artifact after a check of presence, type, shape and finiteness; raises ArtifactError.

    `shapes` gives the axes of each array as letters: "m" is the number of models, "D" the dimensions of the embedding,
    a digit that length, and any other letter one length throughout. An artifact that is held is looked through once.
    """
    return artifact.once(("checked", *shapes.items()), lambda: _checked(artifact, shapes))


def _checked(artifact: Artifact, shapes: Mapping[str, str]) -> Mapping[str, Any]:
    manifest, arrays = artifact.manifest, artifact.arrays
    sizes = {"m": len(manifest.candidates), **{digit: int(digit) for digit in "123456789"}}
    if manifest.dimensions is not None:
        sizes["D"] = manifest.dimensions
    for name, shape in shapes.items():
        if name not in arrays:
            raise ArtifactError(
                f"artifact {manifest.version!r} has no array {name!r} that strategy {manifest.strategy!r} needs; "
                "train it anew"
            )
        if not np.issubdtype(arrays[name].dtype, np.floating):
            raise ArtifactError(
                f"array {name!r} of artifact {manifest.version!r} has type {arrays[name].dtype}, expected floats; "
                "train it anew"
            )
        found = arrays[name].shape
        expected = tuple(sizes.setdefault(axis, size) for axis, size in zip(shape, found, strict=False))
        if found != expected or len(found) != len(shape):
            raise ArtifactError(
                f"array {name!r} of artifact {manifest.version!r} has shape {found}, expected {expected}; train it anew"
            )
        if name not in MAY_BE_UNKNOWN and not np.isfinite(arrays[name]).all():
            raise ArtifactError(
                f"array {name!r} of artifact {manifest.version!r} has numbers that are not finite; train it anew"
            )
    return arrays


def columns(artifact: Artifact, table: CandidateTable) -> NDArray[np.intp]:
    """Return the artifact's column of each candidate, -1 for the ones it does not know, shape (n,).

    Raises CandidateMismatch when it knows none of them.
    """
    trained = {name: j for j, name in enumerate(artifact.manifest.candidates)}
    column = np.array([trained.get(name, -1) for name in table.names], dtype=np.intp)
    if not (column >= 0).any():
        raise CandidateMismatch(
            f"artifact {artifact.manifest.version!r} was trained on {_listed(artifact.manifest.candidates)}; "
            f"none of these is a candidate here ({_listed(table.names)}); name the candidates as at training, "
            "or train on outcomes of these"
        )
    return column


def pick(values: Any, column: NDArray[np.intp], missing: float = np.nan) -> Floats:
    """Return columns (..., n) of values (..., m) in the order of the table; `missing` for unknown candidates."""
    return np.where(column >= 0, np.asarray(values, dtype=np.float64)[..., column], missing)


def _line(line: Any, column: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return slope and offset of counted input tokens by candidate; 1 and 0 where an artifact says nothing."""
    slope, extra = np.ones(column.size), np.zeros(column.size)
    if line is not None and line.ndim == 2 and len(line) == 2 and np.isfinite(line).all():
        known = (column >= 0) & (column < line.shape[1])
        slope[known], extra[known] = line[0, column[known]], line[1, column[known]]
    return slope, extra


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
