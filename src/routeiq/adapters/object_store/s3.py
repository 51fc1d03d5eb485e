"""A prefix of a bucket, in S3 or in anything that speaks its protocol.

Owns bounds on time and retries. Credentials are found as boto3 finds them (environment, files, instance roles).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from routeiq.core.errors import SourceUnavailable
from routeiq.core.objects import Listed, beginning

CONNECT_S, READ_S, ATTEMPTS = 3, 10, 3
_CHUNK = 1 << 16
_NOT_THERE = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Folder:
    """Implements `core.objects.ObjectFolder`. The tag is the object's ETag; a read asks for that very version of it."""

    def __init__(self, bucket: str, prefix: str = "", *, endpoint: str | None = None, scheme: str = "s3") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._scheme = scheme
        # Addresses with the bucket in the path: servers that only speak like S3 have no name for every bucket.
        style = {"addressing_style": "path" if endpoint else "auto"}
        bounds = Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
            s3=style,
        )
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, config=bounds)

    @property
    def location(self) -> str:
        """The address."""
        return f"{self._scheme}://{self._bucket}/{self._prefix}".rstrip("/")

    def listing(self) -> Mapping[str, Listed]:
        """Return the objects below the prefix."""
        found = {}
        with self._reporting("listed"):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            ):
                for entry in page.get("Contents", ()):
                    name = entry["Key"].removeprefix(self._prefix)
                    if name and not name.endswith("/"):
                        found[name] = Listed(entry["ETag"], entry["Size"])
        return found

    def head(self, name: str) -> Listed | None:
        """Ask for the head of one object."""
        with self._reporting("read", name):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _NOT_THERE:
                    return None
                raise
        return Listed(answer["ETag"], answer["ContentLength"])

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Read one object, in the version that was listed, from where the file ends."""
        have = beginning(to, listed)
        with self._reporting("read", name):
            if have == listed.size and have:
                return listed
            wanted = {"Range": f"bytes={have}-"} if have else {}
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, IfMatch=listed.tag, **wanted)
            if "ContentRange" not in answer:
                have = 0
            size = have
            with to.open("ab" if have else "wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    size += file.write(chunk)
        whole = have + answer["ContentLength"]
        if size != whole:
            raise SourceUnavailable(f"{self.location}/{name}: came short, {size} of {whole} bytes; it is read again")
        return Listed(answer["ETag"], size)

    @contextmanager
    def _reporting(self, what: str, name: str = "") -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise SourceUnavailable(f"{self.location}/{name}".rstrip("/") + f": cannot be {what} ({code})") from None
        except (BotoCoreError, OSError) as error:
            kind = type(error).__name__
            raise SourceUnavailable(f"{self.location}/{name}".rstrip("/") + f": cannot be {what} ({kind})") from None
