#!/usr/bin/env python3
"""Write the reference pages that are made from code: docs/reference/{settings,cli,errors}.md.

Run it after changing a setting, an environment variable, a strategy, a command or an error; `--check` only says whether
the pages are up to date. A test runs that check.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import AnyHttpUrl, AwareDatetime, SecretStr
from pydantic.fields import FieldInfo

from routeiq.cli.app import application
from routeiq.cli.output import Reporter
from routeiq.config.environment import OLD_NAMES, Environment
from routeiq.config.settings import (
    AffinitySettings,
    AliasSettings,
    ArmSettings,
    ArtifactCacheSettings,
    AuditSettings,
    BreakerSettings,
    CompoundSettings,
    Concern,
    EmbedderSettings,
    ExperimentSettings,
    ExplorationSettings,
    LimitsSettings,
    ObjectiveSettings,
    OnlineSettings,
    OutcomeLogSettings,
    RampSettings,
    RouteIQSettings,
    ShareSettings,
)
from routeiq.core.errors import RouteIQError
from routeiq.routing.strategies import BUILT_IN
from routeiq.testing.demo.command import app as demo

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py; change the code, then run it again. -->\n"

CONCERNS: tuple[tuple[str, type[Concern]], ...] = (
    ("routeiq_settings", RouteIQSettings),
    ("aliases.NAME", AliasSettings),
    ("aliases.NAME.objective", ObjectiveSettings),
    ("aliases.NAME.exploration", ExplorationSettings),
    ("compound.NAME", CompoundSettings),
    ("experiments.NAME", ExperimentSettings),
    ("experiments.NAME.arms.NAME", ArmSettings),
    ("experiments.NAME.ramp[]", RampSettings),
    ("affinity", AffinitySettings),
    ("embedder", EmbedderSettings),
    ("outcome_log", OutcomeLogSettings),
    ("audit", AuditSettings),
    ("limits", LimitsSettings),
    ("limits.teams.ID, limits.keys.HASH", ShareSettings),
    ("breakers", BreakerSettings),
    ("online", OnlineSettings),
    ("artifact_cache", ArtifactCacheSettings),
)

SETTINGS_INTRO = """\
# Settings

RouteIQ reads one section, `routeiq_settings`, of LiteLLM's own config.yaml; everything else in the file is LiteLLM's. A
file without the section is valid: then RouteIQ routes, observes and records nothing. The section with nothing in it
routes nothing, but records the outcomes of the models that callers name.

Unknown keys are errors that name the nearest known one. `os.environ/NAME` works as in LiteLLM's sections. `include:` is
followed as LiteLLM follows it. Relative paths start at the folder of the file. `routeiq check` validates all of it
without starting anything.

```yaml file=config.yaml
model_list:
  - model_name: small
    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}
  - model_name: big
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
router_settings:
  routing_groups:
    - group_name: auto
      models: [small, big]
      routing_strategy: priority
      model_priorities: {small: 1, big: 1}
routeiq_settings:
  strategy: cheapest-capable
  aliases:
    auto:
      exploration: {epsilon: 0.02}
  outcome_log: {path: routeiq.db}
  allow_list:
    team-a: [small]
```

What RouteIQ knows of a candidate comes from the entry's `litellm_params` and `model_info`, else from LiteLLM's price
list: `input_cost_per_token`, `output_cost_per_token`, `max_input_tokens`, `mode`, `supports_function_calling`,
`supports_vision`, `supports_response_schema`. Four keys of `model_info` are read by RouteIQ only: `size` (billions of
parameters, for `smallest` and `largest`), `weight` (for `weighted`), `latency_s` (seconds of a typical answer, for
`lowest-latency` until it has seen some) and `benchmarks` (published scores from 0 to 1 by name, by which
[`irt`](strategies/irt.md) places a model without recorded outcomes).
"""

ENVIRONMENT_INTRO = """\
## Environment variables

They come before the file. An unknown name that starts with `ROUTEIQ_` is an error that names the nearest known one.
LiteLLM's other variables (`OPENAI_API_KEY`, ...) are LiteLLM's; RouteIQ does not read them.
"""

CLI_INTRO = """\
# Command line

`pip install 'routeiq-router[cli]'` is enough for most commands; `serve` needs `[proxy]`, `train` needs `[train]` and
`demo` needs `[demo]`.

