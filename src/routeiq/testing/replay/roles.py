"""What a simulated model says when a compound model gives it a part: verifier, decomposer, router, policy, aggregator.

Owns these parts only; what a model answers to a task is `tasks.models`'. A part is recognised by the prompts that
`routing.compound.words` writes. Each is played as well as the model could: a verifier tells right from wrong as often
as `verifies` says, a decomposer knows the built-in tasks of a prompt word for word, and nobody is told what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from routeiq.routing.compound import words
from routeiq.testing.replay.answers import normalise
from routeiq.testing.tasks.draws import uniform
from routeiq.testing.tasks.models import MODELS_BY_NAME
from routeiq.testing.tasks.task import Task

UNSURE = 0.5
"""Chance of solving a task below which a simulated router model or policy asks somebody else."""

Solve = Callable[[str, str], str]
"""Prompt and model to the text that the model answers with."""


def verifies(task: Task, model: str) -> float:
    """Return the probability that a model's verdict on an answer to a task is right.

    Half of the way from guessing (0.5) to the model's chance of solving such a task, and a fifth of what is then left:
    checking is easier than solving, and models are worse at it than one would think.
    """
    chance = MODELS_BY_NAME[model].chance(task.family, task.difficulty)
    judged = 0.5 + 0.5 * max(0.0, chance - 0.5) * 2 * 0.5
    return judged + 0.2 * (1.0 - judged)


def play(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    """Return what a simulated model says in its part, None when the prompt gives it none.

    `tasks` are the built-in ones by normalised prompt. The same prompt, model and seed give the same words.
    """
    for part in (_verify, _decompose, _move, _act, _aggregate):
        said = part(model, prompt, tasks, solve, seed)
        if said is not None:
            return said
    return None


def _verify(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    asked = words.read_verification(prompt)
    if asked is None:
        return None
    question, answer = asked
    task = tasks.get(normalise(question))
    if task is None:
        return f"{model} is simulated and can check answers to the built-in tasks only.\nVerdict: unknown"
    judged_well = uniform("verdict", prompt, model, seed) < verifies(task, model)
    return f"Verdict: {'Correct' if task.passes(answer) == judged_well else 'Incorrect'}"


def _decompose(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    question = words.read_decomposition(prompt)
    if question is None:
        return None
    found = known_parts(question, tasks)
    return "\n".join(f"{at}. {part}" for at, part in enumerate(found or [question], start=1))


def known_parts(question: str, tasks: Mapping[str, Task]) -> list[str]:
    """Return the built-in tasks that a prompt is made of, in its order: runs of paragraphs equal to one of them."""
    pieces, found = question.split("\n\n"), []
    at = 0
    while at < len(pieces):
        ends = (end for end in range(len(pieces), at, -1) if normalise("\n\n".join(pieces[at:end])) in tasks)
        end = next(ends, None)
        if end is not None:
            found.append("\n\n".join(pieces[at:end]))
        at = end or at + 1
    return found


def _strongest(models: list[str], task: Task) -> str:
    known = [name for name in models if name in MODELS_BY_NAME]
    return max(known, key=lambda name: MODELS_BY_NAME[name].chance(task.family, task.difficulty), default=models[-1])


def _move(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    asked = words.read_next_move(prompt)
    if asked is None:
        return None
    question, models, notes = asked
    parts = known_parts(question, tasks)
    if notes >= len(parts):
        return f"ANSWER {models[0]}" if notes else "ANSWER"
    part = parts[notes]
    return f"ASK {_strongest(models, tasks[normalise(part)])}: {part}"


def _act(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    asked = words.read_policy_prompt(prompt)
    if asked is None:
        return None
    question, models, known = asked
    parts = known_parts(question, tasks)
    told = list(known)
    for part in parts[len(known) :]:
        task = tasks[normalise(part)]
        if MODELS_BY_NAME[model].chance(task.family, task.difficulty) < UNSURE and words.LAST_TURN not in prompt:
            return f"<think> I had better ask. </think>\n<search> {_strongest(models, task)}: {part} </search>"
        told.append(solve(part, model))
    said = "\n".join(told) or f"{model} is simulated and knows the built-in tasks only."
    return f"<think> I know enough. </think>\n<answer> {said} </answer>"


def _aggregate(model: str, prompt: str, tasks: Mapping[str, Task], solve: Solve, seed: int) -> str | None:
    asked = words.read_notes(prompt)
    if asked is None:
        return None
    question, notes = asked
    told = {normalise(part): reply for part, reply in notes if reply != words.NO_REPLY}
    parts = known_parts(question, tasks)
    return "\n".join(told.get(normalise(part)) or solve(part, model) for part in parts) or "\n".join(told.values())
