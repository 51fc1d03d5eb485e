"""Text to a vector without a language model at hand: the default embedder and its tokenizer."""

from pathlib import Path

from routeiq.routing.embedding.static import StaticEmbedder
from routeiq.routing.embedding.wordpiece import WordPiece

__all__ = ["StaticEmbedder", "WordPiece", "load_default"]


def load_default() -> StaticEmbedder:
    """Load the token vectors that ship with the package; every call maps the same file anew (about 40 ms)."""
    return StaticEmbedder(Path(__file__).with_name("data") / "minilm-static-256")
