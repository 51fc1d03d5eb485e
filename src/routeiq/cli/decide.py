"""`routeiq decide`: what a router would choose for recorded prompts, at every cost weight, as a file."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.output import stdout, working
from routeiq.core.artifact import Artifact
from routeiq.core.errors import ConfigError, DataError
from routeiq.core.ports import Embedder
from routeiq.learn import decision_files
from routeiq.learn.dataset import read
from routeiq.learn.decisions import CostRule, Decisions, by_artifact, by_strategy, reference_of
from routeiq.learn.embeddings import EmbeddingCache, embed
from routeiq.learn.evaluate import LAMBDAS, Reference
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import TEST, OutcomeMatrix
from routeiq.routing.codec import check_embedder
from routeiq.routing.table import Floats
from routeiq.wiring import encoder

SWEEP = "sweep"


def decide(
    data: Annotated[Path, typer.Option(help="Folder with prompts.parquet and models.csv, best with outcomes.parquet.")],
    suite: Annotated[str, typer.Option(help="Suite; several with commas.")],
    output: Annotated[Path, typer.Option(help="Decisions to write (.parquet).")],
    artifact: Annotated[Path | None, typer.Option(help="Trained artifact that decides.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Strategy that decides without an artifact; `fixed`, or `fixed=MODEL`.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = TEST,
    lambdas: Annotated[
        str, typer.Option("--lambda", help=f"Cost weights, with commas; `{SWEEP}` for 0 and 120 from 1e-4 to 1e3.")
    ] = "0",
    models: Annotated[str | None, typer.Option(help="Models, with commas. Default: the artifact's.")] = None,
    cost: Annotated[CostRule, typer.Option(help="The cost that lambda multiplies.")] = CostRule.OWN,
    onnx: Annotated[Path | None, typer.Option(help="Folder of the ONNX encoder the artifact was trained on.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder in which embeddings are kept for the next run.")] = None,
    seed: Annotated[int, typer.Option(help="Fixes what strategies draw.")] = 0,
) -> None:
    """Write which model a router chooses for each recorded prompt, and what it expected of every candidate.

    The code that decides is the one that serves. Outcomes of the split are not looked at.
    """
    weights, started = parse_lambdas(lambdas), perf_counter()
    with working("deciding"):
        asked = Asked.of(data, names(suite), split, artifact, models, scored=False)
        decided = asked.decide(strategy, weights, cost, onnx, cache, seed)
        decision_files.write(output, decided)
    stdout().print(
        f"wrote {escape(str(output))}  {escape(decided.router)}  {len(decided)} prompts  {weights.size} lambda(s)  "
        f"{len(decided.models)} models  {perf_counter() - started:.1f} s",
        soft_wrap=True,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The prompts of one split, all prompts they are part of, and the artifact that is asked, if one is."""

    everything: OutcomeMatrix
    prompts: OutcomeMatrix
    reference: Reference
    artifact: Artifact | None

    @classmethod
    def of(
        cls, data: Path, suites: list[str], split: str, artifact: Path | None, models: str | None, *, scored: bool
    ) -> "Asked":
        """Read the data and the artifact; the models are the ones named, else the artifact's, else the pool."""
        loaded = FileArtifactStore().load(str(artifact)) if artifact else None
        wanted = names(models) if models else list(loaded.manifest.candidates) if loaded else None
        everything = read(data, suites, wanted, scored=scored)
        prompts = everything.split(split)
        if not len(prompts):
            has = ", ".join(sorted(set(everything.splits)))
            raise DataError(
                f"{data}: suite {','.join(suites)} has no prompt of split {split!r}; it has {has or 'none'}"
            )
        return cls(everything, prompts, reference_of(everything, loaded, str(data)), loaded)

    def decide(
        self, strategy: str | None, weights: Floats, rule: CostRule, onnx: Path | None, cache: Path | None, seed: int
    ) -> Decisions:
        """Return the decisions of the artifact, or of the strategy; exactly one of them must have been given."""
        if (self.artifact is None) == (strategy is None):
            raise ConfigError("give either --artifact FILE or --strategy NAME")
        if self.artifact is None:
            return by_strategy(str(strategy), self.prompts, self.reference, weights, seed)
        vectors = self.vectors(self.prompts, self.embedder(onnx), cache)
        return by_artifact(self.artifact, self.prompts, vectors, self.reference, weights, rule)

    def embedder(self, onnx: Path | None) -> Embedder | None:
        """Return the embedder the artifact was trained on, None when it uses none; raises EmbedderMismatch."""
        if self.artifact is None or self.artifact.manifest.embedder is None:
            return None
        used = encoder(onnx)
        check_embedder(self.artifact, used.id, used.dimensions)
        return used

    @staticmethod
    def vectors(prompts: OutcomeMatrix, embedder: Embedder | None, cache: Path | None) -> Singles | None:
        """Return embeddings of prompts."""
        return embed(embedder, prompts.texts, EmbeddingCache(cache) if cache else None) if embedder else None


def names(text: str) -> list[str]:
    """Return names that were given with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_lambdas(text: str) -> Floats:
    """Return the cost weights of an option, in rising order, each once; raises ConfigError."""
    if text.strip() == SWEEP:
        return LAMBDAS
    found = []
    for item in names(text):
        try:
            value = float(item)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ConfigError(f"--lambda {item!r} is not a number of at least 0; write numbers with commas, or {SWEEP}")
        found.append(value)
    if not found:
        raise ConfigError(f"--lambda names no number; write numbers with commas, or {SWEEP}")
    return np.unique(np.array(found))
