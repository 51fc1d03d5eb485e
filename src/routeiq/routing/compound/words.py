"""The prompts that compound models write, and the reading of what comes back.

Owns every word that RouteIQ itself puts to a model. What was asked and answered is put between marks, so that the
instructions can be told from it; a reply that cannot be read is None, never an error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NO_REPLY = "(no reply)"
NOT_AN_ACTION = (
    "That was no action. Write <search> MODEL: question </search> with one of the models listed, or <answer> ... "
    "</answer>."
)
LAST_TURN = "There are no more questions to ask. Write <answer> ... </answer> now."

_EXAMPLES = (
    ("A shop sells pens at 3 for 2 euros. What do 12 pens cost?", "8 euros", "12 pens are 4 times 3 pens, so 4 times 2 "
     "euros, which is 8 euros. The answer says 8 euros.", "Correct"),
    ("Which is the largest planet of the solar system?", "Saturn", "Jupiter is larger than Saturn. The answer is not "
     "Jupiter.", "Incorrect"),
    ("What does len('naïve') return in Python 3?", "6", "The word has five characters, and Python 3 counts characters, "
     "not bytes. The answer says 6.", "Incorrect"),
)  # fmt: skip

_VERIFY_HEAD = (
    "Check whether an answer is right. Work the question out in a few words, compare, and end with one line that is "
    "`Verdict: Correct` or `Verdict: Incorrect`."
)
_DECOMPOSE_HEAD = (
    "Split the question below into the smaller questions that must be answered first, at most {most}. Each must be "
    "understandable on its own, word for word where possible, and start on a new line with a number and a dot. If the "
    "question cannot be split, write it as number 1 and nothing else."
)
_MOVE_HEAD = (
    "You decide how a question gets answered. In each round you may put one smaller question to one model, or say that "
    "enough is known. Reply with one line:\nASK model: the question\nANSWER model\nModels, cheapest first: {models}."
)
_POLICY_HEAD = (
    "Answer the question below. Think first, inside <think> and </think>, whenever you learn something new. If you "
    "lack knowledge, ask a model by <search> MODEL: question </search>; its reply comes back between <information> and "
    "</information>. Ask as often as needed. When you know enough, write the answer, without explanations, inside "
    "<answer> and </answer>. Models, cheapest first: {models}."
)
_NOTES_HEAD = "What other models answered to parts of this; use what helps, and do not mention it:"

_VERDICT = re.compile(r"verdict\W{0,4}(correct|incorrect|right|wrong)", re.IGNORECASE)
_PLAIN_VERDICT = re.compile(r"\W*(correct|incorrect|right|wrong)\W*", re.IGNORECASE)
_PART = re.compile(r"^\s*\d{1,2}[.)]\s+", re.MULTILINE)
_ASK = re.compile(r"^\W*ASK\s+(\S+?)\s*:\s*(.+)", re.DOTALL | re.MULTILINE)
_ANSWER = re.compile(r"^\W*ANSWER\b[ \t]*:?[ \t]*([^\s`*]*)", re.MULTILINE)
_ACTION = re.compile(r"<(search|answer)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_QUESTION, _PROPOSED, _NOTE, _REPLY = "Question", "Proposed answer", "Asked", "Replied"


def _between(mark: str, text: str) -> str:
    return f"[{mark}]\n{text}\n[/{mark}]"


def _inside(mark: str, text: str) -> list[str]:
    return re.findall(rf"\[{mark}\]\n(.*?)\n\[/{mark}\]", text, re.DOTALL)


def verification(question: str, answer: str, turn: int) -> str:
    """Return the prompt that has an answer verified; `turn` puts the worked examples in another order."""
    shift = turn % len(_EXAMPLES)
    shots = [
        f"{_between(_QUESTION, q)}\n{_between(_PROPOSED, a)}\n{why}\nVerdict: {verdict}"
        for q, a, why, verdict in (*_EXAMPLES[shift:], *_EXAMPLES[:shift])
    ]
    head = _VERIFY_HEAD if turn < len(_EXAMPLES) else f"{_VERIFY_HEAD} This is check {turn + 1}."
    return "\n\n".join([head, *shots, f"{_between(_QUESTION, question)}\n{_between(_PROPOSED, answer)}"])


def read_verification(prompt: str) -> tuple[str, str] | None:
    """Return question and answer of a `verification`, or None for any other text."""
    if not prompt.startswith(_VERIFY_HEAD):
        return None
    start = prompt.rfind(f"[{_QUESTION}]\n", 0, prompt.rfind(f"[{_PROPOSED}]\n") + 1)
    questions, answers = _inside(_QUESTION, prompt[start:]), _inside(_PROPOSED, prompt[start:])
    return (questions[-1], answers[-1]) if questions and answers else None


def verdict(text: str) -> bool | None:
    """Return whether a verifier called the answer right; None when that cannot be read."""
    words: list[str] = _VERDICT.findall(text)
    lines = text.strip().splitlines()
    plain = _PLAIN_VERDICT.fullmatch(lines[-1]) if lines and not words else None
    word = words[-1] if words else plain[1] if plain else ""
    return word.lower() in ("correct", "right") if word else None


def decomposition(question: str, most: int) -> str:
    """Return the prompt that has a question split."""
    return f"{_DECOMPOSE_HEAD.format(most=most)}\n\n{_between(_QUESTION, question)}"


def read_decomposition(prompt: str) -> str | None:
    """Return the question of a `decomposition`, or None for any other text."""
    found = _inside(_QUESTION, prompt)
    return found[0] if found and prompt.startswith(_DECOMPOSE_HEAD.partition("{")[0]) else None


def parts(text: str) -> tuple[str, ...]:
    """Return the numbered questions of a reply, none where there are none."""
    return tuple(part for piece in _PART.split(text)[1:] if (part := piece.strip()))


def notes_of(found: Sequence[tuple[str, str]]) -> str:
    """Return what is added to the client's question: smaller questions and their answers."""
    pairs = (f"{_between(_NOTE, asked)}\n{_between(_REPLY, told)}" for asked, told in found)
    return "\n\n".join([_NOTES_HEAD, *pairs])


