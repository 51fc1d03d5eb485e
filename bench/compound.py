"""Compound models replayed on recorded outcomes: what they score and cost beside the best fixed model.

    python bench/compound.py               # the table of docs/how-to/compound-models.md; needs the recorded outcomes
    python bench/compound.py --once        # a few seconds, on synthetic outcomes, to see that it runs

The methods themselves are run, call by call, over three models of each suite: the cheapest, the best fixed one and the
one between them that is best for its price on the train split. Recordings hold scores and costs, not texts, so

- `automix` has a SIMULATED verifier: each verdict is right with the stated probability, drawn independently. A verdict
  costs the verifier's list price for the prompt, the answer and 250 tokens of examples, and 10 tokens of output;
- `cascade` has an artifact and its threshold as `routeiq train cascade` makes them of the train split alone.

Multi-round methods run over simulated models that play every part (`routeiq.testing.replay.roles`), on questions of
two built-in tasks each; that shows the protocol at work, and not what a real model would gain. So does `cascade` by
self-consistency, on single tasks: half of a simulated model's own luck on a task is drawn anew for each sample.

The threshold of `automix` is learned on the valid split: the cheapest that keeps 98 % of the best fixed model's score
there, or the best-scoring one where none does. Figures are of the test split.
"""

import argparse
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeiq.core.candidate import Candidate
from routeiq.learn import cascade, knn
from routeiq.learn.dataset import read
from routeiq.learn.embeddings import embed
from routeiq.learn.evaluate import Reference
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.training import predict
from routeiq.routing.compound.ledger import Budget, Ledger
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.compound.steps import Ask, Plan, Prospect, Question, Reply, Role
from routeiq.routing.embedding import load_default
from routeiq.routing.strategies import recipe
from routeiq.routing.table import CandidateTable, Floats
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks.draws import normal, normal_cdf, uniform
from routeiq.testing.tasks.models import MODELS_BY_NAME, SHARED_DIFFICULTY, simulate
from routeiq.testing.tasks.task import Task, split
from routeiq.testing.tasks.task_list import all_tasks

ROOT = Path(__file__).resolve().parents[1]
SUITES = ("mmlupro", "zeroeval", "bfcl", "routellm")
THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ACCURACIES = (0.6, 0.75, 0.9)
KEPT, EXAMPLES, VERDICT = 0.98, 250, 10


@dataclass(frozen=True)
class Replay:
    """Recorded outcomes of n prompts on a pool from the cheapest to the dearest, and what is expected of each."""

    prompts: OutcomeMatrix
    expected: Floats

    def run(self, method: str, plan: Plan, accuracy: float, seed: int = 0) -> tuple[float, float, float]:
        """Return mean score, mean cost in US dollars and mean number of calls."""
        found = np.array(
            [self._one(method, plan, accuracy, i, random.Random(f"{seed}/{i}")) for i in range(len(self.prompts))]
        )
        score, cost, calls = found.mean(axis=0)
        return float(score), float(cost), float(calls)

    def _one(
        self, method: str, plan: Plan, accuracy: float, i: int, chance: random.Random
    ) -> tuple[float, float, float]:
        models, score, cost = self.prompts.models, self.prompts.score[i], self.prompts.cost_usd[i]
        pool = tuple(Prospect(m, float(self.expected[i, j]), float(cost[j])) for j, m in enumerate(models))
        ledger = Ledger(Budget(max_calls=64), {p.name: p.expected_cost_usd or 0.0 for p in pool})
        run = METHODS[method].run(Question(""), pool, ledger, plan)
        spent, last = 0.0, 0.0
        try:
            asks = next(run)
            while True:
                replies = []
                for ask in asks:
                    at = models.index(ask.model or "")
                    number = ledger.begin(models[at])
                    taken = float(cost[at]) if ask.role is not Role.VERIFY else self._check_cost(i, at)
                    last = float(score[at]) if ask.role is Role.ANSWER else last
                    ledger.end(number, taken)
                    spent += taken
                    replies.append(Reply(models[at], ask.role, number, self._text(ask, last, accuracy, chance)))
                asks = run.send(tuple(replies))
        except StopIteration as end:
            return float(score[models.index(end.value.reply.model)]), spent, float(ledger.calls)

    def _check_cost(self, i: int, at: int) -> float:
        read_tokens = (
            self.prompts.prompt_tokens[i] + np.nan_to_num(self.prompts.output_tokens[i, at], nan=100.0) + EXAMPLES
        )
        return float(read_tokens * self.prompts.input_price[at] + VERDICT * self.prompts.output_price[at])

    def _text(self, ask: Ask, answered: float, accuracy: float, chance: random.Random) -> str:
        if ask.role is not Role.VERIFY:
            return ""
        says = (answered >= 0.5) == (chance.random() < accuracy)
        return "Verdict: Correct" if says else "Verdict: Incorrect"


