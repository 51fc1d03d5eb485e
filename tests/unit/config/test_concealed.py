"""No secret is written down, whatever it looks like and wherever it stands."""

import base64
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from routeiq.adapters.logs import LineHandler, LogTelemetry
from routeiq.adapters.otel.tracing import SpanTelemetry
from routeiq.adapters.prometheus.metrics import PrometheusTelemetry
from routeiq.config.concealed import MOST, PLACEHOLDERS, Concealed
from routeiq.config.database_url import parse_database_url
from routeiq.config.load import Settings, load
from routeiq.config.outbound import check_outbound
from routeiq.config.redis_url import parse_redis_url
from routeiq.config.secrets import Secrets
from routeiq.core.errors import RouteIQError
from routeiq.testing.fakes import FakeClock

CHARACTERS = st.characters(
    min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f", exclude_categories=("C", "Z")
)
WORDS = st.text(CHARACTERS, min_size=12, max_size=40).filter(lambda text: len(set(text)) >= 8)
"""Anything that can be typed."""

KEYS = st.from_regex(r"[a-z]{2,4}[-_][A-Za-z0-9_-]{16,48}", fullmatch=True)
LINES = st.lists(st.from_regex(r"[A-Za-z0-9+/]{40,64}", fullmatch=True), min_size=2, max_size=4).map(
    lambda lines: "\n".join(("-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"))
)
SECRETS = st.one_of(WORDS, KEYS, st.binary(min_size=12, max_size=32).map(lambda raw: base64.b64encode(raw).decode()))


def traces(secret: str) -> list[str]:
    """Return what must not turn up anywhere: the secret, as it is and in the forms of JSON and URLs."""
    lines = [line for line in secret.splitlines() if "PRIVATE KEY" not in line]
    return [form for line in lines for form in (line, json.dumps(line)[1:-1], quote(line, safe=""))]


def messages(secret: str) -> list[tuple[Any, ...]]:
    """Return what a library may say of a secret: format and arguments of log records."""
    return [
        ("%s", secret),
        (f"Incorrect API key provided: {secret}. You can find your key at https://provider.example",),
        ("calling %s", f"https://user:{quote(secret, safe='')}@provider.example/v1?api_key={quote(secret, safe='')}"),
        ("headers %s", {"authorization": f"Bearer {secret}", "x-own-header": secret}),
        ("body %s", json.dumps({"error": {"message": f"bad key {secret}"}})),
        ("body %s", json.dumps({"error": f"bad key {secret}"}, ensure_ascii=False)),
        ("%r", ValueError(secret)),
        ("x" * 1_990 + secret,),
        (f"basic {base64.b64encode(secret.encode()).decode()}",),
    ]


@contextmanager
def environ(**values: str) -> Iterator[None]:
    """Have these variables, and no others of ours, for as long as the block runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTEIQ_", "LITELLM_", "OTEL_"))}
    with patch.object(os, "environ", {**kept, **values}):
        yield


def written(concealed: Concealed, secret: str) -> str:
    """Return the lines that a process writes whose libraries say all there is of a secret."""
    stream = io.StringIO()
    handler = LineHandler(stream, hide=concealed.hide)
    logger = logging.Logger("anybody's")
    logger.addHandler(handler)
    for message, *arguments in messages(secret):
        logger.error(message, *arguments)
        logger.warning("said", extra={"routeiq": {"detail": secret, "url": f"redis://:{secret}@host"}})
    try:
        raise RuntimeError(secret) from ValueError(secret)
    except RuntimeError:
        logger.exception("failed with %s", secret)
    handler.close()
    return stream.getvalue()


def configured(folder: Path, **litellm_params: Any) -> Settings:
    path = folder / "config.yaml"
    model = {"model_name": "a", "litellm_params": {"model": "openai/a", **litellm_params}}
    path.write_text(yaml.safe_dump({"model_list": [model], "routeiq_settings": {}}))
    return load(path)


PLACES = ("variable", "file", "folder", "key", "header", "url", "query", "redis", "database")


def placed(place: str, secret: str, folder: Path) -> tuple[Secrets, Settings]:
    """Return a process's secrets and settings where the secret stands in one place."""
    (folder / "FOLDER_KEY").write_text(secret) if place == "folder" else None
    (folder / "file").write_text(secret + "\n")
    quoted = quote(secret, safe="")
    variables = {
        "variable": {"PROVIDER_API_KEY": secret},
        "file": {"PROVIDER_API_KEY_FILE": str(folder / "file")},
        "folder": {"ROUTEIQ_SECRETS_DIR": str(folder)},
        "redis": {"REDIS_URL": f"redis://:{quoted}@redis.example/1"},
        "database": {"DATABASE_URL": f"postgresql://user:{quoted}@db.example/name"},
    }
    params: dict[str, dict[str, Any]] = {
        "key": {"api_key": secret},
        "header": {"extra_headers": {"x-gateway-token": secret}},
        "url": {"api_base": f"https://user:{quoted}@provider.example/v1"},
        "query": {"api_base": f"https://provider.example/v1?api_key={quoted}"},
    }
    with environ(**variables.get(place, {})):
        secrets = Secrets.of_process()
        found = configured(folder, **params.get(place, {}))
    secrets.concealed.learn_settings(found)
    return secrets, found


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(secret=SECRETS)
def test_no_line_has_a_secret(place: str, secret: str) -> None:
    """Wherever a secret was read, no line shows it, nor status and representations of those who have it."""
    with TemporaryDirectory() as folder:
        secrets, found = placed(place, secret, Path(folder))
        said = written(secrets.concealed, secret)
        shown = f"{secrets.status()} {secrets!r} {found!r} {found.environment!r} {found.routeiq!r}"
    for trace in traces(secret):
        assert trace not in said
        assert trace not in shown


