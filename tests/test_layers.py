"""The layers: the import contracts hold, each of them can fail, and the pure part runs with nothing but numpy."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "routeiq"
PURE_ROOMS = ("core", "guard", "routing", "flow", "learn")

# (contract, {file of the package: its text}): one violation each. Imports inside functions count as well.
VIOLATIONS = [
    ("layers", {"core/offender.py": "import routeiq.routing\n"}),
    ("layers", {"guard/offender.py": "import routeiq.routing\n"}),
    ("layers", {"routing/offender.py": "def late():\n    import routeiq.flow\n"}),
    ("layers", {"learn/offender.py": "import routeiq.flow\n"}),
    ("layers", {"config/offender.py": "import routeiq.http\n"}),
    ("layers", {"http/offender.py": "import routeiq.adapters\n"}),
    ("layers", {"testing/offender.py": "import routeiq.cli\n"}),
    ("layers", {"undeclared/__init__.py": ""}),
    ("vendors", {"guard/offender.py": "import redis\n"}),
    ("vendors", {"learn/offender.py": "def late():\n    import pydantic\n"}),
    ("vendors", {"routing/offender.py": "import routeiq.core.middle\n", "core/middle.py": "import httpx\n"}),
    ("training", {"routing/offender.py": "def late():\n    import sklearn\n"}),
    ("core", {"guard/offender.py": "import numpy\n"}),
    ("adapters", {"adapters/one/__init__.py": "import routeiq.adapters.two\n", "adapters/two/__init__.py": ""}),
    ("scorers", {"routing/scorers/one.py": "import routeiq.routing.scorers.two\n", "routing/scorers/two.py": ""}),
    ("litellm", {"http/offender.py": "def late():\n    from litellm import Router\n"}),
    ("litellm", {"adapters/offender.py": "import litellm.proxy\n"}),
]

# Run in a fresh interpreter: every import that is neither the standard library, numpy nor RouteIQ is refused.
IMPORT_THE_PURE_PART = """
import importlib, pkgutil, sys

class OnlyNumpy:
    allowed = sys.stdlib_module_names | {"numpy", "routeiq"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"{name} is not there without extras", name=name)

sys.meta_path.insert(0, OnlyNumpy())
import routeiq

names = ["routeiq"]
for room in sys.argv[1:]:
    module = importlib.import_module(f"routeiq.{room}")
    names.append(module.__name__)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), module.__name__ + "."):
        importlib.import_module(found.name)
        names.append(found.name)
print(*names)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package's sources and its contracts, to be broken."""
    shutil.copytree(
        PACKAGE, tmp_path / "src" / "routeiq", ignore=lambda folder, names: {n for n in names if n == "__pycache__"}
    )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the sources under a folder, and on no others."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
    )


def contracts() -> dict[str, str]:
    """The contracts' names by their identifiers."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    return {key.removeprefix(prefix): parser[key]["name"] for key in parser.sections() if key.startswith(prefix)}


def test_the_layers_hold() -> None:
    """No import goes up or sideways, and no vendor is reached from below the adapters."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "files"), VIOLATIONS, ids=lambda value: value if isinstance(value, str) else None)
def test_each_contract_can_fail(tree: Path, contract: str, files: dict[str, str]) -> None:
    """A file that breaks a contract is reported under that contract's name."""
    for name, text in files.items():
        path = tree / "src" / "routeiq" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Breaks a rule on purpose."""\n{text}')
        (path.parent / "__init__.py").touch()
    result = lint_imports(tree)
    report = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
    assert result.returncode == 1, report + result.stderr
    assert f"{contracts()[contract]} BROKEN" in report


def test_every_contract_is_shown_to_fail() -> None:
    """No contract stands in .importlinter without a violation that proves it."""
    assert {contract for contract, _ in VIOLATIONS} == set(contracts())


def modules_of(room: str) -> Iterator[str]:
    """The modules of a room as its files name them."""
    folder = PACKAGE / room
    for path in [folder.with_suffix(".py")] if not folder.is_dir() else folder.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_pure_part_imports_with_every_vendor_blocked() -> None:
    """Every module of core, guard, routing, flow and learn imports where nothing but numpy can be found."""
    command = [sys.executable, "-c", IMPORT_THE_PURE_PART, *PURE_ROOMS]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    expected = {"routeiq"}.union(*(modules_of(room) for room in PURE_ROOMS))
    assert set(result.stdout.split()) == expected


def test_importing_routeiq_loads_numpy_at_most() -> None:
    """`import routeiq` brings in no third-party module but numpy."""
    program = (
        "import sys; before = set(sys.modules); import routeiq; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*(new - sys.stdlib_module_names))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) <= {"routeiq", "numpy"}


def seconds_to_run(program: str) -> float:
    """The best of five fresh interpreters."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        best = min(best, time.perf_counter() - started)
    return best


def test_importing_routeiq_costs_little_more_than_numpy() -> None:
    """`import routeiq` takes at most three times as long as numpy alone, which is far from half a second."""
    bare = seconds_to_run("pass")
    numpy = seconds_to_run("import numpy") - bare
    routeiq = seconds_to_run("import routeiq") - bare
    assert routeiq < 3 * numpy, f"routeiq {routeiq:.3f} s, numpy {numpy:.3f} s"