def chosen(train: OutcomeMatrix) -> list[int]:
    """Return the positions of the three models, from the cheapest to the dearest."""
    score, cost = train.mean_score(), train.mean_cost()
    known = [j for j in range(len(train.models)) if np.isfinite(cost[j]) and np.isfinite(train.input_price[j])]
    best = max(known, key=lambda j: (score[j], -cost[j]))
    cheapest = min(known, key=lambda j: (cost[j], -score[j]))
    between = [j for j in known if cost[cheapest] < cost[j] < cost[best]]
    middle = max(between, key=lambda j: (score[j] - score[cheapest]) / np.log(cost[j] / cost[cheapest]), default=best)
    return sorted({cheapest, middle, best}, key=lambda j: cost[j])


def replays(data: Path, suite: str) -> tuple[Replay, Replay, OutcomeMatrix]:
    """Return the valid and the test split, and the prompts of the train split."""
    whole = read(data, (suite,))
    keep = chosen(whole.split("train"))
    pool = whole.columns(keep)
    complete = pool.rows(np.flatnonzero(np.isfinite(pool.score).all(axis=1) & np.isfinite(pool.cost_usd).all(axis=1)))
    valid, test = (Replay(part, np.zeros(part.score.shape)) for part in map(complete.split, ("valid", "test")))
    return valid, test, complete.split("train")


def believing(train: OutcomeMatrix, test: OutcomeMatrix) -> tuple[float, float, float]:
    """Return the threshold that `routeiq train cascade` writes, and mean score and cost on the test prompts."""
    embedder = load_default()
    vectors, asked = (embed(embedder, part.texts) for part in (train, test))
    artifact, _ = cascade.fitted(train, vectors, embedder.id)
    found = cascade.replay(artifact, test, asked, Reference.of(train))
    return float(artifact.threshold or 0.0), found.score, found.cost_usd


def learned(valid: Replay, best: int, method: str, plan: Plan, accuracy: float) -> Plan:
    """Return the plan with the threshold that does best on the valid split."""
    wanted = KEPT * float(valid.prompts.score[:, best].mean())
    tried = []
    for threshold in THRESHOLDS:
        one = Plan(threshold, plan.samples, plan.confidence)
        score, cost, _ = valid.run(method, one, accuracy)
        tried.append((score >= wanted, cost if score >= wanted else -score, one))
    reaching = [entry for entry in tried if entry[0]] or tried
    return min(reaching, key=lambda entry: entry[1])[2]


def table(data: Path, suites: tuple[str, ...], replays=replays) -> str:
    """Return the table."""
    lines = [
        "| suite | method | threshold | score | best fixed | cost of it | calls |",
        "|---|---|---|---|---|---|---|",
    ]
    for suite in suites:
        valid, test, train = replays(data, suite)
        best = int(np.argmax(train.mean_score()))
        fixed, price = float(test.prompts.score[:, best].mean()), float(test.prompts.cost_usd[:, best].mean())
        threshold, score, cost = believing(train, test.prompts)
        rows = [("`cascade`, expected score", threshold, score, cost, 1.0)]
        for accuracy in ACCURACIES:
            use = learned(valid, best, "automix", Plan(), accuracy)
            rows.append((f"`automix`, verifier right {accuracy:.0%}", use.threshold,
                         *test.run("automix", use, accuracy, seed=1)))  # fmt: skip
        for label, threshold, score, cost, calls in rows:
            cells = (suite, label, f"{threshold:.3g}", f"{score:.3f}", f"{fixed:.3f}", f"{cost / price:.0%}")
            lines.append(f"| {' | '.join(cells)} | {calls:.1f} |")
    return "\n".join(lines)


