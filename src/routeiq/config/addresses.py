"""Artifacts that are named by an address: `s3://BUCKET/PATH/knn.npz` in the place of a path.

Owns what counts as an address, which objects it means, and how it is shown: without user, password and query, which may
be secrets. Reading objects is `adapters.object_store`'s, keeping them `config.artifact_cache`'s.
"""

from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

SCHEMES: Final = ("s3", "gs", "https", "http", "file")
EXAMPLES: Final = "s3://BUCKET/PATH/knn.npz, gs://BUCKET/PATH/knn.npz, https://HOST/PATH/knn.npz, file:///PATH/knn.npz"


def is_address(name: str) -> bool:
    """Return whether the name of an artifact is an address and no path."""
    return "://" in name


def checked(name: str) -> str:
    """Return the name of an artifact; raises ValueError for an address that cannot be one."""
    if not is_address(name):
        return name
    parts = urlsplit(name)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{parts.scheme!r} is no scheme of an address; expected a path, or one of {EXAMPLES}")
    if not PurePosixPath(parts.path).name or (parts.scheme != "file" and not parts.netloc):
        raise ValueError(f"the address names no object; expected a path, or one of {EXAMPLES}")
    return name


def shown(address: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def key(address: str) -> str:
    """Return a short name for an address that is safe in files and locks and tells nothing of it."""
    return sha256(address.encode()).hexdigest()[:20]


def folder(address: str) -> str:
    """Return the address of the place in which an object is."""
    parts = urlsplit(address)
    return _with_path(parts, str(PurePosixPath(parts.path).parent))


def stem(address: str) -> str:
    """Return the name of an artifact's two objects without their ending."""
    path = PurePosixPath(urlsplit(address).path)
    return path.stem if path.suffix in (".npz", ".json") else path.name


def arrays_named(address: str) -> bool:
    """Return whether the address says that it is an artifact, and not a pointer to one."""
    return PurePosixPath(urlsplit(address).path).suffix != ".json"


def joined(pointer: str, name: str) -> str:
    """Return the address of what a pointer at an address names: an address, or a name relative to the pointer's."""
    if is_address(name):
        return name
    parts = urlsplit(pointer)
    return _with_path(parts, str(PurePosixPath(parts.path).parent / name))


def _with_path(parts: SplitResult, path: str) -> str:
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
