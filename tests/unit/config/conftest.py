"""What settings tests start from: an environment without our variables."""

import os

import pytest


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ROUTEIQ_", "LLMROUTER_", "LITELLM_", "OTEL_")) or name in {
            "CONFIG_FILE_PATH",
            "WORKER_CONFIG",
        }:
            monkeypatch.delenv(name)