def synthetic(data: Path, suite: str) -> tuple[Replay, Replay, OutcomeMatrix]:
    """Return outcomes of three models that are right the more often the dearer they are."""
    chance, n = np.random.default_rng(0), 60
    right = chance.random((n, 3)) < np.array([0.5, 0.7, 0.9])
    price = np.array([1e-7, 1e-6, 1e-5])
    cells = np.full((n, 3), 100.0)
    names = tuple(f"p{i:03d}" for i in range(n))
    matrix = OutcomeMatrix(names, names, (suite,) * n, ("",) * n, ("test",) * n, np.full(n, 50.0), ("a", "b", "c"),
                           price, price, right.astype(float), cells * price, cells, cells, cells / 100)  # fmt: skip
    replay = Replay(matrix, np.tile(np.array([0.5, 0.7, 0.9]), (n, 1)))
    return replay, replay, matrix


def questions(count: int) -> list[tuple[Task, Task]]:
    """Return pairs of built-in tasks of two families, from the test split."""
    tasks = [task for task in all_tasks() if task.tools is None and split(task) == "test"]
    random.Random(0).shuffle(tasks)
    pairs = zip(tasks[::2], tasks[1::2], strict=False)
    return [pair for pair in pairs if pair[0].family != pair[1].family][:count]


def tasks_matrix(models: tuple[str, ...]) -> OutcomeMatrix:
    """Return what simulated models score on the train split of the built-in tasks."""
    tasks = [task for task in all_tasks() if task.tools is None and split(task) == "train"]
    replies = [[simulate(task, name) for name in models] for task in tasks]
    priced = [MODELS_BY_NAME[name] for name in models]
    tokens = np.array([[float(r.output_tokens) for r in row] for row in replies])
    read_tokens = np.array([[float(r.input_tokens) for r in row] for row in replies])
    ins, outs = (np.array([getattr(m, f"usd_per_m_{k}") / 1e6 for m in priced]) for k in ("input", "output"))
    ids = tuple(f"t{i:04d}" for i in range(len(tasks)))
    return OutcomeMatrix(ids, tuple(t.prompt for t in tasks), ("builtin",) * len(ids), tuple(t.family for t in tasks),
                         ("train",) * len(ids), read_tokens[:, 0], models, ins, outs,
                         np.array([[float(r.correct) for r in row] for row in replies]),
                         read_tokens * ins + tokens * outs, read_tokens, tokens, tokens / 100)  # fmt: skip


@dataclass
class Simulated:
    """Multi-round methods over simulated models, in this process."""

    source: SimulatedSource
    pool: tuple[Prospect, ...]
    ranks: Callable[[str], str]

    def run(self, method: str, plan: Plan, question: str) -> tuple[str, float, int]:
        """Return the answer's text, its cost in US dollars and the number of calls."""
        ledger = Ledger(Budget(max_calls=16), {})
        run, spent = METHODS[method].run(Question(question), self.pool, ledger, plan), 0.0
        try:
            asks = next(run)
            while True:
                replies = []
                for ask in asks:
                    model = ask.model or self.ranks(ask.prompt or "")
                    prompt = ask.prompt or (f"{question}\n\n{ask.notes}" if ask.notes else question)
                    said = self.source.answer(model, prompt, ())
                    spent += MODELS_BY_NAME[model].cost_usd(said.input_tokens, said.output_tokens)
                    replies.append(Reply(model, ask.role, ledger.begin(model), said.text))
                asks = run.send(tuple(replies))
        except StopIteration as end:
            found = end.value
            return found.reply.text if found.text is None else found.text, spent, ledger.calls


def rounds(count: int) -> str:
    """Return the table of the multi-round methods: parts that are right, and their cost beside the dearest model's."""
    models = ("sim-tiny", "sim-math", "sim-mini", "sim-large")
    matrix, embedder = tasks_matrix(models), load_default()
    artifact = knn.fit(matrix, embed(embedder, matrix.texts), embedder.id)
    scorer = recipe("knn").scorer(CandidateTable(tuple(Candidate(name) for name in models)), artifact)
    columns = CandidateTable(tuple(Candidate(name) for name in models))

    def ranks(prompt: str) -> str:
        vectors = embed(embedder, (prompt,))
        return models[int(np.argmax(predict(scorer, columns, vectors, embedder.id)[0]))]

    asked = questions(count)
    fixed = [[simulate(task, name) for pair in asked for task in pair] for name in models]
    right = {name: float(np.mean([r.correct for r in row])) for name, row in zip(models, fixed, strict=True)}
    price = {name: sum(MODELS_BY_NAME[name].cost_usd(r.input_tokens, r.output_tokens) for r in row)
             for name, row in zip(models, fixed, strict=True)}  # fmt: skip
    lines = ["| how | parts right | cost of `sim-large` | calls |", "|---|---|---|---|"]
    lines += [f"| `{n}` for each part (no compound model) | {right[n]:.3f} | {price[n] / price[models[-1]]:.0%} | 2.0 |"
              for n in models]  # fmt: skip
    scene = Simulated(SimulatedSource(0, models), tuple(Prospect(name) for name in models), ranks)
    plans = {"knn-multiround": Plan(), "llm-multiround": Plan(model="sim-mini"), "router-r1": Plan(model="sim-mini")}
    for method, plan in plans.items():
        found = [scene.run(method, plan, "\n\n".join(task.prompt for task in pair)) for pair in asked]
        hits = [_right(task, text.split("\n"), place) for pair, (text, _, _) in zip(asked, found, strict=True)
                for place, task in enumerate(pair)]  # fmt: skip
        cost, calls = sum(one[1] for one in found), float(np.mean([one[2] for one in found]))
        lines.append(f"| `{method}` | {np.mean(hits):.3f} | {cost / price[models[-1]]:.0%} | {calls:.1f} |")
    return "\n".join(lines)


