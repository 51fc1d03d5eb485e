"""How long a decision takes: `Router.decide` alone, and from the text of a prompt to the decision.

    python bench/decide.py                 # the figures of docs/performance.md, about half a minute
    python bench/decide.py --once          # a few seconds, to see that it runs
    python bench/decide.py --json FILE     # also as JSON

The learned strategy is trained on 5,500 synthetic prompts with outcomes of 5, 20 and 100 models: what a decision costs
depends on their number, not on what they are. Everything runs in this one thread. Wall time is what a client waits; on
a machine with other work its p99 is that of the scheduler, so the p99 of the thread's own processor time stands beside
it and is what a target is compared with when the two differ.
"""

import argparse
import gc
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.request import RouteRequest
from routeiq.learn import knn
from routeiq.learn.matrix import TRAIN, OutcomeMatrix
from routeiq.learn.training import one_thread
from routeiq.routing.embedding import load_default
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals

PROMPTS = 5_500
DIMENSIONS = 256
CANDIDATES = (5, 20, 100)
STRATEGIES = ("random", "cheapest-capable", "knn")
TOKENS_PER_WORD = 1.3

COMMON = (
    "the of a sum what is triangle integral function return explain patient contract market enzyme derivative python "
    "list sort matrix why which following velocity photosynthesis given write for each number between two find value "
    "how many when total cost train hour speed water energy cell law state company price model text answer question"
)
SYLLABLES = "con tra ver lis mon pre dic tal or ing ex um per sol ven gra phy lo cal men dis tor ami no hex"

DECIDE_TARGETS = {5: (100, 300), 20: (100, 300), 100: (300, 900)}
"""Microseconds (p50, p99) for the learned strategy, by number of candidates."""

