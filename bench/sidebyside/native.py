"""Asks LiteLLM's own routers what they would choose: a job as JSON on standard input, choices as JSON on the other end.

It runs as a process of its own (`python -m sidebyside.native`), so that LiteLLM's imports, loggers and random numbers
stay out of the benchmark. Every choice goes through `litellm.Router` and its pre-routing hook, as in a proxy. No model
is called: connections are refused.
"""

import asyncio
import json
import random
import socket
import sys
from types import SimpleNamespace
from typing import Any

TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")
WARMTH = 190
"""Pseudo-observations per cell: LiteLLM's cap of 200 less its prior of 10, the most that a cell can ever learn."""


def refuse(*_: Any) -> None:
    """Stand in for a connection."""
    raise OSError("this benchmark does not use the network")


def model(name: str, info: dict[str, Any]) -> dict[str, Any]:
    """Return a model_list entry that can be routed to but not called."""
    params = {"model": f"openai/{name}", "api_key": "none", "api_base": "http://127.0.0.1:9"}
    return {"model_name": name, "litellm_params": params, "model_info": info}


async def tiers(job: dict[str, Any]) -> list[int]:
    """Return the tier, 0..3, that the complexity or the quality router sends each prompt to."""
    from litellm import Router

    models = [model(name, {"litellm_routing_preferences": {"quality_tier": i + 1}}) for i, name in enumerate(TIERS)]
    if job["router"] == "complexity":
        config = {"complexity_router_config": {"tiers": {name: name for name in TIERS}}}
    else:
        config = {"quality_router_config": {"available_models": list(TIERS)}, "quality_router_default_model": "MEDIUM"}
    alias = {"model_name": "auto", "litellm_params": {"model": f"auto_router/{job['router']}_router", **config}}
    router = Router(model_list=[*models, alias])
    return [TIERS.index(await ask(router, prompt)) for prompt in job["prompts"]]


async def adaptive(job: dict[str, Any]) -> list[list[int]]:
    """Return the adaptive router's choices, one list for each pair of weights.

    Its cells start from LiteLLM's own prior of each model's tier and are then given what the training prompts say, at
    full weight, in place of the PostgreSQL table: better taught than a live one can be, which sees one model a prompt.
    """
    from litellm import Router
    from litellm.router_strategy.adaptive_router.classifier import classify_prompt

    names, result = job["models"], []
    seen: dict[tuple[str, int], list[float]] = {}
    for prompt, scores in zip(job["taught"], job["scores"], strict=True):
        kind = classify_prompt(prompt).value
        for at, score in enumerate(scores):
            if score is not None:
                seen.setdefault((kind, at), []).append(score)
    rows = []
    for (kind, at), scores in seen.items():
        mass, mean = min(WARMTH, len(scores)), sum(scores) / len(scores)
        rows.append(SimpleNamespace(request_type=kind, model_name=names[at], alpha=mean * mass, beta=(1 - mean) * mass))
    for quality in job["quality_weights"]:
        models = [
            model(
                name,
                {
                    "input_cost_per_token": cost,
                    "output_cost_per_token": cost,
                    "adaptive_router_preferences": {"quality_tier": tier},
                },
            )
            for name, cost, tier in zip(names, job["costs"], job["tiers"], strict=True)
        ]
        config = {"available_models": names, "weights": {"quality": quality, "cost": round(1 - quality, 6)}}
        params = {"model": "auto_router/adaptive_router", "adaptive_router_config": config}
        router = Router(model_list=[*models, {"model_name": "auto", "litellm_params": params}])
        await router.adaptive_routers["auto"][0].strategy.load_state_from_db(_Stored(rows))
        random.seed(job["seed"])
        result.append([names.index(await ask(router, prompt)) for prompt in job["prompts"]])
    return result


class _Stored:
    """The one table that the adaptive router reads its state from."""

    def __init__(self, rows: list[SimpleNamespace]) -> None:
        async def find_many(**_: Any) -> list[SimpleNamespace]:
            return rows

        table = SimpleNamespace(find_many=find_many)
        self.db = SimpleNamespace(litellm_adaptiverouterstate=table)


async def ask(router: Any, prompt: str) -> str:
    """Return the model name that LiteLLM's router puts in place of the alias."""
    messages = [{"role": "user", "content": prompt}]
    answer = await router.async_pre_routing_hook(model="auto", request_kwargs={}, messages=messages)
    return str(answer.model)


def main() -> None:
    """Do the job on standard input."""
    job = json.load(sys.stdin)
    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
    import litellm

    random.seed(job.get("seed", 0))
    result = asyncio.run(adaptive(job) if job["router"] == "adaptive" else tiers(job))
    json.dump({"version": getattr(litellm, "__version__", ""), "choices": result}, sys.stdout)


if __name__ == "__main__":
    main()
