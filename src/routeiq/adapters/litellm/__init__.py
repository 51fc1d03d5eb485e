"""The seam to LiteLLM."""
