"""The simulated models as a source of answers.

Owns the look-up of a built-in task by its prompt, and the reply to anything else. What the models answer is decided in
`tasks.models`; that they are simulated is said in every reply that is not a task's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import orjson

from routeiq.testing.replay.answers import Answer, UnknownModel, normalise
from routeiq.testing.replay.roles import play
from routeiq.testing.tasks.models import MODELS_BY_NAME, SimulatedReply, simulate
from routeiq.testing.tasks.task_list import all_tasks
from routeiq.testing.tasks.usage import estimate_tokens

_REMEMBERED = 8_192


class SimulatedSource:
    """Answers of the simulated models; `models` keeps some of them, KeyError names one that does not exist."""

    def __init__(self, seed: int, models: Sequence[str] | None = None) -> None:
        for name in models or ():
            if name not in MODELS_BY_NAME:
                raise KeyError(f"no simulated model {name!r}; known: {', '.join(MODELS_BY_NAME)}")
        self._models = list(models or MODELS_BY_NAME)
        self._tasks = {normalise(task.prompt): task for task in all_tasks()}
        self._seed = seed
        # Pure and asked for again by every repetition of a task; bounded by the tasks times the models anyway.
        self._simulate = lru_cache(_REMEMBERED)(self._draw)

    @property
    def models(self) -> Sequence[str]:
        """The simulated models served."""
        return self._models

    def answer(self, model: str, prompt_text: str, tools: Sequence[str]) -> Answer:
        """The model's reply to a task, or a generic one. A call is written out as text when no tools were offered."""
        if model not in self._models:
            raise UnknownModel(f"The model '{model}' does not exist")
        prompt = normalise(prompt_text)
        if prompt not in self._tasks:
            said = play(model, prompt_text, self._tasks, self._text, self._seed)
            return self._generic(model, prompt_text, said)
        reply = self._simulate(prompt, model)
        call, text = reply.tool_call, reply.text
        if call is not None and not tools:
            text, call = f"{call.name} {orjson.dumps(dict(call.arguments)).decode()}", None
        return Answer(text, call, reply.input_tokens, reply.output_tokens, reply.latency_s, reply.ttft_s)

    def _draw(self, prompt: str, model: str) -> SimulatedReply:
        return simulate(self._tasks[prompt], model, self._seed)

    def _text(self, prompt_text: str, model: str) -> str:
        return self.answer(model, prompt_text, ()).text

    def _generic(self, model: str, prompt_text: str, said: str | None) -> Answer:
        text = said or f"This is {model}, a simulated model. It has answers to the built-in tasks only."
        tokens = estimate_tokens(text)
        latency, ttft = MODELS_BY_NAME[model].speed.stated(tokens, normalise(prompt_text), model, self._seed)
        return Answer(text, None, estimate_tokens(prompt_text), tokens, latency, ttft)
