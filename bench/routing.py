"""Compare our strategies with other people's routers on recorded outcomes, and write the page of results.

    python bench/routing.py --data DIR               # every suite, a few minutes; prints the tables
    python bench/routing.py --data DIR --write       # also docs/results/side-by-side.{md,json}
    python bench/routing.py --once                   # seconds, on synthetic outcomes, to show that it runs

DIR is in the form of docs/reference/data.md; by default the folder of ROUTEIQ_RECORDED_DATA, else the one beside the
repository. With --json FILE finished suites are kept there and not measured again.
"""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sidebyside import contenders, page
from sidebyside.contenders import Absent, Contender, Field

from routeiq.learn import baselines, evaluate
from routeiq.learn.dataset import read
from routeiq.learn.embeddings import EmbeddingCache, embed
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.training import one_thread
from routeiq.routing.embedding import load_default

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("mmlupro", "zeroeval", "bfcl", "routellm", "mix4")
PAGE = ROOT / "docs" / "results" / "side-by-side.md"
SEED = 0


def folder() -> Path:
    """Return the folder of recorded outcomes."""
    named = os.environ.get("ROUTEIQ_RECORDED_DATA")
    return Path(named) if named else ROOT.parent / "shared" / "data" / "public"


def synthetic(prompts: int = 240) -> OutcomeMatrix:
    """Return outcomes of three models on two kinds of prompts, each kind with a model of its own that is good at it."""
    chance = np.random.default_rng(SEED)
    kinds = ("add the two numbers", "write a verse on the moon")
    kind = np.arange(prompts) % 2
    ability = np.array([[0.8, 0.9, 0.1], [0.2, 0.6, 0.9]])[kind]
    price = np.array([1e-7, 1e-5, 2e-7])
    cells = ability.shape
    tokens = np.full(cells, 100.0)
    return OutcomeMatrix(
        ids=tuple(f"p{i:04d}" for i in range(prompts)),
        texts=tuple(f"{kinds[k]} {i}" for i, k in enumerate(kind)),
        suites=("synthetic",) * prompts,
        categories=tuple(kinds[k] for k in kind),
        splits=tuple(("train", "train", "valid", "test")[i // 2 % 4] for i in range(prompts)),
        prompt_tokens=np.full(prompts, 8.0),
        models=("cheap", "dear", "poet"),
        input_price=price,
        output_price=price,
        score=(chance.random(cells) < ability).astype(np.float64),
        cost_usd=tokens * price,
        input_tokens=np.full(cells, 8.0),
        output_tokens=tokens,
        latency_s=tokens / 100,
    )


def measure(field: Field) -> dict[str, Any]:
    """Return everything the page says about one suite."""
    chosen = contenders.automatic(field, SEED)
    others = [*contenders.learned(field, SEED), *contenders.argmax_labels(field), *contenders.native(field, SEED)]
    entries = [chosen, *others]
    present = [entry for entry in entries if isinstance(entry, Contender)]
    scores, costs = field.judged.taken(chosen.choices)
    curve = evaluate.hull(costs.mean(axis=1), scores.mean(axis=1))
    rows = [_row(entry, field, curve, entry is chosen) for entry in present]
    for name, found in evaluate.baselines(field.judged, field.reference).items():
        rows.append({"name": name.replace("_", " "), "group": "reference", "score": found.score, "cost": found.cost_usd,
                     "aiq": found.aiq, "saving98": found.saving98, "saving100": found.saving100})  # fmt: skip
    return {
        "name": field.name, "train": len(field.train), "valid": len(field.valid), "test": len(field.judged),
        "models": len(field.train.models), "best_fixed": field.train.models[field.reference.best],
        "tied": baselines.tied(field.train.score[~np.isnan(field.train.score).any(axis=1)]),
        "fingerprint": field.fingerprint, "embedder": field.embedder, "rows": rows,
        "absent": [{"name": entry.name, "why": entry.why} for entry in entries if isinstance(entry, Absent)],
    }  # fmt: skip


def _row(entry: Contender, field: Field, curve: tuple[Any, Any], chosen: bool) -> dict[str, Any]:
    found = evaluate.measure_choices(entry.choices, field.judged, field.reference)
    best = np.full((1, len(field.judged)), field.reference.best)
    gain = evaluate.paired(entry.choices[:1], best, field.judged, field.reference, resamples=400)
    reached = None if entry.valid_aiq is not None else float(np.interp(found.cost_usd, *curve))
    return {
        "name": entry.name, "group": entry.group, "chosen": chosen, "seconds": round(entry.seconds, 1),
        "score": found.score, "cost": found.cost_usd, "aiq": found.aiq, "saving98": found.saving98,
        "saving100": found.saving100, "low": gain.low, "high": gain.high, "ours": reached,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Return the same with null for NaN, which JSON has not, and floats of six decimals."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return (None if np.isnan(value) else round(value, 6)) if isinstance(value, float) else value


def fields(data: Path, suites: list[str], once: bool, cache: Path) -> Any:
    """Yield the suites to measure."""
    embedder = load_default()
    for name in suites:
        matrix = synthetic() if once else read(data, [name])
        yield Field.of(name, matrix, embed(embedder, matrix.texts, EmbeddingCache(cache)), embedder.id)


def facts(embedders: set[str]) -> dict[str, str]:
    """Return what the figures depend on besides the data."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "embedder": ", ".join(f"`{name}`" for name in sorted(embedders)),
        "LiteLLM": version("litellm"),
        "seed": str(SEED),
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=folder())
    parser.add_argument("--suites", default=",".join(SUITES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    names = ["synthetic"] if options.once else options.suites.split(",")
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    with one_thread():
        waiting = [name for name in names if name not in kept]
        for field in fields(options.data, waiting, options.once, ROOT / ".cache" / "embeddings"):
            print(f"measuring {field.name}", file=sys.stderr, flush=True)
            kept[field.name] = measure(field)
            if options.json:
                options.json.write_text(json.dumps(kept, indent=1))
    text = page.render(facts({kept[name]["embedder"] for name in names}), [kept[name] for name in names])
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
        PAGE.with_suffix(".json").write_text(json.dumps(_plain([kept[name] for name in names]), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
