"""The rules of the house that a machine can read: sizes, names, boundaries, and what must not be in the repository."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

FILE_LINES = 500
FUNCTION_LINES = 40
SHORT_SHARE = 0.9
VAGUE_NAMES = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "service", "util", "utils"}
VAGUE_CLASS = re.compile(r"(Helper|Manager|Utils?)$")
MARKED_BOUNDARY = re.compile(r"# noqa: BLE001 - \S+ \S+")
HOSTS = [("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"), ("deb", "debian", "org")]
# What must not stand in any file.
FORBIDDEN_TEXT = {
    "a path of one machine": r"(?<![\w.~-])/(?:root|work|Users/\w+|home/\w+|tmp/\w+)/",
    "the host of a package index": "|".join(r"\b" + re.escape(".".join(host)) + r"\b" for host in HOSTS),
}
BINARY = {".npy", ".npz", ".onnx", ".png", ".jpg", ".gif", ".ico", ".woff2", ".gz", ".parquet"}


@cache
def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[Function]:
    """All functions and methods of a file."""
    return (node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: Function) -> int:
    """Lines from `def` to the end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something is, for a message."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def repository_files() -> tuple[Path, ...]:
    """All text files that are in the repository or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in listing.splitlines())
    return tuple(path for path in paths if path.is_file() and path.suffix not in BINARY)


def reads_environment(node: ast.AST) -> bool:
    """Whether a node is os.environ, os.getenv or an import of either."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    if isinstance(node, ast.Attribute):
        return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "os"
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(alias.name in names for alias in node.names)


def catches_everything(node: ast.AST) -> bool:
    """Whether a node is a handler that swallows any exception at all; one that ends by raising does not."""
    if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in caught)


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    """Source and test files stay short enough to be read at once."""
    files = [path for path in repository_files() if path.suffix == ".py"]
    lines = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {name: count for name, count in lines.items() if count > FILE_LINES}


def test_nine_functions_in_ten_are_short() -> None:
    """At least nine in ten functions of the package take at most forty lines."""
    sizes = {place(path, node): length(node) for path in SOURCES for node in functions(path)}
    long = {name: size for name, size in sizes.items() if size > FUNCTION_LINES}
    assert len(long) <= (1 - SHORT_SHARE) * len(sizes), long


def test_nothing_is_global() -> None:
    """No function of the package rebinds a name of its module."""
    assert not [place(path, node) for path in SOURCES for node in ast.walk(parse(path)) if isinstance(node, ast.Global)]


def test_only_config_reads_the_environment() -> None:
    """os.environ is read in routeiq.config and nowhere else in the package."""
    config = ROOT / "src" / "routeiq" / "config"
    others = [path for path in SOURCES if config not in path.parents]
    assert not [place(path, node) for path in others for node in ast.walk(parse(path)) if reads_environment(node)]


def test_catching_everything_is_marked_with_its_reason() -> None:
    """`except Exception` appears only with `# noqa: BLE001 - <why>` on its line."""
    unmarked = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(parse(path)):
            if catches_everything(node) and not MARKED_BOUNDARY.search(lines[node.lineno - 1]):
                unmarked.append(place(path, node))
    assert not unmarked


def test_names_say_what_a_thing_is() -> None:
    """No module or class of the package has a name that fits anything."""
    vague = [place(path) for path in SOURCES if VAGUE_NAMES & {path.stem, path.parent.name, *path.stem.split("_")}]
    classes = ((path, node) for path in SOURCES for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef))
    vague += [f"{place(path, node)} {node.name}" for path, node in classes if VAGUE_CLASS.search(node.name)]
    assert not vague


def test_every_test_says_what_it_shows_in_one_sentence() -> None:
    """A test's docstring is one sentence of behaviour, in one paragraph that ends with a full stop."""
    unclear = []
    for path in TESTS:
        for node in functions(path):
            text = ast.get_docstring(node) or ""
            if node.name.startswith("test_") and ("\n\n" in text or not text.endswith(".")):
                unclear.append(place(path, node))
    assert not unclear


def test_tests_of_a_module_stand_where_the_module_stands() -> None:
    """Every folder of tests/unit is a room of the package."""
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in TESTS if unit in path.parents}
    assert not {str(folder) for folder in folders if not (ROOT / "src" / "routeiq" / folder).is_dir()}


@pytest.mark.parametrize("pattern", FORBIDDEN_TEXT.values(), ids=FORBIDDEN_TEXT)
def test_the_repository_does_not_contain(pattern: str) -> None:
    """No file holds a path of one machine, the host of a package index, or words on how it was written."""
    found = []
    for path in repository_files():
        if path != Path(__file__):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(pattern, line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found


def test_the_rules_see_what_they_forbid() -> None:
    """The checks of this file report a source that breaks each of them."""
    tree = ast.parse(
        "import os\nfrom os import getenv\nos.environ['A']\ntry:\n    pass\nexcept (ValueError, Exception):\n    pass\n"
    )
    assert sum(map(reads_environment, ast.walk(tree))) == 2
    assert sum(map(catches_everything, ast.walk(tree))) == 1
    assert not MARKED_BOUNDARY.search("except Exception:  # noqa: BLE001")
    for text in ("see " + "/home/" + "somebody/src", "open('" + "/tmp/" + "scratch/x')", "://" + ".".join(HOSTS[0])):
        assert any(re.search(pattern, text) for pattern in FORBIDDEN_TEXT.values()), text
    for text in ("GET /routeiq/work/1", "https://host/work/1", "./work/x", "/v1/models"):
        assert not any(re.search(pattern, text) for pattern in FORBIDDEN_TEXT.values()), text


def pins(lock: Path) -> dict[str, set[str]]:
    """Versions by package; a package has several where they depend on the platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", lock.read_text(), re.M):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_hold_hashes_and_no_addresses(lock: Path) -> None:
    """Every pin of a lock has a hash, no line names an index or a URL, and litellm-enterprise is absent."""
    text = lock.read_text()
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.M).strip())
    assert entries
    assert not [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert "://" not in text
    assert "--index" not in text
    assert not {name for name in pins(lock) if "enterprise" in name}


def test_the_demo_runs_on_what_is_tested() -> None:
    """demo.lock is a part of dev.lock, version for version."""
    demo, dev = (pins(ROOT / "requirements" / name) for name in ("demo.lock", "dev.lock"))
    assert demo
    assert {name: versions for name, versions in demo.items() if dev.get(name) != versions} == {}