Exit status: 0 success, 1 failure at run time, 2 mistake in configuration, data or usage. Errors are one message on
standard error, `error[reason]: ...`, with the reason words of [errors](errors.md); `routeiq --debug COMMAND ...` adds
the traceback. Results are on standard output, progress and warnings are not.
"""


def settings_page() -> str:
    """Return the page about settings and environment."""
    parts = [MADE, SETTINGS_INTRO]
    for path, concern in CONCERNS:
        parts.append(f"## `{path}`\n\n{concern.__doc__}\n\n{_fields(concern)}")
    parts.append(f"## Strategies\n\n{_strategies()}")
    parts.append(ENVIRONMENT_INTRO + "\n" + _environment())
    parts.append("Names of former versions:\n\n" + _old_names())
    return "\n".join(parts)


def _fields(concern: type[Concern]) -> str:
    rows = [
        (f"`{name}`", _type(field.annotation), _default(field), _meaning(field))
        for name, field in concern.model_fields.items()
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _meaning(field: FieldInfo) -> str:
    kind = _stripped(field.annotation)
    nested = field.description is None and isinstance(kind, type) and issubclass(kind, Concern)
    return (kind.__doc__ if nested else field.description) or ""


def _stripped(annotation: Any) -> Any:
    """Return an annotation without what is annotated to it, and without None."""
    if get_origin(annotation) is Annotated:
        return _stripped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _stripped(next(kind for kind in get_args(annotation) if kind is not type(None)))
    return annotation


def _type(annotation: Any) -> str:
    kind = _stripped(annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is list:
        return f"list of {_type(get_args(kind)[0])}s"
    if get_origin(kind) is dict:
        return f"mapping of {' to '.join(_type(part) for part in get_args(kind))}"
    named = {str: "name", float: "number", int: "whole number", bool: "true or false", Path: "path", AnyHttpUrl: "URL"}
    named |= {SecretStr: "secret", AwareDatetime: "time with a zone"}
    return named.get(kind, "section")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None or default == {} or isinstance(default, Concern):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _strategies() -> str:
    rows = [(f"`{r.name}`", r.summary, "yes" if r.needs_artifact else "no") for r in BUILT_IN.values()]
    return _table(("name", "chooses", "needs a trained artifact"), rows) + (
        "\nOther packages add strategies by an entry point of the group `routeiq.strategies`; they are loaded when the "
        "settings\nname them.\n"
    )


def _environment() -> str:
    rows = [
        (f"`{field.validation_alias}`", _type(field.annotation), _default(field), field.description or "")
        for field in Environment.model_fields.values()
    ]
    return _table(("variable", "type", "default", "meaning"), rows)


def _old_names() -> str:
    rows = [(f"`{old}`", f"`{new}`" if new else "has no effect any more") for old, new in OLD_NAMES.items()]
    return _table(("former name", "now"), rows)


def cli_page() -> str:
    """Return the page about commands."""
    group: Any = typer.main.get_command(application(Reporter()))
    group.commands["demo"] = typer.main.get_command(demo)
    return "\n".join([MADE, CLI_INTRO, *_commands(group, "routeiq")])


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> str:
    text = f"## `{path}`\n\n{_paragraphs(command.help)}\n\n"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    rows = [(f"`{p.name.upper()}`", "required" if p.required else "", p.help or "") for p in arguments]
    rows += [(", ".join(f"`{o}`" for o in p.opts), _option_default(p), p.help or "") for p in options]
    if rows:
        text += _table(("option", "default", "meaning"), rows) + "\n"
    example = (command.epilog or "").removeprefix("Example: ")
    return text + (f"```console\n$ {example}\n```\n" if example else "")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _option_default(option: Any) -> str:
    if option.required:
        return "required"
    return "" if option.default is None or option.default is False else f"`{option.default}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


ERRORS_INTRO = """\
# Errors

Every error that RouteIQ raises on purpose has a reason: one word, the same in `error[reason]` on the command line, in
the field `code` of an HTTP answer, in `x-routeiq-degraded`, in metric labels and in log fields. The message says what a
person needs to know: where, what was found, what was expected, what is near.

The status is that of an HTTP answer where the error ends a request to one of RouteIQ's own endpoints. A prompt is
never refused for an error of RouteIQ's: it goes on in the operator's order, and says so.
"""


def errors_page() -> str:
    """Return the page about errors."""
    rows = [
        (f"`{kind.reason}`", "" if kind.status == 500 else str(kind.status), f"{level}`{kind.__name__}`", _first(kind))
        for level, kind in _tree()
    ]
    return "\n".join([MADE, ERRORS_INTRO, _table(("reason", "status", "error", "meaning"), rows)])


def _tree(kind: type[RouteIQError] = RouteIQError, level: str = "") -> Iterator[tuple[str, type[RouteIQError]]]:
    for child in kind.__subclasses__():
        if child.__module__ == RouteIQError.__module__:
            yield level, child
            yield from _tree(child, level + "&nbsp;&nbsp;")


def _first(kind: type[RouteIQError]) -> str:
    return (kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")


PAGE = {"settings.md": settings_page, "cli.md": cli_page, "errors.md": errors_page}


def main() -> int:
    """Write the pages, or with --check say which are out of date."""
    stale = []
    for name, made in PAGE.items():
        page, text = PAGES / name, made()
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"wrote {page}")
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run scripts/reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
