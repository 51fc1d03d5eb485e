"""The table of contents leads to everything."""

from pathlib import Path

from tests.docs.pages import ROOT, links

INDEX = ROOT / "docs" / "index.md"


def pages_of_docs() -> set[Path]:
    """All pages under docs and the READMEs of the examples; results and strategies have tables of their own."""
    found = {*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")}
    return {page for page in found if page != INDEX and not listed_elsewhere(page)}


def listed_elsewhere(page: Path) -> bool:
    """Whether a page is one of many of a kind: a result, or a strategy's (test_strategy_pages.py)."""
    return "results" in page.parts or (page.parent.name == "strategies" and page.name != "index.md")


def test_the_index_leads_to_every_page() -> None:
    """Each page of the documentation is linked from docs/index.md."""
    linked = {(INDEX.parent / target.partition("#")[0]).resolve() for target in links(INDEX) if "://" not in target}
    assert not {str(page.relative_to(ROOT)) for page in pages_of_docs() - linked}
