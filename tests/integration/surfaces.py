"""One call on each surface of a proxy, by the official clients; each returns the headers of the answer."""

from typing import Any

import anthropic
import httpx
import openai

from tests.integration.proxy import MASTER_KEY, LiteLLMProxy

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a seam?"}]


def client(proxy: LiteLLMProxy, key: str = MASTER_KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=0, timeout=60)


def claude(proxy: LiteLLMProxy, key: str = MASTER_KEY) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=proxy.url, api_key=key, max_retries=0, timeout=60)


def ask(proxy: LiteLLMProxy, model: str, key: str = MASTER_KEY, **more: Any) -> tuple[str, httpx.Headers]:
    """Send a chat completion; returns the answer's text and headers."""
    raw = client(proxy, key).chat.completions.with_raw_response.create(model=model, messages=MESSAGES, **more)
    return raw.parse().choices[0].message.content or "", raw.headers


def _largest(text: str) -> None:
    """Raise AssertionError with the answer when the largest model did not give it."""
    assert "sim-large" in text, text


def chat(proxy: LiteLLMProxy) -> httpx.Headers:
    return ask(proxy, "auto")[1]


def chat_stream(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = client(proxy).chat.completions.with_raw_response.create(model="auto", messages=MESSAGES, stream=True)
    _largest("".join(c.choices[0].delta.content or "" for c in raw.parse() if c.choices))
    return raw.headers


def completion(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = client(proxy).completions.with_raw_response.create(model="auto", prompt="What is a seam?")
    _largest(raw.parse().choices[0].text)
    return raw.headers


def completion_stream(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = client(proxy).completions.with_raw_response.create(
        model="auto", prompt="What is a seam?", stream=True, stream_options={"include_usage": True}
    )
    _largest("".join(chunk.choices[0].text or "" for chunk in raw.parse() if chunk.choices))
    return raw.headers


def responses(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = client(proxy).responses.with_raw_response.create(model="auto", input="What is a seam?")
    _largest(raw.parse().output_text)
    return raw.headers


def responses_stream(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = client(proxy).responses.with_raw_response.create(model="auto", input="What is a seam?", stream=True)
    _largest("".join(e.delta for e in raw.parse() if e.type == "response.output_text.delta"))
    return raw.headers


def messages(proxy: LiteLLMProxy) -> httpx.Headers:
    raw = claude(proxy).messages.with_raw_response.create(model="auto", max_tokens=64, messages=MESSAGES[1:])
    block = raw.parse().content[0]
    assert block.type == "text"
    _largest(block.text)
    return raw.headers


def messages_stream(proxy: LiteLLMProxy) -> httpx.Headers:
    with claude(proxy).messages.stream(model="auto", max_tokens=64, messages=MESSAGES[1:]) as stream:
        _largest("".join(stream.text_stream))
        return stream.response.headers


SURFACES = {
    "chat": (chat, "chat", False),
    "chat_stream": (chat_stream, "chat", True),
    "completion": (completion, "completion", False),
    "completion_stream": (completion_stream, "completion", True),
    "responses": (responses, "responses", False),
    "responses_stream": (responses_stream, "responses", True),
    "messages": (messages, "messages", False),
    "messages_stream": (messages_stream, "messages", True),
}
