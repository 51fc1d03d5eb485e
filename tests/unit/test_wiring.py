"""The composition root: real parts put together from real files, without a server."""

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from routeiq import wiring
from routeiq.adapters.litellm import translate
from routeiq.adapters.onnx import OnnxEmbedder
from routeiq.adapters.onnx.graph import build_encoder
from routeiq.cli.app import run
from routeiq.config.load import load
from routeiq.core.errors import UnknownKey
from routeiq.core.request import Caller
from routeiq.wiring import Gateway
from tests.unit.adapters.onnx.encoder import SHAPE, random_weights
from tests.unit.config.scene import CANDIDATES, config

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "route", "the", "prompt", "to", "a", "model", "##s", "."]
TEXT = "Route the prompts to a model."


def assembled(folder: Path, section: str) -> Gateway:
    """The parts that a section comes to."""
    folder.mkdir(exist_ok=True)
    return wiring.assemble(load(config(folder, section)), CANDIDATES)


async def decided(gateway: Gateway, text: str = TEXT) -> Any:
    """A request on its way, as far as its decision."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    passage = gateway.flow.admit(translate.preview(body, {}, Caller()))
    await gateway.flow.prepare(passage)
    gateway.flow.decide(passage)
    return passage


def encoder(folder: Path, layers: int) -> Path:
    """Write a small encoder that reads as many tokens as a real one; all of its layers are alike."""
    weights = random_weights()
    positions = np.random.default_rng(1).normal(0, 0.3, (512, SHAPE.hidden)).astype(np.float32)
    weights["embeddings.position_embeddings.weight"] = positions
    first = {name: value for name, value in weights.items() if name.startswith("encoder.layer.0.")}
    for layer in range(1, layers):
        weights |= {name.replace("layer.0.", f"layer.{layer}."): value for name, value in first.items()}
    folder.mkdir()
    onnx.save(build_encoder(weights, replace(SHAPE, layers=layers)), str(folder / "model.onnx"))
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


def section_of(folder: Path, deadline_ms: float) -> str:
    """A section that embeds with an encoder."""
    embedder = f"{{kind: onnx, path: '{folder}', deadline_ms: {deadline_ms}}}"
    return f"strategy: largest\naliases: {{auto: {{}}}}\nembedder: {embedder}"


async def test_two_gateways_of_one_process_share_nothing(tmp_path: Path) -> None:
    """What one does changes neither counters, turns, log nor snapshot of the other."""
    one, other = (
        assembled(tmp_path / name, f"strategy: {strategy}\naliases: {{auto: {{}}}}\noutcome_log: {{path: log.db}}")
        for name, strategy in (("one", "largest"), ("other", "round-robin"))
    )
    try:
        passages = [await decided(one), await decided(one), await decided(other)]
        for passage in passages:
            assert passage.decision is not None
        assert [p.decision.strategy for p in passages] == ["largest", "largest", "round-robin"]
        assert passages[2].decision.choice == "small"
        assert one.flow.holder.current.version != other.flow.holder.current.version
        assert await other.log.find(passages[0].decision.id) is None
        assert await one.log.find(passages[0].decision.id) is not None
        lines = [gateway.metrics.render()[0].decode() for gateway in (one, other)]
        counted = [[line for line in text.splitlines() if "decisions_total{" in line] for text in lines]
        assert [[line.rsplit(" ", 1)[1] for line in found] for found in counted] == [["2.0"], ["1.0"]]
        assert 'strategy="largest"' not in lines[1]
        assert 'strategy="round-robin"' not in lines[0]
        one.flow.attempt(passages[0], "small")
        assert (one.flow.vitals.total(), other.flow.vitals.total()) == (1, 0)
        await one.close()
        assert other.log.status().healthy
        assert (await decided(other)).decision.choice == "big"
    finally:
        await one.close()
        await other.close()
    assert sorted(path.name for path in tmp_path.glob("*/log.db")) == ["log.db", "log.db"]


async def test_an_onnx_encoder_embeds_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`embedder.kind: onnx` with a folder passes the check, and requests get its vector from another thread."""
    folder = encoder(tmp_path / "encoder", layers=2)
    section = section_of(folder, deadline_ms=9000)
    assert run(["check", "--config", str(config(tmp_path, section))]) == 0
    threads: list[str] = []
    real = OnnxEmbedder.embed

    def observed(self: OnnxEmbedder, text: str) -> Any:
        threads.append(threading.current_thread().name)
        return real(self, text)

    monkeypatch.setattr(OnnxEmbedder, "embed", observed)
    gateway = assembled(tmp_path, section)
    try:
        passage = await decided(gateway)
        assert passage.features.absent is None
        assert np.array_equal(passage.features.embedding, real(OnnxEmbedder(folder), TEXT))
        assert passage.decision.embedder == passage.features.embedder == OnnxEmbedder(folder).id
        assert [name.startswith("routeiq-embed") for name in threads] == [True]
    finally:
        await gateway.close()


async def test_an_onnx_encoder_that_is_too_slow_is_not_waited_for(tmp_path: Path) -> None:
    """Beyond the deadline the request is decided without a vector."""
    gateway = assembled(tmp_path, section_of(encoder(tmp_path / "encoder", layers=60), deadline_ms=0.1))
    try:
        passage = await decided(gateway, TEXT * 200)
        assert passage.features.embedding is None
        assert passage.features.absent == "embedder_timeout"
        assert passage.decision.choice in passage.decision.ranking
    finally:
        await gateway.close()


def test_a_folder_without_an_encoder_does_not_pass_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check names what is missing in the folder, and ends with 2."""
    assert run(["check", "--config", str(config(tmp_path, section_of(tmp_path, 30)))]) == 2
    assert f"error[artifact_invalid]: {tmp_path} has neither vocab.txt" in capsys.readouterr().err


def test_a_mistake_in_plugin_mode_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the worker ends the log says what is wrong, in one line with reason, file and key."""
    monkeypatch.setenv("CONFIG_FILE_PATH", str(config(tmp_path, "strategee: largest")))
    with caplog.at_level(logging.ERROR), pytest.raises(UnknownKey):
        wiring.install()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"error[unknown_key]: {tmp_path / 'config.yaml'}:14: routeiq_settings.strategee")
    assert "\n" not in line
