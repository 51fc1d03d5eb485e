"""How much a prompt is like each of some training prompts, all that is known of it considered: a kernel.

Owns the Gaussian kernel between the row of a prompt (`routing.hardness.reading`), scaled, and the rows of landmarks,
which is what heads that bend are linear in (Nyström's method; Williams and Seeger 2001). Which prompts are landmarks is
the business of `learn.hardness`. Arrays of an artifact, for rows of X numbers and l landmarks:

    input_mean, input_scale (X,)   what a row is centred and scaled with
    landmark (l, X)                rows of landmarks, centred and scaled
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from routeiq.routing.blocks import Blocked, Singles
from routeiq.routing.table import Floats

SHAPES: Mapping[str, str] = {"input_mean": "X", "input_scale": "X", "landmark": "lX"}
"""The arrays, see `routing.trained.checked`."""

WIDTH: Final = 0.5
"""What a squared distance is multiplied by; two rows drawn at random are about 2 apart."""


def likeness(rows: Floats, landmarks: Floats) -> Floats:
    """Return the kernel between rows (n, X) and landmarks (l, X), both scaled, 0..1, shape (n, l)."""
    apart = (rows**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1) - 2.0 * rows @ landmarks.T
    return np.asarray(np.exp(-WIDTH * np.maximum(apart, 0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The landmarks of an artifact; `squared` (l,) are their squared lengths."""

    mean: Singles = field(repr=False)
    scale: Singles = field(repr=False)
    landmarks: Blocked = field(repr=False)
    squared: Singles = field(repr=False)

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "Kernel":
        """Return the kernel of arrays that were checked."""
        landmark = np.asarray(arrays["landmark"], np.float32)
        mean, scale = (np.asarray(arrays[name], np.float32) for name in ("input_mean", "input_scale"))
        return cls(mean, scale, Blocked(landmark), np.einsum("ij,ij->i", landmark, landmark))

    def scaled(self, row: Singles) -> Singles:
        """Return a row (X,) as a prompt is read, centred and scaled."""
        return np.asarray((row - self.mean) / self.scale, dtype=np.float32)

    def __call__(self, scaled: Singles) -> Singles:
        """Return the likeness of a scaled row (X,) to each landmark, shape (l,)."""
        apart = self.squared - 2.0 * self.landmarks.times(scaled) + np.float32(np.einsum("i,i->", scaled, scaled))
        return np.asarray(np.exp(-WIDTH * np.maximum(apart, 0.0)), dtype=np.float32)
