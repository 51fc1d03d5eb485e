"""Candidates of a configuration without importing LiteLLM, which takes seconds: its price list is a file it ships."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from routeiq.adapters.litellm.translate import candidates
from routeiq.config.load import Settings
from routeiq.core.candidate import Candidate

_PRICE_LIST = "model_prices_and_context_window_backup.json"


def known_candidates(settings: Settings) -> list[Candidate]:
    """Return the model groups of the file with what file and price list say of them."""
    return candidates(settings.described_models, price_list())


def price_list() -> Mapping[str, Mapping[str, Any]]:
    """Return the price list of the installed LiteLLM, empty when there is none."""
    spec = find_spec("litellm")
    file = Path(spec.origin).with_name(_PRICE_LIST) if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        return {}
    prices: dict[str, Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return prices
