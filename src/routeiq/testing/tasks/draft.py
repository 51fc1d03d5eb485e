"""What the families share while they write prompts: the draft of a task, wording, and numbers as people write them.

Owns no prompt of its own. A family is a function of a generator and a difficulty; the generator is its only source of
chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from routeiq.testing.tasks.checks import number_check, text_check
from routeiq.testing.tasks.task import Check, ToolCall

NAMES = (
    "Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Liam",
    "Mireille", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Stefan", "Tala", "Uma", "Viktor", "Wanda", "Yusuf",
)  # fmt: skip

_OPENERS = ("", "", "", "Quick question. ", "Please help me with this. ", "I need this for a report: ", "Hi! ")
_NUMBER_ONLY = (
    "Answer with the number only.",
    "Reply with just the number.",
    "Give only the final number.",
    "Finish with the number and nothing after it.",
    "Just the figure, please.",
)
_TEXT_ONLY = (
    "Answer with that only.",
    "Reply with nothing else.",
    "No explanation, please.",
    "Give only the answer.",
    "Just the answer.",
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A task before it has an identity; see `Task`."""

    prompt: str
    answer: str | ToolCall
    wrong: tuple[str | ToolCall, ...]
    check: Check
    tools: tuple[Mapping[str, Any], ...] | None = None


Family = Callable[[Random, int], Draft]


def opener(rng: Random) -> str:
    """A few words such as people begin with, or none."""
    return rng.choice(_OPENERS)


def plain_number(value: float) -> str:
    """The number without a needless point: 12, 12.5, -3."""
    rounded = round(value, 6)
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:.6f}".rstrip("0")


def number_draft(rng: Random, question: str, value: float, mistakes: Iterable[float]) -> Draft:
    """A question that a number answers; `mistakes` equal to the answer or to each other are dropped."""
    answer = plain_number(value)
    wrong = dict.fromkeys(plain_number(m) for m in (*mistakes, value + 1) if plain_number(m) != answer)
    prompt = f"{question} {rng.choice(_NUMBER_ONLY)}"
    return Draft(prompt, answer, tuple(wrong), number_check(float(answer)))


def text_draft(
    rng: Random, question: str, accepted: tuple[str, ...], mistakes: Iterable[str], exact: bool = False
) -> Draft:
    """A question that a short text answers; the first accepted text is the answer."""
    check = text_check(*accepted, exact_case=exact)
    known = {a if exact else a.casefold() for a in accepted}
    wrong = dict.fromkeys(m for m in mistakes if m and (m if exact else m.casefold()) not in known)
    prompt = f"{question} {rng.choice(_TEXT_ONLY)}"
    return Draft(prompt, accepted[0], tuple(wrong), check)
