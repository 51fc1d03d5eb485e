"""A built-in set of 600 checkable prompts, and simulated models that answer them.

Ten families of 60 tasks in three difficulties; the list is the same for the same seed on every machine. `all_tasks()`
makes the list, `split` parts it, `Task.passes` judges a reply, `models.simulate` answers in the place of a model.
"""

from routeiq.testing.tasks.task import DIFFICULTIES, FAMILIES, Check, Split, Task, ToolCall, split
from routeiq.testing.tasks.task_list import all_tasks

__all__ = ["DIFFICULTIES", "FAMILIES", "Check", "Split", "Task", "ToolCall", "all_tasks", "split"]