TEXT_TARGETS = {50: (200, 500), 2_000: (None, 1_500), 8_000: (None, 3_000)}
"""Microseconds (p50, p99) from text to decision, by tokens of the prompt."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; times in microseconds."""

    what: str
    candidates: int
    p50: float
    p99: float
    cpu_p99: float
    target_p50: float | None = None
    target_p99: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the targets are met; None where there is none."""
        if self.target_p99 is None:
            return None
        return min(self.p99, self.cpu_p99) < self.target_p99 and (self.target_p50 is None or self.p50 < self.target_p50)


def synthetic(models: int, chance: np.random.Generator) -> OutcomeMatrix:
    """Outcomes of `models` models on the prompts, with costs, tokens and latencies."""
    names = tuple(f"model-{i:03d}" for i in range(models))
    price = np.geomspace(1e-7, 1e-5, models)
    cells = (PROMPTS, models)
    tokens = chance.integers(20, 800, cells).astype(np.float64)
    return OutcomeMatrix(
        ids=tuple(f"p{i:05d}" for i in range(PROMPTS)),
        texts=("",) * PROMPTS,
        suites=("synthetic",) * PROMPTS,
        categories=("",) * PROMPTS,
        splits=(TRAIN,) * PROMPTS,
        prompt_tokens=np.full(PROMPTS, 60.0),
        models=names,
        input_price=price,
        output_price=3 * price,
        score=(chance.random(cells) < np.linspace(0.4, 0.8, models)).astype(np.float64),
        cost_usd=tokens * 3 * price,
        input_tokens=np.full(cells, 60.0),
        output_tokens=tokens,
        latency_s=tokens / 80,
    )


def embeddings(chance: np.random.Generator) -> np.ndarray:
    """Unit vectors whose directions vary as unevenly as those of text."""
    vectors = chance.standard_normal((PROMPTS, DIMENSIONS)) * np.linspace(2.0, 0.2, DIMENSIONS) + 0.2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def candidate_table(names: Sequence[str]) -> CandidateTable:
    """Candidates with every column filled."""
    prices = np.geomspace(1e-7, 1e-5, len(names))
    return CandidateTable(
        tuple(
            Candidate(name, usd_per_input_token=float(p), usd_per_output_token=float(3 * p), context_window=128_000)
            for name, p in zip(names, prices, strict=True)
        )
    )


def router(strategy: str, table: CandidateTable, artifact: Artifact | None) -> Router:
    """A router with one virtual model, `auto`."""
    profile = build(recipe(strategy), table, artifact, Tuning())
    return Router(Snapshot("bench", {"auto": Route("auto", table, profile)}))


def timed(work: Callable[[int], Any], calls: int) -> tuple[float, float, float]:
    """p50 and p99 of single calls, and p99 of their processor time, in microseconds, after a warm-up."""
    for turn in range(min(200, calls)):
        work(turn)
    took, used = np.empty(calls), np.empty(calls)
    clock, processor = time.perf_counter_ns, time.thread_time_ns
    gc.collect()
    for turn in range(calls):
        used_before, started = processor(), clock()
        work(turn)
        took[turn], used[turn] = clock() - started, processor() - used_before
    p50, p99 = np.percentile(took, (50, 99)) / 1000
    return round(float(p50), 1), round(float(p99), 1), round(float(np.percentile(used, 99)) / 1000, 1)


def decisions(calls: int) -> list[Row]:
    """`Router.decide` with features given."""
    chance = np.random.default_rng(0)
    vectors = embeddings(chance)
    given = [Features(vector, "synthetic") for vector in vectors[:500]]
    vitals, rows = Vitals(), []
    request = RouteRequest(id="bench", alias="auto", prompt_tokens=60)
    for n in CANDIDATES:
        matrix = synthetic(n, chance)
        table = candidate_table(matrix.models)
        with one_thread():
            artifact = knn.fit(matrix, vectors, "synthetic", kernels=(knn.Kernel(),))
        for strategy in STRATEGIES:
            one = router(strategy, table, artifact)

            def decide(turn: int, one: Router = one) -> None:
                one.decide(request, given[turn % 500], vitals, decision_id="d", draw=0.5, turn=turn)

            targets = DECIDE_TARGETS[n] if strategy == "knn" else (None, None)
            rows.append(Row(f"decide, {strategy}", n, *timed(decide, calls), *targets))
    return rows


def prompts_of(tokens: int, count: int = 50) -> list[str]:
    """Texts of about so many tokens: common words, and one in five made up of syllables, as rare words are."""
    draw = random.Random(tokens)
    common, syllables = COMMON.split(), SYLLABLES.split()

    def word() -> str:
        return "".join(draw.choices(syllables, k=3)) if draw.random() < 0.2 else draw.choice(common)

    return [" ".join(word() for _ in range(round(tokens / TOKENS_PER_WORD))) for _ in range(count)]


def from_text(calls: int) -> list[Row]:
    """From the text of a prompt to the decision, with the default embedder, 20 candidates."""
    embedder = load_default()
    chance = np.random.default_rng(1)
    texts = [f"{draw} {i}" for i, draw in enumerate(prompts_of(50, PROMPTS))]
    matrix = synthetic(20, chance)
    with one_thread():
        artifact = knn.fit(matrix, np.asarray(embedder.embed_many(texts)), embedder.id, kernels=(knn.Kernel(),))
    one = router("knn", candidate_table(matrix.models), artifact)
    vitals, rows = Vitals(), []
    for tokens, targets in TEXT_TARGETS.items():
        requests = [RouteRequest(id="bench", alias="auto", text=t, prompt_tokens=tokens) for t in prompts_of(tokens)]

        def decide(turn: int, requests: list[RouteRequest] = requests) -> None:
            request = requests[turn % len(requests)]
            features = Features(embedder.embed(request.text), embedder.id)
            one.decide(request, features, vitals, decision_id="d", draw=0.5, turn=turn)

        rows.append(Row(f"{tokens:,} tokens to decision, knn", 20, *timed(decide, calls), *targets))
    return rows


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(f"{'':34}{'candidates':>11}{'p50 us':>10}{'p99 us':>10}{'p99 cpu':>10}   target")
    for row in rows:
        wanted = " / ".join("-" if t is None else f"{t:g}" for t in (row.target_p50, row.target_p99))
        verdict = "" if row.met is None else f"{wanted} {'met' if row.met else 'MISSED'}"
        print(f"{row.what:34}{row.candidates:>11}{row.p50:>10.1f}{row.p99:>10.1f}{row.cpu_p99:>10.1f}   {verdict}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="few calls: only to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args(arguments)
    calls = 300 if options.once else 10_000
    rows = decisions(calls) + from_text(calls)
    show(rows)
    if options.json:
        found = {"machine": machine(), "calls": calls, "rows": [{**asdict(row), "met": row.met} for row in rows]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
