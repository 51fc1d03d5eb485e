"""RouteIQ inside a program that uses `litellm.Router` and no proxy. Needs: pip install 'routeiq-router[proxy]'"""

import asyncio
from pathlib import Path
from typing import Any

import litellm

from routeiq.adapters.litellm.hook import RouteIQRoutingStrategy
from routeiq.adapters.litellm.translate import candidates
from routeiq.config.load import load
from routeiq.wiring import assemble

CONFIG = Path(__file__).with_name("config.yaml")


async def main() -> None:
    """Ask the virtual model once, and look at what was decided and what came of it."""
    settings = load(CONFIG)
    router = litellm.Router(model_list=settings.model_list, **settings.litellm["router_settings"])
    gateway = assemble(settings, candidates(settings.model_list))
    RouteIQRoutingStrategy(router, gateway.flow).attach()

    question = [{"role": "user", "content": "What is a library?"}]
    metadata: dict[str, Any] = {}
    answer = await router.acompletion(model="auto", messages=question, metadata=metadata)
    print("answer:", answer.choices[0].message.content)

    await asyncio.sleep(1)  # LiteLLM reports what came of a call a little after it
    strategy, decision_id = metadata["routing_decision"]["signals"]
    remembered = await gateway.log.find(decision_id)
    if remembered is not None and remembered.outcome is not None:
        decision, outcome = remembered.decision, remembered.outcome
        print(f"{strategy} chose: {decision.choice}, then {', '.join(decision.ranking[1:])}")
        print(f"served by: {outcome.model} after {outcome.retries} retry")
    await gateway.close()


if __name__ == "__main__":
    asyncio.run(main())
