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

    def head(self, name: str) -> Listed | None:
        """Return one object as the listing would have it, without reading it; None when there is none."""
        ...

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Write one object to a file and return it as it was read.

        A file that is there is taken for the beginning of the very same object, left by a read that was cut, and goes
        on where it ends; where the place cannot do that it begins anew. Raises SourceUnavailable when the object is
        gone, came short, or is not the one that was listed any more; what was read until then stays in the file.
        """
        ...


def beginning(of: Path, listed: Listed) -> int:
    """Return how many bytes of an object a file has; 0 when it has more than there are, so that it begins anew."""
    try:
        have = of.stat().st_size
    except OSError:
        return 0
    return 0 if listed.size is None or have > listed.size else have
