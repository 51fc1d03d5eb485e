"""What a call is said to have taken where nobody measured it: tokens and seconds.

Owns the two estimates that the simulated models and the replay provider share. Latency of a whole answer is lognormal
around `ttft + output_tokens / speed`, with a standard deviation of 0.25 in the logarithm, fixed by
(prompt, model, seed).
"""

from __future__ import annotations

from dataclasses import dataclass

from routeiq.testing.tasks.draws import lognormal

SIGMA = 0.25


def estimate_tokens(text: str) -> int:
    """About four characters to a token, never zero."""
    return max(1, (len(text) + 3) // 4)


@dataclass(frozen=True, slots=True)
class Speed:
    """`ttft_s` is the median time to first token in seconds, `tokens_per_s` the median rate after it."""

    ttft_s: float
    tokens_per_s: float

    def stated(self, output_tokens: int, key: str, model: str, seed: int) -> tuple[float, float]:
        """Latency of the whole answer and time to first token, in seconds."""
        median = self.ttft_s + output_tokens / self.tokens_per_s
        latency = lognormal(median, SIGMA, "latency", key, model, seed)
        return latency, latency * self.ttft_s / median

    def first_token(self, latency_s: float, output_tokens: int) -> float:
        """The part of a known latency that passed before the first token."""
        return latency_s * self.ttft_s / (self.ttft_s + output_tokens / self.tokens_per_s)
