"""The side-by-side benchmark asks LiteLLM's own routers, without a network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["hi", "Prove step by step, think carefully and analyse: why is there no largest prime?", "hello there"]


def ask(job: dict[str, Any]) -> Any:
    """Return what LiteLLM's router chooses, asked as the benchmark asks."""
    command = [sys.executable, "-m", "sidebyside.native"]
    ended = subprocess.run(
        command, cwd=ROOT / "bench", input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.strip().splitlines()[-1])["choices"]


@pytest.mark.integration
def test_the_complexity_router_gives_a_tier_for_each_prompt() -> None:
    """LiteLLM's complexity router sends greetings to its lowest tier, and an answer comes for every prompt."""
    tiers = ask({"router": "complexity", "prompts": PROMPTS, "seed": 0})
    assert len(tiers) == len(PROMPTS)
    assert tiers[0] == tiers[2] == 0
    assert tiers[1] >= tiers[0]


@pytest.mark.integration
def test_the_adaptive_router_follows_what_it_was_taught() -> None:
    """Taught that one model is always right, and told to look at quality alone, the adaptive router prefers it."""
    job = {
        "router": "adaptive", "models": ["bad", "good"], "costs": [1.0, 2.0], "tiers": [1, 1],
        "taught": PROMPTS * 60, "scores": [[0.0, 1.0]] * 180, "quality_weights": [1.0, 0.0],
        "prompts": PROMPTS, "seed": 0,
    }  # fmt: skip
    quality, cost = ask(job)
    assert quality == [1, 1, 1]
    assert cost == [0, 0, 0]
