"""Answers gathered into a data folder, in the form that `learn.dataset` reads.

Owns what counts as the same prompt, the split, and the check of scores; nothing is dropped without being listed.
Several answers of one model to the same prompt become one row with their mean: that is the best estimate, and a table
of outcomes has one cell for them.

The split is decided by the question and by nothing else: SHA-256 of its normalised stem (lower case, white space
collapsed, cut before answer options), of which 70 % of the range is train, 10 % valid and 20 % test. So the same
question lands on the same side in every import, whatever its options, source or order.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routeiq.core.errors import ConfigError, DataError
from routeiq.learn.dataset import MODELS, OUTCOMES, PROMPTS
from routeiq.learn.formats.answers import Answer, Item, Place, Price, Skipped
from routeiq.learn.matrix import TEST, TRAIN, VALID

_OPTIONS = re.compile(r"\n\s*(?:(?:answer\s+)?(?:options|choices)\s*:|\(?a[).:]\s)")
_AMOUNTS = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_s")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What an import found. `prompts`, `outcomes` and `models` are the lines of the three files.

    `skipped` lists what is not in them, `merged` answers that became part of another one's row; `answers` counts what
    was read as an answer, used or not.
    """

    suite: str
    prompts: tuple[Mapping[str, Any], ...]
    outcomes: tuple[Mapping[str, Any], ...]
    models: tuple[Mapping[str, Any], ...]
    skipped: tuple[Skipped, ...]
    merged: tuple[Skipped, ...]
    answers: int

    def report(self) -> dict[str, Any]:
        """Return the report as JSON; it holds places and reasons, never a prompt."""
        return {
            "suite": self.suite,
            "prompts": len(self.prompts),
            "outcomes": len(self.outcomes),
            "models": [row["model"] for row in self.models],
            "splits": dict(Counter(row["split"] for row in self.prompts)),
            "answers_read": self.answers,
            "reasons": dict(Counter(item.reason for item in self.skipped).most_common()),
            "skipped": [_listed(item) for item in self.skipped],
            "merged": [_listed(item) for item in self.merged],
        }


@dataclass(slots=True)
class _Prompt:
    row: dict[str, Any]
    cells: dict[str, list[Answer]] = field(default_factory=dict)


def gather(items: Iterable[Item], suite: str, no_score: str) -> Gathered:
    """Return what the items hold as one suite; `no_score` is the reason given for an answer without a score."""
    prompts: dict[str, _Prompt] = {}
    prices: dict[str, Price] = {}
    skipped: list[Skipped] = []
    merged: list[Skipped] = []
    answers = 0
    for item in items:
        if isinstance(item, Skipped):
            skipped.append(item)
        elif isinstance(item, Price):
            if item.model in prices and _differs(item, prices[item.model]):
                skipped.append(Skipped(item.place, f"another price of {item.model!r}: {prices[item.model].place}"))
            prices.setdefault(item.model, item)
        else:
            answers += 1
            if why := _refused(item, no_score):
                skipped.append(Skipped(item.place, why))
                continue
            prompt = prompts.setdefault(_identity(suite, item), _Prompt(_prompt_row(suite, item)))
            cell = prompt.cells.setdefault(item.model, [])
            if cell:
                merged.append(Skipped(item.place, f"averaged with {cell[0].place}, the same prompt and model"))
            cell.append(item)
    seen = Counter(model for prompt in prompts.values() for model in prompt.cells)
    skipped += [Skipped(p.place, f"price of {p.model!r}, of which there is no outcome")
                for p in prices.values() if p.model not in seen]  # fmt: skip
    return Gathered(
        suite=suite,
        prompts=tuple(prompt.row for prompt in prompts.values()),
        outcomes=tuple(_outcome_row(p.row, m, cell) for p in prompts.values() for m, cell in p.cells.items()),
        models=tuple(_model_row(suite, m, prices.get(m), seen[m], len(prompts)) for m in sorted(seen)),
        skipped=tuple(skipped),
        merged=tuple(merged),
        answers=answers,
    )


