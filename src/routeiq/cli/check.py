"""`routeiq check`: validates a configuration without starting anything, and shows what it comes to."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from routeiq.cli.options import Config
from routeiq.cli.output import stdout, warn
from routeiq.cli.prices import known_candidates
from routeiq.config.document import check_name
from routeiq.config.load import Settings, load
from routeiq.config.virtual_models import check_alias
from routeiq.core.candidate import Candidate
from routeiq.core.request import Capability
from routeiq.routing.compound.methods import Compound
from routeiq.routing.snapshot import Route
from routeiq.wiring import embedder_of, snapshot_of
from routeiq.wiring.artifacts import artifacts_of
from routeiq.wiring.remembering import place_of

UNKNOWN = "[dim]?[/]"


def check(config: Config = None) -> None:
    """Validate a configuration without starting anything.

    A mistake ends with exit status 2 and a message that says where it is.
    """
    settings = load(config)
    check_name(settings.path)
    warn(settings.warnings)
    console = stdout()
    if not settings.enabled:
        console.print(f"{settings.path} is valid and has no routeiq_settings: RouteIQ routes and records nothing.")
        console.print("`routeiq init` shows what to add.")
        return
    embedder = embedder_of(settings)
    compiled = snapshot_of(settings, known_candidates(settings), embedder)
    for route in compiled.routes.values():
        console.print(_table(route))
        warn(_doubts(settings, route))
    for compound in compiled.compounds.values():
        console.print(_compound_table(compound))
        warn(_compound_doubts(compound))
    for found in compiled.experiments:
        shares = ", ".join(f"{arm} {share:.4g}" for arm, share in found.plan.stages[0][1].shares.items())
        console.print(f"[bold]{escape(found.plan.name)}[/]  experiment on {escape(found.plan.alias)}: {escape(shares)}")
    if not compiled.routes and not compiled.compounds:
        warn(["routeiq_settings has no aliases, so nothing is routed; `routeiq init --alias auto` adds one"])
    console.print(
        f"[green]valid[/]  {escape(str(settings.path))}  snapshot {compiled.version}  "
        f"embedder {embedder.id if embedder else 'none'}  outcomes in {escape(place_of(settings))}"
    )


def _compound_table(compound: Compound) -> Table:
    money = "" if compound.budget.max_cost_usd is None else f" and {compound.budget.max_cost_usd:g} USD"
    return _table(
        compound.route,
        f"[bold]{escape(compound.name)}[/]  compound model by {compound.method.name}, "
        f"at most {compound.budget.max_calls} calls{money} in {compound.budget.deadline_s:g} s",
    )


def _compound_doubts(compound: Compound) -> Iterator[str]:
    """Say what is valid but probably not meant of a compound model."""
    unpriced = [c.name for c in compound.route.table.candidates if c.usd_per_output_token is None]
    if unpriced:
        yield (
            f"{compound.name}: no price is known of {', '.join(unpriced)}, so the candidates stay in the order of the "
            f"settings and max_cost_usd cannot be kept; state input_cost_per_token and output_cost_per_token"
        )
    if len(compound.candidates) < 2 and compound.method.answers_alone:
        yield f"{compound.name}: {compound.method.name} over one candidate asks only that; name at least two"


def _table(route: Route, title: str | None = None) -> Table:
    profile = route.profile
    title = title or f"[bold]{escape(route.alias)}[/]  strategy {escape(profile.strategy)}"
    if profile.artifact:
        title += f"  artifact {escape(profile.artifact)}"
    table = Table(title=title, title_justify="left", title_style="")
    for name in ("candidate", "$/M in", "$/M out", "window", "tools", "vision", "json"):
        table.add_column(name, justify="left" if name == "candidate" else "right")
    for candidate in route.table.candidates:
        table.add_row(escape(candidate.name), *_facts(candidate))
    return table


def _facts(candidate: Candidate) -> Iterator[str]:
    for price in (candidate.usd_per_input_token, candidate.usd_per_output_token):
        yield UNKNOWN if price is None else f"{price * 1e6:,.3f}"
    yield UNKNOWN if candidate.context_window is None else f"{candidate.context_window:,}"
    for capability in (Capability.TOOLS, Capability.VISION, Capability.JSON_MODE):
        able = candidate.capabilities
        yield UNKNOWN if able is None else "yes" if capability in able else "no"


def _doubts(settings: Settings, route: Route) -> Iterator[str]:
    """Say what is valid but probably not meant."""
    names = route.table.names
    unpriced = [c.name for c in route.table.candidates if c.usd_per_output_token is None]
    if unpriced:
        yield (
            f"{route.alias}: no price is known of {', '.join(unpriced)}; state input_cost_per_token and "
            f"output_cost_per_token in model_info, or cost counts as average"
        )
    tuned = settings.routeiq.aliases[route.alias].objective
    if (tuned.cost_weight or tuned.latency_weight) and route.profile.artifact is None:
        yield f"{route.alias}: strategy {route.profile.strategy} does not learn, so `objective` has no effect"
    idle = [member for member in check_alias(settings, route.alias) if member not in names]
    if idle:
        yield f"{route.alias}: the routing group has {', '.join(idle)}, which the alias's candidates leave out"
    if route.profile.artifact is not None:
        path = settings.artifact(settings.routeiq.aliases[route.alias])
        trained = artifacts_of(settings).store(settings, strict=False).load(str(path)).manifest.candidates
        strange = [name for name in names if name not in trained]
        if strange:
            yield f"{route.alias}: the artifact was not trained on {', '.join(strange)}, which come last until it is"
