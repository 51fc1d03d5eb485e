"""What the documentation shows, happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks, pages

SHOWN = [page for page in pages() if any(block.runnable or block.file for block in blocks(page))]
LIMIT_S = 120


def environment() -> dict[str, str]:
    """Return an environment with our commands first on the path, a wide terminal, and nothing set for us."""
    ours = ("ROUTEIQ_", "LITELLM_", "OTEL_", "CONFIG_FILE_PATH", "WORKER_CONFIG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    binaries = Path(sys.executable).parent
    return {**kept, "PATH": f"{binaries}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}


def run(command: list[str], folder: Path) -> str:
    """Run a command to its end and return what it wrote; it must succeed."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def session(text: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a console block, each with the lines it is said to print."""
    steps: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            steps.append((line.removeprefix("$ "), []))
        elif steps:
            steps[-1][1].append(line)
    return steps


def agrees(said: list[str], printed: str) -> bool:
    """Return whether the lines are printed in that order; `...` is anything, at either end of a line too."""
    lines = ["(?:.*\n)*?" if line.strip() == "..." else f"{_line(line)}[ \t]*\n" for line in said]
    return re.search("^" + "".join(lines), printed + "\n", re.MULTILINE) is not None


def _line(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.rstrip().split("..."))


def show(block: Block, folder: Path) -> None:
    """Do what a block says."""
    if block.file:
        (folder / block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "console":
        for command, said in session(block.text):
            printed = run(["bash", "-c", command], folder)
            assert agrees(said, printed), f"{command}\nsaid:\n" + "\n".join(said) + f"\nprinted:\n{printed}"
    elif block.language == "bash":
        run(["bash", "-euo", "pipefail", "-c", block.text], folder)
    else:
        run([sys.executable, "-c", block.text], folder)


@pytest.mark.parametrize("page", SHOWN, ids=[str(page.relative_to(ROOT)) for page in SHOWN])
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """The runnable blocks of a page succeed in order and print what the page says they print."""
    for block in blocks(page):
        if block.runnable or block.file:
            show(block, tmp_path)


def test_marks_are_not_misspelt() -> None:
    """A fence says nothing that nobody acts on, so that no example is left out by mistake."""
    known = {"runnable"}
    strange = {
        f"{page.relative_to(ROOT)}:{block.line}": word
        for page in pages()
        for block in blocks(page)
        for word in block.words
        if word not in known and not word.startswith("file=")
    }
    assert not strange


@pytest.mark.parametrize(
    ("said", "printed", "agreed"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a", "...", "c"], "x\na\nb\nb\nc\n", True),
        (["valid ..."], "valid  somewhere\n", True),
        (["... nothing to add."], "auto: nothing to add.\n", True),
        (["b", "a"], "a\nb\n", False),
        (["valid"], "valid thing\n", False),
        (["valid"], "not valid\n", False),
    ],
)
def test_what_is_said_is_compared(said: list[str], printed: str, agreed: bool) -> None:
    """Lines must be printed as they stand, in their order."""
    assert agrees(said, printed) is agreed


def test_the_settings_page_shows_a_valid_configuration(tmp_path: Path) -> None:
    """The example of the settings page passes `routeiq check`."""
    page = ROOT / "docs" / "reference" / "settings.md"
    show(next(block for block in blocks(page) if block.file), tmp_path)
    assert "valid" in run(["routeiq", "check", "--config", "config.yaml"], tmp_path)