def read_notes(prompt: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Return the client's question and the notes added to it, or None where there are none."""
    question, mark, rest = prompt.partition(_NOTES_HEAD)
    if not mark:
        return None
    return question.strip(), list(zip(_inside(_NOTE, rest), _inside(_REPLY, rest), strict=False))


@dataclass(frozen=True, slots=True)
class Move:
    """What a router model wants: `question` put to `model`, or without one the answer, by `model` if it named one."""

    model: str | None
    question: str | None = None


def next_move(question: str, models: Sequence[str], found: Sequence[tuple[str, str]]) -> str:
    """Return the prompt that asks a router model for its next move."""
    notes = [notes_of(found)] if found else []
    return "\n\n".join([_MOVE_HEAD.format(models=", ".join(models)), _between(_QUESTION, question), *notes])


def read_next_move(prompt: str) -> tuple[str, list[str], int] | None:
    """Return question, models and the number of notes of a `next_move`, or None for any other text."""
    head, _, rest = prompt.partition("\n\n")
    start, _, _ = _MOVE_HEAD.partition("{")
    asked = _inside(_QUESTION, rest)
    if not prompt.startswith(start) or not asked:
        return None
    models = prompt[len(start) : len(head)].rstrip(".").split(", ")
    return asked[0], models, len(_inside(_NOTE, rest))


def move(text: str, models: Sequence[str]) -> Move | None:
    """Return the move of a router model; None when it cannot be read or names nobody who may be asked."""
    asked = _ASK.search(text)
    if asked:
        model = _named(asked[1], models)
        return Move(model, asked[2].strip()) if model else None
    answer = _ANSWER.search(text)
    return Move(_named(answer[1], models)) if answer else None


@dataclass(frozen=True, slots=True)
class Action:
    """What a policy did: `said` is its text up to the end of the action, the rest is what it asks for."""

    said: str
    answer: str | None = None
    model: str | None = None
    question: str | None = None


def policy_prompt(question: str, models: Sequence[str], transcript: Sequence[str]) -> str:
    """Return the prompt of a policy's next turn."""
    head = _POLICY_HEAD.format(models=", ".join(models))
    return "\n\n".join([head, _between(_QUESTION, question), *transcript])


def read_policy_prompt(prompt: str) -> tuple[str, list[str], list[str]] | None:
    """Return question, models and what is known so far of a `policy_prompt`, or None for any other text."""
    start, _, _ = _POLICY_HEAD.partition("{")
    open_at = prompt.rfind("Models, cheapest first: ", 0, prompt.find(f"[{_QUESTION}]\n"))
    asked = _inside(_QUESTION, prompt)
    if not prompt.startswith(start[:40]) or open_at < 0 or not asked:
        return None
    line = prompt[open_at:].partition("\n")[0].partition(": ")[2]
    _, _, rest = prompt.partition(f"[/{_QUESTION}]")
    known = re.findall(r"<information>\n(.*?)\n</information>", rest, re.DOTALL)
    return asked[0], line.rstrip(".").split(", "), known


def act(text: str, models: Sequence[str]) -> Action:
    """Return a policy's first action; without a question and an answer there was none that could be read."""
    found = _ACTION.search(text)
    if found is None:
        return Action(text.strip())
    said, inner = text[: found.end()].strip(), found[2].strip()
    if found[1].lower() == "answer":
        return Action(said, answer=inner) if inner else Action(said)
    name, mark, question = inner.partition(":")
    model = _named(name, models)
    return Action(said, model=model, question=question.strip()) if mark and model and question.strip() else Action(said)


def information(text: str) -> str:
    """Return a block of information for a policy, with its tags defused: it must not act in the policy's name."""
    return f"<information>\n{re.sub(r'<(?=/?(?:search|answer|information|think)>)', '(', text)}\n</information>"


def _named(said: str, models: Sequence[str]) -> str | None:
    """Return the model that is meant, whatever its letters' case and what it is dressed in."""
    plain = said.strip(" \t`*'\"<>.").lower()
    return next((model for model in models if model.lower() == plain), None)


def essence(text: str) -> str:
    """Return what two answers are compared by: the last number of the last line, else its words in lower case."""
    lines = text.strip().splitlines()
    last = lines[-1] if lines else ""
    numbers: list[str] = _NUMBER.findall(last)
    if numbers:
        return numbers[-1].replace(",", "").lstrip("+").removesuffix(".0")
    return " ".join(re.findall(r"\w+", last.casefold()))
