"""`routeiq workers` and what `serve` makes of its answer."""

import json
from pathlib import Path

import pytest

from routeiq.cli.app import run
from routeiq.cli.serve import unasked, worker_count
from routeiq.cli.workers import this_machine
from routeiq.config.load import load
from routeiq.core.errors import ConfigError
from tests.unit.config.scene import config

SECTION = "strategy: round-robin\naliases: {auto: {}}"


def test_it_says_how_many_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has every family with its formula; the recommendation has a reason."""
    path = config(tmp_path, SECTION)
    assert run(["workers", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    for text in ("2 x cores + 1", "cores + 1", "cores / 2", "256 MB", "1536 MB", "recommended: ", "one per core"):
        assert text in said


def test_programs_read_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` has the number that `serve --workers auto` runs."""
    path = config(tmp_path, SECTION)
    assert run(["workers", "--config", str(path), "--json"]) == 0
    form = json.loads(capsys.readouterr().out)
    assert form["workers"] == worker_count("auto", load(path)) == worker_count("0", load(path))
    assert form["formula"]["text"] == "2 x cores + 1"
    assert form["measured_pss_mb"] is None


def test_the_containers_limits_count(tmp_path: Path) -> None:
    """A quota of half a core is half a core; no limit is none."""
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(str(512 * 2**20))
    limited = this_machine(tmp_path)
    assert (limited.cores, limited.memory_mb) == (0.5, 512)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    free = this_machine(tmp_path)
    assert free.cores >= 1
    assert free.memory_mb != 512


def test_unasked_workers_need_shared_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With Redis the recommendation is run without being asked for; without, one worker, which shares with nobody."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    path = config(tmp_path, SECTION)
    assert unasked(load(path)) == "1"
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379")
    assert unasked(load(path)) == "auto"
    assert run(["workers", "--config", str(path)]) == 0
    assert "runs as many unless" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["two", "-1", "1000", ""])
def test_what_is_no_number_of_workers_is_refused(tmp_path: Path, asked: str) -> None:
    """The message says what was expected."""
    with pytest.raises(ConfigError, match="a number from 0 to 999 or `auto`"):
        worker_count(asked, load(config(tmp_path, SECTION)))
