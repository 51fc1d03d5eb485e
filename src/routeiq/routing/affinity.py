"""Whether a conversation stays on its model: the gain of a change against what the change costs.

Owns the rule, which is pure; who remembers conversations is `guard.conversations`. The rule comes after filters and
scorers and before the choice, so that it never brings back a candidate that was taken out, and a caller's hint comes
before it.

A change costs the provider's prompt cache: tokens of the prompt that the model has read before are billed at a
fraction of the price as long as the conversation stays. That saving, in US dollars, is turned into points of utility by
the objective's cost weight, as any cost is. To it comes a margin, because expectations are not exact and a conversation
that goes back and forth reads badly.
"""

from dataclasses import dataclass, replace

import numpy as np

from routeiq.core.conversation import Conversation
from routeiq.core.decision import Affinity, Hold
from routeiq.core.request import RouteRequest
from routeiq.routing.profile import Assessment, Profile
from routeiq.routing.table import CandidateTable, Floats

FEWEST_CACHED_TOKENS = 1_024
"""Providers cache no shorter prompts."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How much it takes to move a conversation.

    `margin` is in points of utility. A provider is taken to keep a prompt for `cache_s` seconds after its last use, and
    to take `cached_discount` off the price of cached input where the price list does not say.
    """

    margin: float = 0.05
    cache_s: float = 300.0
    cached_discount: float = 0.5


@dataclass(frozen=True, slots=True)
class Settled:
    """An assessment after regard to the conversation, and the account of it."""

    found: Assessment
    affinity: Affinity | None = None


def settle(
    found: Assessment,
    profile: Profile,
    table: CandidateTable,
    request: RouteRequest,
    conversation: Conversation | None,
    rule: Stay | None,
    now: float,
) -> Settled:
    """Return which candidate is chosen when the conversation counts, and with which probabilities.

    Whatever the picker drew, the model stays unless the drawn candidate's gain exceeds the cost of the change, so the
    probabilities of all others go to it; they still say how likely each choice was. A strategy whose utilities are no
    qualities (price, size, load) states no gain, and there the model always stays. `now` is in seconds since the epoch.
    """
    if rule is None or conversation is None:
        return Settled(found)
    names, at = table.names, table.index.get(conversation.model)
    fresh = names[found.chosen]
    if at is None or found.filtered_by[at]:
        return Settled(found, Affinity(conversation.model, Hold.GONE, fresh))
    tokens = _cached_tokens(request, conversation, rule, now)
    saving = tokens * _saving(table, at, rule)
    cost = rule.margin + profile.objective.cost_weight * _relative(saving, found)
    gain = found.utility - found.utility[at]
    bound = request.follows_up or found.expected_score is None
    worth = np.zeros(gain.size, dtype=bool) if bound else gain > cost
    probability = np.where(worth, found.probability, 0.0)
    probability[at] = 0.0
    probability[at] = 1.0 - probability.sum()
    moves = bool(worth[found.chosen])
    hold = Hold.AGREED if found.chosen == at else Hold.BROKEN if moves else Hold.KEPT
    said = None if found.expected_score is None else float(gain[found.chosen])
    account = Affinity(conversation.model, hold, fresh, said, cost, saving, tokens)
    return Settled(replace(found, chosen=found.chosen if moves else at, probability=probability), account)


def _cached_tokens(request: RouteRequest, conversation: Conversation, rule: Stay, now: float) -> int:
    """Return how much of the prompt the provider is taken to have in its cache: what it read in the last turn."""
    if not 0.0 <= now - conversation.at <= rule.cache_s:
        return 0
    tokens = min(request.prompt_tokens, conversation.prompt_tokens)
    return tokens if tokens >= FEWEST_CACHED_TOKENS else 0


def _saving(table: CandidateTable, at: int, rule: Stay) -> float:
    """Return what a cached token of a candidate saves, in US dollars; 0 where its price is unknown."""
    price, cached = float(table.input_price[at]), float(table.cached_price[at])
    if np.isnan(price):
        return 0.0
    return max(0.0, price * rule.cached_discount if np.isnan(cached) else price - cached)


def _relative(saving: float, found: Assessment) -> float:
    """Return a sum over what the cost weight counts in: the typical cost, else the mean of the candidates left."""
    typical = found.typical_cost_usd
    if not typical:
        known: Floats = found.cost_usd[found.left]
        known = known[~np.isnan(known)]
        typical = float(known.mean()) if known.size else 0.0
    return saving / typical if typical > 0.0 else 0.0
