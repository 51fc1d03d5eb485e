"""A configuration in an object store that changes, is broken, or cannot be fetched, under a steady load.

Two replicas of two workers behind nginx. In each test no request fails and none is cut, and whatever cannot serve
leaves what served before, with the reason where an operator looks for it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from routeiq.testing.load import Fate, Report
from tests.chaos.configured import Site, agreed, configured
from tests.chaos.topology import aside, lost
from tests.pauses import Pauses
from tests.servers import nginx

pytestmark = pytest.mark.integration

Counted = Callable[..., None]

NOTIFIED_S = 2.0
"""After the first worker serves a version, all do within this time, if Redis is there."""

POLLED_S = 60.0
"""A change in the store is everywhere within this time."""

CUT_AFTER = 16_384
FLAT = 1.05


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, stretch: float) -> Iterator[Site]:
    """One for all tests of this file; in the long form gateways look into the store as often as they do by default."""
    reason = nginx.missing()
    if reason is not None:
        pytest.skip(reason)
    with configured(tmp_path_factory.mktemp("configured"), 2.0 if stretch == 1.0 else 5.0) as running:
        yield running


@asynccontextmanager
async def loaded(site: Site, counted: Counted, **figures: Any) -> AsyncIterator[dict[str, Any]]:
    """A steady load in which nothing may be lost; what is put into the dictionary is counted too."""
    load = site.load()
    try:
        yield figures
    except BaseException:
        await load.stop()
        raise
    report = await load.stop()
    counted(**lost(report), **figures)
    whole(report)


def whole(report: Report) -> None:
    """Every request was answered."""
    assert len(report) > 0
    assert report.count(Fate.OK) == len(report), report.text()


def dearer(config: dict[str, Any]) -> None:
    """Every model costs ten times as much."""
    for model in config["model_list"]:
        for name in ("input_cost_per_token", "output_cost_per_token"):
            model["litellm_params"][name] *= 10.0


def with_another(config: dict[str, Any]) -> None:
    """A model more."""
    model = {**config["model_list"][0], "model_name": "sim-tiny"}
    model["litellm_params"] = {**model["litellm_params"], "model": "openai/sim-tiny"}
    config["model_list"].append(model)
    group = config["router_settings"]["routing_groups"][0]
    group["models"].append("sim-tiny")
    group["model_priorities"]["sim-tiny"] = 1


def with_one_less(config: dict[str, Any]) -> None:
    """A model less."""
    name = config["model_list"].pop()["model_name"]
    group = config["router_settings"]["routing_groups"][0]
    group["models"].remove(name)
    del group["model_priorities"][name]


async def served(site: Site, model: str) -> set[int]:
    """The statuses with which a model is answered, asked often enough to meet every worker."""
    return {(await aside(site.chat, model))[0] for _ in range(8)}


async def test_a_change_in_the_store_is_everywhere_soon(site: Site, counted: Counted) -> None:
    """A price, a model more and a model less: all four workers have each in time, also the one whose clock is wrong."""
    before = await site.calm()
    async with loaded(site, counted) as figures:
        cost = float((await aside(site.chat, "sim-mini"))[1]["x-litellm-response-cost"])
        for name, change in (("dearer", dearer), ("one_more", with_another), ("one_less", with_one_less)):
            with Pauses() as machine:
                await aside(site.write, change)
                first, last = await site.settled(besides=before)
            figures[f"{name}_s"] = (round(first, 2), round(last, 2))
            assert last < POLLED_S
            assert last - first < NOTIFIED_S + 5 * machine.worst_s, figures
            before = (await aside(site.workers))[0]["snapshot"]
            if change is dearer:
                paid = [float((await aside(site.chat, "sim-mini"))[1]["x-litellm-response-cost"]) for _ in range(8)]
                assert paid == pytest.approx([10.0 * cost] * 8)
            elif change is with_another:
                assert await served(site, "sim-tiny") == {200}
        assert await served(site, "sim-tiny") <= {400, 404}
        assert await served(site, "sim-medium") <= {400, 404}
        assert await served(site, "auto") == {200}


def text(old: str, new: str) -> Callable[[Site], None]:
    """What replaces words of the configuration in the store."""

    def change(site: Site) -> None:
        site.write()
        found = site.objects["config.yaml"].decode()
        assert old in found
        site.put("config.yaml", found.replace(old, new).encode())

    return change


def tampered(site: Site) -> None:
    """Somebody changes a byte of the arrays and leaves the manifest."""
    arrays = bytearray(site.objects["router.npz"])
    arrays[len(arrays) // 2] ^= 1
    site.put("router.npz", bytes(arrays))


def forged(site: Site) -> None:
    """A router that another key signed."""
    for name, content in site.artifact(1, key="stranger").items():
        site.put(name, content)


def unsigned(site: Site) -> None:
    """A manifest from which the signature is taken away."""
    manifest = json.loads(site.objects["router.json"])
    bare = {name: value for name, value in manifest.items() if "signature" not in name}
    assert bare != manifest
    site.put("router.json", json.dumps(bare).encode())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(text("model_list:", "model_list: ]["), "config_invalid", id="invalid-yaml"),
        pytest.param(text("strategy: knn", "strategi: knn"), "unknown_key", id="unknown-key"),
        pytest.param(
            text("strategy: knn", "strategy: knn\n      candidates: [sim-large]"), "unknown_candidate", id="candidate"
        ),
        pytest.param(tampered, "artifact_digest", id="tampered"),
        pytest.param(forged, "artifact_signature", id="wrong-signer"),
        pytest.param(unsigned, "artifact_signature", id="unsigned"),
    ],
)
async def test_what_cannot_serve_changes_nothing(
    site: Site, counted: Counted, spoil: Callable[[Site], None], reason: str
) -> None:
    """Every worker refuses it and says why; the version before serves on, until there is a good one again."""
    before = await site.calm()
    async with loaded(site, counted) as figures:
        await aside(spoil, site)
        # Each look may be at another replica, whose picture of the others is up to half a second old.
        refused = {("rejected", before, reason)}
        took = await site.until(
            lambda said: {(one["state"], one["snapshot"], one["reason"]) for one in said} == refused,
            "refused everywhere",
        )
        figures["refused_s"] = round(took, 2)
        for shown in await aside(site.sync):
            assert (shown["version"], shown["state"], shown["reason"]) == (before, "rejected", reason)
            assert shown["in_sync"] is False
        assert await served(site, "auto") == {200}
        assert await site.calm() == before
    for replica in site.replicas:
        assert any("Config rejected" in said and reason in said for said in replica.said().splitlines())


async def test_a_download_that_breaks_off_changes_nothing(site: Site, counted: Counted) -> None:
    """While every download of a new router breaks off the old one serves; the first that comes through is taken up."""
    before, cuts = await site.calm(), site.line.cuts
    async with loaded(site, counted) as figures:
        site.line.cut_after = CUT_AFTER
        for name, content in (await aside(site.artifact, 2)).items():
            await aside(site.put, name, content)
        await unfetched(site, "the download is cut")
        assert {one["snapshot"] for one in await aside(site.workers)} == {before}
        figures["cuts"] = site.line.cuts - cuts
        site.line.cut_after = None
        figures["mended_s"] = round((await site.settled(besides=before))[1], 2)
    assert site.line.cuts > cuts


async def unfetched(site: Site, what: str) -> None:
    """Wait until a replica says that the store cannot be read, which is no fault of the configuration."""
    async with asyncio.timeout(120):
        while all(shown["source_ok"] for shown in await aside(site.sync)):
            await asyncio.sleep(0.1)
    assert {one["state"] for one in await aside(site.workers)} == {"ok"}, what


async def test_the_clock_of_the_store_does_not_matter(site: Site, counted: Counted) -> None:
    """A change is taken up by a store whose clock goes back by an hour, and by one that is an hour ahead."""
    before = await site.calm()
    async with loaded(site, counted) as figures:
        for name, seconds, change in (("behind_s", -3_600.0, dearer), ("ahead_s", 3_600.0, with_another)):
            site.line.skew_s = seconds
            await aside(site.write, change)
            figures[name] = round((await site.settled(besides=before))[1], 2)
            before = (await aside(site.workers))[0]["snapshot"]


async def test_a_store_that_stands_still_holds_up_nobody(site: Site, stretch: float, counted: Counted) -> None:
    """A frozen store delays a change by as long as it stands still, and no request by anything."""
    before = await site.calm()
    async with loaded(site, counted) as figures:
        await aside(site.write, dearer)
        site.s3.freeze()
        try:
            if stretch > 1.0:
                await unfetched(site, "the store stands still")
            await asyncio.sleep(3.0 * stretch)
            assert await served(site, "auto") == {200}
        finally:
            site.s3.thaw()
        figures["thawed_s"] = round((await site.settled(besides=before))[1], 2)


async def test_a_store_that_is_gone_is_done_without(site: Site, stretch: float, counted: Counted) -> None:
    """Without the store the version serves on, both replicas say what they lack, and a change waits for its return."""
    before = await site.calm()
    async with loaded(site, counted) as figures:
        await aside(site.s3.stop)
        await unfetched(site, "the store is gone")
        await asyncio.sleep(1.0 * stretch)
        assert {one["snapshot"] for one in await aside(site.workers)} == {before}
        ready = [replica.ask("GET", "/_health/ready") for replica in site.replicas]
        assert {one["status"] for one in ready} <= {"ready", "degraded"}
        await aside(site.s3.start)
        await aside(site.restock)
        await aside(site.write, dearer)
        figures["back_s"] = round((await site.settled(besides=before))[1], 2)


async def test_many_changes_leave_nothing_behind(site: Site, stretch: float, counted: Counted) -> None:
    """After many changes no worker has more memory, threads, open files or models, and each call is logged once."""
    warm, changes = (4, 12) if stretch == 1.0 else (30, 100)
    await site.calm()

    async def change(number: int) -> None:
        def priced(config: dict[str, Any]) -> None:
            if number % 2:
                with_another(config)
            config["model_list"][0]["litellm_params"]["input_cost_per_token"] = 1e-7 * (1 + number)

        await aside(site.write, priced)
        await aside(site.reload)
        await site.until(agreed, f"change {number}")

    async with loaded(site, counted) as figures:
        for number in range(warm):
            await change(number)
        before, models = await aside(site.held), await aside(site.models)
        for number in range(warm, warm + changes):
            await change(number)
        after = await aside(site.held)
        figures["changes"] = changes
        figures["rss_ratio"] = [round(after[pid][0] / before[pid][0], 3) for pid in before]
        assert await aside(site.models) == models
    assert after.keys() == before.keys()
    for pid, (memory, threads, files) in before.items():
        assert after[pid][0] < FLAT * memory, figures
        # A pool of threads grows to its bound with what happens to be asked at once; connections come and go.
        assert after[pid][1] <= threads + 8
        assert after[pid][2] <= files + 16
    decision = (await aside(site.chat))[1]["x-routeiq-decision-id"]
    await asyncio.sleep(1.0)
    told = [said for replica in site.replicas for said in replica.said().splitlines() if json.dumps(decision) in said]
    assert sum('"message":"routing decision"' in said for said in told) == 1, told
