"""`routeiq admin audit`: pages of a gateway as one list, and the verification of files on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.files.audit_chain import Keeping
from routeiq.cli import audit as command
from routeiq.cli.app import run
from tests.unit.adapters.files.test_audit import keep


def event(seq: int, **changes: Any) -> dict[str, Any]:
    said = {"chain": "aa", "seq": seq, "at": 1_800_000_000.0 + seq, "kind": "strategy.changed", "actor": "key:9f"}
    more = {"subject": "auto", "before": "knn", "after": "elo", "result": "ok", "reason": None, "request_id": "r"}
    return {**said, **more, **changes}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the gateway was asked; it has 1500 events, and gives as many as are wanted."""
    paths: list[str] = []

    def ask(url: str, method: str, path: str) -> dict[str, Any]:
        paths.append(path)
        seen = int(path.partition("cursor=aa%3A")[2] or 1501)
        limit = int(path.partition("limit=")[2].partition("&")[0])
        events = [event(seq) for seq in range(seen - 1, max(0, seen - 1 - limit), -1)]
        following = f"aa:{events[-1]['seq']}" if events[-1]["seq"] > 1 else None
        chains = [{"chain": "bb", "here": False, "from": 7, "complete": False}]
        return {"events": events, "next": following, "trouble": "disk_full", "others_heard": False, "chains": chains}

    monkeypatch.setattr(command, "ask", ask)
    return paths


def test_events_are_lines_and_what_is_missing_is_said(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is a line; that others were not heard and that this one cannot write are warnings."""
    assert run(["admin", "audit", "--limit", "2", "--kind", "strategy.changed"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "2027-01-15T08:25:00Z strategy.changed auto (knn -> elo) ok, by key:9f, request r",
        "2027-01-15T08:24:59Z strategy.changed auto (knn -> elo) ok, by key:9f, request r",
    ]
    warned = " ".join(shown.err.split())
    assert "cannot be written now: disk_full" in warned
    assert "only events of the host that answered" in warned
    assert "chains bb" in warned
    assert asked == ["/routeiq/audit?kind=strategy.changed&limit=2"]


def test_more_than_one_answer_holds_is_asked_for_by_pages(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand at a time, until there are enough or no more."""
    assert run(["admin", "audit", "--limit", "1200", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 1200
    assert [path.partition("limit=")[2] for path in asked] == ["1000", "200&cursor=aa%3A501"]
    assert run(["admin", "audit", "--limit", "5000", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 1500


def test_since_is_an_age_or_a_moment(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An age is counted from now; anything else is the gateway's to read."""
    monkeypatch.setattr(command.time, "time", lambda: 1_000_000.0)
    for since in ("90s", "15m", "2h", "1d", "2026-12-01T00:00:00Z"):
        assert run(["admin", "audit", "--since", since, "--limit", "1"]) == 0
    found = [path.partition("since=")[2].partition("&")[0] for path in asked]
    assert found == ["999910.0", "999100.0", "992800.0", "913600.0", "2026-12-01T00%3A00%3A00Z"]


def test_files_are_verified_with_a_hash_noted_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last hash is printed; later it must still be in the chain, wherever that has gone on to."""
    keep(tmp_path, 1, 2)
    verify = ["admin", "audit", "--verify", "--folder", str(tmp_path), "--json"]
    assert run(verify) == 0
    noted = json.loads(capsys.readouterr().out)["hash"]
    keep(tmp_path, 3)
    assert run([*verify, "--head", noted]) == 0
    path = next(tmp_path.glob("audit-*.jsonl"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    assert run(verify) == 0  # a chain whose end is cut off holds by itself
    assert run([*verify, "--head", noted]) == 2
    assert "it was removed, or all after it was written anew" in " ".join(capsys.readouterr().err.split())


def test_the_configuration_says_which_folder_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder it is that of the settings; where they name none, or nothing is there, that is said."""
    config = tmp_path / "config.yaml"
    config.write_text("model_list: []\nrouteiq_settings: {audit: {path: kept}}\n")
    keep(tmp_path / "kept", 1)
    assert run(["admin", "audit", "--verify", "--config", str(config)]) == 0
    assert "the chain holds: 1 line; line 1 has hash" in capsys.readouterr().out
    config.write_text("model_list: []\nrouteiq_settings: {audit: {path: null}}\n")
    assert run(["admin", "audit", "--verify", "--config", str(config)]) == 2
    assert "keeps no audit" in capsys.readouterr().err
    config.write_text("model_list: []\nrouteiq_settings: {}\n")
    assert run(["admin", "audit", "--verify", "--config", str(config)]) == 2
    assert "no file named audit-NUMBER.jsonl" in " ".join(capsys.readouterr().err.split())


def test_the_chain_is_written_to_one_file_that_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All lines of all files, as they are, for their owner alone; a change, or a lost end, is found out later."""
    keep(tmp_path / "audit", 1, 2)
    keep(tmp_path / "audit", 3, keeping=Keeping(file_bytes=1))
    keep(tmp_path / "audit", 4)
    files = sorted((tmp_path / "audit").glob("audit-*.jsonl"))
    output = tmp_path / "copy"
    export = ["admin", "audit", "--output", str(output), "--folder", str(tmp_path / "audit"), "--json"]
    verify = ["admin", "audit", "--verify", "--file", str(output), "--json"]
    assert run(export) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(files) > 1
    assert output.read_bytes() == b"".join(path.read_bytes() for path in files)
    assert output.stat().st_mode & 0o777 == 0o600
    assert run([*verify, "--head", told["hash"]]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == told["lines"] == len(output.read_bytes().splitlines())
    assert run(export) == 2
    assert "exists already" in capsys.readouterr().err
    whole = output.read_bytes()
    for changed, said in (
        (whole.replace(b'"ok"', b'"no"', 1), ":1: the line does not hold"),
        (b"".join(whole.splitlines(keepends=True)[1:]), ":1: the lines before number 2 are missing"),
        (whole[:-10], "half a line"),
        (b"".join(whole.splitlines(keepends=True)[:-1]), "no line has hash"),
    ):
        output.write_bytes(changed)
        assert run([*verify, "--head", told["hash"]]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_nothing_is_written_of_a_chain_that_does_not_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the line, and no file is left; nor is one where it cannot be written."""
    keep(tmp_path / "audit", 1, 2)
    path = next((tmp_path / "audit").glob("audit-*.jsonl"))
    export = ["admin", "audit", "--folder", str(tmp_path / "audit"), "--output"]
    assert run([*export, str(tmp_path / "absent" / "copy")]) == 2
    assert "No such file or directory" in " ".join(capsys.readouterr().err.split())
    path.write_bytes(path.read_bytes().replace(b'"ok"', b'"no"'))
    assert run([*export, str(tmp_path / "copy")]) == 2
    assert "the line does not hold" in capsys.readouterr().err
    assert [found.name for found in tmp_path.iterdir()] == ["audit"]
    assert run(["admin", "audit", "--verify", "--file", str(tmp_path / "copy")]) == 2
    assert "there is no such file" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--file", "x"], "--file is for --verify"),
        (["--verify", "--file", "x", "--folder", "y"], "in the place of a --folder"),
        (["--verify", "--output", "x"], "leave --verify out"),
        (["--output", "x", "--kind", "access.refused"], "choose from the file"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused with what to do instead."""
    assert run(["admin", "audit", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_what_belongs_to_verifying_is_refused_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is not asked of a gateway."""
    assert run(["admin", "audit", "--folder", "x"]) == 2
    assert "--folder and --head are for --verify" in " ".join(capsys.readouterr().err.split())
