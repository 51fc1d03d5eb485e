"""What every group of settings is, and the types that many of them use."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from routeiq.config.addresses import checked


def empty_if_none(value: Any) -> Any:
    """Read `key:` with nothing after it, which is None in YAML, as a section whose settings all have their defaults."""
    return {} if value is None else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class Concern(BaseModel):
    """One group of settings: immutable, and an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
ArtifactName = Annotated[str, Field(min_length=1), BeforeValidator(_as_text), AfterValidator(checked)]
"""A path, or an address such as `s3://BUCKET/PATH/knn.npz`."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
