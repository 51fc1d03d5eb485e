"""Real models as a workload: the built-in tasks, asked of models whose provider keys are in the environment.

Owns the list of models that are asked. Every outcome, also those of the fixed models it is compared with, is measured
in the run itself, so it costs money: prompts times models.
"""

import random

from routeiq.adapters.litellm.translate import candidates
from routeiq.config.environment import is_set
from routeiq.testing.demo.builtin import grade_task, item_of
from routeiq.testing.demo.workload import Cell, Item, Model, Reply, Workload
from routeiq.testing.tasks import all_tasks

OFFERED = (
    ("OPENAI_API_KEY", "openai/gpt-4o-mini"),
    ("OPENAI_API_KEY", "openai/gpt-4o"),
    ("ANTHROPIC_API_KEY", "anthropic/claude-3-5-haiku-20241022"),
    ("ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-5"),
    ("GEMINI_API_KEY", "gemini/gemini-2.0-flash"),
    ("GEMINI_API_KEY", "gemini/gemini-2.5-pro"),
)
"""Environment variable of the key, and LiteLLM's name of the model; a small and a large one per provider."""

TAUGHT = 60
ROUTED = 60
"""Prompts to learn from, and at most to route: each is asked of every model."""


def no_keys() -> str | None:
    """Return what is missing for a live run, or None."""
    if any(is_set(variable) for variable, _ in OFFERED):
        return None
    names = ", ".join(sorted({variable for variable, _ in OFFERED}))
    return f"--live needs a provider key in the environment; set at least one of {names}"


def live(prompts: int, seed: int) -> Workload:
    """Return the workload over the models whose keys are set."""
    tasks = {task.id: task for task in all_tasks()}
    order = random.Random(seed).sample(sorted(tasks), len(tasks))  # noqa: S311 - an order, not a secret
    routed = order[TAUGHT : TAUGHT + min(prompts or ROUTED, ROUTED)]
    models = _models()
    by_name = {model.name: model for model in models}
    known: dict[tuple[str, str], Cell] = {}

    def measured(item: Item, model: str, reply: Reply, score: float) -> None:
        cost = by_name[model].cost(reply.input_tokens, reply.output_tokens)
        known[item.id, model] = Cell(score, cost, reply.latency_s)

    return Workload(
        title="built-in tasks, real models",
        note=f"{len(routed)} prompts, each asked of every model; cost by list price, latency as the client saw it.",
        models=models,
        train=[item_of(tasks[name]) for name in order[:TAUGHT]],
        test=[item_of(tasks[name]) for name in routed],
        cell=lambda item, model: known[item.id, model],
        train_score=lambda item, model: known[item.id, model].score,
        grade=lambda reply: grade_task(tasks[reply.item.id], reply),
        provider={},
        measured=measured,
    )


def _models() -> tuple[Model, ...]:
    found = []
    for variable, name in OFFERED:
        if not is_set(variable):
            continue
        [priced] = candidates([{"model_name": name, "litellm_params": {"model": name}}])
        found.append(
            Model(
                name.partition("/")[2],
                (priced.usd_per_input_token or 0.0) * 1e6,
                (priced.usd_per_output_token or 0.0) * 1e6,
                provider_name=name,
                key_variable=variable,
            )
        )
    return tuple(found)
