"""Programs that tests of the audit run as processes of their own: to share a folder, to be killed, to be frozen.

Usage: python -m tests.unit.adapters.files.audit_processes PROGRAM FOLDER [NAME].
"""

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from routeiq.adapters.files.audit import FileAudit
from routeiq.adapters.files.audit_chain import Chain, Keeping
from routeiq.core.audit import CONFIG_RELOADED, AuditEvent
from tests.unit.adapters.records import SALT, WallClock

SMALL = Keeping(file_bytes=20_000)


def opened(folder: Path, **changes: Any) -> FileAudit:
    """An audit that is written for a test."""
    own: dict[str, Any] = {"salt": lambda: SALT, "clean": str, "clock": WallClock(), "chance": random.Random(1)}
    return FileAudit(folder, **{**own, **changes})


def an_event(number: int = 1, **changes: Any) -> AuditEvent:
    """An event that tells itself from others by its subject."""
    said: dict[str, Any] = {"at": time.time(), "kind": CONFIG_RELOADED, "actor": "hash-of-key"}
    return AuditEvent(**{**said, "subject": f"s{number}", "replica": "r", "worker": "w", **changes})


def share(folder: Path, name: str) -> None:
    """Record events one by one, each durable before the next, as one of several workers of a host."""
    audit = opened(folder, keeping=SMALL)
    for number in range(60):
        audit.record(an_event(number, worker=name))
        assert audit.flush(60.0)
    assert audit.close()


def write_for_ever(folder: Path, name: str) -> None:
    """Record, and print what is durable, until killed."""
    audit = opened(folder, keeping=SMALL)
    for number in range(1_000_000):
        audit.record(an_event(number, worker=name))
        assert audit.flush(60.0)
        print(number, flush=True)


def hold(folder: Path, name: str) -> None:
    """Take the lock and keep it."""
    folder.mkdir(exist_ok=True)
    with Chain(folder, Keeping(), WallClock())._alone():
        print("held", flush=True)
        time.sleep(600)


def run_out(folder: Path, name: str) -> None:
    """Record, fill the disk, record more, delete what fills it; print what was said of it all."""
    audit = opened(folder / "audit")
    audit.record(an_event(0))
    assert audit.flush(60.0)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 64, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    for number in range(1, 41):
        audit.record(an_event(number, subject=f"s{number} " + "x" * 300))
    said = [audit.flush(60.0), audit.trouble, audit.queued]
    filler.unlink()
    deadline = time.monotonic() + 60
    while audit.queued and time.monotonic() < deadline:
        time.sleep(0.05)
    print(*said, audit.close(), audit.trouble, audit.dropped, sep=",", flush=True)


if __name__ == "__main__":
    program, where, *rest = sys.argv[1:]
    {"share": share, "write": write_for_ever, "hold": hold, "full": run_out}[program](Path(where), "".join(rest))
    sys.stdout.flush()
    os._exit(0)
