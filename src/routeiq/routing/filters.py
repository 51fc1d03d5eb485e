"""Built-in filters: what a candidate must be able to do, how much it can read, and what the operator allows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from routeiq.core.request import RouteRequest
from routeiq.routing.stages import View
from routeiq.routing.table import TYPICAL_OUTPUT_TOKENS, Bools, bits


@dataclass(frozen=True, slots=True)
class CapabilityFilter:
    """Takes out candidates that are known not to do what the request needs (tools, vision, JSON mode, embedding)."""

    name: str = "capability"

    def exclude(self, view: View) -> Bools | None:
        """Return True where a needed capability is missing; unknown capabilities pass."""
        if not view.request.needs:
            return None
        needed = bits(view.request.needs)
        missing: Bools = (view.table.capabilities & needed) != needed
        return missing


@dataclass(frozen=True, slots=True)
class ContextWindowFilter:
    """Takes out candidates whose context window cannot hold the prompt and an answer."""

    name: str = "context_window"

    def exclude(self, view: View) -> Bools | None:
        """Return True where prompt plus answer exceed the window; an unknown window passes.

        The answer counts with the caller's limit, else with a typical length.
        """
        tokens = view.request.prompt_tokens
        if tokens == 0:
            return None
        answer = view.request.output_tokens
        needed = tokens + (TYPICAL_OUTPUT_TOKENS if answer is None else answer)
        if needed <= view.table.smallest_window:
            return None
        too_small: Bools = view.table.context_window < needed
        return too_small


@dataclass(frozen=True, slots=True)
class AllowListFilter:
    """Takes out candidates that the operator has not listed for a caller's team.

    `teams` maps a team to the candidates it may be routed to; a team that is not named may use all of them.
    """

    teams: dict[str, frozenset[str]]
    name: str = "allow_list"
    permission: ClassVar[bool] = True

    def exclude(self, view: View) -> Bools | None:
        """Return True for the candidates outside the list of the caller's team."""
        allowed = self.teams.get(view.request.caller.team or "")
        if allowed is None:
            return None
        return np.array([name not in allowed for name in view.table.names])


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy: the models it allows (all others are taken away) or denies, and whom it is for.

    None in a place means that it does not look there; a caller has to match everywhere else.
    """

    name: str
    models: frozenset[str]
    allows: bool
    teams: frozenset[str] | None = None
    users: frozenset[str] | None = None
    keys: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    aliases: frozenset[str] | None = None

    def is_for(self, request: RouteRequest) -> bool:
        """Return whether a request is one that the rule is for."""
        caller = request.caller
        single = (
            (self.aliases, request.alias),
            (self.teams, caller.team),
            (self.users, caller.user),
            (self.keys, caller.key_hash),
        )
        matches = all(wanted is None or found in wanted for wanted, found in single)
        return matches and (self.tags is None or not self.tags.isdisjoint(caller.tags))


@dataclass(frozen=True, slots=True)
class PolicyFilter:
    """Takes out candidates that the rules of a policy take away from a caller; all that match hold together.

    Whom no rule is for may use all candidates, or none unless `default_allows`.
    """

    rules: tuple[Rule, ...]
    default_allows: bool = True
    name: str = "policy"
    permission: ClassVar[bool] = True

    def exclude(self, view: View) -> Bools | None:
        """Return True for the candidates that a rule takes away."""
        holding = [rule for rule in self.rules if rule.is_for(view.request)]
        if not holding:
            return None if self.default_allows else np.ones(len(view.table), dtype=np.bool_)
        return np.array([any((name in r.models) != r.allows for r in holding) for name in view.table.names])
