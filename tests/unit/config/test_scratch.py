"""Temporary folders of one run: gone with it, or with the next one."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from routeiq.config.scratch import Scratch

HOLDER = """
import os, sys, time
from routeiq.config.scratch import Scratch
folder = Scratch("serve")
(folder.path / "0").touch()
child = os.fork() if sys.argv[1] == "forks" else -1
print(child, folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def killed(how: str) -> tuple[int, Path]:
    """Have a process make a folder and be killed; returns what was forked from it, and the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, how], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        while said.startswith("0 "):  # the child of the process says so, too
            said = process.stdout.readline()
        process.kill()
        child, folder = said.split()
        process.wait()
        process.stdout.close()
    return int(child), Path(folder)


def test_a_folder_is_gone_with_its_run(temporary: Path) -> None:
    """Nobody else can enter it, and closing it twice is once."""
    with Scratch("serve") as scratch:
        assert scratch.path.parent == temporary
        assert scratch.path.stat().st_mode & 0o777 == 0o700
        (scratch.path / "0").touch()
    scratch.close()
    assert list(temporary.iterdir()) == []


def test_the_next_run_removes_what_a_killed_one_left(temporary: Path) -> None:
    """Those in use, those of another kind and those that are not ours stay."""
    _, left = killed("alone")
    assert (left / "0").exists()
    (temporary / "routeiq-other-1").mkdir()
    (temporary / "routeiq-serve-link").symlink_to(temporary / "routeiq-other-1")
    with Scratch("serve") as first, Scratch("serve") as second:
        assert not left.exists()
        assert first.path.is_dir()
        assert second.path.is_dir()
    assert {path.name for path in temporary.iterdir()} == {"routeiq-other-1", "routeiq-serve-link"}


def test_a_folder_is_in_use_while_a_forked_process_lives() -> None:
    """Workers that outlive their supervisor for a moment keep their sockets."""
    child, folder = killed("forks")
    try:
        with Scratch("serve"):
            assert folder.is_dir()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_process_that_ends_removes_nothing(temporary: Path) -> None:
    """The folder belongs to who made it."""
    with Scratch("serve") as scratch:
        process = multiprocessing.get_context("fork").Process(target=scratch.close)
        process.start()
        process.join()
        assert scratch.path.is_dir()
    assert list(temporary.iterdir()) == []
