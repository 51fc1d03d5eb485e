"""What a source of answers is: the one protocol between the provider's wire formats and what it knows.

Owns the answer and the two ways to have none. Owns neither where answers come from (`recorded`, `simulated`) nor how
they travel (`chat`, `completions`, `responses`, `messages`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from routeiq.testing.tasks.task import ToolCall


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer to one prompt; `text` is empty when the answer is a tool call.

    `latency_s` and `ttft_s` are the seconds the model would have taken (whole answer, first token), before the
    provider's time scale; tokens are what the provider reports as usage.
    """

    text: str
    tool_call: ToolCall | None
    input_tokens: int
    output_tokens: int
    latency_s: float
    ttft_s: float


class AnswerSource(Protocol):
    """Where answers come from. `answer` must be quick: it runs on the event loop."""

    @property
    def models(self) -> Sequence[str]:
        """Names that `answer` accepts, in the order `/v1/models` lists them."""
        ...

    def answer(self, model: str, prompt_text: str, tools: Sequence[str]) -> Answer:
        """The answer of `model`, offered the tools of these names.

        Raises `UnknownModel` or `UnknownPrompt`.
        """
        ...


class UnknownModel(LookupError):
    """The source has no model of this name."""


class UnknownPrompt(LookupError):
    """The source has no answer of this model to this prompt."""


def normalise(text: str) -> str:
    """The form in which prompts are compared: white space collapsed, ends stripped."""
    return " ".join(text.split())


def prompt_sha(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the normalised prompt, as the journal writes it."""
    return sha256(normalise(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]
