"""`routeiq eval`: what a router is worth on recorded outcomes, against everything it must be compared with."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from routeiq.cli.decide import SWEEP, Asked, names, parse_lambdas
from routeiq.cli.output import progress, stdout, working
from routeiq.core.errors import ConfigError, DataError
from routeiq.core.ports import Embedder
from routeiq.learn import decision_files, report
from routeiq.learn.comparison import ROUTER, Evaluation, compare
from routeiq.learn.decisions import CostRule, Decisions, by_artifact
from routeiq.learn.evaluate import Judged
from routeiq.learn.leakage import leakage
from routeiq.learn.matrix import TEST, TRAIN, OutcomeMatrix
from routeiq.learn.page import GAINS, LABELS, number, page, share, signed, verdict, word
from routeiq.learn.retraining import learning_curve, leave_out
from routeiq.learn.robustness import stability
from routeiq.routing.table import Floats


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder with prompts.parquet, outcomes.parquet and models.csv.")],
    suite: Annotated[str, typer.Option(help="Suite; several with commas.")],
    artifact: Annotated[Path | None, typer.Option(help="Trained artifact to measure.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="Decisions to measure, ours or anybody's.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Strategy without an artifact to measure; `fixed`, or `fixed=MODEL`.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = TEST,
    json: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with tables and plots.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Models, with commas. Default: the artifact's, or the pool.")
    ] = None,
    lambdas: Annotated[str, typer.Option("--lambda", help="Cost weights, with commas, or the whole sweep.")] = SWEEP,
    cost: Annotated[CostRule, typer.Option(help="The cost that lambda multiplies.")] = CostRule.OWN,
    leave: Annotated[bool, typer.Option("--leave-out", help="Train again without each category in turn.")] = False,
    robustness: Annotated[bool, typer.Option("--robustness", help="Decide on changed prompts too.")] = False,
    curve: Annotated[bool, typer.Option("--learning-curve", help="Train again on 100, 200, 500 ... prompts.")] = False,
    seconds: Annotated[float, typer.Option(help="Time each kind of training again may take.")] = 300.0,
    onnx: Annotated[Path | None, typer.Option(help="Folder of the ONNX encoder the artifact was trained on.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder in which embeddings are kept for the next run.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes resampling, typing mistakes and what strategies draw.")] = 0,
) -> None:
    """Measure a router against fixed models, mixtures of them and oracles; print a table, write JSON and a page."""
    if [artifact, decisions, strategy].count(None) != 2:
        raise ConfigError("give one of --artifact FILE, --decisions FILE and --strategy NAME")
    if artifact is None and (leave or robustness or curve):
        raise ConfigError("--leave-out, --robustness and --learning-curve need --artifact FILE")
    if artifact and json and json.resolve() == artifact.with_suffix(".json").resolve():
        raise ConfigError(f"--json {json} is the manifest of the artifact; write the figures to another file")
    with working("measuring"):
        asked = Asked.of(data, names(suite), split, artifact, models, scored=True)
        if decisions:
            decided = decision_files.read(decisions, asked.prompts, _others(asked.everything, split))
        else:
            decided = asked.decide(strategy, parse_lambdas(lambdas), cost, onnx, cache, seed)
        found = compare(decided, asked.everything, split, asked.reference, seed=seed)
        found = replace(found, notes=_notes(decided, found))
    more = _More(asked, split, asked.embedder(onnx), cache, cost, decided.lambdas, seed, seconds)
    found = replace(found, leakage=more.leakage(), **more.asked_for(leave=leave, robustness=robustness, curve=curve))
    show(found)
    for path, text in ((json, report.dumps), (html, page)):
        if path:
            _write(path, text(found))


class _More:
    """The parts of an evaluation that need embeddings or another training."""

    def __init__(
        self, asked: Asked, split: str, embedder: Embedder | None, cache: Path | None, rule: CostRule, lambdas: Floats,
        seed: int, seconds: float,
    ) -> None:  # fmt: skip
        self.asked, self.split, self.embedder, self.cache = asked, split, embedder, cache
        self.rule, self.lambdas, self.seed, self.seconds = rule, lambdas, seed, seconds

    def leakage(self) -> Any:
        """Return what the split shares with training; near duplicates too where the artifact has an embedder."""
        if self.split == TRAIN:
            return None
        train, prompts = self.asked.everything.split(TRAIN), self.asked.prompts
        vectors = [self.asked.vectors(part, self.embedder, self.cache) for part in (train, prompts)]
        return leakage(train, prompts, *vectors)

    def asked_for(self, *, leave: bool, robustness: bool, curve: bool) -> dict[str, Any]:
        """Return the parts that were asked for, by their name in the evaluation."""
        artifact, everything = self.asked.artifact, self.asked.everything
        found: dict[str, Any] = {}
        if artifact is None or not (leave or robustness or curve):
            return found
        if robustness:
            with working("deciding on changed prompts"):
                found["stability"] = stability(self.decide, self.asked.prompts.complete(), self.judged, seed=self.seed)
        if not (leave or curve):
            return found
        vectors = self.asked.vectors(everything, self.embedder, self.cache)
        if vectors is None:
            vectors = np.zeros((len(everything), 1), dtype=np.float32)
        again: dict[str, tuple[str, Callable[..., Any]]] = {}
        if leave:
            again["left_out"] = ("leaving out tasks", partial(leave_out, artifact, everything, vectors))
        if curve:
            learn = partial(learning_curve, artifact, everything, vectors, self.split, seed=self.seed)
            again["learning_curve"] = ("training on fewer prompts", learn)
        for name, (what, run) in again.items():
            with progress() as bar:
                task = bar.add_task(what, total=1.0)
                found[name] = run(seconds=self.seconds, progress=partial(_advance, bar, task))
        return found

    def decide(self, prompts: OutcomeMatrix) -> Decisions:
        """Return the artifact's decisions on prompts, embedded anew."""
        artifact = self.asked.artifact
        if artifact is None:
            raise ConfigError("only an artifact decides anew")
        vectors = self.asked.vectors(prompts, self.embedder, None)
        return by_artifact(artifact, prompts, vectors, self.asked.reference, self.lambdas, self.rule)

    def judged(self, prompts: OutcomeMatrix) -> Judged:
        """Return the outcomes of prompts."""
        return Judged.of(prompts, self.asked.reference)


