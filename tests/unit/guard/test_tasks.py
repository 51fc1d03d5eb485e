"""Background tasks that nobody holds, and ending those that do not end when they are first asked."""

import asyncio
import gc

from routeiq.guard.tasks import Errands, end


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same() -> None:
    """A library that catches the first two requests to end does not keep whoever waits."""
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                asked += 1
                if asked > 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task, None)
    assert task.cancelled()
    assert asked == 3


async def test_what_has_ended_is_left_alone() -> None:
    """Done tasks and no tasks at all are nothing to wait for, and their errors stay theirs."""

    async def broken() -> None:
        raise ValueError("kept")

    task = asyncio.create_task(broken())
    await asyncio.wait({task})
    await end(task)
    await end()
    assert isinstance(task.exception(), ValueError)


async def test_an_errand_is_done_though_nobody_holds_it() -> None:
    """Work that was handed over ends, and is then not kept any longer."""
    errands, gate, done = Errands(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    errands.start(work())
    await asyncio.sleep(0)
    gc.collect()
    gate.set()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0)
    assert not errands._running


async def test_errands_can_be_ended() -> None:
    """What still runs is cancelled, and has ended when that returns."""
    errands, ended = Errands(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    errands.start(work())
    await asyncio.sleep(0)
    await errands.end()
    assert ended.is_set()


async def test_errands_may_be_given_time() -> None:
    """With patience what can end by itself does, and only the rest is cancelled."""
    errands, gate, said = Errands(), asyncio.Event(), []

    async def work(name: str, until: asyncio.Event) -> None:
        await until.wait()
        said.append(name)

    done, cut = errands.start(work("done", gate)), errands.start(work("cut", asyncio.Event()))
    assert len(errands) == 2
    asyncio.get_running_loop().call_soon(gate.set)
    await errands.end(0.2)
    assert said == ["done"]
    assert not done.cancelled()
    assert cut.cancelled()
    await asyncio.sleep(0)
    assert len(errands) == 0
