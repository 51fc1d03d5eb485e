"""Rules of who may be routed to which models, in a file of their own: reviewed, replaced and reloaded by itself.

    default: allow
    rules:
      - name: contracts stay in the EU
        teams: [legal]
        allow: [gpt-4o-eu, mistral-eu]
      - name: no reasoning models for batch jobs
        tags: [batch]
        aliases: [auto]
        deny: [o3]

Owns the form of the file and its check against models and aliases. A rule is for callers that match everything it
names (`teams`, `users`, `keys`, `tags`, `aliases`); all rules that match hold together: each takes away. What they come
to for a request is `routing.filters.PolicyFilter`'s.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from routeiq.config.settings import Concern, Name, Names
from routeiq.core.errors import ConfigError, UnknownCandidate, UnknownKey, nearest
from routeiq.routing.filters import PolicyFilter, Rule

Some = Annotated[list[Name], Field(min_length=1)] | None


class PolicyRule(Concern):
    """One rule; what it does not name it does not look at."""

    name: Name
    teams: Some = None
    users: Some = None
    keys: Some = None
    tags: Some = None
    aliases: Some = None
    allow: Names | None = None
    deny: Names | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "PolicyRule":
        if (self.allow is None) == (self.deny is None):
            raise ValueError("expected either `allow` or `deny`, a list of models")
        return self


class Policy(Concern):
    """The rules. `default` is for callers whom no rule is for."""

    default: Literal["allow", "deny"] = "allow"
    rules: list[PolicyRule] = Field(default=[])


def read_policy(path: Path) -> Policy:
    """Return the rules of a file; raises ConfigError that names file, rule and key."""
    try:
        return _read(path)
    except ConfigError as error:
        error.file = path
        raise


def _read(path: Path) -> Policy:
    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: the policy cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: the policy is not YAML ({str(error)[:120]})") from None
    except RecursionError:
        raise ConfigError(f"{path}: the policy is not YAML (lists or mappings stand too deep in one another)") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected a mapping with `rules`, found {type(found).__name__}")
    try:
        return Policy.model_validate(found)
    except ValidationError as error:
        raise _mistake(path, error) from None


def policy_filter(policy: Policy, path: Path, models: Collection[str], aliases: Collection[str]) -> PolicyFilter | None:
    """Return the rules as a filter, None when there is nothing to check; raises UnknownCandidate, ConfigError."""
    try:
        _check(policy, path, models, aliases)
    except ConfigError as error:
        error.file = path
        raise
    if not policy.rules and policy.default == "allow":
        return None
    return PolicyFilter(tuple(map(_rule, policy.rules)), default_allows=policy.default == "allow")


def _check(policy: Policy, path: Path, models: Collection[str], aliases: Collection[str]) -> None:
    for i, rule in enumerate(policy.rules):
        for key, names in (("allow", rule.allow), ("deny", rule.deny)):
            for name in names or ():
                if name not in models:
                    where = f"{path}: rules[{i}].{key} ({rule.name})"
                    raise UnknownCandidate(f"{where}: {name!r} is not in the model_list; {nearest(name, models)}")
        for alias in rule.aliases or ():
            if alias not in aliases:
                where = f"{path}: rules[{i}].aliases ({rule.name})"
                raise ConfigError(f"{where}: {alias!r} is not an alias; {nearest(alias, aliases)}")


def _rule(said: PolicyRule) -> Rule:
    def some(names: list[str] | None) -> frozenset[str] | None:
        return None if names is None else frozenset(names)

    return Rule(
        name=said.name,
        teams=some(said.teams),
        users=some(said.users),
        keys=some(said.keys),
        tags=some(said.tags),
        aliases=some(said.aliases),
        models=frozenset(said.allow or said.deny or ()),
        allows=said.allow is not None,
    )


def _mistake(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).removeprefix(".")
    if first["type"] == "extra_forbidden":
        known = PolicyRule.model_fields if len(first["loc"]) > 1 else Policy.model_fields
        name = str(first["loc"][-1])
        return UnknownKey(f"{path}: {where}: unknown key {name!r}; {nearest(name, known)}")
    return ConfigError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}, found {first['input']!r:.80}")
