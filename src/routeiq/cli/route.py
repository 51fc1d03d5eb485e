"""`routeiq route`: decides for one prompt, and explains, without calling a model."""

import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.adapters.litellm import translate
from routeiq.cli.options import AsJson, Config
from routeiq.cli.output import stdout, warn, working
from routeiq.cli.prices import known_candidates
from routeiq.config.load import Settings, load
from routeiq.core.decision import SCHEMA_VERSION, CandidateReport, Decision, Reason
from routeiq.core.errors import ConfigError
from routeiq.core.ports import Embedder
from routeiq.core.request import Surface
from routeiq.http.answers import compound_form
from routeiq.routing.compound.methods import Compound
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.vitals import Vitals
from routeiq.wiring import embedder_of, snapshot_of


def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; `-` reads it from standard input.")],
    config: Config = None,
    alias: Annotated[str | None, typer.Option(help="Virtual model. Default: the only one, or `auto`.")] = None,
    hint: Annotated[str | None, typer.Option(help="Preferred model, as in the header X-RouteIQ-Hint.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the ranking of the candidates for a prompt, with reasons, without calling a model.

    What a running gateway learns from traffic (load, latency, cooldowns) is not known here.
    """
    with working("reading the configuration"):
        settings = load(config)
        embedder = embedder_of(settings)
        snapshot = snapshot_of(settings, known_candidates(settings), embedder)
    warn(settings.warnings)
    text = sys.stdin.read() if prompt == "-" else prompt
    decision = _decide(snapshot, embedder, text, alias or _only(settings), hint)
    compound = snapshot.compounds.get(decision.alias)
    if compound is not None:
        decision = replace(decision, strategy=compound.method.name, reason=Reason.COMPOUND)
    if as_json:
        told = {} if compound is None else {"compound": compound_form(compound)}
        print(json.dumps({**_form(decision), **told}))
    else:
        _show(decision, compound)


def _only(settings: Settings) -> str:
    aliases = list(settings.routeiq.aliases) or list(settings.routeiq.compound)
    if len(aliases) == 1 or "auto" in aliases:
        return "auto" if "auto" in aliases else aliases[0]
    if aliases:
        raise ConfigError(f"which virtual model? name one with --alias: {', '.join(aliases)}")
    raise ConfigError(f"{settings.path} names no virtual model; `routeiq init --write` adds one")


def _decide(snapshot: Snapshot, embedder: Embedder | None, text: str, alias: str, hint: str | None) -> Decision:
    asked = {"messages": [{"role": "user", "content": text}]}
    if hint is not None:
        asked["proxy_server_request"] = {"headers": {"x-routeiq-hint": hint}}  # type: ignore[assignment]
    request = translate.request(asked, alias, Surface.CHAT, "")
    features = Features(absent="no_embedder")
    if embedder is not None:
        features = Features(embedder.embed(request.text), embedder.id)
    draw = random.Random().random()  # noqa: S311 - a draw between models, not a secret
    return Router(snapshot).decide(request, features, Vitals(), decision_id="", draw=draw)


def _form(decision: Decision) -> dict[str, object]:
    """Return the decision as JSON has it, under the names it has over HTTP."""
    named = {field.name: getattr(decision, field.name) for field in fields(decision)}
    return {
        "schema": SCHEMA_VERSION,
        **named,
        "id": None,
        "candidates": [asdict(report) for report in decision.candidates],
        "calls": [],
    }


def _show(decision: Decision, compound: Compound | None) -> None:
    console = stdout()
    if compound is None:
        console.print(
            f"[bold]{escape(decision.alias)}[/] goes to [bold green]{escape(decision.choice)}[/]  "
            f"({decision.reason}, probability {decision.propensity:.2f})"
        )
    else:
        console.print(
            f"[bold]{escape(decision.alias)}[/] is a compound model: {compound.method.summary}, in at most "
            f"{compound.budget.max_calls} calls. What is expected of each candidate before any is called:"
        )
    console.print(_table(decision))
    artifact = f"  artifact {decision.artifact}" if decision.artifact else ""
    console.print(f"[dim]strategy {escape(decision.strategy)}{escape(artifact)}  snapshot {decision.snapshot}[/]")


def _table(decision: Decision) -> Table:
    """Return the candidates in the order they would be tried, then those left out, without empty columns."""
    ranked = [decision.report[name] for name in decision.ranking]
    left_out = [candidate for candidate in decision.candidates if candidate.filtered_by]
    columns = {name: [cell(c) for c in (*ranked, *left_out)] for name, cell in _COLUMNS.items()}
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    table = Table("", "candidate", "why")
    for name in shown:
        table.add_column(name, justify="right")
    for i, candidate in enumerate((*ranked, *left_out)):
        place = str(i + 1) if i < len(ranked) else "-"
        why = str(decision.reason) if i == 0 else f"left out: {candidate.filtered_by}" if candidate.filtered_by else ""
        style = "dim" if candidate.filtered_by else None
        table.add_row(place, escape(candidate.name), why, *(cells[i] for cells in shown.values()), style=style)
    return table


def _number(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "" if value is None else f"{value * factor:.{digits}f}"


_COLUMNS: Mapping[str, Callable[[CandidateReport], str]] = {
    "chance": lambda candidate: f"{candidate.probability:.2f}",
    "score": lambda candidate: _number(candidate.expected_score, 3),
    "utility": lambda candidate: _number(candidate.utility, 3),
    "$/1000": lambda candidate: _number(candidate.expected_cost_usd, 3, 1000),
    "seconds": lambda candidate: _number(candidate.expected_latency_s, 2),
    "evidence": lambda candidate: _number(candidate.evidence, 1),
}
"""What the table says of a candidate: chance of being chosen, expected score, what was ranked by, expected cost of a
thousand such requests, expected latency, recorded outcomes that the expectation rests on."""
