"""Putting RouteIQ in front of an existing LiteLLM configuration: what it lacks, and its text with that added.

Owns which keys are added, and replacing the file safely. How text is added is `config.edit`'s; asking the operator is
the command line's.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from routeiq.config.edit import add
from routeiq.config.load import Settings
from routeiq.config.settings import SECTION
from routeiq.config.virtual_models import chat_models, check_name, group_entry, routing_groups
from routeiq.core.errors import ConfigError, UnknownCandidate, nearest

COMMENT = "RouteIQ chooses a model for every request to these names; `routeiq check` validates this section."
WILDCARDS = "; RouteIQ chooses among models, which a wildcard does not name: add an entry to the model_list for each"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A configuration before and after; `before == after` when nothing was lacking."""

    path: Path
    before: str
    after: str


def adopt(
    settings: Settings, alias: str, candidates: tuple[str, ...], strategy: str | None, artifact: str | None
) -> Adoption:
    """Return the configuration with a virtual model added; raises ConfigError when that cannot be done.

    `candidates` default to all model groups that answer prompts. What the file already says about the alias stays.
    """
    chosen = candidates or _known_candidates(settings, alias)
    for name in chosen:
        if name not in settings.model_names:
            hint = WILDCARDS if any("*" in known for known in settings.model_names) else ""
            raise UnknownCandidate(f"{name!r} is not in the model_list; {nearest(name, settings.model_names)}{hint}")
    check_name(settings, alias, str(settings.path))
    before = settings.path.read_bytes().decode()
    after = before
    if not any(group.get("group_name") == alias for group in routing_groups(settings)):
        _must_be_here(settings, "router_settings")
        after = add(after, ("router_settings", "routing_groups"), [group_entry(alias, chosen)])
    _must_be_here(settings, SECTION)
    after = add(after, (SECTION, "aliases", alias), _alias(strategy, artifact), COMMENT)
    return Adoption(settings.path, before, after)


def _known_candidates(settings: Settings, alias: str) -> tuple[str, ...]:
    named = settings.routeiq.aliases.get(alias)
    chosen = tuple(named.candidates or ()) if named is not None else ()
    chosen = chosen or chat_models(settings.model_list)
    if not chosen:
        hint = WILDCARDS if any("*" in known for known in settings.model_names) else "; name some with --models"
        raise ConfigError(f"{settings.path}: the model_list has no model that answers prompts{hint}")
    return chosen


def _alias(strategy: str | None, artifact: str | None) -> dict[str, str]:
    said = {"strategy": strategy, "artifact": artifact}
    return {key: value for key, value in said.items() if value is not None}


def _must_be_here(settings: Settings, section: str) -> None:
    """Refuse to add to a section that an included file holds: that file's would win."""
    mark = settings.document.marks.get((section,))
    if mark is not None and mark[0] != settings.path:
        raise ConfigError(
            f"{section} stands in the included file {mark[0]}; move it to {settings.path}, or edit it there"
        )


def write(adoption: Adoption) -> Path:
    """Replace the file, all of it or none, and return the copy of the former one that was left beside it."""
    path = adoption.path.resolve()
    backup = _free_name(path)
    shutil.copy2(path, backup)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(adoption.after.encode())
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, name)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return backup


def _free_name(path: Path) -> Path:
    candidates = [path.with_name(f"{path.name}.bak"), *(path.with_name(f"{path.name}.bak{i}") for i in range(2, 1000))]
    return next(candidate for candidate in candidates if not candidate.exists())
