"""Decisions as files: one row per cost weight and prompt, written by us or by anybody.

Owns the columns and their check. Needed are `lambda`, `prompt_id` and `model`; `suite` where ids are not unique across
suites; `propensity` is 1 where absent; `score:<model>` and `cost:<model>`, what was predicted of every candidate, are
there for all models or for none. Parquet, or CSV by the ending `.csv`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.errors import ConfigError, DataError, nearest
from routeiq.learn.decisions import Decisions
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.table import Bools, Floats

NEEDED = ("lambda", "prompt_id", "model")
SCORE, COST = "score:", "cost:"

_ROWS_AT_ONCE = 50_000


def write(path: str | Path, decisions: Decisions) -> None:
    """Write decisions as Parquet, in one step: the file is whole or not there. Raises ConfigError, DataError."""
    pyarrow, parquet = _arrow()
    path, n = Path(path), len(decisions)
    fixed: dict[str, Any] = {"suite": list(decisions.suites), "prompt_id": list(decisions.prompt_ids)}
    wide: dict[str, Any] = {}
    for prefix, values in ((SCORE, decisions.score), (COST, decisions.cost_usd)):
        if values is not None:
            wide |= {f"{prefix}{name}": values[:, j] for j, name in enumerate(decisions.models)}
    names = np.array(decisions.models, dtype=object)
    at_once, temporary, writer = max(1, _ROWS_AT_ONCE // max(1, n)), path.with_name(path.name + ".new"), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for start in range(0, decisions.lambdas.size, at_once):
            some = slice(start, start + at_once)
            lambdas = decisions.lambdas[some]
            columns = {
                "lambda": np.repeat(lambdas, n),
                "suite": fixed["suite"] * lambdas.size,
                "prompt_id": fixed["prompt_id"] * lambdas.size,
                "model": pyarrow.array(names[decisions.choices[some].ravel()], pyarrow.string()),
                "propensity": decisions.propensity[some].ravel(),
                **{name: np.tile(values, lambdas.size) for name, values in wide.items()},
            }
            table = pyarrow.table(columns)
            writer = writer or parquet.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); choose another --output") from error
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The columns of a decisions file; `line` is the row in the file, counted from 1 without a header."""

    path: Path
    columns: Mapping[str, NDArray[Any]]
    line: NDArray[np.int64]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def only(self, keep: Bools) -> "_Rows":
        return replace(self, columns={n: v[keep] for n, v in self.columns.items()}, line=self.line[keep])

    def refuse(self, bad: Bools, column: str, what: str, remedy: str) -> None:
        """Raise DataError for the first bad row."""
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
            raise DataError(f"{self.path} row {self.line[at]} ({column} {self[column][at]!r}): {what}{more}; {remedy}")


def read(path: str | Path, prompts: OutcomeMatrix, others: Sequence[tuple[str, str]] = ()) -> Decisions:
    """Return the decisions a file has for each of some prompts, checked.

    `others` are pairs (suite, prompt id) of further prompts of the same data; rows about them are passed over.
    Raises DataError, which names file, row and remedy, for a row of any other prompt, an unknown model, a number that
    is none, a decision given twice or not at all.
    """
    rows = _read(Path(path))
    _check_numbers(rows)
    rows, at = _placed(rows, prompts, others)
    model_of = {name: j for j, name in enumerate(prompts.models)}
    model = np.array([model_of.get(str(name), -1) for name in rows["model"]], dtype=np.intp)
    if (model < 0).any():
        close = nearest(str(rows["model"][model < 0][0]), model_of)
        rows.refuse(model < 0, "model", "the model is not in the pool", f"{close}; or name the pool with --models")
    lambdas, step = np.unique(np.asarray(rows["lambda"], dtype=np.float64), return_inverse=True)
    cell = step * len(prompts) + at
    order = np.argsort(cell, kind="stable")
    again = np.zeros(cell.size, dtype=np.bool_)
    again[order[1:]] = cell[order[1:]] == cell[order[:-1]]
    rows.refuse(again, "prompt_id", "the prompt has two decisions at this lambda", "keep one")
    wanted = lambdas.size * len(prompts)
    if cell.size < wanted:
        missing = int(np.setdiff1d(np.arange(wanted), cell)[0])
        raise DataError(
            f"{path}: {wanted - cell.size} decision(s) are missing, the first for prompt "
            f"{prompts.ids[missing % len(prompts)]!r} at lambda {lambdas[missing // len(prompts)]:g}; "
            "every prompt of the split needs one at every lambda"
        )
    shape = (lambdas.size, len(prompts))
    return Decisions(
        router=Path(path).stem,
        suites=prompts.suites,
        prompt_ids=prompts.ids,
        models=prompts.models,
        lambdas=lambdas,
        choices=model[order].reshape(shape),
        propensity=np.asarray(rows["propensity"][order], dtype=np.float64).reshape(shape),
        score=_predicted(rows, order, SCORE, prompts),
        cost_usd=_predicted(rows, order, COST, prompts),
    )


