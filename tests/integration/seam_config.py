"""The configuration of the seam tests: models of the replay provider, virtual models over them."""

from typing import Any

STRATEGIES = {
    "auto": "largest",
    "cheap": "cheapest-capable",
    "frail": "largest",
    "doomed": "largest",
    "cool": "largest",
    "broken": "broken",
    "colours": "largest",
    "twins": "largest",
    "eyes": "largest",
    "vectors": "smallest",
}


def seam_config(provider: str) -> dict[str, Any]:
    """LiteLLM's config.yaml; `provider` is the root URL of the replay provider."""

    def model(
        name: str, upstream: str, size: float, params: dict[str, Any] | None = None, **info: Any
    ) -> dict[str, Any]:
        price = {"input_cost_per_token": size * 1e-8, "output_cost_per_token": size * 1e-7}
        at = {"model": f"openai/{upstream}", "api_base": f"{provider}/v1", "api_key": "provider-key"}
        return {
            "model_name": name,
            "litellm_params": {**at, **price, **(params or {})},
            "model_info": {"size": size, **info},
        }

    anthropic = {"model": "anthropic/sim-medium", "api_base": provider}
    models = [
        model("tiny", "sim-tiny", 1, access_groups=["basics"]),
        model("small", "sim-small", 3, access_groups=["basics"]),
        model("large", "sim-large", 70),
        model("medium", "", 20, anthropic),
        model("tools", "sim-tools", 8),
        model("code", "sim-code", 30),
        model("mini", "sim-mini", 4),
        model("math", "sim-math", 40),
        model("twin", "sim-tiny", 9, {"tags": ["even"]}, id="twin-a"),
        model("twin", "sim-small", 9, {"tags": ["odd"]}, id="twin-b"),
        model("red", "sim-tiny", 50, {"tags": ["red"]}),
        model("blue", "sim-small", 5, {"tags": ["blue"]}),
        model("blind", "sim-tiny", 60, supports_vision=False, mode="chat"),
        model("seeing", "sim-small", 6, supports_vision=True, mode="chat"),
        model("vector", "replay-embedding-small", 1, mode="embedding"),
        model("matrix", "replay-embedding-large", 2, mode="embedding"),
    ]
    groups = {
        "auto": ["tiny", "small", "large"],
        "cheap": ["large", "small", "medium", "tiny"],
        "frail": ["tools"],
        "doomed": ["code", "mini"],
        "cool": ["math", "mini"],
        "broken": ["small", "large"],
        "colours": ["red", "blue"],
        "twins": ["twin", "tiny"],
        "eyes": ["blind", "seeing"],
        "vectors": ["vector", "matrix"],
    }
    return {
        "model_list": models,
        "router_settings": {
            "num_retries": 2,
            "retry_after": 0,
            "cooldown_time": 30,
            "enable_tag_filtering": True,
            "model_group_alias": {"assistant": "auto"},
            "fallbacks": [{"frail": ["cheap"]}, {"doomed": []}],
            "routing_groups": [
                {
                    "group_name": name,
                    "models": members,
                    "routing_strategy": "priority",
                    "model_priorities": dict.fromkeys(members, 1),
                }
                for name, members in groups.items()
            ],
        },
        "litellm_settings": {"drop_params": True},
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "custom_auth": "tests.integration.seam_startup.authenticate",
        },
        "seam_strategies": STRATEGIES,
    }
