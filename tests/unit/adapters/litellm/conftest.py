"""LiteLLM is imported here, and must not ask the network for its price map."""

import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
