"""The documentation as data: pages, fenced blocks, links.

A block is run when its fence says so:

    ```yaml file=config.yaml     is written to that file
    ```console runnable          lines that begin with `$ ` are run, the others are what they print; `...` is anything
    ```bash runnable             is run as a script
    ```python runnable           is run as a script

The blocks of a page share a folder that is empty at first, and run in order.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\n?[^\]\n]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what else the fence says, its text and its line."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def runnable(self) -> bool:
        """Whether it is meant to be run."""
        return "runnable" in self.words

    @property
    def file(self) -> str | None:
        """The file it is meant to be written to."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def pages() -> list[Path]:
    """Return every page of the documentation."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(found)


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    content = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(content):
        language, *words = match["info"].split() or [""]
        found.append(Block(language, tuple(words), match["text"], content.count("\n", 0, match.start()) + 1))
    return found


def links(page: Path) -> list[str]:
    """Return the targets of the links and images of a page, outside of code."""
    content = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [match["target"] for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", content))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that the headings of a page get."""
    content = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+\s+(.*)$", content, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