def _check_numbers(rows: _Rows) -> None:
    if not rows.line.size:
        raise DataError(f"{rows.path} has no rows; it needs one per prompt and lambda")
    weight, chance = rows["lambda"], rows["propensity"]
    rows.refuse(~((weight >= 0) & np.isfinite(weight)), "lambda", "lambda is not a finite number of at least 0",
                "correct it")  # fmt: skip
    rows.refuse(~((chance > 0) & (chance <= 1)), "propensity", "the propensity is not in (0, 1]",
                "give the probability of the choice, or leave out the column")  # fmt: skip


def _placed(rows: _Rows, prompts: OutcomeMatrix, others: Sequence[tuple[str, str]]) -> tuple[_Rows, NDArray[np.intp]]:
    """Return the rows about the prompts, and the position of each row's prompt."""
    if "suite" in rows.columns:
        keys: list[Any] = list(zip(rows["suite"], rows["prompt_id"], strict=True))
        position: dict[Any, int] = {key: i for i, key in enumerate(zip(prompts.suites, prompts.ids, strict=True))}
        passed: set[Any] = set(others)
    else:
        keys = list(rows["prompt_id"])
        position = {name: i for i, name in enumerate(prompts.ids)}
        passed = {name for _, name in others}
        if len(position) < len(prompts):
            raise DataError(f"{rows.path} has no column suite, and prompt ids stand in several suites; add the column")
    at = np.array([position.get(key, -1) for key in keys], dtype=np.intp)
    stranger = np.array([i < 0 and key not in passed for i, key in zip(at, keys, strict=True)], dtype=np.bool_)
    rows.refuse(stranger, "prompt_id", "no such prompt in the data", "check --data and --suite, or drop the row")
    keep = at >= 0
    if not keep.any():
        raise DataError(f"{rows.path}: no row is about a prompt of this split; check --split")
    return rows.only(keep), at[keep]


def _predicted(rows: _Rows, order: NDArray[np.intp], prefix: str, prompts: OutcomeMatrix) -> Floats | None:
    """Return predictions (n, m) at the lowest lambda; None unless there is a column for every model."""
    names = [f"{prefix}{name}" for name in prompts.models]
    if not all(name in rows.columns for name in names):
        return None
    first = order[: len(prompts)]
    found = np.stack([rows[name][first] for name in names], axis=1)
    return None if np.isnan(found).all() else found


def _read(path: Path) -> _Rows:
    if not path.is_file():
        raise DataError(f"{path} does not exist; write decisions with `routeiq decide --output FILE`")
    pyarrow, parquet = _arrow()
    try:
        table = import_module("pyarrow.csv").read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet or .csv ({error}); write it again") from error
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; needed are {', '.join(NEEDED)}, "
            f"it has {', '.join(table.column_names)}"
        )
    columns: dict[str, NDArray[Any]] = {"propensity": np.ones(table.num_rows)}
    for name in table.column_names:
        if name in ("lambda", "propensity") or name.startswith((SCORE, COST)):
            try:
                cast = table[name].cast(pyarrow.float64())
            except pyarrow.ArrowException as error:
                raise DataError(f"{path}: column {name} is not numeric ({error}); write numbers") from error
            columns[name] = np.asarray(cast.to_numpy(zero_copy_only=False), dtype=np.float64)
        elif name in ("suite", "prompt_id", "model"):
            columns[name] = np.array(table[name].cast(pyarrow.string()).to_pylist(), dtype=object)
    return _Rows(path, columns, np.arange(1, table.num_rows + 1))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'routeiq-router[train]'") from error
    return pyarrow, pyarrow.parquet
