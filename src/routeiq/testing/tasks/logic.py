"""The family of puzzles: orderings, truth-tellers, and grids.

Owns their templates. Every puzzle is checked by going through all possibilities while it is written: clues are added
until exactly one is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, permutations, product
from random import Random

from routeiq.testing.tasks.draft import NAMES, Draft, number_draft, text_draft

_TRAITS = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
)
_COLOURS = ("red", "green", "blue", "yellow")
_PETS = ("cat", "dog", "parrot", "tortoise")


def _chain(rng: Random) -> Draft:
    a, b, c = people = rng.sample(NAMES, 3)
    more, less, most, least = rng.choice(_TRAITS)
    clues = [
        rng.choice((f"{a} is {more} than {b}.", f"{b} is {less} than {a}.")),
        rng.choice((f"{b} is {more} than {c}.", f"{c} is {less} than {b}.")),
    ]
    rng.shuffle(clues)
    ask, answer = rng.choice(((most, a), (least, c)))
    question = f"{' '.join(clues)} Who is the {ask} of the three?"
    return text_draft(rng, question, (answer,), [p for p in people if p != answer])


Clue = tuple[str, Callable[[Sequence[str]], bool]]


def _order_clues(people: Sequence[str], rng: Random) -> list[Clue]:
    """Every clue that holds of the order, in random order; hints of position come last."""

    def before(x: str, y: str) -> Clue:
        return f"{x} finished before {y}.", lambda order: order.index(x) < order.index(y)

    def next_to(x: str, y: str) -> Clue:
        return f"{x} finished directly before {y}.", lambda order: order.index(x) + 1 == order.index(y)

    def not_first(x: str) -> Clue:
        return f"{x} did not win.", lambda order: order[0] != x

    clues = [before(x, y) for i, x in enumerate(people) for y in people[i + 2 :]]
    clues += [next_to(x, y) for x, y in pairwise(people)]
    clues += [not_first(x) for x in people[1:]]
    rng.shuffle(clues)
    return clues


def _enough(clues: Sequence[Clue], people: Sequence[str], rng: Random) -> list[Clue]:
    """As few of the clues as leave one order, in the order tried."""
    possible = list(permutations(sorted(people)))
    chosen: list[Clue] = []
    for clue in clues:
        left = [order for order in possible if clue[1](order)]
        if len(left) < len(possible):
            chosen.append(clue)
            possible = left
        if len(possible) == 1:
            break
    rng.shuffle(chosen)
    return chosen


def _race(rng: Random) -> Draft:
    people = rng.sample(NAMES, rng.choice((4, 5)))
    clues = _enough(_order_clues(people, rng), people, rng)
    place = rng.randrange(1, len(people))
    ordinal = ("first", "second", "third", "fourth", "fifth")[place]
    question = (
        f"{', '.join(sorted(people))} ran a race without ties. {' '.join(text for text, _ in clues)} "
        + rng.choice((f"Who came {ordinal}?", f"Name the runner in {ordinal} place."))
    )
    return text_draft(rng, question, (people[place],), [p for p in people if p != people[place]])


Statement = Callable[[Sequence[bool]], bool]


def _statement(rng: Random, speaker: int, people: Sequence[str]) -> tuple[str, Statement]:
    a, b = rng.sample([i for i in range(len(people)) if i != speaker], 2)
    kind = rng.randrange(4)
    if kind == 0:
        return f"{people[a]} is a liar.", lambda v: not v[a]
    if kind == 1:
        return f"{people[a]} and {people[b]} are of the same kind.", lambda v: v[a] == v[b]
    if kind == 2:
        return f"Exactly one of {people[a]} and {people[b]} is a liar.", lambda v: v[a] != v[b]
    return f"At least one of {people[a]} and {people[b]} tells the truth.", lambda v: v[a] or v[b]


def _liars(rng: Random) -> Draft:
    people = rng.sample(NAMES, 3)
    while True:
        said = [_statement(rng, speaker, people) for speaker in range(3)]
        worlds = [v for v in product((True, False), repeat=3) if all(v[i] == said[i][1](v) for i in range(3))]
        if len(worlds) == 1 and any(worlds[0]):
            break
    liars = [name for name, honest in zip(people, worlds[0], strict=True) if not honest]
    question = (
        "On an island everyone either always lies or always tells the truth. "
        + " ".join(f'{name} says: "{text}"' for name, (text, _) in zip(people, said, strict=True))
        + f" How many of {people[0]}, {people[1]} and {people[2]} are liars?"
    )
    return number_draft(rng, question, len(liars), [n for n in range(4) if n != len(liars)])


World = Mapping[str, tuple[str, str]]
"""Colour of the house and pet of each person."""

GridClue = tuple[str, Callable[[World], bool]]


def _grid_clues(truth: Sequence[tuple[str, str, str]], rng: Random) -> list[GridClue]:
    """Clues that hold of the truth (person, colour, pet), in random order."""

    def lives_with(colour: str, pet: str) -> GridClue:
        return f"The owner of the {pet} lives in the {colour} house.", lambda w: (colour, pet) in w.values()

    def lives_elsewhere(name: str, colour: str) -> GridClue:
        return f"{name} does not live in the {colour} house.", lambda w: w[name][0] != colour

    def owns_no(name: str, pet: str) -> GridClue:
        return f"{name} does not own the {pet}.", lambda w: w[name][1] != pet

    clues = [lives_with(colour, pet) for _, colour, pet in truth]
    for name, _, _ in truth:
        others = [row for row in truth if row[0] != name]
        clues += [lives_elsewhere(name, colour) for _, colour, _ in others]
        clues += [owns_no(name, pet) for _, _, pet in others]
    rng.shuffle(clues)
    return clues


def _grid(rng: Random) -> Draft:
    people, colours, pets = rng.sample(NAMES, 3), rng.sample(_COLOURS, 3), rng.sample(_PETS, 3)
    worlds = [
        dict(zip(people, zip(c, p, strict=True), strict=True))
        for c in permutations(colours)
        for p in permutations(pets)
    ]
    chosen = []
    for text, holds in _grid_clues(list(zip(people, colours, pets, strict=True)), rng):
        left = [world for world in worlds if holds(world)]
        if len(left) < len(worlds):
            chosen.append(text)
            worlds = left
        if len(worlds) == 1:
            break
    rng.shuffle(chosen)
    who = rng.randrange(3)
    ask, answer, options = rng.choice((
        (f"Which pet does {people[who]} own?", pets[who], pets),
        (f"What colour is the house of {people[who]}?", colours[who], colours),
        (f"Who owns the {pets[who]}?", people[who], people),
    ))  # fmt: skip
    question = (
        f"{', '.join(sorted(people))} live in three houses ({', '.join(sorted(colours))}), one each, and own one pet "
        f"each ({', '.join(sorted(pets))}). {' '.join(chosen)} {ask}"
    )
    return text_draft(rng, question, (answer,), [option for option in options if option != answer])


def logic(rng: Random, difficulty: int) -> Draft:
    """Three in a row, races of four or five, and liars or small grids."""
    return rng.choice({1: (_chain,), 2: (_race,), 3: (_liars, _grid)}[difficulty])(rng)
