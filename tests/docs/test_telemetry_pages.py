"""The reference pages of the outcome log, metrics, spans and log lines say what the code does."""

import re
import sqlite3
from pathlib import Path

import pytest

from routeiq.adapters.logs import FIELDS
from routeiq.adapters.otel.tracing import attributes
from routeiq.adapters.sql.sqlite.database import REASONS
from routeiq.adapters.sql.sqlite.schema import migrate
from routeiq.core.metrics import CATALOGUE
from tests.unit.adapters.records import a_decision

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def tables(page: str) -> dict[str, list[list[str]]]:
    """Return the rows of the tables of a page, without their heads, by the heading they stand under."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in (REFERENCE / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip("`")
        elif line.startswith("| ") and not line.startswith("| ---"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split(" | ")])
    return {heading: rows[1:] for heading, rows in found.items()}


def names(rows: list[list[str]]) -> list[str]:
    """Return what stands in backquotes in the first column, in order."""
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_metric_is_documented_as_it_is() -> None:
    """Name, name in Prometheus, kind, labels and help of each metric stand in the table, in the catalogue's order."""
    said = [[cell.replace("`", "") for cell in row] for row in tables("metrics.md")["Metrics"]]
    assert said == [[m.name, m.prometheus_name, m.kind.value, ", ".join(m.labels), m.help] for m in CATALOGUE]


def test_every_metric_of_the_examples_exists() -> None:
    """Queries on the page ask for nothing that is not emitted."""
    known = {metric.prometheus_name for metric in CATALOGUE}
    text = (REFERENCE / "metrics.md").read_text(encoding="utf-8").split("```promql")[1]
    asked = {name.removesuffix("_bucket") for name in re.findall(r"routeiq_\w+", text)}
    assert asked <= known


def test_every_attribute_of_a_span_is_documented() -> None:
    """The table lists exactly the attributes that a decision with everything has, with their types."""
    rows = tables("spans.md")["What it carries"]
    kinds = {"string": str, "int": int, "double": float, "string[]": tuple}
    found = attributes(a_decision())
    assert sorted(names(rows)) == sorted(found)
    assert all(isinstance(found[row[0].strip("`")], kinds[row[1]]) for row in rows)


def test_the_ten_fields_are_documented() -> None:
    """The table lists the fields that every line has, in their order."""
    assert tuple(names(tables("logs.md")["Log lines"])) == FIELDS


@pytest.mark.parametrize("table", ["decisions", "outcomes", "feedback"])
def test_every_column_is_documented(table: str) -> None:
    """The table of each relation lists its columns, in their order."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "memory")
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    assert names(tables("outcome-log.md")[table]) == columns


def test_every_reason_of_an_outage_is_documented() -> None:
    """The reasons that a status can show have a row that says what to do."""
    assert set(names(tables("outcome-log.md")["When it cannot be written"])) == {*REASONS.values(), "config_invalid"}
