"""Feedback through the running gateway changes what it decides next, and a restart does not undo it."""

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.learn import dataset
from routeiq.learn.thompson import fit
from routeiq.routing.embedding import load_default
from routeiq.testing.demo.teach import SUITE
from routeiq.testing.replay import ReplayProcess
from tests.integration.outcomes import write_outcomes
from tests.integration.serving import KEY, Serving, free_port

PROMPT = "How many herons stand in the reeds of Lake Manyara?"
POOL = ["sim-tiny", "sim-small", "sim-medium"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(560)]


def taught(folder: Path) -> Path:
    """A bandit that has seen few outcomes."""
    write_outcomes(folder, POOL, prompts=40)
    matrix, embedder = dataset.read(folder, (SUITE,), models=POOL), load_default()
    FileArtifactStore().save(str(folder / "bandit"), fit(matrix, embedder.embed_many(matrix.texts), embedder.id))
    return folder / "bandit.npz"


def config(provider: str, artifact: Path, log: Path) -> dict[str, Any]:
    """A gateway that routes by a bandit."""
    at = {"api_base": f"{provider}/v1", "api_key": "sk-provider-5Xc8qWv1"}
    ranks = dict.fromkeys(POOL, 1)
    group = {"group_name": "auto", "models": POOL, "routing_strategy": "priority", "model_priorities": ranks}
    return {
        "model_list": [{"model_name": name, "litellm_params": {"model": f"openai/{name}", **at}} for name in POOL],
        "router_settings": {"routing_groups": [group]},
        "routeiq_settings": {
            "artifact": str(artifact),
            "aliases": {"auto": {"strategy": "thompson"}},
            "outcome_log": {"path": str(log)},
            "online": {"save_seconds": 0.2},
        },
    }


def expected(gateway: Serving) -> dict[str, float]:
    """What the gateway expects of each candidate now."""
    body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
    found = httpx.post(
        f"{gateway.url}/routeiq/route", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60
    ).json()
    return {one["name"]: one["expected_score"] for one in found["candidates"]}


def ask(gateway: Serving, times: int, judged: bool) -> Counter[str]:
    """Send requests, judge the answers (only the tiny model's are good), and return who served."""
    chosen: Counter[str] = Counter()
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        for _ in range(times):
            raw = client.chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": PROMPT}]
            )
            chosen[raw.headers["x-routeiq-model"]] += 1
            if judged:
                score = 1.0 if raw.headers["x-routeiq-model"] == "sim-tiny" else 0.0
                posted = {"decision_id": raw.headers["x-routeiq-decision-id"], "score": score}
                authorized = {"Authorization": f"Bearer {KEY}"}
                answer = httpx.post(f"{gateway.url}/routeiq/feedback", json=posted, headers=authorized, timeout=30)
                assert answer.status_code == 200, answer.text
    return chosen


def test_feedback_moves_decisions_and_survives_a_restart(tmp_path: Path) -> None:
    """The model that feedback praises serves more and more; after a crash and a restart it is expected to as before."""
    (tmp_path / "taught").mkdir()
    artifact = taught(tmp_path / "taught")
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        whole = config(provider.base_url, artifact, tmp_path / "routeiq.db")
        gateway = Serving.start(whole, tmp_path, free_port(), {})
        try:
            before = expected(gateway)
            assert max(before, key=lambda name: before[name]) != "sim-tiny"
            ask(gateway, 80, judged=True)
            assert ask(gateway, 20, judged=False)["sim-tiny"] >= 15
            learned = expected(gateway)
            assert learned["sim-tiny"] > before["sim-tiny"]
            status = httpx.get(
                f"{gateway.url}/routeiq/status", headers={"Authorization": f"Bearer {KEY}"}, timeout=60
            ).json()
            assert list(status["learned"].values()) == [80]
            time.sleep(1.0)
            gateway.process.send_signal(signal.SIGKILL)
            gateway.process.wait(20)
        finally:
            gateway.stop()
        again = tmp_path / "again"
        again.mkdir()
        gateway = Serving.start(whole, again, free_port(), {})
        try:
            assert expected(gateway) == pytest.approx(learned, abs=1e-6)
            assert ask(gateway, 20, judged=False)["sim-tiny"] >= 15
            gateway.end()
        finally:
            gateway.stop()
