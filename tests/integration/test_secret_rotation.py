"""Secrets change in a mounted folder while two workers serve a steady load, and no request notices."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from routeiq.testing.load import Fate, Load, Plan, Report, Sender
from routeiq.testing.otlp import OtlpReceiver
from tests.integration.serving import KEY, Serving, free_port
from tests.servers.keyed import HELD, PIECES, KeyedProvider
from tests.servers.redis import RedisServer, redis_servers

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ROTATIONS = 5
AMPLE_S = 120.0
SETTLED = 12
"""Requests with a key before the next one comes."""

OTHER_KEY = "sk-rotated-8Yq2Lm5z"
MODELS = ("referring", "named", "silent")


def config(provider: str) -> dict[str, Any]:
    """Three models: one refers to the key, one too and has an id of its own, one leaves the key to LiteLLM."""

    def model(name: str, **more: Any) -> dict[str, Any]:
        params = {"model": f"openai/{name}", "api_base": f"{provider}/v1", "max_retries": 0, **more}
        return {"model_name": name, "litellm_params": params}

    named = {**model("named", api_key="os.environ/PROVIDER_KEY"), "model_info": {"id": "deployment-of-its-own"}}
    ranks = dict.fromkeys(MODELS, 1)
    group = {"group_name": "auto", "models": list(MODELS), "routing_strategy": "priority", "model_priorities": ranks}
    return {
        "model_list": [model("referring", api_key="os.environ/PROVIDER_KEY"), named, model("silent")],
        "router_settings": {"routing_groups": [group], "num_retries": 0},
        "routeiq_settings": {
            "embedder": {"kind": "none"},
            "aliases": {"auto": {"strategy": "round-robin"}},
            "outcome_log": {"path": "outcomes.db"},
        },
    }


@dataclass
class Scene:
    """Two workers, the provider, Redis with a password, and the mounted folder."""

    gateway: Serving
    provider: KeyedProvider
    redis: RedisServer
    folder: Path
    files: dict[str, str]
    collector: OtlpReceiver
    generation: int = 0

    def mount(self, **changes: str) -> None:
        """Write all files as a new generation and exchange the link, as Kubernetes does."""
        mount(self.folder, self.files | changes, self.generation + 1)
        self.files |= changes
        self.generation += 1

    def redis_url(self, password: str) -> str:
        return f"redis://:{password}@127.0.0.1:{self.redis.port}"

    def ask(self, key: str, path: str = "/v1/models") -> httpx.Response:
        return httpx.get(f"{self.gateway.url}{path}", headers={"authorization": f"Bearer {key}"}, timeout=60)

    @asynccontextmanager
    async def held_stream(self) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
        """Begin a stream that the provider holds; yield what reads the rest of it."""
        body = {"model": "referring", "messages": [{"role": "user", "content": HELD}], "stream": True}
        headers, url = {"authorization": f"Bearer {KEY}"}, f"{self.gateway.url}/v1/chat/completions"
        async with (
            httpx.AsyncClient(timeout=AMPLE_S) as client,
            client.stream("POST", url, json=body, headers=headers) as answer,
        ):
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("data: {")

            async def rest_of_it() -> list[str]:
                return [line async for line in lines if line]

            yield rest_of_it

    def everywhere(self, changes: int) -> Callable[[], Awaitable[bool]]:
        """Return what asks whether all workers say that they go by so many changes."""

        async def asked() -> bool:
            found = (await asyncio.to_thread(self.ask, KEY, "/routeiq/status")).json()["workers"]
            return [one["secrets"]["in_effect"] for one in found] == [changes] * 2

        return asked

    def load(self) -> Load:
        """A steady load, half of it streams, begun."""
        sender = Sender("all", self.files["LITELLM_MASTER_KEY"], 6.0, streamed=0.5, arrivals="constant")
        load = Load(Plan([sender], AMPLE_S), self.gateway.url)
        load.start()
        return load


def mount(folder: Path, files: dict[str, str], generation: int) -> None:
    data = folder / f"..generation_{generation}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / name).write_text(text + "\n")
        (data / name).chmod(0o400)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("rotation")
    with redis_servers(folder) as servers, OtlpReceiver() as collector:
        redis = servers.single()
        redis.ask("config", "set", "requirepass", "word-0")
        async with KeyedProvider() as provider:
            provider.accepted.add("provider-0")
            files = {
                "PROVIDER_KEY": "provider-0",
                "OPENAI_API_KEY": "provider-0",
                "LITELLM_MASTER_KEY": KEY,
                "REDIS_URL": f"redis://:word-0@127.0.0.1:{redis.port}",
                "OTEL_EXPORTER_OTLP_HEADERS": "x-key=spans-0",
            }
            mount(folder / "mounted", files, 0)
            env = {
                "ROUTEIQ_SECRETS_DIR": str(folder / "mounted"),
                "ROUTEIQ_SECRETS_INTERVAL": "0.2",
                "ROUTEIQ_WORKERS": "2",
                "LITELLM_MASTER_KEY": "sk-what-the-folder-takes-the-place-of",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            }
            start = (config(provider.url), folder, free_port(), env)
            gateway = await asyncio.to_thread(Serving.start, *start)
            try:
                yield Scene(gateway, provider, redis, folder / "mounted", files, collector)
            finally:
                gateway.stop()


async def until(seen: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something that the gateway, the provider or Redis shows."""
    end = time.monotonic() + AMPLE_S
    while True:
        found = seen()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


def nothing_noticed(report: Report) -> None:
    """Every request was answered whole."""
    assert {fate: report.count(fate) for fate in Fate if report.count(fate)} == {Fate.OK: len(report)}, report.reasons(
        *Fate
    )


