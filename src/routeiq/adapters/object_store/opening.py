"""From an address to a folder of objects.

Owns the schemes. Imports a vendor's library only for an address that needs it.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from routeiq.core.errors import ConfigError
from routeiq.core.objects import ObjectFolder

SCHEMES = ("s3://BUCKET/PREFIX", "gs://BUCKET/PREFIX", "https://HOST/PATH", "file:///PATH")
GCS = "https://storage.googleapis.com"
"""Google's endpoint for S3's protocol; it takes HMAC keys."""


def open_folder(address: str, names: Sequence[str] = (), endpoint: str | None = None) -> ObjectFolder:
    """Return the folder at an address; raises ConfigError.

    `names` are the objects to ask for where they cannot be listed (HTTP). `endpoint` is where an S3 is that is not
    Amazon's.
    """
    parts = urlsplit(address)
    if parts.scheme in ("s3", "gs"):
        try:
            from routeiq.adapters.object_store.s3 import S3Folder
        except ModuleNotFoundError as error:
            raise ConfigError(f"{parts.scheme}:// needs {error.name}; run: pip install 'routeiq-router[s3]'") from None
        where = endpoint or (GCS if parts.scheme == "gs" else None)
        return S3Folder(parts.netloc, parts.path.strip("/"), endpoint=where, scheme=parts.scheme)
    if parts.scheme in ("http", "https"):
        from routeiq.adapters.object_store.web import WebFolder

        if not names:
            raise ConfigError(f"{_shown(address)}: objects cannot be listed over HTTP; name them with --object")
        return WebFolder(address, tuple(names))
    if parts.scheme in ("file", ""):
        from routeiq.adapters.object_store.local import LocalFolder

        return LocalFolder(Path(parts.path))
    raise ConfigError(f"{_shown(address)}: expected one of {', '.join(SCHEMES)}, found the scheme {parts.scheme!r}")


def _shown(address: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
