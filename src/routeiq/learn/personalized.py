"""Fits strategy `personalized`: what teams and users think of each model, on top of another artifact's scores.

Owns the offsets and their shrinkage; where ratings come from is the caller's business. Prediction is
`routing.scorers.personalized`. An offset is the mean difference between what somebody said and what was expected, drawn
to 0 by a prior mass; a user's offset is what is left after the team's. Personalised routing: arXiv 2511.16883; the
shrinkage is the empirical Bayes estimate for groups within groups.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import DataError, nearest
from routeiq.routing import codec
from routeiq.routing.scorers.personalized import BASE, MASS, STRATEGY, group
from routeiq.routing.table import Floats


@dataclass(frozen=True, slots=True)
class Rating:
    """What a caller thought of one answer (0..1), and what the base strategy had expected of it."""

    model: str
    score: float
    expected: float
    team: str | None = None
    user: str | None = None


def fit(base: Artifact, ratings: Sequence[Rating], *, mass: float = MASS, created: str = "") -> Artifact:
    """Return the artifact of strategy `personalized` over another one, which it contains.

    The order of ratings does not matter. Teams and users are kept as digests of their ids. Raises DataError for a
    rating of a model that the base was not trained on, or outside 0..1, and for a base that is itself personalised.
    """
    if base.manifest.strategy == STRATEGY:
        raise DataError(f"artifact {base.manifest.version!r} is personalised already; name the one it was made from")
    models = {name: j for j, name in enumerate(base.manifest.candidates)}
    for at, rating in enumerate(ratings, start=1):
        if rating.model not in models:
            raise DataError(f"rating {at} is of model {rating.model!r}; {nearest(rating.model, models)}")
        if not (0.0 <= rating.score <= 1.0 and np.isfinite(rating.expected)):
            raise DataError(
                f"rating {at} has score {rating.score!r}, expected {rating.expected!r}; give a score from 0 to 1"
            )
    teams, users = _Groups(len(models), mass), _Groups(len(models), mass)
    ordered = sorted(ratings, key=lambda r: tuple(str(part) for part in astuple(r)))
    for rating in ordered:
        if rating.team is not None:
            teams.add(group("team", rating.team), models[rating.model], rating.score - rating.expected)
    for rating in ordered:
        if rating.user is not None:
            told = teams.offset(group("team", rating.team), models[rating.model]) if rating.team is not None else 0.0
            users.add(group("user", rating.user), models[rating.model], rating.score - rating.expected - told)
    names = sorted({*teams.total, *users.total})
    owners = [(name, teams if name in teams.total else users) for name in names]
    offsets = np.array([owner.all(name) for name, owner in owners]).reshape(-1, len(models))
    counts = np.array([owner.count[name] for name, owner in owners]).reshape(-1, len(models))
    said = {
        "base": {"strategy": base.manifest.strategy, "version": base.manifest.version},
        "base_training": dict(base.manifest.training),
        "groups": names,
        "ratings": len(ratings),
        "mass": mass,
    }
    manifest = replace(base.manifest, strategy=STRATEGY, version="", sha256="", created=created,
                       parent=base.manifest.version, signature=None, metrics={}, training=said)  # fmt: skip
    arrays = {"offsets": offsets, "counts": counts, **{BASE + name: values for name, values in base.arrays.items()}}
    return codec.seal(Artifact(manifest, arrays))


class _Groups:
    """Sums and numbers of differences, by group and model."""

    def __init__(self, models: int, mass: float) -> None:
        self._models, self._mass = models, mass
        self.total: dict[str, Floats] = {}
        self.count: dict[str, Floats] = {}

    def add(self, name: str, model: int, difference: float) -> None:
        self.total.setdefault(name, np.zeros(self._models))[model] += difference
        self.count.setdefault(name, np.zeros(self._models))[model] += 1.0

    def all(self, name: str) -> Floats:
        return np.asarray(self.total[name] / (self.count[name] + self._mass))

    def offset(self, name: str, model: int) -> float:
        return float(self.all(name)[model])
