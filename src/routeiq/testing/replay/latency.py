"""How fast a recorded model is said to be when the run did not measure it.

Owns the stated assumption; the draw around it is `tasks.usage.Speed`. Time to first token and speed follow the model's
output price, because dear models are large ones:

| output price, $ per million tokens | time to first token, s | tokens per second |
|---|---|---|
| below 0.5 | 0.35 | 120 |
| below 2   | 0.45 | 80 |
| below 8   | 0.60 | 60 |
| 8 and more, or unknown | 0.90 | 40 |

The tiers are round numbers in the range that public trackers of hosted models reported in 2024.
"""

from __future__ import annotations

from routeiq.testing.tasks.usage import Speed

_TIERS = ((0.5, Speed(0.35, 120.0)), (2.0, Speed(0.45, 80.0)), (8.0, Speed(0.60, 60.0)))
_DEAREST = Speed(0.90, 40.0)


def speed_for_price(usd_per_m_output: float | None) -> Speed:
    """The tier of a model by its output price in dollars per million tokens."""
    if usd_per_m_output is None:
        return _DEAREST
    return next((speed for limit, speed in _TIERS if usd_per_m_output < limit), _DEAREST)
