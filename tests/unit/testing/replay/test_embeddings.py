"""Embeddings, through the official OpenAI client."""

from __future__ import annotations

import openai
import pytest

from routeiq.testing.replay.embeddings import vector

MODEL = "replay-embedding-small"


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_equal_texts_get_equal_unit_vectors_and_others_differ(openai_client: openai.OpenAI) -> None:
    """Length one, the same for the same text, nearly orthogonal for another."""
    rows = openai_client.embeddings.create(model=MODEL, input=["one", "two", "one"]).data
    first, second, third = (row.embedding for row in rows)
    assert first == third
    assert _dot(first, first) == pytest.approx(1.0, abs=1e-5)
    assert abs(_dot(first, second)) < 0.5


def test_both_encodings_carry_the_same_vector(openai_client: openai.OpenAI) -> None:
    """What the client asks for as base64 equals the plain list, to the precision of float32."""
    plain = openai_client.embeddings.create(model=MODEL, input="one", dimensions=8, encoding_format="float")
    packed = openai_client.embeddings.create(model=MODEL, input="one", dimensions=8)
    assert plain.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-6)
    assert plain.data[0].embedding == pytest.approx(vector(MODEL, "one", 8))


def test_models_embed_differently(openai_client: openai.OpenAI) -> None:
    """A chat model of the source embeds too, with vectors of its own."""
    ours = openai_client.embeddings.create(model=MODEL, input="one").data[0].embedding
    other = openai_client.embeddings.create(model="sim-tiny", input="one").data[0].embedding
    assert abs(_dot(ours, other)) < 0.5


@pytest.mark.parametrize("given", [[], [None], 7])
def test_a_bad_input_is_refused(openai_client: openai.OpenAI, given: object) -> None:
    """What is neither text nor a list of texts or tokens gets 400."""
    with pytest.raises(openai.BadRequestError, match="'input' must"):
        openai_client.post("/embeddings", body={"model": MODEL, "input": given}, cast_to=object)


def test_an_unknown_embedding_model_is_not_found(openai_client: openai.OpenAI) -> None:
    """404, as for chat."""
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        openai_client.embeddings.create(model="ada-none", input="x")
