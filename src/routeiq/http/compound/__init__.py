"""Compound models at the edge: their requests are answered by calls to LiteLLM, each made as the client itself."""