def _advance(bar: Any, task: Any, done: float) -> None:
    bar.update(task, completed=done)


def _others(everything: OutcomeMatrix, split: str) -> list[tuple[str, str]]:
    rows = zip(everything.suites, everything.ids, everything.splits, strict=True)
    return [(suite, name) for suite, name, other in rows if other != split]


def _notes(decided: Decisions, found: Evaluation) -> tuple[str, ...]:
    notes = []
    if decided.lambdas[0] > 0:
        notes.append(f"The lowest lambda is {decided.lambdas[0]:g}: the router's score and cost are those at it.")
    if found.incomplete:
        notes.append(f"{found.incomplete} prompt(s) lack a score of some model and are left out.")
    return tuple(notes)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); choose another place") from error


def show(found: Evaluation) -> None:
    """Print what a router is worth, the comparison first."""
    console = stdout()
    console.print(_comparison(found))
    console.print(escape(verdict(found)), soft_wrap=True)
    for name, gain in found.gains.items():
        bounds = f"95 % between {signed(gain.low)} and {signed(gain.high)}: {word(gain)}"
        console.print(f"  {GAINS.get(name, name)}: {signed(gain.difference)}, {bounds}", soft_wrap=True)
    for note in found.notes:
        console.print(escape(note), soft_wrap=True)
    for line in _lines(found):
        console.print(escape(line), soft_wrap=True)
    console.print(_categories(found))
    if found.left_out:
        console.print(_left_out(found))


def _comparison(found: Evaluation) -> Table:
    table = Table(title=f"[bold]{', '.join(found.suites)} {found.split}[/]: {found.prompts} prompts",
                  title_justify="left", title_style="")  # fmt: skip
    table.add_column("router", no_wrap=True)
    for name in ("score", "$/1000", "AIQ", "saves@95", "@98", "@100", "arena"):
        table.add_column(name, justify="right")
    for name, label in LABELS.items():
        one = found.rows[name]
        own = f"[bold]{escape(found.router)}[/]" if name == ROUTER else label.removesuffix(" model")
        savings = (share(value) for value in (one.saving95, one.saving98, one.saving100))
        table.add_row(own, number(one.score), number(one.cost_usd * 1000), number(one.aiq), *savings,
                      number(found.arena[name]))  # fmt: skip
    return table


def _lines(found: Evaluation) -> list[str]:
    lines = []
    if found.two_models:
        two = found.two_models
        lines.append(f"two models: APGR {number(two.apgr)}, CPT(50) {share(two.cpt50)}, CPT(80) {share(two.cpt80)}")
    if found.calibration:
        lines.append(f"expected calibration error {number(found.calibration.error)}")
    for one in found.stability:
        lines.append(f"{one.change.replace('_', ' ')}: {share(one.unchanged, 1)} of decisions unchanged, "
                     f"{share(one.unchanged_all, 1)} over all lambdas, score {signed(one.score)}")  # fmt: skip
    for size in found.learning_curve:
        lines.append(f"trained on {size.prompts}: score {number(size.score)}, AIQ {number(size.aiq)}, "
                     f"saves@98 {share(size.saving98)}")  # fmt: skip
    if found.leakage:
        near = "" if found.leakage.near is None else f", {found.leakage.near} nearly so"
        lines.append(f"prompts that stand in training: {found.leakage.same} word for word{near}")
    return lines


def _categories(found: Evaluation) -> Table:
    table = Table(title="by category", title_justify="left", title_style="")
    table.add_column("category", overflow="fold")
    for name in ("prompts", "router", "best fixed", "difference", "oracle"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in found.categories:
        table.add_row(escape(c.name), str(c.prompts), number(c.score), number(c.best_fixed),
                      f"{signed(c.difference)} ± {number(c.error)}", number(c.oracle))  # fmt: skip
    return table


def _left_out(found: Evaluation) -> Table:
    table = Table(title="trained without the category", title_justify="left", title_style="")
    for name in ("category", "prompts", "router", "best fixed", "difference"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for c in found.left_out:
        table.add_row(escape(c.category), str(c.prompts), number(c.score), number(c.best_fixed),
                      f"{signed(c.difference)} ± {number(c.error)}")  # fmt: skip
    return table
