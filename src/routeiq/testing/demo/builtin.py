"""The built-in checkable tasks as a workload, answered by simulated models.

Owns the choice of tasks. The tasks and the simulated models are `routeiq.testing.tasks`; the answers are checked for
real, only the models are simulated, and the note says so.
"""

import random

from routeiq.testing.demo.workload import Cell, Item, Model, Reply, Workload
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks import Task, ToolCall, all_tasks, split
from routeiq.testing.tasks.models import MODELS


def builtin(prompts: int, taught: int, seed: int) -> Workload:
    """Return the workload: `taught` of the train tasks teach, up to `prompts` of all other tasks (0: all) are routed.

    No task is both.
    """
    tasks = {task.id: task for task in all_tasks()}
    shuffled = random.Random(seed).sample(sorted(tasks), len(tasks))  # noqa: S311 - an order, not a secret
    teaching = [name for name in shuffled if split(tasks[name]) == "train"][:taught]
    rest = [name for name in shuffled if name not in set(teaching)]
    routed = rest[: prompts or len(rest)]
    names = [model.name for model in MODELS]
    source = SimulatedSource(seed, names)
    by_name = {m.name: Model(m.name, m.usd_per_m_input, m.usd_per_m_output) for m in MODELS}

    def cell(item: Item, model: str) -> Cell:
        answer = source.answer(model, item.prompt, _tool_names(tasks[item.id]))
        score = float(tasks[item.id].passes(answer.text, answer.tool_call))
        return Cell(score, by_name[model].cost(answer.input_tokens, answer.output_tokens), answer.latency_s)

    return Workload(
        title="built-in tasks, simulated models",
        note=(
            "The prompts and the checks of the answers are real; the models are SIMULATED: their ability per task "
            "family, their prices and speeds follow published figures of models of their class "
            "(routeiq/testing/tasks/models.py). For real outcomes use --data, for real models --live."
        ),
        models=tuple(by_name.values()),
        train=[item_of(tasks[name]) for name in teaching],
        test=[item_of(tasks[name]) for name in routed],
        cell=cell,
        train_score=lambda item, model: cell(item, model).score,
        grade=lambda reply: grade_task(tasks[reply.item.id], reply),
        provider={"models": names},
    )


def grade_task(task: Task, reply: Reply) -> float:
    """Return 1 for a right answer and 0 for a wrong one."""
    call = None if reply.tool_call is None else ToolCall(*reply.tool_call)
    return float(task.passes(reply.text, call))


def item_of(task: Task) -> Item:
    """Return a task as the item that is sent."""
    return Item(task.id, task.prompt, task.family, task.tools or ())


def _tool_names(task: Task) -> list[str]:
    return [str(tool["function"]["name"]) for tool in task.tools or ()]
