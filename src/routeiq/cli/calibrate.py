"""`routeiq calibrate`: a model that was never recorded gets its place in trained artifacts, from a few answers."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from routeiq.adapters.files.answers import AnswerFile
from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.gateway import GatewayClient
from routeiq.cli.output import progress, stdout, warn
from routeiq.cli.prices import known_candidates
from routeiq.config.environment import read_environment
from routeiq.config.load import load
from routeiq.core.artifact import Artifact
from routeiq.core.errors import ConfigError, DataError, StoreUnavailable, nearest
from routeiq.learn.asking import Estimate, Examiner, Line, collect
from routeiq.learn.dataset import read
from routeiq.learn.grading import references
from routeiq.learn.matrix import TRAIN, OutcomeMatrix
from routeiq.learn.newcomer import Factors, Newcomer
from routeiq.learn.placing import Price, place

FEWEST = 0.5
"""Part of the prompts that must have been answered and graded for the model to be placed."""

_Model = Annotated[str, typer.Option(help="Model to place, by its name in the gateway's model_list.")]
_Artifacts = Annotated[list[Path], typer.Option("--artifact", help="Artifact to place it in; may be repeated.")]
_Data = Annotated[Path, typer.Option(help="Folder with prompts.parquet, outcomes.parquet and models.csv.")]
_Suite = Annotated[str, typer.Option(help="Suite the artifact was trained on; several with commas.")]
_Output = Annotated[Path, typer.Option(help="Artifact to write (.npz), or a folder for several.")]
_Prompts = Annotated[int, typer.Option(min=1, help="How many prompts are sent.")]
_Url = Annotated[str, typer.Option(help="The running gateway.")]
_KeyFile = Annotated[Path | None, typer.Option(help="File with the gateway's key. Default: LITELLM_MASTER_KEY.")]
_Judge = Annotated[str | None, typer.Option(help="Model that grades. Default: the recorded reference.")]
_Answers = Annotated[Path | None, typer.Option(help="File of the answers. Default: beside the output.")]
_Longest = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
_Stated = Annotated[bool, typer.Option("--from-benchmarks", help="Call nobody; use model_info.benchmarks.")]
_Config = Annotated[Path | None, typer.Option("--config", "-c", help="LiteLLM's config.yaml, for --from-benchmarks.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the calls are made.")]
_Seed = Annotated[int, typer.Option(help="Fixes which prompts are drawn.")]


def calibrate(
    model: _Model,
    artifact: _Artifacts,
    data: _Data,
    suite: _Suite,
    output: _Output,
    prompts: _Prompts = 60,
    url: _Url = "http://127.0.0.1:4000",
    key_file: _KeyFile = None,
    judge: _Judge = None,
    answers: _Answers = None,
    max_tokens: _Longest = 1024,
    from_benchmarks: _Stated = False,
    config: _Config = None,
    yes: _Yes = False,
    seed: _Seed = 0,
) -> None:
    """Place a new model in trained artifacts from a few answers, or from its published scores, without training.

    The prompts are the recorded ones that tell most. Interrupted, it goes on where it was left: answers are kept.
    """
    store, suites = FileArtifactStore(), tuple(name.strip() for name in suite.split(","))
    loaded = {path: store.load(str(path)) for path in artifact}
    targets = _targets(list(loaded), output)
    recorded = read(data, suites).split(TRAIN)
    factors = {path: Factors.of(_known(recorded, found)) for path, found in loaded.items()}
    first = next(iter(factors.values()))
    if from_benchmarks:
        price, told = _stated(model, config, factors)
        how: dict[str, Any] = {"by": "benchmarks"}
    else:
        client = GatewayClient(url, _key(key_file))
        price = _price(model, client.models())
        examiner = Examiner(client.ask, model, max_tokens, references(data, suites), judge)
        examiner.check(first.matrix)
        asked = first.design(prompts, seed, examiner.gradable(first.matrix))
        kept = AnswerFile.open(answers or _beside(output), _about(model, first, prompts, seed, judge))
        good = _ask(examiner, first.matrix, asked, kept, price, yes)
        told = {path: _learned(one, good) for path, one in factors.items()}
        how = {"by": f"judge {judge}" if judge else "reference"}
    how["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    written = {
        target: store.save(str(target), place(loaded[path], model, told[path], price, how))
        for path, target in targets.items()
    }
    _show(model, written, next(iter(told.values())), first)


def _targets(paths: list[Path], output: Path) -> dict[Path, Path]:
    if len(paths) == 1 and output.suffix == ".npz":
        found = {paths[0]: output}
    elif output.suffix == ".npz":
        raise ConfigError(f"--output {output} is one file for {len(paths)} artifacts; name a folder")
    else:
        found = {path: output / path.with_suffix(".npz").name for path in paths}
    for path, target in found.items():
        if target.resolve() == path.with_suffix(".npz").resolve():
            raise ConfigError(f"--output would replace {path}, which the new artifact is made from; name another place")
    if len(set(found.values())) < len(found):
        raise ConfigError("two artifacts have the same file name; calibrate them one by one")
    return found


def _beside(output: Path) -> Path:
    return output.with_suffix(".answers.jsonl") if output.suffix == ".npz" else output / "answers.jsonl"


def _known(recorded: OutcomeMatrix, artifact: Artifact) -> OutcomeMatrix:
    """Return the outcomes of the models that the artifact was trained on."""
    at = [j for j, name in enumerate(recorded.models) if name in artifact.manifest.candidates]
    if not at:
        raise DataError(
            f"the data have none of the models of artifact {artifact.manifest.version!r} "
            f"({', '.join(artifact.manifest.candidates)}); {nearest(artifact.manifest.candidates[0], recorded.models)}"
        )
    return recorded.columns(at).canonical()


def _key(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--key-file {file} cannot be read: {error}") from None
    known = read_environment()[0].master_key
    if known is None:
        raise ConfigError("the gateway needs a key: set LITELLM_MASTER_KEY, or name --key-file")
    return known.get_secret_value()


def _price(model: str, known: Mapping[str, Mapping[str, Any]]) -> Price:
    if model not in known:
        raise ConfigError(f"the gateway has no model {model!r}; {nearest(model, known)}")
    listed = [known[model].get(name) for name in ("input_cost_per_token", "output_cost_per_token")]
    return Price(*(float("nan") if value is None else float(value) for value in listed))


def _about(model: str, factors: Factors, prompts: int, seed: int, judge: str | None) -> dict[str, Any]:
    fingerprint = factors.matrix.fingerprint()
    return {"model": model, "data": fingerprint, "prompts": prompts, "seed": seed, "judge": judge or ""}


def _ask(
    examiner: Examiner, matrix: OutcomeMatrix, asked: list[int], kept: AnswerFile, price: Price, yes: bool
) -> dict[int, Line]:
    have = {(line["suite"], line["prompt_id"]) for line in kept.lines if line.get("score") is not None}
    missing = [at for at in asked if (matrix.suites[at], matrix.ids[at]) not in have]
    estimate = Estimate.of(matrix, missing, price.input_price, price.output_price)
    cost = "at unknown prices" if estimate.cost_usd is None else f"about ${estimate.cost_usd:.4f}"
    judged = f", and as many calls to {examiner.judge}" if examiner.judge else ""
    stdout().print(
        f"{estimate.prompts} prompts to {escape(examiner.model)}: about {estimate.input_tokens:,.0f} input and "
        f"{estimate.output_tokens:,.0f} output tokens, {cost}{escape(judged)}"
        + (f"; {len(asked) - len(missing)} answers are there already" if len(missing) < len(asked) else ""),
        soft_wrap=True,
    )
    if missing and not yes:
        typer.confirm("Send them?", abort=True)
    before = len(kept.lines)
    with progress() as bar:
        task = bar.add_task("asking", total=len(asked))
        good = collect(examiner, matrix, asked, kept.lines, kept.add, lambda n: bar.update(task, completed=n))
    bad = Counter(str(line["error"]) for line in kept.lines[before:] if line.get("score") is None)
    warn(f"{count} bad answers ({reason}) are not used; run again to ask once more" for reason, count in bad.items())
    if len(good) < FEWEST * len(asked) or not good:
        raise StoreUnavailable(
            f"only {len(good)} of {len(asked)} answers could be used, so nothing was written; the good ones are in "
            f"{kept.path}, and the same command goes on from there"
        )
    return good


def _learned(factors: Factors, good: Mapping[int, Line]) -> Newcomer:
    scores = {at: float(line["score"]) for at, line in good.items()}
    return factors.told(scores, {at: float(line["output_tokens"]) for at, line in good.items()})


def _stated(model: str, config: Path | None, factors: Mapping[Path, Factors]) -> tuple[Price, dict[Path, Newcomer]]:
    settings = load(config)
    candidates = {candidate.name: candidate for candidate in known_candidates(settings)}
    if model not in candidates:
        raise ConfigError(f"{settings.path}: {model!r} is not in the model_list; {nearest(model, candidates)}")
    own = candidates[model]
    others = {name: dict(one.benchmarks) for name, one in candidates.items() if one.benchmarks and name != model}
    told = {path: one.stated(own.benchmarks or {}, others) for path, one in factors.items()}
    if not all(newcomer.told for newcomer in told.values()):
        known = sorted({*next(iter(factors.values())).matrix.suites, *next(iter(factors.values())).matrix.categories})
        raise DataError(
            f"{settings.path}: model_info.benchmarks of {model!r} has no score that says anything here; known by name "
            f"are {', '.join(filter(None, known[:20]))}, and any that recorded models state too"
        )
    nan = float("nan")
    price = Price(
        nan if own.usd_per_input_token is None else own.usd_per_input_token,
        nan if own.usd_per_output_token is None else own.usd_per_output_token,
    )
    return price, told


def _show(model: str, written: Mapping[Path, Artifact], newcomer: Newcomer, factors: Factors) -> None:
    console, means = stdout(), dict(zip(factors.matrix.models, factors.matrix.mean_score(), strict=True))
    table = Table("model", "expected score", title_justify="left")
    named = f"{newcomer.level:.3f} ± {1.96 * newcomer.deviation:.3f}"
    rows = [(name, float(mean), f"{mean:.3f}") for name, mean in means.items()]
    for name, _, shown in sorted([*rows, (model, newcomer.level, named)], key=lambda row: -row[1]):
        table.add_row(f"[bold]{escape(name)}[/]" if name == model else escape(name), shown)
    console.print(table)
    for path, artifact in written.items():
        manifest = artifact.manifest
        console.print(
            f"{escape(str(path))}: {escape(manifest.strategy)} {escape(manifest.version)}, made from "
            f"{escape(str(manifest.parent))}, {len(manifest.candidates)} models",
            soft_wrap=True,
        )
