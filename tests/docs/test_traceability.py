"""The map from requirements to tests holds together."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "traceability.md"
ROWS = range(1, 486)
REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`")
STATE = re.compile(r"met|part: \S.*")


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the test functions of a file."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def lines() -> list[str]:
    """The lines of the tables, without their heads."""
    text = PAGE.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]


def rows(line: str) -> list[int]:
    """The numbers of the rows that the first or, for a list of rows, the second cell of a line names."""
    found = re.match(r"\| S(\d{3}) \|", line)
    if found:
        return [int(found[1])]
    named = line.split(" | ")[-1] if re.match(r"\| [A-G]\. ", line) else ""
    return [
        number
        for first, last in re.findall(r"S(\d{3})(?:-S(\d{3}))?", named)
        for number in range(int(first), int(last or first) + 1)
    ]


def test_every_test_exists() -> None:
    """Each test that the page names is a function of the file it is said to be in."""
    named = [match for line in lines() for match in REFERENCE.findall(line)]
    assert len(named) > 200
    gone = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).is_file() or name not in functions(ROOT / "tests" / path)
    ]
    assert not gone


def test_every_row_stands_here_once() -> None:
    """Each row of the list of requirements is either mapped or listed as not begun, and no other is named."""
    counted = Counter(number for line in lines() for number in rows(line))
    assert not [number for number, times in counted.items() if times > 1]
    assert set(counted) == set(ROWS)


def test_nothing_is_met_without_a_test() -> None:
    """Each line has a state, a part says what is missing, and what is met names a test."""
    wrong = []
    for line in lines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if cells[0] in {"line", "row", "section"} or re.match(r"[A-G]\. ", cells[0]):
            continue
        *_, state, tests = cells
        if not STATE.fullmatch(state) or (state == "met" and not REFERENCE.search(tests)):
            wrong.append(line)
    assert not wrong
