"""An S3 server of this machine: moto's, which has ETags, versions and conditional reads, on a free port.

Owns its process. It is stopped by process id; nothing of it stays.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from tests.servers.ports import free_port, wait_for_port

START_LIMIT_S = 60.0


@dataclass
class S3Server:
    """A running server with one bucket, and the environment with which others find it."""

    url: str
    bucket: str
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def client(self) -> Any:
        """A client with credentials."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def put(self, name: str, content: str | bytes) -> None:
        """Store an object in the bucket."""
        body = content.encode() if isinstance(content, str) else content
        self.client.put_object(Bucket=self.bucket, Key=name, Body=body)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=name)

    def start(self) -> None:
        """Start the server where it was before, with an empty bucket."""
        port = int(self.url.rpartition(":")[2])
        with self.log.open("ab") as log:
            command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.process = process
        wait_for_port(port, START_LIMIT_S, lambda: process.poll() is None, self.log.read_text)
        self.client.create_bucket(Bucket=self.bucket)
        self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def stop(self) -> None:
        """End the server, as a network that is gone ends it for everybody; may be called again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """Stop it where it stands: connections are taken, and nothing is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


def environment(url: str) -> dict[str, str]:
    """Return what boto3 reads to use the server."""
    return {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def s3_server(folder: Path, bucket: str = "gateway") -> Iterator[S3Server]:
    """Start a server with a versioned bucket; `folder` keeps its log."""
    url = f"http://127.0.0.1:{free_port()}"
    server = S3Server(url, bucket, folder / "s3.log", environment(url))
    try:
        server.start()
        yield server
    finally:
        server.stop()
