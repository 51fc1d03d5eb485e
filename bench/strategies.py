"""What every strategy costs: a decision among 20 candidates, the memory of its profile, and its training.

    python bench/strategies.py             # the table of docs/reference/strategies/index.md
    python bench/strategies.py --once      # a few seconds, to see that it runs
    python bench/strategies.py knn mf      # some strategies only

Learned strategies are trained on the synthetic outcomes of `bench/decide.py`, in which there is nothing to learn: what
a decision costs depends on the number of candidates. Memory is what the artifact and the profile made of it hold.
"""

import argparse
import importlib.util
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from routeiq.core.request import RouteRequest
from routeiq.learn.families import FAMILIES
from routeiq.learn.training import one_thread
from routeiq.routing.codec import Encoded, decode, encode
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features
from routeiq.routing.strategies import BUILT_IN, Tuning, build
from routeiq.routing.vitals import Vitals

CANDIDATES = 20


def beside() -> ModuleType:
    """The benchmark of decisions, which has the synthetic outcomes."""
    spec = importlib.util.spec_from_file_location("decide", Path(__file__).with_name("decide.py"))
    if spec is None or spec.loader is None:
        raise SystemExit("bench/decide.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules["decide"] = module
    spec.loader.exec_module(module)
    return module


def measure(name: str, decide: Any, prompts: int, calls: int) -> str:
    """One line of the table."""
    chance = np.random.default_rng(0)
    vectors = decide.embeddings(chance)
    matrix = decide.synthetic(CANDIDATES, chance)
    table = decide.candidate_table(matrix.models)
    encoded: Encoded | None = None
    seconds = ""
    if BUILT_IN[name].needs_artifact:
        if name not in FAMILIES:
            return f"| `{name}` | | | |"
        kept = np.arange(len(matrix)) < prompts
        some = replace(matrix.rows(kept), texts=tuple(f"prompt {i}" for i in range(prompts)))
        started = time.perf_counter()
        with one_thread():
            encoded = encode(FAMILIES[name](some, vectors[:prompts], "synthetic"))
        seconds = f"{time.perf_counter() - started:.1f} s"
    tracemalloc.start()
    artifact = decode(encoded, name) if encoded else None
    profile = build(BUILT_IN[name], table, artifact, Tuning())
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    router = Router(Snapshot("bench", {"auto": Route("auto", table, profile)}))
    given = [Features(vector, "synthetic") for vector in vectors[:500]]
    request, vitals = RouteRequest(id="bench", alias="auto", prompt_tokens=60), Vitals()

    def once(turn: int) -> None:
        router.decide(request, given[turn % 500], vitals, decision_id="d", draw=0.5, turn=turn)

    p50, p99, cpu_p99 = decide.timed(once, calls)
    return f"| `{name}` | {seconds} | {p50:.0f} / {min(p99, cpu_p99):.0f} | {held / 1e6:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*BUILT_IN, []], help="strategies; all unless given")
    parser.add_argument("--once", action="store_true", help="few calls, to see that it runs")
    options = parser.parse_args()
    decide = beside()
    prompts, calls = (200, 200) if options.once else (decide.PROMPTS, 5_000)
    print("| strategy | training | decision, p50 / p99 in µs | memory, MB |\n| --- | --- | --- | --- |")
    for name in options.names or BUILT_IN:
        print(measure(name, decide, prompts, calls), flush=True)


if __name__ == "__main__":
    main()