def _right(task: Task, lines: list[str], place: int) -> bool:
    """Whether a part's answer is right; parts are answered in their order, and an answer may have several lines."""
    half = len(lines) // 2
    return task.passes("\n".join(lines[:half] if place == 0 else lines[half:])) or any(map(task.passes, lines))


def sample(task: Task, name: str, number: int) -> str:
    """Return what a simulated model answers the n-th time: half of its own luck on a task is drawn anew."""
    if number == 0:
        return simulate(task, name).text
    kept = normal("own", task.id, task.prompt, name, 0)
    fresh = normal("again", task.id, name, number)
    own = np.sqrt(0.5) * kept + np.sqrt(0.5) * fresh
    luck = np.sqrt(SHARED_DIFFICULTY) * normal("shared", task.id, task.prompt, 0) + np.sqrt(1 - SHARED_DIFFICULTY) * own
    right = normal_cdf(float(luck)) < MODELS_BY_NAME[name].chance(task.family, task.difficulty)
    wrong = task.wrong[int(uniform("slip", task.id, name, number) * len(task.wrong))]
    return str(task.answer if right else wrong)


def agreeing(count: int) -> str:
    """Return the table of `cascade` by self-consistency over simulated models."""
    models = ("sim-small", "sim-mini", "sim-large")
    tasks = [task for task in all_tasks() if task.tools is None and split(task) == "test"][:count]
    pool = tuple(Prospect(name) for name in models)
    price = sum(_taken(task, models[-1]) for task in tasks)
    best = np.mean([simulate(task, models[-1]).correct for task in tasks])
    lines = ["| threshold | right | best fixed | cost of it | calls |", "|---|---|---|---|---|"]
    for threshold in (0.5, 0.7, 1.0):
        right, spent, calls = 0, 0.0, 0
        for task in tasks:
            ledger, seen = Ledger(Budget(64), {}), dict.fromkeys(models, -1)
            run = METHODS["cascade"].run(Question(task.prompt), pool, ledger, Plan(threshold, samples=3))
            try:
                asks = next(run)
                while True:
                    replies = []
                    for ask in asks:
                        name = str(ask.model)
                        seen[name] += 1
                        spent += _taken(task, name)
                        replies.append(Reply(name, ask.role, ledger.begin(name), sample(task, name, seen[name])))
                    asks = run.send(tuple(replies))
            except StopIteration as end:
                right, calls = right + task.passes(end.value.reply.text), calls + ledger.calls
        share = f"{spent / price:.0%}"
        lines.append(f"| {threshold} | {right / len(tasks):.3f} | {best:.3f} | {share} | {calls / len(tasks):.1f} |")
    return "\n".join(lines)


def _taken(task: Task, name: str) -> float:
    reply = simulate(task, name)
    return MODELS_BY_NAME[name].cost_usd(reply.input_tokens, reply.output_tokens)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="synthetic outcomes")
    once = parser.parse_args().once
    named = os.environ.get("ROUTEIQ_RECORDED_DATA")
    data = Path(named) if named else ROOT.parent / "shared" / "data" / "public"
    print(table(data, ("synthetic",), synthetic) if once else table(data, SUITES), end="\n\n")
    print(rounds(4 if once else 60), end="\n\n")
    print(agreeing(10 if once else 1_000))


if __name__ == "__main__":
    main()