def write(found: Gathered, directory: Path) -> None:
    """Write the three files; raises DataError when nothing was found or the folder holds outcomes already."""
    if not found.outcomes:
        reasons = Counter(item.reason for item in found.skipped).most_common(1)
        why = f"; most often: {reasons[0][0]} ({reasons[0][1]} rows)" if reasons else ""
        raise DataError(f"nothing to import: {found.answers} answer(s) read, none of them usable{why}")
    present = [name for name in (PROMPTS, OUTCOMES, MODELS) if (directory / name).exists()]
    if present:
        raise DataError(f"{directory} holds {', '.join(present)} already; give an empty folder")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("writing Parquet needs pyarrow: pip install 'routeiq-router[train]'") from error
    text, real = pyarrow.string(), pyarrow.float64()
    words = ("suite", "prompt_id", "category", "prompt", "tools", "split")
    prompts = pyarrow.schema([(name, text) for name in words] + [("input_tokens", real)])
    outcomes = pyarrow.schema([(n, text) for n in ("suite", "prompt_id", "model")] + [(n, real) for n in _AMOUNTS])
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines, schema in ((PROMPTS, found.prompts, prompts), (OUTCOMES, found.outcomes, outcomes)):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(lines), schema), directory / name)
    with (directory / MODELS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found.models[0]))
        writer.writeheader()
        writer.writerows(found.models)


def stem(prompt: str) -> str:
    """Return the question without answer options, lower case, white space collapsed; all of it if nothing is left."""
    lowered = prompt.lower()
    cut = _OPTIONS.search(lowered)
    head = " ".join((lowered[: cut.start()] if cut else lowered).split())
    return head or " ".join(lowered.split())


def split_of(prompt: str) -> str:
    """Return the split a prompt belongs to, by the hash of its stem."""
    part = int.from_bytes(hashlib.sha256(stem(prompt).encode()).digest()[:8], "big") / 2**64
    return TRAIN if part < 0.7 else VALID if part < 0.8 else TEST


def _identity(suite: str, answer: Answer) -> str:
    known = answer.key or f"{answer.category}\0{answer.prompt}\0{answer.tools or ''}"
    return hashlib.sha256(f"{suite}\0{known}".encode()).hexdigest()


def _refused(answer: Answer, no_score: str) -> str | None:
    if answer.score is None:
        return no_score
    if not 0 <= answer.score <= 1:
        return f"score {answer.score:g} is outside 0..1; rescale the scores"
    try:
        "\0".join((answer.prompt, answer.model, answer.category, answer.key, answer.tools or "")).encode()
    except UnicodeEncodeError:
        return "the text has half a surrogate pair, which no file can hold"
    return None


def _prompt_row(suite: str, answer: Answer) -> dict[str, Any]:
    return {
        "suite": suite,
        "prompt_id": f"{suite}/{_identity(suite, answer)[:16]}",
        "category": answer.category,
        "prompt": answer.prompt,
        "tools": answer.tools,
        "input_tokens": answer.input_tokens,
        "split": split_of(answer.prompt),
    }


def _outcome_row(prompt: Mapping[str, Any], model: str, cell: list[Answer]) -> dict[str, Any]:
    row: dict[str, Any] = {"suite": prompt["suite"], "prompt_id": prompt["prompt_id"], "model": model}
    for name in _AMOUNTS:
        known = [value for answer in cell if (value := getattr(answer, name)) is not None]
        row[name] = sum(known) / len(known) if known else None
    return row


def _model_row(suite: str, model: str, price: Price | None, rows: int, prompts: int) -> dict[str, Any]:
    return {
        "suite": suite,
        "model": model,
        "in_pool": True,
        "usd_per_m_input": price.usd_per_m_input if price else None,
        "usd_per_m_output": price.usd_per_m_output if price else None,
        "rows": rows,
        "coverage": round(rows / prompts, 4),
    }


def _differs(one: Price, other: Price) -> bool:
    return (one.usd_per_m_input, one.usd_per_m_output) != (other.usd_per_m_input, other.usd_per_m_output)


def _listed(item: Skipped) -> dict[str, Any]:
    place: Place = item.place
    return {"file": place.file, "row": place.row, "reason": item.reason}
