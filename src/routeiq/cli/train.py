"""`routeiq train STRATEGY`: recorded outcomes to an artifact, measured against what a learned router must beat."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from math import isnan
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.output import progress, stdout
from routeiq.core.artifact import Artifact
from routeiq.learn.auto import fit as fit_auto
from routeiq.learn.cascade import Trained
from routeiq.learn.cascade import train as train_cascade
from routeiq.learn.embeddings import EmbeddingCache
from routeiq.learn.evaluate import Interval, Measures
from routeiq.learn.families import FAMILIES
from routeiq.learn.fitting import FitFamily
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import VALID, OutcomeMatrix
from routeiq.learn.objective import Goal
from routeiq.learn.training import SplitReport, TrainReport, train_family
from routeiq.routing.strategies import recipe
from routeiq.wiring import encoder

train = typer.Typer(help="Train a learned strategy on recorded outcomes.", no_args_is_help=True)

_STAGES = {
    "read": "reading outcomes",
    "embed": "embedding prompts",
    "fit": "fitting",
    "measure": "measuring",
    "save": "saving",
}

_Data = Annotated[Path, typer.Option(help="Folder with prompts.parquet, outcomes.parquet and models.csv.")]
_Suite = Annotated[str, typer.Option(help="Suite to train on; several with commas.")]
_Output = Annotated[Path, typer.Option(help="Artifact to write (.npz; its manifest goes beside it).")]
_Models = Annotated[str | None, typer.Option(help="Models, with commas. Default: the suite's pool.")]
_Seed = Annotated[int, typer.Option(help="Fixes every random choice of the training.")]
_Onnx = Annotated[Path | None, typer.Option(help="Folder of an ONNX encoder to use as embedder.")]
_Cache = Annotated[Path | None, typer.Option(help="Folder in which embeddings are kept for the next run.")]
_Objective = Annotated[
    str | None, typer.Option(help="tradeoff=LAMBDA, quality_floor=SCORE or budget=USD (per request, on average).")
]
_Gain = Annotated[bool, typer.Option("--require-gain", help="Exit with status 1 when no router is shown to gain.")]


def _add(name: str, fit: FitFamily) -> None:
    """Add the command that trains one family."""

    def command(
        data: _Data,
        suite: _Suite,
        output: _Output,
        models: _Models = None,
        objective: _Objective = None,
        seed: _Seed = 0,
        onnx: _Onnx = None,
        cache: _Cache = None,
    ) -> None:
        show(_run(fit, data, suite, output, models, seed, onnx, cache, Goal.parse(objective)))

    summary = recipe(name).summary
    train.command(
        name,
        help=f"Train strategy `{name}`: {summary}; print what it is worth on held-out prompts.\n\nTrains on the "
        "prompts whose split is `train`; `valid` and `test` are only measured on.",
        short_help=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"Example: routeiq train {name} --data ./outcomes --suite mmlupro --output {name}.npz",
    )(command)


@train.command(epilog="Example: routeiq train auto --data ./outcomes --suite mmlupro --output auto.npz")
def auto(
    data: _Data,
    suite: _Suite,
    output: _Output,
    models: _Models = None,
    objective: _Objective = None,
    seed: _Seed = 0,
    onnx: _Onnx = None,
    cache: _Cache = None,
    require_gain: _Gain = False,
) -> None:
    """Choose, calibrate and check a learned strategy; write the best fixed model when none is shown to be better.

    What is written says which strategy it is (`ensemble`, `knn` or `fixed`) and, in its manifest, why.
    """
    goal = Goal.parse(objective)
    report = _run(partial(fit_auto, goal=goal), data, suite, output, models, seed, onnx, cache, goal)
    show(report)
    chosen = report.parameters["auto"]
    if why := chosen["refused"]:
        stdout().print(
            f"no learned router is served, but the best fixed model, {escape(str(chosen['serves']))}: {escape(why)}"
        )
    else:
        low, high = chosen["gain"][1:]
        stdout().print(
            f"chose {report.strategy} ({chosen['option']}): {chosen['gain_in']} {chosen['gain'][0]:+.4f} against fixed "
            f"models on left-out training prompts, 95 % between {low:+.4f} and {high:+.4f}"
        )
    if why and require_gain:
        raise typer.Exit(1)


for _name, _fit in FAMILIES.items():
    _add(_name, _fit)


_EXAMPLE = "train cascade --data ./outcomes --suite mmlupro --models small,medium,big --output cascade.npz"


@train.command(epilog=f"Example: routeiq {_EXAMPLE}")
def cascade(
    data: _Data,
    suite: _Suite,
    output: _Output,
    models: Annotated[str, typer.Option(help="Candidates of the compound model, with commas.")],
    objective: _Objective = None,
    seed: _Seed = 0,
    onnx: _Onnx = None,
    cache: _Cache = None,
) -> None:
    """Train the threshold of the compound model `cascade` by expected score, under an objective.

    Default objective: 98 % of the best candidate's score, as cheaply as can be. The threshold is chosen on prompts of
    `train` that were left out in turn, and written into the artifact, where the compound model finds it.
    """
    with progress() as bar:
        task = bar.add_task("", total=1.0)
        found = train_cascade(
            data,
            _names(suite),
            FileArtifactStore(),
            str(output),
            encoder(onnx),
            models=_names(models),
            goal=Goal.parse(objective),
            cache=EmbeddingCache(cache) if cache else None,
            seed=seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            progress=lambda stage, done: bar.update(task, completed=done, description=_STAGES.get(stage, stage)),
        )
    show_cascade(found)


def _run(
    fit: Callable[..., Artifact], data: Path, suite: str, output: Path, models: str | None, seed: int,
    onnx: Path | None, cache: Path | None, goal: Goal,
) -> TrainReport:  # fmt: skip
    used, created = encoder(onnx), datetime.now(UTC).isoformat(timespec="seconds")

    def fit_split(matrix: OutcomeMatrix, vectors: Singles, part: Callable[[float], None]) -> Artifact:
        return fit(matrix, vectors, used.id, seed=seed, created=created, progress=part)

    with progress() as bar:
        task = bar.add_task("", total=1.0)
        return train_family(
            fit_split,
            data,
            _names(suite),
            FileArtifactStore(),
            str(output),
            embedder=used,
            models=_names(models) if models else None,
            cache=EmbeddingCache(cache) if cache else None,
            progress=lambda stage, done: bar.update(task, completed=done, description=_STAGES.get(stage, stage)),
            goal=goal,
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def show(report: TrainReport) -> None:
    """Print what was trained and how it compares, the plain answer first."""
    console = stdout()
    for split in report.splits:
        console.print(_table(report, split))
        console.print(_verdict(report, split))
    if not report.splits:
        console.print("No prompt outside `train` has a score of every model, so nothing could be measured.")
    rows = ", ".join(f"{count} {name}" for name, count in report.rows.items() if count)
    console.print(
        f"wrote {escape(report.output)}  version {report.version}  {len(report.models)} models  prompts: {rows}  "
        f"embedder {report.embedder}  {report.seconds:.1f} s"
    )


def _table(report: TrainReport, split: SplitReport) -> Table:
    table = Table(title=f"[bold]{split.split}[/]: {split.prompts} prompts", title_justify="left", title_style="")
    table.add_column("router")
    for name in ("score", "$/1000", "AIQ", "saves@98", "saves@100"):
        table.add_column(name, justify="right")
    labels = {
        report.strategy: f"[bold]{report.strategy}[/]",
        "best_fixed": "best fixed model",
        "cheapest": "cheapest model",
        "random": "random",
        "zero_router": "zero router",
        "oracle": "oracle",
    }
    for name, label in labels.items():
        if name in split.measures:
            table.add_row(label, *_numbers(split.measures[name]))
    return table


def _numbers(found: Measures) -> tuple[str, ...]:
    return (
        _number(found.score, "{:.3f}"),
        _number(found.cost_usd * 1000, "{:.3f}"),
        _number(found.aiq, "{:.3f}"),
        _number(found.saving98, "{:.0%}"),
        _number(found.saving100, "{:.0%}"),
    )


def _number(value: float, form: str) -> str:
    return "-" if isnan(value) else form.format(value)


def _verdict(report: TrainReport, split: SplitReport) -> str:
    """Say what the intervals allow to be said, and which setting trades quality for cost."""
    kept = ", ".join(f"{weight:.3g} keeps {share:.0%}" for share, weight in split.cost_weight.items())
    weight = f"of the best fixed model's score, objective.cost_weight {kept} here\n"
    return (
        f"{report.strategy} against the best fixed model ({escape(report.best_fixed)}): score {_gain(split.gain)}\n"
        f"{report.strategy} against choosing by the models' training means: AIQ {_gain(split.aiq_gain)}\n"
        + (weight if split.split == VALID else "")
    )


def _gain(found: Interval) -> str:
    low, high = round(found.low, 3), round(found.high, 3)
    word = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return f"{found.difference:+.3f}, 95 % between {low:+.3f} and {high:+.3f}: {word}"


def show_cascade(found: Trained) -> None:
    """Print the threshold of a cascade and what it gives, beside the best of its candidates alone."""
    console = stdout()
    table = Table(title=f"threshold [bold]{found.threshold:g}[/] for {found.objective}", title_justify="left")
    for name in ("prompts", "score", "$/1000", "best alone", "difference", "saved", *found.candidates):
        table.add_column(escape(name), justify="left" if name == "prompts" else "right")
    for split, one in found.measured.items():
        low, high = one.difference[1:]
        table.add_row(
            f"{split}, {one.prompts}", f"{one.score:.3f}", f"{one.cost_usd * 1000:.3f}", f"{one.fixed_score:.3f}",
            f"{low:+.3f} to {high:+.3f}", f"{one.saving:.0%}", *(f"{one.shares[n]:.0%}" for n in found.candidates),
        )  # fmt: skip
    console.print(table)
    console.print(f"best alone: {escape(found.best_fixed)}; difference: 95 % interval of the score less that model's")
    console.print(f"wrote {escape(found.output)}  version {found.version}")
