"""Prompts that say the same in other letters: how many decisions stay as they are.

Owns the changes that are made to prompts and the comparison of decisions. Which letters change is fixed by a seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from routeiq.learn.decisions import Decisions
from routeiq.learn.evaluate import Judged
from routeiq.learn.matrix import OutcomeMatrix

TYPO_RATE = 0.02
"""Part of the characters that a typing mistake changes."""

PROMPTS = 500
"""Prompts that are changed, drawn from the split."""

Change = Callable[[str, np.random.Generator], str]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_FRAMES = (
    "Please answer the following.\n\n{}",
    "I need help with this: {}",
    "{}\n\nThank you!",
    "Could you look at this for me?\n\n{}\n\nPlease explain briefly.",
    "Here is a question.\n{}",
)


@dataclass(frozen=True, slots=True)
class Stability:
    """What a change of the prompts did: the share of decisions that stayed, at lambda 0 and over all lambdas.

    `score` is the mean score at lambda 0 less that of the unchanged prompts; NaN where scores are missing.
    """

    change: str
    prompts: int
    unchanged: float
    unchanged_all: float
    score: float


def typos(text: str, chance: np.random.Generator) -> str:
    """Return the text with mistakes in 2 % of its characters: a letter doubled, lost, replaced or swapped."""
    letters = list(text)
    for at in np.flatnonzero(chance.random(len(letters)) < TYPO_RATE).tolist():
        match int(chance.integers(4)):
            case 0:
                letters[at] += letters[at]
            case 1:
                letters[at] = ""
            case 2:
                letters[at] = _LETTERS[int(chance.integers(len(_LETTERS)))]
            case _ if at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _spaces(text: str, chance: np.random.Generator) -> str:
    words = text.split(" ")
    gaps = chance.choice([" ", "  ", " \n", "\t"], max(0, len(words) - 1))
    return "  " + "".join(word + gap for word, gap in zip(words, [*gaps, "\n"], strict=True))


def _framed(text: str, chance: np.random.Generator) -> str:
    return _FRAMES[int(chance.integers(len(_FRAMES)))].replace("{}", text)


CHANGES: Mapping[str, Change] = {
    "typos": typos,
    "upper_case": lambda text, chance: text.upper(),
    "lower_case": lambda text, chance: text.lower(),
    "white_space": _spaces,
    "paraphrase": _framed,
}


def stability(
    decide: Callable[[OutcomeMatrix], Decisions],
    prompts: OutcomeMatrix,
    judged: Callable[[OutcomeMatrix], Judged] | None = None,
    *,
    seed: int = 0,
    most: int = PROMPTS,
) -> tuple[Stability, ...]:
    """Return the stability of what a router decides under every change, on at most `most` prompts.

    `decide` embeds and decides; `judged` gives the outcomes of complete prompts, None where there are none.
    """
    chance = np.random.default_rng(seed)
    if len(prompts) > most:
        prompts = prompts.rows(np.sort(chance.permutation(len(prompts))[:most]))
    plain, found = decide(prompts).choices, []
    outcomes = judged(prompts) if judged else None
    for name, change in CHANGES.items():
        texts = tuple(change(text, np.random.default_rng([seed, i])) for i, text in enumerate(prompts.texts))
        changed = decide(replace(prompts, texts=texts)).choices
        lost = float("nan")
        if outcomes is not None and len(outcomes) == len(prompts):
            lost = float(outcomes.taken(changed[0])[0].mean() - outcomes.taken(plain[0])[0].mean())
        same = changed == plain
        found.append(Stability(name, len(prompts), float(same[0].mean()), float(same.mean()), lost))
    return tuple(found)
