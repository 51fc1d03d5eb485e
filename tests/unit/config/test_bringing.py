"""Who waits for artifacts, and what is known of the last try."""

import asyncio
import threading
from pathlib import Path

import pytest

from routeiq.config.bringing import Bringing
from routeiq.config.load import Settings, load
from routeiq.core.errors import ArtifactError, SourceUnavailable


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.yaml").write_text("model_list: []\nrouteiq_settings: {}\n")
    return load(tmp_path / "config.yaml")


async def until_idle(bringing: Bringing) -> None:
    """Let what has ended in a thread be heard of."""
    async with asyncio.timeout(30):
        while bringing._tasks:
            await asyncio.sleep(0.01)


async def test_a_place_that_hangs_is_not_waited_for(settings: Settings) -> None:
    """Whoever looks goes on after a while, asks no second time, and a new configuration fetches beside it."""
    going_on, begun = threading.Event(), []

    def bring(wanted: Settings | None) -> int:
        begun.append(wanted)
        assert wanted is None or going_on.wait(30)
        return 1

    heard: list[bool] = []
    bringing = Bringing(bring, heard.append)
    assert not await bringing.now(settings, patience_s=0.05)
    assert not await bringing.now(settings, patience_s=0.05)
    assert begun == [settings]
    assert await bringing.now(None, patience_s=30)
    going_on.set()
    assert await bringing.now(settings, patience_s=30)
    await until_idle(bringing)
    assert (begun, heard, bringing.followed) == ([settings, None], [True, True], 1)


async def test_trouble_is_known_until_it_is_over(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once while it stays the same, told to readiness when a place did not answer, and gone afterwards."""
    wrong: list[Exception | None] = [SourceUnavailable("gone"), SourceUnavailable("gone"), ArtifactError("odd"), None]
    heard: list[bool] = []

    def bring(_: Settings | None) -> int:
        error = wrong.pop(0)
        if error is not None:
            raise error
        return 0

    bringing, known = Bringing(bring, heard.append), []
    for _ in range(4):
        await bringing.now(settings, patience_s=30)
        await until_idle(bringing)
        known.append(bringing.trouble)
    assert known == ["gone", "gone", "odd", None]
    assert heard == [False, False]
    assert caplog.text.count("what is here goes on: gone") == 1
