"""PostgreSQL of Debian as a child process with a cluster of its own: start, kill, restart, end.

It refuses to run as root, so it runs as the user postgres when the tests do; everybody may read its folder then.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.servers.ports import free_port, wait_for_port

USER = "postgres"
START_LIMIT_S = 90.0


def programs() -> Path | None:
    """The folder with initdb and postgres: the newest that Debian installed, else that of the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


def missing() -> str | None:
    """What to do when PostgreSQL is not on this machine, else None."""
    return None if programs() else "PostgreSQL is not installed; run scripts/bootstrap debian"


def as_postgres(command: list[str]) -> list[str]:
    """The command as a user that PostgreSQL accepts."""
    return ["runuser", "-u", USER, "--", *command] if os.geteuid() == 0 else command


@dataclass
class Postgres:
    """A cluster of one database. `url` is a libpq URL; `stop` and `start` may be called in turn."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where to connect as the owner of everything."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{USER}"

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        bin_folder = programs()
        assert bin_folder is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on",
            "max_connections": "60",
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            command = as_postgres([str(bin_folder / "postgres"), "-D", str(self.folder / "data"), *options])
            self.process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        process = self.process
        log_file = self.folder / "log"
        wait_for_port(self.port, START_LIMIT_S, lambda: process.poll() is None, log_file.read_text)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            # It listens before it is ready, and long before after a crash.
            try:
                self.run("SELECT 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, log_file.read_text()[-4000:]
                time.sleep(0.05)

    def run(self, statement: str, *values: object, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the owner of everything, or at another URL, and return its rows."""
        with psycopg.connect(url or self.url, autocommit=True, connect_timeout=20) as connection:
            found = connection.execute(statement.encode(), values or None)
            return found.fetchall() if found.description else []

    def role(self, name: str, password: str) -> str:
        """Make a role that has to show a password, may make schemas, and return its URL."""
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.run(f"GRANT CREATE ON DATABASE {USER} TO {name}")
        self.run("SELECT pg_reload_conf()")
        return f"postgresql://{name}:{password}@127.0.0.1:{self.port}/{USER}"

    @contextmanager
    def standby(self) -> "Iterator[Postgres]":
        """A second server that follows this one, started; it is ended and removed afterwards."""
        bin_folder = programs()
        assert bin_folder is not None
        with _folder() as folder:
            follower = Postgres(folder, free_port())
            copy = [str(bin_folder / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-R"]
            copy += ["-D", str(folder / "data"), "-X", "stream", "--checkpoint=fast", "--no-sync"]
            subprocess.run(as_postgres(copy), cwd="/", check=True, capture_output=True, timeout=120)
            try:
                follower.start()
                yield follower
            finally:
                follower.stop()

    def promote(self) -> None:
        """Make a server that follows another take writes itself."""
        self.run("SELECT pg_promote()")

    def family(self) -> list[psutil.Process]:
        """The server and its children."""
        server = psutil.Process(self.postmaster())
        return [server, *server.children(recursive=True)]

    def freeze(self) -> None:
        """Stop it and all its children: connections stay open, and nothing answers."""
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let it go on; may be called when it was not frozen."""
        assert self.process is not None
        # What runs the server as its user stops when the server does.
        for process in (*self.family(), psutil.Process(self.process.pid)):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def postmaster(self) -> int:
        """The process id of the server itself."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End it as a crash of the machine would, all its children included."""
        if self.process is None:
            return
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(20)
        self.process = None

    def stop(self) -> None:
        """End it in order, cutting connections; may be called again."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.thaw()
            os.kill(self.postmaster(), 2)  # fast shutdown
            self.process.wait(20)
        self.process = None


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the server may write to, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="routeiq-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A new cluster, started; it is ended and removed afterwards."""
    bin_folder = programs()
    assert bin_folder is not None, missing()
    with _folder() as folder:
        server = Postgres(folder, free_port())
        try:
            init = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8"]
            init += ["--locale", "C", "--no-sync"]
            subprocess.run(as_postgres(init), cwd="/", check=True, capture_output=True, timeout=60)
            server.start()
            yield server
        finally:
            server.stop()
