"""Reads recorded outcomes (prompts.parquet, outcomes.parquet, models.csv) into an outcome matrix.

Owns the form of these files and the check of every row that is used: a row that cannot be trained on is an error that
names file, row (counted from 1 without the header) and remedy, never skipped in silence. A model without an outcome
for some prompt is not an error: the cell stays empty.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.errors import ConfigError, DataError, nearest
from routeiq.learn.matrix import TEST, TRAIN, VALID, OutcomeMatrix, concatenate
from routeiq.learn.pools import choose, resolve
from routeiq.routing.table import Floats

PROMPTS, OUTCOMES, MODELS = "prompts.parquet", "outcomes.parquet", "models.csv"

_SPLITS = (TRAIN, VALID, TEST)
_AMOUNTS = ("cost_usd", "input_tokens", "output_tokens", "latency_s")


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """Columns of one file, with the row number of each line in that file."""

    path: Path
    columns: Mapping[str, NDArray[Any]]
    row: NDArray[np.int64]

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def only(self, keep: NDArray[np.bool_]) -> "_Sheet":
        return _Sheet(self.path, {name: values[keep] for name, values in self.columns.items()}, self.row[keep])

    def refuse(self, bad: NDArray[np.bool_], what: str, remedy: str, *shown: str) -> None:
        """Raise DataError for the first bad line; `shown` are columns whose values help to find it."""
        if not bad.any():
            return
        at = int(np.flatnonzero(bad)[0])
        context = ", ".join(f"{name} {self[name][at]!r}" for name in shown)
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        raise DataError(f"{self.path} row {self.row[at]} ({context}): {what}{more}; {remedy}")


def read(
    directory: str | Path, suites: Sequence[str], models: Sequence[str] | None = None, *, scored: bool = True
) -> OutcomeMatrix:
    """Return the outcomes of one or several suites (or one named pool) in canonical order.

    `models` chooses columns, see `learn.pools.choose`; by default those that `models.csv` marks as `in_pool` in every
    suite. A cost that is not recorded is computed from tokens and list price where both are known. Unless outcomes must
    be `scored`, the file of outcomes may be absent, a model may have none, and one prompt is enough. Raises DataError.
    """
    folder = Path(directory)
    pool = choose(suites, models)
    listing = _read_models(folder / MODELS)
    recorded = resolve(pool, {suite: {n: e.in_pool for n, e in rows.items()} for suite, rows in listing.items()},
                       str(folder / MODELS))  # fmt: skip
    prompts = _read_prompts(folder / PROMPTS, pool.suites)
    absent = not scored and not (folder / OUTCOMES).exists()
    outcomes = _no_outcomes(folder / OUTCOMES) if absent else _read_outcomes(folder / OUTCOMES, pool.suites)
    parts = [_suite(suite, recorded[suite], listing[suite], prompts, outcomes, scored) for suite in pool.suites]
    matrix = concatenate(parts).canonical()
    if scored and len(matrix) < 2:
        raise DataError(
            f"{folder / PROMPTS}: suites {', '.join(pool.suites)} have {len(matrix)} prompt(s); "
            "a router cannot be trained on fewer than two, and needs about 500 to beat a fixed model"
        )
    return matrix


@dataclass(frozen=True, slots=True)
class _Listed:
    in_pool: bool
    input_price: float
    output_price: float


def _read_models(path: Path) -> dict[str, dict[str, _Listed]]:
    _must_exist(path)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        _must_have(path, reader.fieldnames or (), ("suite", "model"))
        listing: dict[str, dict[str, _Listed]] = {}
        for row, line in enumerate(reader, start=1):
            where = f"{path} row {row}"
            models = listing.setdefault(line["suite"], {})
            if line["model"] in models:
                raise DataError(
                    f"{where}: model {line['model']!r} of suite {line['suite']!r} is listed twice; drop one"
                )
            models[line["model"]] = _Listed(
                in_pool=(line.get("in_pool") or "true").strip().lower() in ("true", "1", "yes"),
                input_price=_price(line.get("usd_per_m_input"), where, "usd_per_m_input"),
                output_price=_price(line.get("usd_per_m_output"), where, "usd_per_m_output"),
            )
    return listing


def _price(text: str | None, where: str, column: str) -> float:
    if text is None or not text.strip():
        return float("nan")
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise DataError(f"{where}: {column} is {text!r}; give US dollars per million tokens, or leave it empty")
    return price / 1e6


def _read_prompts(path: Path, suites: Sequence[str]) -> _Sheet:
    sheet = _read_parquet(
        path, ("suite", "prompt_id", "prompt", "split"), ("category", "input_tokens", "tools"), suites
    )
    unknown = ~np.isin(sheet["split"].astype(str), _SPLITS)
    sheet.refuse(unknown, "the split is none of train, valid, test", "set one", "suite", "prompt_id", "split")
    sheet.refuse(_repeated(sheet, "prompt_id"), "the prompt id stands here twice", "drop one", "suite", "prompt_id")
    sheet.refuse(
        np.array([not isinstance(text, str) for text in sheet["prompt"]], dtype=np.bool_),
        "the prompt is not text", "give text, empty if need be", "suite", "prompt_id",
    )  # fmt: skip
    return sheet


def _read_outcomes(path: Path, suites: Sequence[str]) -> _Sheet:
    sheet = _read_parquet(path, ("suite", "prompt_id", "model", "score"), _AMOUNTS, suites)
    score = sheet["score"]
    shown = ("suite", "prompt_id", "model")
    sheet.refuse(np.isnan(score), "the score is missing", "leave out the row if the answer was not scored", *shown)
    outside = (score < 0) | (score > 1)
    sheet.refuse(outside, "the score is outside 0..1", "rescale the scores of this suite", *shown, "score")
    sheet.refuse(_repeated(sheet, "prompt_id", "model"), "the outcome stands here twice", "keep one row", *shown)
    for name in _AMOUNTS:
        bad = (sheet[name] < 0) | np.isinf(sheet[name])
        sheet.refuse(bad, f"{name} is not a finite number of at least 0", "correct it or leave it empty", *shown, name)
    return sheet


def _no_outcomes(path: Path) -> _Sheet:
    names: dict[str, NDArray[Any]] = {name: np.empty(0, dtype=object) for name in ("suite", "prompt_id", "model")}
    return _Sheet(path, names | {name: np.empty(0) for name in ("score", *_AMOUNTS)}, np.empty(0, dtype=np.int64))


def _repeated(sheet: _Sheet, *columns: str) -> NDArray[np.bool_]:
    seen: set[tuple[Any, ...]] = set()
    bad = np.zeros(sheet.row.size, dtype=np.bool_)
    for at, key in enumerate(zip(sheet["suite"], *(sheet[name] for name in columns), strict=True)):
        bad[at] = key in seen
        seen.add(key)
    return bad


def _suite(suite: str, recorded: Mapping[str, str], listing: Mapping[str, _Listed], prompts: _Sheet, outcomes: _Sheet,
           scored: bool) -> OutcomeMatrix:  # fmt: skip
    """Return the matrix of one suite; `recorded` maps each column to the model name in the files."""
    asked = prompts.only(prompts["suite"] == suite)
    answered = outcomes.only(outcomes["suite"] == suite)
    known = np.array([name in listing for name in answered["model"]], dtype=np.bool_)
    if not known.all():
        close = nearest(str(answered["model"][~known][0]), listing)
        answered.refuse(~known, "the model is not listed for this suite", f"add it to {MODELS} ({close})", "model")
    row_of = {prompt_id: i for i, prompt_id in enumerate(asked["prompt_id"])}
    known = np.array([prompt_id in row_of for prompt_id in answered["prompt_id"]], dtype=np.bool_)
    answered.refuse(~known, f"the prompt is not in {PROMPTS}", "add it there or drop the outcome", "suite", "prompt_id")
    column_of = {name: j for j, name in enumerate(recorded.values())}
    answered = answered.only(np.array([name in column_of for name in answered["model"]], dtype=np.bool_))
    at = ([row_of[p] for p in answered["prompt_id"]], [column_of[m] for m in answered["model"]])
    cells = {}
    for name in ("score", *_AMOUNTS):
        cells[name] = np.full((len(row_of), len(recorded)), np.nan)
        cells[name][at] = answered[name]
    price_in = np.array([listing[name].input_price for name in recorded.values()])
    price_out = np.array([listing[name].output_price for name in recorded.values()])
    computed = cells["input_tokens"] * price_in + cells["output_tokens"] * price_out
    cells["cost_usd"] = np.where(np.isnan(cells["cost_usd"]), computed, cells["cost_usd"])
    empty = [
        name for name, j in zip(recorded, range(len(recorded)), strict=True) if np.isnan(cells["score"][:, j]).all()
    ]
    if empty and scored:
        raise DataError(
            f"{outcomes.path}: no outcome of {', '.join(empty)} in suite {suite!r}; leave it out of --models"
        )
    return OutcomeMatrix(
        ids=tuple(asked["prompt_id"]),
        texts=tuple(asked["prompt"]),
        suites=(suite,) * len(row_of),
        categories=tuple("" if c is None else str(c) for c in asked["category"]),
        splits=tuple(asked["split"]),
        tools=tuple("" if t is None else str(t) for t in asked["tools"]),
        prompt_tokens=np.asarray(asked["input_tokens"], dtype=np.float64),
        models=tuple(recorded),
        input_price=price_in,
        output_price=price_out,
        **cells,
    )


def _read_parquet(path: Path, needed: Sequence[str], optional: Sequence[str], suites: Sequence[str]) -> _Sheet:
    """Return the lines of some suites; optional columns that are absent are filled with None or NaN."""
    _must_exist(path)
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("reading Parquet needs pyarrow: pip install 'routeiq-router[train]'") from error
    try:
        present = pyarrow.parquet.read_schema(path).names
        _must_have(path, present, needed)
        table = pyarrow.parquet.read_table(path, columns=[n for n in (*needed, *optional) if n in present])
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); write it again") from error
    row = np.arange(1, table.num_rows + 1)
    keep = pyarrow.compute.is_in(table["suite"], value_set=pyarrow.array(list(suites), table["suite"].type))
    row = row[np.asarray(keep.to_numpy(zero_copy_only=False), dtype=np.bool_)]
    table = table.filter(keep)
    columns = {}
    for name in (*needed, *optional):
        numeric = name in ("score", *_AMOUNTS)
        if name not in present:
            columns[name] = np.full(row.size, np.nan if numeric else None, dtype=np.float64 if numeric else object)
        elif numeric:
            columns[name] = _numbers(path, name, table[name])
        else:
            columns[name] = np.array(table[name].to_pylist(), dtype=object)
    return _Sheet(path, columns, row)


def _numbers(path: Path, name: str, column: Any) -> Floats:
    import pyarrow

    try:
        return np.asarray(column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: column {name!r} is not numeric ({error}); write it as numbers") from error


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} does not exist; the data folder must hold {PROMPTS}, {OUTCOMES} and {MODELS}")


def _must_have(path: Path, present: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in present]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(present) or 'none'}")
