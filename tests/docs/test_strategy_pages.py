"""Every strategy has a page, all of the same form, and a row in the table of all."""

import re
from pathlib import Path

import pytest

from routeiq.learn.families import FAMILIES
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.strategies import BUILT_IN
from tests.docs.pages import ROOT, links

FOLDER = ROOT / "docs" / "reference" / "strategies"
TABLE = FOLDER / "index.md"
FACTS = ("inputs", "training cost", "decision cost", "memory", "when to use")
SECTIONS = ("Method", "Measured")


def facts(page: Path) -> dict[str, str]:
    """The first table of a page: what it says of each fact."""
    rows = re.findall(r"^\| ([a-z ]+) \| (.+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def sections(page: Path) -> dict[str, str]:
    """The sections of a page by their heading."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", [*BUILT_IN, *METHODS])
def test_every_strategy_has_a_page_of_the_same_form(name: str) -> None:
    """It says what goes in, what it costs, when to use it, how it works, where that is from, and what was measured."""
    page = FOLDER / f"{name}.md"
    assert page.read_text(encoding="utf-8").startswith(f"# `{name}`: ")
    assert {fact for fact in FACTS if not facts(page).get(fact, "").strip()} == set()
    assert {section for section in SECTIONS if not sections(page).get(section, "").strip()} == set()
    assert re.search(r"^Source: \S+", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_was_measured_of_a_learned_strategy_is_in_figures(name: str) -> None:
    """Its page has a figure of quality beside that of the best fixed model."""
    measured = sections(FOLDER / f"{name}.md")["Measured"]
    assert re.search(r"\.\d\d", measured)
    assert "best fixed" in measured


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_has_a_row_in_the_table_of_all(name: str) -> None:
    """The row links the page, repeats what `routeiq` says of the strategy, and has its costs."""
    row = re.search(rf"^\| \[`{name}`\]\({name}\.md\) \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, f"docs/reference/strategies/index.md has no row for {name}"
    summary, artifact, source, _, decision, _ = (cell.strip() for cell in row[1].split(" | "))
    assert summary == BUILT_IN[name].summary
    assert artifact == ("yes" if BUILT_IN[name].needs_artifact else "no")
    assert source
    assert "µs" in decision or "ms" in decision


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_compound_models_has_a_row_of_its_own(name: str) -> None:
    """The row links the page, repeats the method's summary and says what it needs; the page has figures."""
    row = re.search(rf"^\| \[`{name}`\]\({name}\.md\) \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, f"docs/reference/strategies/index.md has no row for {name}"
    summary, needs, *_ = (cell.strip() for cell in row[1].split(" | "))
    assert summary == METHODS[name].summary
    assert all(f"`{need}`" in needs for need in METHODS[name].needs)
    measured = sections(FOLDER / f"{name}.md")["Measured"]
    assert re.search(r"\.\d\d", measured)
    assert "best fixed" in measured


def test_no_page_is_left_over() -> None:
    """A page beside the table is that of a strategy, or is linked from the table."""
    linked = {target.partition("#")[0] for target in links(TABLE)}
    assert {page.name for page in FOLDER.glob("*.md")} - {f"{name}.md" for name in BUILT_IN} - linked <= {"index.md"}
