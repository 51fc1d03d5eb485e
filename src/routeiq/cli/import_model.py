"""`routeiq import`: outcomes by default, and `routeiq import llmrouter-model` for a trained router of LLMRouter's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.importing import import_outcomes
from routeiq.cli.output import stdout, warn, working
from routeiq.core.errors import ConfigError
from routeiq.learn.pickles import convert, open_pickle
from routeiq.wiring import encoder

_OUTCOMES = "outcomes"
_EPILOG = "Example: routeiq import --from llmrouter routing_train.jsonl llm.json --output ./outcomes"
_MODEL = (
    "Example: routeiq import llmrouter-model knnrouter.pkl --onnx ./longformer --output knn.npz"
)  # fmt: skip


class _OutcomesByDefault(TyperGroup):
    """Takes arguments that name no kind as those of `outcomes`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the kind in front where there is none."""
        if args and args[0] not in (*self.commands, "--help"):
            args = [_OUTCOMES, *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_OutcomesByDefault,
    no_args_is_help=True,
    help="Turn other tools' outcomes, or a trained router, into ours. `outcomes` may be left out.",
)
group.command(_OUTCOMES, epilog=_EPILOG)(import_outcomes)


@group.command("llmrouter-model", epilog=_MODEL)
def import_model(
    file: Annotated[Path, typer.Argument(help="Trained router of LLMRouter's: .pkl or .pt.")],
    output: Annotated[Path, typer.Option(help="Artifact to write (.npz; its manifest goes beside it).")],
    models: Annotated[str | None, typer.Option(help="Models in the router's order; for files without names.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="Folder of the ONNX encoder it was trained on.")] = None,
    embedder: Annotated[str | None, typer.Option(help="Id of that embedder, in the place of --onnx.")] = None,
    norm: Annotated[float, typer.Option(min=1e-6, help="Length of the vectors it was trained on; ours is 1.")] = 1.0,
) -> None:
    """Turn a trained router of LLMRouter's into an artifact, without LLMRouter, scikit-learn or PyTorch.

    The file is opened in a process of its own that can open, start and reach nothing; a file that tries is refused.
    """
    if (onnx is None) == (embedder is None):
        raise ConfigError("name the embedder whose vectors the router was trained on: --onnx FOLDER or --embedder ID")
    used = encoder(onnx) if onnx is not None else None
    names = [name.strip() for name in models.split(",")] if models else []
    with working("opening"):
        opened = open_pickle(file)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        artifact = convert(opened, names, used.id if used else str(embedder), norm=norm, created=created)
    manifest = artifact.manifest
    if used is not None and used.dimensions != manifest.dimensions:
        raise ConfigError(
            f"the router takes vectors of {manifest.dimensions} dimensions, the encoder in {onnx} gives "
            f"{used.dimensions}; name the one it was trained on"
        )
    saved = FileArtifactStore().save(str(output), artifact).manifest
    stdout().print(
        f"{escape(str(output))}: {saved.strategy} {saved.version}, {len(saved.candidates)} models "
        f"({escape(', '.join(saved.candidates))}), {saved.dimensions} dimensions",
        soft_wrap=True,
    )
    if "agreement" in saved.training:
        stdout().print(f"decides like the original on {saved.training['agreement']:.1%} of the vectors it remembers")
    doubts = ["it has the order of models, not their expected scores, and no costs: measure it with `routeiq eval`"]
    if opened.kind in ("mlp", "linear-svm") and norm == 1.0:
        doubts.append("if it was trained on vectors that were not of length 1, say how long they were with --norm")
    warn(doubts)
