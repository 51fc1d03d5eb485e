"""The command line and the order of the demonstration: provider, teaching, gateway, prompts, table.

Owns the steps and their progress bars. What is sent is in `workload`, how in `drive`, what came of it in `report`.
"""

import asyncio
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.config.scratch import Scratch
from routeiq.core.errors import RouteIQError
from routeiq.learn.knn import train
from routeiq.learn.matrix import VALID
from routeiq.testing.demo.builtin import builtin
from routeiq.testing.demo.drive import AskFailed, Driver, all_of
from routeiq.testing.demo.gateway import GatewayFailed, GatewayProcess, configuration
from routeiq.testing.demo.live import live as live_models
from routeiq.testing.demo.live import no_keys
from routeiq.testing.demo.recorded import recorded
from routeiq.testing.demo.report import Result, compare, markdown, picture, show
from routeiq.testing.demo.teach import SUITE, Scored, collect, write
from routeiq.testing.demo.workload import Item, Reply, Workload
from routeiq.testing.replay.process import ReplayFailed, ReplayProcess

ALIAS = "auto"
SHOWN = 8
"""How many decisions are shown one by one before the table."""

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the person asked for."""

    workload: Workload
    seed: int
    time_scale: float
    cost_weight: float | None


@app.command(
    epilog="Example: routeiq demo --data ./outcomes --suite mmlupro --prompts 500",
)
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of recorded outcomes to replay instead.")] = None,
    suite: Annotated[str | None, typer.Option(help="Suite of the recorded outcomes; several with commas.")] = None,
    models: Annotated[str | None, typer.Option(help="Models of the suite, with commas. Default: its pool.")] = None,
    prompts: Annotated[int, typer.Option(min=0, help="How many prompts are routed; 0 takes all there are.")] = 300,
    taught: Annotated[
        int, typer.Option(min=20, help="How many built-in prompts teach the router; each is asked of every model.")
    ] = 200,
    cost_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Score points given up to save the mean cost of the candidates. Default: as many as kept the best "
            "fixed model's score on the validation prompts.",
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Use real models; needs provider keys, costs money.")] = False,
    seed: Annotated[int, typer.Option(help="Fixes which prompts are taken and every simulated answer.")] = 0,
    time_scale: Annotated[float, typer.Option(min=1.0, help="Divides the latency of replayed models.")] = 50.0,
    save: Annotated[Path | None, typer.Option(help="Write the result as a Markdown page.")] = None,
    image: Annotated[Path | None, typer.Option(help="Write a picture of the tables (SVG).")] = None,
) -> None:
    """Route real prompts through a real gateway and compare the result with fixed models.

    Without options: 600 built-in checkable prompts, answered by simulated models (said so in the output). With --data:
    recorded outcomes of real models on real prompts.
    """
    console = Console()
    try:
        workload = _workload(data, suite, models, prompts, taught, seed, use_live=live)
        result = _run(Plan(workload, seed, time_scale, cost_weight), console)
    except (RouteIQError, AskFailed, GatewayFailed, ReplayFailed) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(2 if isinstance(error, RouteIQError) else 1) from error
    show(result, console)
    if save is not None:
        given = f" --data DIR --suite {suite}" if data else ""
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(markdown(result, f"routeiq demo{given} --prompts {prompts}", _machine), encoding="utf-8")
    if image is not None:
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_text(picture(result), encoding="utf-8")


def main() -> int:
    """Run the command; returns the exit status."""
    app(prog_name="routeiq demo")
    return 0


def _workload(
    data: Path | None, suite: str | None, models: str | None, prompts: int, taught: int, seed: int, use_live: bool
) -> Workload:
    if data is None and suite is not None:
        raise typer.BadParameter("--suite needs --data, the folder that holds prompts.parquet and outcomes.parquet")
    if data is not None:
        if suite is None:
            raise typer.BadParameter("--data needs --suite, e.g. --suite mmlupro")
        names = models.split(",") if models else None
        return recorded(data, suite.split(","), names, prompts, seed)
    if use_live:
        message = no_keys()
        if message:
            raise typer.BadParameter(message)
        return live_models(prompts, seed)
    return builtin(prompts, taught, seed)


def _run(plan: Plan, console: Console) -> Result:
    workload = plan.workload
    console.print(f"[bold]RouteIQ[/] in front of {len(workload.models)} models · {workload.title}")
    with Scratch("demonstration") as scratch, _bars(console) as bars:
        folder = scratch.path
        with _provider(plan, bars) as provider:
            upstream = None if provider is None else provider.openai_base_url
            artifact, weight = _teach(plan, folder, upstream, bars)
            aliases = {ALIAS: {"objective": {"cost_weight": weight}}}
            routing = {"strategy": "knn", "artifact": str(artifact), "aliases": aliases}
            with _gateway(plan, folder / "routed", upstream, routing, bars) as served:
                replies, graded, added = asyncio.run(_route(plan, served, bars))
                if workload.measured is not None:
                    _collect(plan, workload.test, served, bars)
    return compare(workload, replies, graded, added)


@contextmanager
def _provider(plan: Plan, bars: Progress) -> Iterator[ReplayProcess | None]:
    """Run the provider that replays answers; there is none where real models are asked."""
    if not plan.workload.provider:
        yield None
        return
    step = bars.add_task("starting the replay provider", total=1)
    with ReplayProcess.start(**plan.workload.provider, time_scale=plan.time_scale, seed=plan.seed) as provider:
        bars.advance(step)
        yield provider


def _gateway(
    plan: Plan, folder: Path, upstream: str | None, routing: Mapping[str, Any], bars: Progress
) -> GatewayProcess:
    """Start a gateway and wait until it is ready."""
    step = bars.add_task(f"starting the gateway, strategy {routing['strategy']}", total=1)
    folder.mkdir()
    section = {"aliases": {ALIAS: {}}, **routing, "outcome_log": {"path": str(folder / "routeiq.db")}}
    gateway = GatewayProcess(folder, configuration(plan.workload.models, upstream, ALIAS, section))
    try:
        gateway.wait_until_ready()
    except BaseException:
        gateway.stop()
        raise
    bars.advance(step)
    return gateway


def _teach(plan: Plan, folder: Path, upstream: str | None, bars: Progress) -> tuple[Path, float]:
    """Return an artifact and the cost weight to use it with.

    It is trained on the recorded train split, or on outcomes that are collected now.
    """
    workload = plan.workload
    data, suites = workload.data, workload.suites
    if data is None:
        with _gateway(plan, folder / "taught", upstream, {"strategy": "random"}, bars) as gateway:
            rows = _collect(plan, workload.train, gateway, bars)
        data, suites = folder / "outcomes", (SUITE,)
        data.mkdir()
        write(data, workload.models, rows)
    step = bars.add_task("training knn on the scored outcomes", total=1.0)
    artifact = folder / "knn.npz"
    report = train(
        data,
        suites,
        FileArtifactStore(),
        str(artifact),
        models=[model.name for model in workload.models],
        seed=plan.seed,
        progress=lambda _, share: bars.update(step, completed=share),
    )
    bars.update(step, completed=1.0)
    found = next((split.cost_weight[1.0] for split in report.splits if split.split == VALID), 0.0)
    return artifact, found if plan.cost_weight is None else plan.cost_weight


def _collect(plan: Plan, items: Sequence[Item], gateway: GatewayProcess, bars: Progress) -> list[Scored]:
    calls = len(items) * len(plan.workload.models)
    step = bars.add_task(f"asking every model {len(items)} prompts", total=calls)
    return asyncio.run(collect(plan.workload, items, gateway, lambda: bars.advance(step)))


async def _route(plan: Plan, gateway: GatewayProcess, bars: Progress) -> tuple[list[Reply], list[float], list[float]]:
    """Send every test prompt to the virtual model, grade the answer and post the grade as feedback."""
    workload = plan.workload
    step = bars.add_task(f"routing {len(workload.test)} prompts to {ALIAS}", total=len(workload.test))
    driver = Driver(gateway.base_url, gateway.key)
    found: list[tuple[Reply, float, float]] = []

    async def one(turn: int) -> None:
        reply = await driver.ask(workload.test[turn], ALIAS, turn)
        score = workload.grade(reply)
        await driver.feedback(reply, score)
        decision = await driver.decision(reply.decision_id)
        found.append((reply, score, float(decision["duration_ms"])))
        if len(found) <= SHOWN:
            bars.console.print(_line(reply, score))

    try:
        jobs = [lambda turn=turn: one(turn) for turn in range(len(workload.test))]
        await all_of(jobs, lambda: bars.advance(step))
    finally:
        await driver.close()
    return [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]


def _line(reply: Reply, score: float) -> str:
    prompt = " ".join(reply.item.prompt.split())
    shown = prompt if len(prompt) <= 56 else prompt[:55] + "…"
    mark = "[green]right[/]" if score >= 0.5 else "[red]wrong[/]"
    safe = shown.replace("[", "\\[")
    return f"  [dim]{safe:<56}[/] → [bold]{reply.served}[/] ({reply.reason}, expected {reply.expected}) {mark}"


def _bars(console: Console) -> Progress:
    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
    return Progress(*columns, MofNCompleteColumn(), TimeElapsedColumn(), console=console)


def _machine() -> str:
    return f"{date.today().isoformat()}, {platform.machine()}, Python {platform.python_version()}"
