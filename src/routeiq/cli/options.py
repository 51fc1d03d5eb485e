"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Config: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="LiteLLM's config.yaml. Default: LITELLM_CONFIG_PATH, else the image's place."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
