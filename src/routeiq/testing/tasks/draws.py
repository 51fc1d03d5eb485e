"""Reproducible chance: numbers that depend on nothing but the words they are asked with.

Owns the one rule by which the simulated models and the replay provider draw. Owns no state and no generator: the same
parts give the same number in every process, in any order, which `random.Random` shared between callers could not.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()
_SPAN = 2.0**64


def uniform(*parts: str | int) -> float:
    """A number strictly between 0 and 1, fixed by `parts`."""
    digest = blake2b("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 2**64 - 1 rounds up to 2.0**64 as a float; the clamp keeps the interval open for `normal`.
    return min((int.from_bytes(digest, "big") + 0.5) / _SPAN, 1.0 - 2.0**-53)


def normal(*parts: str | int) -> float:
    """A standard normal number, fixed by `parts`."""
    return _STANDARD_NORMAL.inv_cdf(uniform(*parts))


def lognormal(median: float, sigma: float, *parts: str | int) -> float:
    """A lognormal number with this median (same unit) and this standard deviation of its logarithm."""
    return median * exp(sigma * normal(*parts))


def normal_cdf(x: float) -> float:
    """The share of a standard normal variable below `x`."""
    return _STANDARD_NORMAL.cdf(x)
