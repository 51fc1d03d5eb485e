"""Puts the chosen prompts to a new model and turns its answers into scores, a few at a time.

Owns what counts as a bad answer, and that no answer is lost: each is handed to `record` as it comes in, in the thread
that asked for all of them. A bad one is not a score of 0 (it says nothing of the model's quality) and is asked again by
the next run. The wire is the caller's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from routeiq.core.errors import DataError
from routeiq.learn.grading import Reference, grade, judgement, question_to_judge
from routeiq.learn.matrix import OutcomeMatrix

AT_ONCE = 4
"""Calls under way at the same time."""

JUDGE_TOKENS = 256

Line = dict[str, Any]


class Answered(Protocol):
    """An answer, or the word for why there is none."""

    @property
    def text(self) -> str: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_usd(self) -> float | None: ...
    @property
    def latency_s(self) -> float | None: ...
    @property
    def error(self) -> str | None: ...


Ask = Callable[[str, str, int, Any], Answered]
"""Model, prompt, longest answer in tokens, tools or None, to an answer."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Asks a model and grades what it says; by a judge model where one is named, else by the recorded reference."""

    ask: Ask
    model: str
    max_tokens: int
    references: Mapping[tuple[str, str], Reference]
    judge: str | None = None

    def check(self, matrix: OutcomeMatrix) -> None:
        """Raise DataError when answers could not be graded."""
        if not self.gradable(matrix):
            raise DataError(
                "prompts.parquet has no column `reference` with right answers for prompts without tools; add one (and "
                "`checker`, if comparing exactly is not it), or let a model grade with --judge MODEL"
            )

    def gradable(self, matrix: OutcomeMatrix) -> list[int]:
        """Return the positions of the prompts whose answers can be graded: those without tools to call."""
        pairs, judged = _pairs(matrix), self.judge is not None
        return [at for at, pair in enumerate(pairs) if not matrix.tools[at] and (judged or pair in self.references)]

    def examine(self, suite: str, prompt_id: str, prompt: str) -> Line:
        """Return the line of one answer, graded; its `error` says what was wrong with it."""
        said = self.ask(self.model, prompt, self.max_tokens, None)
        line: Line = {
            "suite": suite, "prompt_id": prompt_id, "score": None, "error": said.error, "answer": said.text,
            "input_tokens": said.input_tokens, "output_tokens": said.output_tokens, "cost_usd": said.cost_usd,
            "latency_s": said.latency_s,
        }  # fmt: skip
        if said.error is not None:
            return line
        reference = self.references.get((suite, prompt_id))
        if self.judge is None:
            return {**line, "score": grade(reference, said.text) if reference is not None else None}
        reply = self.ask(self.judge, question_to_judge(prompt, said.text, reference), JUDGE_TOKENS, None)
        score = judgement(reply.text) if reply.error is None else None
        wrong = f"judge_{reply.error}" if reply.error is not None else "judge_not_understood"
        return {**line, "score": score, "error": None if score is not None else wrong}


def collect(
    examiner: Examiner,
    matrix: OutcomeMatrix,
    asked: Sequence[int],
    known: Iterable[Line],
    record: Callable[[Line], None],
    done: Callable[[int], None] = lambda count: None,
) -> dict[int, Line]:
    """Return the good answers by position of the prompt; those in `known` are not asked for again."""
    places = {pair: at for at, pair in enumerate(_pairs(matrix))}
    wanted = set(asked)
    good = {
        places[line["suite"], line["prompt_id"]]: line
        for line in known
        if line.get("score") is not None and places.get((line["suite"], line["prompt_id"])) in wanted
    }
    done(len(good))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        under_way = {
            pool.submit(examiner.examine, matrix.suites[at], matrix.ids[at], matrix.texts[at]): at
            for at in asked
            if at not in good
        }
        try:
            for counted, future in enumerate(as_completed(under_way), start=len(good) + 1):
                line = future.result()
                record(line)
                if line["score"] is not None:
                    good[under_way[future]] = line
                done(counted)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return good


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking will use: prompts, tokens, and US dollars where prices are known."""

    prompts: int
    input_tokens: float
    output_tokens: float
    cost_usd: float | None

    @classmethod
    def of(cls, matrix: OutcomeMatrix, asked: Sequence[int], input_price: float, output_price: float) -> "Estimate":
        """Estimate from what the known models used on these prompts."""
        rows = list(asked)
        read = np.nan_to_num(matrix.prompt_tokens[rows], nan=0.0)
        guess = np.array([len(matrix.texts[at]) / 4 + 1 for at in rows])
        read = np.where(read > 0, read, guess)
        used = matrix.output_tokens[rows]
        typical = float(np.nanmean(matrix.output_tokens)) if not np.isnan(matrix.output_tokens).all() else 256.0
        wrote = np.array([np.nanmean(row) if not np.isnan(row).all() else typical for row in used])
        cost = float(read.sum()) * input_price + float(wrote.sum()) * output_price
        return cls(len(rows), float(read.sum()), float(wrote.sum()), None if np.isnan(cost) else cost)


def _pairs(matrix: OutcomeMatrix) -> list[tuple[str, str]]:
    return list(zip(matrix.suites, matrix.ids, strict=True))
