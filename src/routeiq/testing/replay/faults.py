"""Faults on demand and the journal of what arrived.

Owns which fault the next call of a model meets, and the bounded list of calls. Does not act a fault out: `delivery`
does. All of it lives on one event loop, so nothing here locks.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

FAULTS = ("error_500", "error_429", "error_401", "hang", "trickle", "close_mid_stream", "slow", "pace")
EVERY_MODEL = "*"
JOURNAL_LIMIT = 10_000
DEFAULT_DELAY_S = {"hang": 600.0, "trickle": 1.0, "slow": 2.0, "pace": 1.0}
"""Real seconds, never scaled. `error_429` sends `Retry-After` only when a delay was given; `pace` is no fault: the
answer takes exactly its delay, a stream in even steps from the first piece on.
"""

_MARKER = re.compile(r"\[\[replay (\w+)(?: (\d+(?:\.\d+)?))?\]\]")


class BadFault(ValueError):
    """The fault order cannot be carried out; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. `times` calls meet it (None: every one); `delay_s` is in real seconds (None: its default)."""

    kind: str
    times: int | None = None
    delay_s: float | None = None

    @property
    def pause_s(self) -> float:
        """The delay to act with."""
        return DEFAULT_DELAY_S.get(self.kind, 0.0) if self.delay_s is None else self.delay_s


def read_fault(order: Mapping[str, Any]) -> tuple[str, Fault | None]:
    """The model and the fault in a control order, or `BadFault`. A fault of None clears."""
    unknown = sorted(set(order) - {"model", "fault", "times", "delay_s"})
    if unknown:
        raise BadFault(f"unknown key {unknown[0]!r}; known: model, fault, times, delay_s")
    model, kind = order.get("model"), order.get("fault")
    times, delay = order.get("times"), order.get("delay_s")
    if not isinstance(model, str) or not model:
        raise BadFault("'model' must be a model name or '*'")
    if kind is None:
        return model, None
    if kind not in FAULTS:
        near = get_close_matches(str(kind), FAULTS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadFault(f"unknown fault {kind!r}; known: {', '.join(FAULTS)}{hint}")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise BadFault(f"'times' must be a whole number of at least 1, or null; got {times!r}")
    if delay is not None and (isinstance(delay, bool) or not isinstance(delay, int | float) or not delay >= 0):
        raise BadFault(f"'delay_s' must be a number of seconds of at least 0, or null; got {delay!r}")
    return model, Fault(kind, times, None if delay is None else float(delay))


def parse_fault(text: str) -> tuple[str, Fault | None]:
    """The command line's `MODEL=FAULT[:TIMES[:DELAY_S]]`, or `BadFault`."""
    model, equals, rest = text.partition("=")
    kind, *numbers = rest.split(":")
    if not equals or len(numbers) > 2:
        raise BadFault(f"{text!r} is not MODEL=FAULT[:TIMES[:DELAY_S]]")
    try:
        times = int(numbers[0]) if numbers and numbers[0] else None
        delay = float(numbers[1]) if len(numbers) > 1 else None
    except ValueError as error:
        raise BadFault(f"{text!r}: TIMES must be a whole number and DELAY_S a number") from error
    return read_fault({"model": model, "fault": kind, "times": times, "delay_s": delay})


def marked_fault(prompt: str) -> Fault | None:
    """The fault that a prompt asks for itself: `[[replay KIND]]` or `[[replay KIND DELAY_S]]` anywhere in it."""
    found = _MARKER.search(prompt)
    if found is None or found[1] not in FAULTS:
        return None
    return Fault(found[1], None, float(found[2]) if found[2] else None)


class FaultTable:
    """The standing faults by model; a model's own fault comes before the one for every model."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[Fault, int | None]] = {}

    def set(self, model: str, fault: Fault | None) -> None:
        """Replace the model's fault; None clears it, and for `*` clears all."""
        if fault is not None:
            self._faults[model] = (fault, fault.times)
        elif model == EVERY_MODEL:
            self._faults.clear()
        else:
            self._faults.pop(model, None)

    def take(self, model: str) -> Fault | None:
        """The fault this call meets, counted."""
        for key in (model, EVERY_MODEL):
            found = self._faults.get(key)
            if found is None:
                continue
            fault, left = found
            if left == 1:
                del self._faults[key]
            elif left is not None:
                self._faults[key] = (fault, left - 1)
            return fault
        return None


@dataclass(slots=True)
class JournalEntry:
    """A received call. `at` is Unix time in seconds; `status` is None until a status line was sent.

    `outcome` is "open" while it runs, then "done", "cut" (by a fault) or "gone" (the client left first).
    """

    model: str
    surface: str
    stream: bool
    at: float
    status: int | None
    prompt_sha: str
    fault: str | None = None
    outcome: str = "open"


class Journal:
    """The last `JOURNAL_LIMIT` calls, oldest first, and how many there were of each outcome, without a limit."""

    def __init__(self, limit: int = JOURNAL_LIMIT) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=limit)
        self._open: dict[int, JournalEntry] = {}
        self._ended: Counter[str] = Counter()
        self._calls = 0

    def add(self, entry: JournalEntry) -> None:
        """Append; the oldest entry falls out when the journal is full."""
        self._entries.append(entry)
        self._open[id(entry)] = entry
        self._calls += 1

    def end(self, entry: JournalEntry, outcome: str) -> None:
        """Write down how a call ended; the first word on it stays."""
        if entry.outcome == "open":
            entry.outcome = outcome
        if self._open.pop(id(entry), None) is not None:
            self._ended[entry.outcome] += 1

    def counts(self) -> dict[str, int]:
        """Calls received, and how many of them are open, done, cut by a fault, or left by their client."""
        ended = {outcome: self._ended[outcome] for outcome in ("done", "cut", "gone")}
        return {"calls": self._calls, "open": len(self._open), **ended}

    def clear(self) -> None:
        """Forget all entries and counts; calls under way are not counted when they end."""
        self._entries.clear()
        self._open.clear()
        self._ended.clear()
        self._calls = 0

    def rows(self) -> list[dict[str, Any]]:
        """Every entry as a dictionary of its fields."""
        return [asdict(entry) for entry in self._entries]
