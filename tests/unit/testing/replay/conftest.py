"""A provider of the built-in tasks without latency, its official clients, and a small recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks import Task, all_tasks
from routeiq.testing.tasks.models import simulate

MODEL = "sim-large"


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[ReplayProcess]:
    """One process for all tests that only talk to it."""
    with ReplayProcess.start(time_scale=float("inf")) as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: ReplayProcess) -> ReplayProcess:
    """The shared provider without faults and with an empty journal."""
    shared_provider.reset()
    return shared_provider


@pytest.fixture
def openai_client(provider: ReplayProcess) -> Iterator[openai.OpenAI]:
    """The official client; it does not retry, so that one call is one call."""
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def anthropic_client(provider: ReplayProcess) -> Iterator[anthropic.Anthropic]:
    """The official client; it does not retry."""
    with anthropic.Anthropic(base_url=provider.base_url, api_key="any", max_retries=0, timeout=20) as client:
        yield client


def _solved(family: str) -> Task:
    return next(t for t in all_tasks() if t.family == family and t.difficulty > 1 and simulate(t, MODEL).correct)


@pytest.fixture(scope="session")
def text_task() -> Task:
    """A task that MODEL answers with a text, rightly."""
    return _solved("extraction")


@pytest.fixture(scope="session")
def call_task() -> Task:
    """A task that MODEL answers with a tool call, rightly."""
    return _solved("tool_calls")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two suites: `plain` without latencies, `calls` with tools, latencies and gaps."""
    tools = ['[{"name":"a.b","parameters":{}}]', '[{"name":"c","parameters":{}}]']
    prompts = {
        "suite": ["plain", "plain", "calls", "calls"],
        "prompt_id": ["plain/1", "plain/2", "calls/1", "calls/2"],
        "dataset": ["d"] * 4,
        "category": ["x"] * 4,
        "prompt": ["What is  2+2?", "Name a\ncolour.", "Do it.", "Do it."],
        "tools": [None, None, *tools],
        "input_tokens": [11, 12, 13, 14],
        "contaminated": [False] * 4,
        "split": ["test"] * 4,
    }
    outcomes = {
        "suite": ["plain"] * 3 + ["calls"] * 2,
        "prompt_id": ["plain/1", "plain/2", "plain/1", "calls/1", "calls/2"],
        "model": ["cheap", "cheap", "dear", "cheap", "cheap"],
        "score": [1.0, 0.0, 1.0, 1.0, 0.5],
        "input_tokens": [21, 22, 23, 24, None],
        "output_tokens": [100, 200, 300, 40, None],
        "cost_usd": [0.1] * 5,
        "latency_s": [None, None, None, 1.5, 2.5],
    }
    parquet.write_table(pa.table(prompts), tmp_path / "prompts.parquet")
    parquet.write_table(pa.table(outcomes), tmp_path / "outcomes.parquet")
    head = "suite,model,source_name,in_pool,usd_per_m_input,usd_per_m_output,price_source,rows,coverage"
    rows = [
        "plain,cheap,c,True,0.1,0.1,L,2,1.0",
        "plain,dear,d,False,3.0,15.0,L,1,0.5",
        "calls,cheap,c,True,0.1,,L,2,1",
    ]
    (tmp_path / "models.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return tmp_path
