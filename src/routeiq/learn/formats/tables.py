"""Rows of JSON Lines, JSON, CSV and Parquet files, each with its place; what cannot be parsed is left out and said.

Owns the four containers. What the columns mean is the business of each format.
"""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from routeiq.core.errors import ConfigError, DataError
from routeiq.learn.formats.answers import Place, Skipped

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")

Row = tuple[Place, Mapping[str, Any]]


def rows(path: Path) -> Iterator[Row | Skipped]:
    """Yield the rows of a file by its suffix; raises DataError when there is no such file or it cannot be read."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a file to import")
    kind = path.suffix.lower()
    try:
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif kind == ".json":
            yield from _json(path)
        elif kind in (".csv", ".tsv"):
            yield from _csv(path, "\t" if kind == ".tsv" else ",")
        elif kind == ".parquet":
            yield from _parquet(path)
        else:
            raise DataError(f"{path}: cannot tell the form from suffix {kind!r}; expected one of {', '.join(SUFFIXES)}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); write it again as UTF-8") from error


def document(path: Path) -> Any:
    """Return a whole JSON document; raises DataError."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {error.lineno}: not JSON ({error.msg}); export it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); write it again as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a file to import") from error


def nested(value: Any) -> Any:
    """Return what a column of JSON holds: a table stores it as text, a JSON export as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _json_lines(path: Path) -> Iterator[Row | Skipped]:
    with path.open(encoding="utf-8-sig") as file:
        for at, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = Place(str(path), at)
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                yield Skipped(place, f"not JSON: {error.msg} at character {error.colno}")
                continue
            yield _row(place, found)


def _json(path: Path) -> Iterator[Row | Skipped]:
    """A list of objects, or an object that holds one under `data`, as LiteLLM's endpoints answer."""
    found = document(path)
    if isinstance(found, Mapping):
        found = found.get("data", [found])
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found {type(found).__name__}")
    for at, row in enumerate(found, start=1):
        yield _row(Place(str(path), at), row)


def _row(place: Place, found: Any) -> Row | Skipped:
    return (
        (place, found)
        if isinstance(found, Mapping)
        else Skipped(place, f"expected an object, found {type(found).__name__}")
    )


def _csv(path: Path, delimiter: str) -> Iterator[Row | Skipped]:
    # A whole conversation may stand in one field.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            for at, row in enumerate(reader, start=1):
                place = Place(str(path), at)
                if None in row or None in row.values():
                    yield Skipped(place, f"has not the {len(reader.fieldnames or ())} fields of the header")
                else:
                    yield place, row
        except csv.Error as error:
            raise DataError(f"{path} line {reader.line_num}: {error}; write it again as CSV") from error


def _parquet(path: Path) -> Iterator[Row | Skipped]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("reading Parquet needs pyarrow: pip install 'routeiq-router[train]'") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            at = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    at += 1
                    yield Place(str(path), at), row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); write it again") from error
