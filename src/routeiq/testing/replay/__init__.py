"""A provider in a process of its own that replays recorded outcomes, or simulated ones of the built-in tasks.

It speaks OpenAI's chat completions, completions, responses and embeddings, and Anthropic's messages, streaming and not;
it fails on command and keeps a journal of what it received. What is behind it cannot tell it from a provider.
"""

from routeiq.testing.replay.process import JournalRow, ReplayFailed, ReplayProcess

__all__ = ["JournalRow", "ReplayFailed", "ReplayProcess"]
