"""How well a new model is placed by a few answers: leave one recorded model out, place it, and compare.

For every suite and every model of its pool: the others train an artifact, the model is placed in it from answers to a
few prompts of the training split, and both its expected mean and the routed score and AIQ are measured on the test
split. Compared with an artifact trained on all of its outcomes, with prompts drawn by chance, and with its published
scores alone (its mean per suite and category on the valid split, which no training has seen, stands for them).

    python scripts/measure_calibration.py --data DIR --page docs/results/calibrate.md
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn import auto, dataset, irt, knn, linear
from routeiq.learn.embeddings import embed
from routeiq.learn.evaluate import Judged, Reference, measure
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.learn.newcomer import Factors, Newcomer, random_prompts
from routeiq.learn.placing import Price, place
from routeiq.learn.training import one_thread, predict, table_of
from routeiq.routing.embedding import load_default
from routeiq.routing.strategies import recipe

SUITES = ("mmlupro", "zeroeval", "bfcl", "mix4")
WAYS = ("all data", "calibrated", "random prompts", "benchmarks only", "prior only")
PROMPTS = 60
SEEDS = 3
FAMILIES: Mapping[str, Callable[..., Artifact]] = {
    "linear": linear.fit, "knn": knn.fit, "irt": irt.fit, "auto": auto.fit,
}  # fmt: skip


def told(factors: Factors, score: np.ndarray, tokens: np.ndarray, asked: list[int]) -> Newcomer:
    """What answers to some prompts tell; a cell that was not recorded is an answer that failed."""
    known = [at for at in asked if not np.isnan(score[at])]
    return factors.told({at: float(score[at]) for at in known}, {at: float(tokens[at]) for at in known})


def stated(factors: Factors, valid: OutcomeMatrix, j: int) -> Newcomer:
    """What the means of the valid split tell, taken as published scores."""
    groups = [(g, [g in pair for pair in zip(valid.suites, valid.categories, strict=True)])
              for g in sorted({*valid.suites, *valid.categories} - {""})]  # fmt: skip
    means = {g: float(np.nanmean(valid.score[np.array(rows), j])) for g, rows in groups if sum(rows) >= 8}
    return factors.stated({g: mean for g, mean in means.items() if not np.isnan(mean)}, {})


class Bench:
    """One suite with everything that is computed once."""

    def __init__(self, data: str, suite: str, families: list[str]) -> None:
        matrix = dataset.read(data, (suite,)).canonical()
        self.suite, self.embedder, self.families = suite, load_default(), families
        self.train, self.valid, self.test = (matrix.split(name) for name in ("train", "valid", "test"))
        self.test = self.test.complete()
        self.train_vectors = embed(self.embedder, self.train.texts, None, lambda done: None)
        self.test_vectors = embed(self.embedder, self.test.texts, None, lambda done: None)
        self.reference = Reference.of(self.train)
        self.judged = Judged.of(self.test, self.reference)
        self.whole = {name: self.fitted(name, self.train) for name in families}

    def fitted(self, family: str, matrix: OutcomeMatrix) -> Artifact:
        """An artifact of a family."""
        return FAMILIES[family](matrix, self.train_vectors, self.embedder.id)

    def measured(self, artifact: Artifact) -> tuple[float, float]:
        """Routed score at lambda 0 and AIQ on the test split."""
        table = table_of(self.test)
        scorer = recipe(artifact.manifest.strategy).scorer(table, artifact)
        found = measure(
            predict(scorer, table, self.test_vectors, self.embedder.id, self.test), self.judged, self.reference
        )
        return found.score, found.aiq

    def ways(self, factors: Factors, j: int) -> dict[str, list[Newcomer]]:
        """What each way believes of model j."""
        score, tokens = self.train.score[:, j], self.train.output_tokens[:, j]
        asked = {
            "calibrated": [factors.design(PROMPTS, seed) for seed in range(SEEDS)],
            "random prompts": [[int(i) for i in random_prompts(self.train, PROMPTS, s)] for s in range(SEEDS)],
        }
        found = {way: [told(factors, score, tokens, rows) for rows in runs] for way, runs in asked.items()}
        return {**found, "benchmarks only": [stated(factors, self.valid, j)], "prior only": [factors.prior()]}

    def run(self, routed: set[int]) -> tuple[dict[str, list[float]], dict[tuple[str, str], list[tuple[float, float]]]]:
        """Errors of the expected mean by way, and routed score and AIQ by family and way."""
        errors: dict[str, list[float]] = {way: [] for way in WAYS}
        routes: dict[tuple[str, str], list[tuple[float, float]]] = {}
        truth, known = mean_of_known(self.test.score), mean_of_known(self.train.score)
        for j, name in enumerate(self.train.models):
            others = self.train.columns([i for i in range(len(self.train.models)) if i != j])
            factors = Factors.of(others)
            ways = self.ways(factors, j)
            errors["all data"].append(abs(float(known[j] - truth[j])))
            for way, runs in ways.items():
                errors[way] += [abs(one.level - float(truth[j])) for one in runs]
            if j not in routed:
                continue
            price = Price(float(self.train.input_price[j]), float(self.train.output_price[j]))
            for family in self.families:
                without = self.fitted(family, others)
                routes.setdefault((family, "all data"), []).append(self.measured(self.whole[family]))
                routes.setdefault((family, "without it"), []).append(self.measured(without))
                for way, runs in ways.items():
                    routes.setdefault((family, way), []).append(self.measured(place(without, name, runs[0], price, {})))
            print(self.suite, name, flush=True)
        return errors, routes


def page(results: Mapping[str, tuple[dict[str, list[float]], dict[tuple[str, str], list[tuple[float, float]]]]]) -> str:
    """The tables."""
    lines = ["| suite | " + " | ".join(WAYS) + " |", "|" + "---|" * (len(WAYS) + 1)]
    for suite, (errors, _) in results.items():
        cells = [f"{np.mean(errors[way]):.3f} ({np.max(errors[way]):.2f})" for way in WAYS]
        lines.append(f"| {suite} | " + " | ".join(cells) + " |")
    ways = ("all data", "calibrated", "random prompts", "benchmarks only", "prior only", "without it")
    lines += ["", "| suite | strategy | " + " | ".join(ways) + " |", "|" + "---|" * (len(ways) + 2)]
    for suite, (_, routes) in results.items():
        for family in dict.fromkeys(name for name, _ in routes):
            means = [np.mean(routes[family, way], axis=0) for way in ways]
            lines.append(f"| {suite} | {family} | " + " | ".join(f"{s:.3f} / {a:.3f}" for s, a in means) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print, or replace the tables of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--suite", default=",".join(SUITES))
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    results = {}
    with one_thread():
        for suite in given.suite.split(","):
            bench = Bench(given.data, suite, given.families.split(","))
            # The best model and the cheapest good ones change routing most; every second by score is taken.
            order = np.argsort(-bench.reference.score, kind="stable")
            results[suite] = bench.run({int(j) for j in order[:: max(1, len(order) // 4)][:4]})
    tables = page(results)
    if given.page is None:
        print(tables)
        return
    text = given.page.read_text(encoding="utf-8")
    start, end = "<!-- measured -->", "<!-- /measured -->"
    before, after = text.split(start)[0], text.split(end)[1]
    given.page.write_text(f"{before}{start}\n{tables}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
