"""Families of symbols: what a Python program prints, and work on strings.

Owns their templates. The truth of a program is what Python prints when the task list is built; wrong answers are what
near misses of the program print (a range one too long, a comparison turned round).
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from random import Random

from routeiq.testing.tasks.checks import text_check
from routeiq.testing.tasks.draft import Draft, number_draft, text_draft

_BUILTINS = {
    "print": print, "range": range, "len": len, "sum": sum, "sorted": sorted, "reversed": reversed, "list": list,
    "dict": dict, "set": set, "max": max, "min": min, "enumerate": enumerate, "zip": zip, "str": str, "int": int,
}  # fmt: skip

_WORDS = (
    "harbour", "lantern", "orchard", "puzzle", "velvet", "magnet", "copper", "saffron", "glacier", "meadow", "walnut",
    "kettle", "ribbon", "basalt", "falcon", "indigo", "timber", "quarry", "pepper", "marble", "cobalt", "thicket",
    "anchor", "bramble", "cinder", "dynamo", "ember", "fathom", "garnet", "hollow",
)  # fmt: skip
_VARIABLES = ("x", "n", "total", "acc", "value", "result")

Program = tuple[str, list[str]]
"""A program and its near misses."""


def printed(code: str) -> str:
    """What the program prints. Only for programs written by the templates below; builtins are a short list."""
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(code, "<task>", "exec"), {"__builtins__": _BUILTINS})  # noqa: S102 - our own templates' text
    return out.getvalue().strip()


def _numbers(rng: Random, count: int, low: int = 1, high: int = 20) -> list[int]:
    return [rng.randint(low, high) for _ in range(count)]


def _loop_sum(rng: Random) -> Program:
    v, stop, step = rng.choice(_VARIABLES), rng.randint(5, 14), rng.randint(1, 4)
    template = "{v} = {start}\nfor i in range({stop}):\n    {v} += i * {step}\nprint({v})"
    fill = {"v": v, "start": rng.randint(0, 9), "stop": stop, "step": step}
    return template.format(**fill), [
        template.format(**fill | {"stop": stop + 1}),
        template.format(**fill | {"start": 0}),
    ]


def _slicing(rng: Random) -> Program:
    word, a = rng.choice(_WORDS), rng.randint(1, 2)
    b = rng.randint(a + 2, len(word) - 1)
    code = f"s = {word!r}\nprint(s[{a}:{b}])"
    return code, [f"print({word!r}[{a}:{b + 1}])", f"print({word!r}[{a - 1}:{b}])"]


def _division(rng: Random) -> Program:
    a, b = rng.randint(30, 99), rng.randint(4, 9)
    code = f"a = {a}\nb = {b}\nprint(a // b, a % b)"
    return code, [f"print({a} // {b} + 1, {a} % {b})", f"print({a} % {b}, {a} // {b})"]


def _filtering(rng: Random) -> Program:
    values, cut, times = _numbers(rng, 7), rng.randint(6, 12), rng.randint(2, 3)
    template = "data = {values}\nprint([d * {times} for d in data if d {op} {cut}])"
    fill = {"values": values, "times": times, "cut": cut, "op": ">"}
    return template.format(**fill), [
        template.format(**fill | {"op": "<"}),
        template.format(**fill | {"times": times + 1}),
    ]


def _counting(rng: Random) -> Program:
    word = rng.choice(_WORDS) + rng.choice(_WORDS)
    template = "seen = {{}}\nfor c in {word!r}:\n    seen[c] = seen.get(c, {start}) + 1\nprint({ask})"
    asks = ("max(seen.values())", "len(seen)", "sorted(c for c in seen if seen[c] > 1)")
    fill = {"word": word, "start": 0, "ask": rng.choice(asks)}
    return template.format(**fill), [
        template.format(**fill | {"word": word[1:-1]}),
        template.format(**fill | {"start": 1}),
    ]


def _while_loop(rng: Random) -> Program:
    n, steps = rng.randint(20, 120), rng.randint(2, 3)
    template = (
        "n = {n}\nsteps = 0\nwhile n > 1:\n    n = n // {k} if n % {k} == 0 else n - 1\n    steps += 1\n"
        "print(steps{more})"
    )
    fill = {"n": n, "k": steps, "more": ""}
    return template.format(**fill), [template.format(**fill | {"more": " + 1"}), template.format(**fill | {"n": n + 1})]


def _recursion(rng: Random) -> Program:
    a, b, n = rng.randint(1, 3), rng.randint(2, 4), rng.randint(5, 8)
    template = "def f(k):\n    if k < 2:\n        return {b} - k\n    return f(k - 1) + {a} * f(k - 2)\n\nprint(f({n}))"
    fill = {"a": a, "b": b, "n": n}
    return template.format(**fill), [template.format(**fill | {"n": n - 1}), template.format(**fill | {"a": a + 1})]


def _nested(rng: Random) -> Program:
    rows, columns, mod = rng.randint(3, 5), rng.randint(3, 6), rng.randint(2, 4)
    template = (
        "grid = [[(r * {c} + k) % {mod} for k in range({c})] for r in range({r})]\n"
        "out = []\nfor row in grid:\n    out.append(sum(row) if row[0] else -row[-1])\nprint(out)"
    )
    fill = {"r": rows, "c": columns, "mod": mod}
    return template.format(**fill), [
        template.format(**fill | {"mod": mod + 1}),
        template.format(**fill | {"r": rows - 1}),
    ]


def _closure(rng: Random) -> Program:
    values, start = _numbers(rng, 5, 1, 9), rng.randint(1, 9)
    template = (
        "def make(start):\n    box = [start]\n    def step(k):\n        box[0] = box[0] * 2 - k\n"
        "        return box[0]\n    return step\n\nf = make({start})\nprint([f(v) for v in {values} if v != {skip}])"
    )
    fill = {"start": start, "values": values, "skip": values[2]}
    return template.format(**fill), [
        template.format(**fill | {"start": start + 1}),
        template.format(**fill | {"skip": 0}),
    ]


_PROGRAMS = {
    1: (_loop_sum, _slicing, _division),
    2: (_filtering, _counting, _while_loop),
    3: (_recursion, _nested, _closure),
}


def code_output(rng: Random, difficulty: int) -> Draft:
    """Straight programs, programs with state, and recursion, nesting or closures."""
    code, near = rng.choice(_PROGRAMS[difficulty])(rng)
    truth = printed(code)
    lead = rng.choice((
        "What does this Python program print?",
        "Predict the output of the following Python 3 code.",
        "I ran the script below. What appeared on the screen?",
        "Trace this snippet and give its exact output.",
    ))  # fmt: skip
    tail = rng.choice(("Answer with the output only.", "Only the printed text, please.", "Give just what is printed."))
    wrong = dict.fromkeys(w for w in (*map(printed, near), "None") if w and w != truth)
    return Draft(f"{lead} {tail}\n\n```python\n{code}\n```", truth, tuple(wrong), text_check(truth, exact_case=True))


def _reverse(rng: Random) -> Draft:
    word = rng.choice(_WORDS) + rng.choice(("", "", "s", "er"))
    question = rng.choice((
        f"Write the word '{word}' backwards.",
        f"Reverse the letters of '{word}'.",
        f"Spell '{word}' from the last letter to the first.",
    ))  # fmt: skip
    back = word[::-1]
    return text_draft(rng, question, (back,), [back[1:], back[:-2] + back[-1] + back[-2], word])


def _nth_word(rng: Random) -> Draft:
    words = rng.sample(_WORDS, 8)
    nth = rng.randint(3, 7)
    ordinal = {3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh"}[nth]
    question = rng.choice((
        f"Which is the {ordinal} word here: {' '.join(words)}?",
        f"From the list {', '.join(words)}, give me the {ordinal} entry.",
    ))  # fmt: skip
    return text_draft(rng, question, (words[nth - 1],), [words[nth], words[nth - 2]])


def _sort_words(rng: Random) -> Draft:
    words = rng.sample(_WORDS, 5)
    ordered = sorted(words)
    question = rng.choice((
        f"Sort these words alphabetically and join them with commas: {' '.join(words)}.",
        f"Put {', '.join(words)} into alphabetical order, separated by commas.",
    ))  # fmt: skip
    swapped = [ordered[1], ordered[0], *ordered[2:]]
    accepted = (", ".join(ordered), ",".join(ordered))
    return text_draft(rng, question, accepted, [", ".join(swapped), ", ".join(ordered[::-1])])


def _drop_vowels(rng: Random) -> Draft:
    phrase = " ".join(rng.sample(_WORDS, 2))
    kept = "".join(c for c in phrase if c not in "aeiou")
    question = rng.choice((
        f"Remove every a, e, i, o and u from '{phrase}'; keep the space.",
        f"Write '{phrase}' without its vowels (a, e, i, o, u).",
    ))  # fmt: skip
    return text_draft(rng, question, (kept,), [kept[:-1], phrase.replace("e", ""), kept.replace(" ", "") + "s"])


def _letters(rng: Random) -> Draft:
    phrase = " ".join(rng.sample(_WORDS, 4))
    letter = rng.choice([c for c in "aelnrt" if phrase.count(c) > 1])
    count = phrase.count(letter)
    question = rng.choice((
        f"How many times does the letter '{letter}' occur in '{phrase}'?",
        f"Count the letter {letter} in: {phrase}.",
    ))  # fmt: skip
    return number_draft(rng, question, count, [count + 1, count - 1])


def _caesar(rng: Random) -> Draft:
    word, shift = rng.choice(_WORDS), rng.randint(2, 9)

    def shifted(by: int) -> str:
        return "".join(chr((ord(c) - 97 + by) % 26 + 97) for c in word)

    question = rng.choice((
        f"Encrypt '{word}' with a Caesar cipher that moves each letter {shift} places forward in the alphabet.",
        f"Shift every letter of '{word}' by {shift} to the right in the alphabet (z wraps to a).",
    ))  # fmt: skip
    return text_draft(rng, question, (shifted(shift),), [shifted(shift - 1), shifted(shift + 1), shifted(-shift)])


def _interleave(rng: Random) -> Draft:
    size = rng.choice((6, 7))
    first, second = rng.sample([w for w in _WORDS if len(w) == size], 2)
    mixed = "".join(a + b for a, b in zip(first, second, strict=True))
    question = (
        f"Interleave the letters of '{first}' and '{second}', beginning with '{first}' (its first letter, the "
        "first letter of the other word, its second letter, and so on)."
    )
    return text_draft(rng, question, (mixed,), [mixed[:-2], first + second, mixed[1:] + mixed[0]])


def string_work(rng: Random, difficulty: int) -> Draft:
    """Reversing and picking, sorting and removing, and counting, ciphers and interleaving."""
    templates = {1: (_reverse, _nth_word), 2: (_sort_words, _drop_vowels), 3: (_letters, _caesar, _interleave)}
    return rng.choice(templates[difficulty])(rng)