@settings(max_examples=20, deadline=None)
@given(secret=LINES)
def test_no_line_has_a_line_of_a_key(secret: str) -> None:
    """A key of several lines is hidden line by line."""
    with TemporaryDirectory() as folder:
        secrets, _ = placed("file", secret, Path(folder))
        said = written(secrets.concealed, secret) + "".join(
            written(secrets.concealed, line) for line in secret.splitlines()
        )
    assert not [trace for trace in traces(secret) if trace in said]


@settings(max_examples=60, deadline=None)
@given(
    secret=SECRETS.filter(lambda text: "@" not in text and "/" not in text), scheme=st.sampled_from(["redis", "http"])
)
def test_no_error_of_ours_has_a_secret(secret: str, scheme: str) -> None:
    """Whatever is wrong with an address, the message does not show what is secret in it."""
    said = []
    attempts = (
        lambda: parse_redis_url(f"{scheme}://:{secret}@host,other:99999999/x"),
        lambda: parse_redis_url(f"{secret}:{secret}@host"),
        lambda: parse_database_url(f"{scheme}://user:{secret}@host/name"),
        lambda: judged(f"http://user:{quote(secret)}@169.254.169.254/?key={quote(secret)}"),
    )
    for attempt in attempts:
        try:
            attempt()
        except RouteIQError as error:
            said.append(error.message)
    assert said
    assume(secret not in "the URL of Redis names 2 hosts; expected one host")
    assert not [message for message in said if secret in message]


def judged(api_base: str) -> None:
    with TemporaryDirectory() as folder:
        check_outbound(configured(Path(folder), api_base=api_base))


@settings(max_examples=30, deadline=None)
@given(secret=SECRETS)
def test_neither_metrics_nor_spans_have_a_secret(secret: str) -> None:
    """An error that holds a secret is counted, and its text goes nowhere."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    metrics = PrometheusTelemetry("1", strategies=(), experiments=(), models=(), sources={}, beside=())
    exporter = InMemorySpanExporter()
    spans = SpanTelemetry.to_exporter(exporter, FakeClock())
    stream = io.StringIO()
    handler = LineHandler(stream)
    with patch.object(logging.getLogger("routeiq"), "handlers", [handler]):
        for part in (metrics, spans, LogTelemetry(FakeClock(), SimpleNamespace(random=lambda: 0.0), share=1.0)):  # type: ignore[arg-type]
            part.failed("observe", ValueError(f"bad key {secret}"))
    handler.close()
    spans.close()
    said = metrics.render()[0].decode() + repr(exporter.get_finished_spans()) + stream.getvalue()
    assert not [trace for trace in traces(secret) if trace in said]


def test_what_is_no_secret_stays() -> None:
    """Placeholders for keys, short words and the rest of a URL are not taken out of lines."""
    concealed = Concealed()
    concealed.learn([*PLACEHOLDERS, "EMPTY", "none", "redis://:pass-word-1@redis.example:6379/1"])
    line = "ollama at localhost says EMPTY: nothing required, redis://redis.example:6379/1"
    assert concealed.hide(line) == line
    assert concealed.hide("with pass-word-1") == "with [redacted]"


def test_former_secrets_stay_hidden_and_their_number_is_bounded() -> None:
    """What was a secret is one for the calls that still use it; the oldest of very many are forgotten."""
    concealed = Concealed()
    concealed.learn(f"secret-number-{number}" for number in range(MOST))
    assert concealed.hide("secret-number-0") == "[redacted]"
    concealed.learn(["secret-number-last"])
    assert (
        concealed.hide("secret-number-last secret-number-999 secret-number-0")
        == "[redacted] [redacted] secret-number-0"
    )
