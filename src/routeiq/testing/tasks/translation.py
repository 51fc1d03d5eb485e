"""The family of stock phrases, translated.

Owns the templates. Every common variant in the phrase book counts as right; accents and apostrophes do matter.
"""

from __future__ import annotations

from random import Random

from routeiq.testing.tasks.draft import Draft, text_draft
from routeiq.testing.tasks.phrase_book import EVERYDAY, GREETINGS, SAYINGS

LANGUAGES = ("German", "French", "Spanish", "Italian", "Portuguese")


def _book(text: str) -> list[list[tuple[str, ...]]]:
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    return [[tuple(line.split(" / ")) for line in block] for block in blocks]


PHRASES = {1: _book(GREETINGS), 2: _book(EVERYDAY), 3: _book(SAYINGS)}
"""By difficulty: rows of accepted texts, English first, then `LANGUAGES` in order."""


def translation(rng: Random, difficulty: int) -> Draft:
    """Greetings, everyday sentences, and sayings that cannot be rendered word by word."""
    rows = PHRASES[difficulty]
    row, other = rng.sample(rows, 2)
    column = rng.randrange(1, len(LANGUAGES) + 1)
    language, english = LANGUAGES[column - 1], row[0][0]
    question = rng.choice((
        f"Translate into {language}: '{english}'",
        f"How do you say '{english}' in {language}?",
        f"What is the usual {language} for '{english}'?",
        f"I am writing to a friend in {language}. How do I put '{english}'?",
    ))  # fmt: skip
    neighbour = row[column % len(LANGUAGES) + 1][0]
    return text_draft(rng, question, row[column], [other[column][0], neighbour, english])