async def test_a_provider_key_is_rotated_five_times_under_load(scene: Scene) -> None:
    """The next requests use the new key, a stream ends with the one that it began with, and none fails or is cut."""
    provider = scene.provider
    async with scene.held_stream() as rest_of_it:
        load = scene.load()
        await until(lambda: provider.begun["provider-0"] >= SETTLED, "the first requests")
        for number in range(ROTATIONS):
            former, present = f"provider-{number}", f"provider-{number + 1}"
            provider.accepted.add(present)
            scene.mount(PROVIDER_KEY=present, OPENAI_API_KEY=present)
            await until(scene.everywhere(number + 1), f"{present} in effect")
            provider.accepted.remove(former)
            await until(lambda key=present: provider.begun[key] >= SETTLED, f"requests with {present}")
        report = await load.stop()
        provider.release.set()
        lines = await rest_of_it()
    nothing_noticed(report)
    assert provider.refused == []
    assert {record.model for record in report.records} == set(MODELS)
    assert lines[-1] == "data: [DONE]"
    assert sum('"content":' in line for line in lines) >= PIECES - 1
    await until(lambda: provider.outlived["provider-0"] >= 1, "the end of the stream that was begun with the first key")


async def test_the_password_of_redis_is_rotated_under_load(scene: Scene) -> None:
    """Both workers come over new connections with the new password, and no request fails."""

    def ours(password: str) -> set[str]:
        listed = scene.redis.ask("-a", password, "--no-auth-warning", "client", "list").splitlines()
        return {line.split()[0] for line in listed if "name=routeiq" in line}

    load = scene.load()
    for number in range(2):
        former, present = f"word-{number}", f"word-{number + 1}"
        before = await asyncio.to_thread(ours, former)
        assert len(before) >= 2
        scene.redis.ask("-a", former, "--no-auth-warning", "config", "set", "requirepass", present)
        scene.mount(REDIS_URL=scene.redis_url(present))
        await until(
            lambda former=before, word=present: not former & ours(word) and len(ours(word)) >= 2,
            "new connections",
        )
    report = await load.stop()
    nothing_noticed(report)
    shown = scene.ask(KEY, "/routeiq/status").json()
    assert len(shown["workers"]) == 2
    assert shown["dependencies"]["redis"]["degraded"] is False
    assert "word-" not in json.dumps(shown)


async def test_a_missing_secret_changes_nothing_and_is_shown(scene: Scene) -> None:
    """An emptied file keeps the key of before; admins see which secret is wrong, and nobody sees a value."""
    scene.mount(PROVIDER_KEY="")

    async def shown() -> bool:
        status = (await asyncio.to_thread(scene.ask, KEY, "/routeiq/status")).json()["secrets"]
        return "is empty" in status["problems"].get("PROVIDER_KEY", "")

    await until(shown, "the problem")
    body = {"model": "referring", "messages": [{"role": "user", "content": "hello"}]}
    url, headers = f"{scene.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(timeout=60) as client:
        answers = [await client.post(url, json=body, headers=headers) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert "provider-" not in scene.ask(KEY, "/routeiq/status").text
    assert any("secret PROVIDER_KEY" in line and "stays" in line for line in scene.gateway.lines)
    scene.mount(PROVIDER_KEY=scene.files["OPENAI_API_KEY"])


async def test_the_headers_of_spans_are_rotated(scene: Scene) -> None:
    """Spans that were sent with the former header go on with the new one, and none asks for a restart."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    url, headers = f"{scene.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}

    def keys() -> set[str | None]:
        return {found.get("x-key") for found in list(scene.collector.headers)}

    async def sent(key: str) -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.post(url, json=body, headers=headers)).status_code == 200
        return key in keys()

    await until(lambda: sent("spans-0"), "spans with the first header")
    scene.mount(OTEL_EXPORTER_OTLP_HEADERS="x-key=spans-1")
    await until(lambda: sent("spans-1"), "spans with the new header")
    assert keys() == {"spans-0", "spans-1"}
    assert scene.ask(KEY, "/_health/config-sync").json()["restart_needed"] == []


async def test_the_master_key_is_rotated(scene: Scene) -> None:
    """Both workers accept the new master key and refuse the former one, and none asks for a restart."""
    assert scene.ask(KEY).status_code == 200
    scene.mount(LITELLM_MASTER_KEY=OTHER_KEY)

    async def everywhere(key: str, accepted: bool) -> bool:
        answers = [await asyncio.to_thread(scene.ask, key) for _ in range(12)]
        return all((answer.status_code == 200) is accepted for answer in answers)

    await until(lambda: everywhere(OTHER_KEY, True), "the new key accepted")
    await until(lambda: everywhere(KEY, False), "the former key refused")
    assert scene.ask(OTHER_KEY, "/_health/config-sync").json()["restart_needed"] == []


async def test_no_secret_is_in_any_line(scene: Scene) -> None:
    """After all of that neither lines nor standard error hold a secret, not even one that a provider's error quotes."""
    refused, scene.provider.accepted = scene.files["PROVIDER_KEY"], set()
    body = {"model": "referring", "messages": [{"role": "user", "content": "hello"}]}
    url, headers = f"{scene.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {OTHER_KEY}"}
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.post(url, json=body, headers=headers)).status_code == 401
    assert scene.provider.refused[-1] == refused
    await until(lambda: any("Incorrect API key provided: [redacted]" in line for line in scene.gateway.lines), "a line")
    said = "".join(scene.gateway.lines) + (scene.gateway.folder / "err").read_text()
    for secret in (KEY, OTHER_KEY, "provider-0", "provider-5", "word-0", "word-2", "spans-0", "spans-1"):
        assert secret not in said
