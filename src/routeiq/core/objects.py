"""A folder of objects somewhere else: what a gateway fetches its configuration and artifacts from.

Owns the port and its promises. S3, HTTP and plain folders implement it (`adapters.object_store`), `config.sync` uses
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing has it: the tag changes whenever the content does; `size` in bytes, None when not said."""

    tag: str
    size: int | None = None


class ObjectFolder(Protocol):
    """Objects below one place. Everything blocks, is bounded in time, and raises SourceUnavailable."""

    @property
    def location(self) -> str:
        """The place as people write it, without credentials."""
        ...

    def listing(self) -> Mapping[str, Listed]:
        """Return all objects by name (relative, `/` between folders) without reading any."""
        ...

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Write one object to a new file and return it as it was read.

        Raises SourceUnavailable when it is gone, came short, or is not the one that was listed any more.
        """
        ...
