"""The outcome log that keeps nothing beyond the process."""

import numpy as np

from routeiq.adapters.memory import MemoryOutcomeLog
from tests.unit.adapters.records import PROMPT, a_decision, a_request, an_outcome


async def test_the_oldest_is_forgotten() -> None:
    """Beyond its limit the oldest decisions are forgotten, and an outcome that comes too late is ignored."""
    log = MemoryOutcomeLog(limit=3)
    for number in range(5):
        log.record_decision(a_request(number), a_decision(number), np.ones(4, dtype=np.float32))
    log.record_outcome(an_outcome(0))
    assert [await log.find(f"dec_{n}") is not None for n in range(5)] == [False, False, True, True, True]
    assert log.status().healthy


async def test_no_text_of_a_prompt_is_kept() -> None:
    """Nothing that the log holds on to contains the prompt."""
    log = MemoryOutcomeLog()
    log.record_decision(a_request(), a_decision(), None)
    found = await log.find("dec_1")
    assert found is not None
    assert found.prompt.text is None
    assert PROMPT not in repr(found)
