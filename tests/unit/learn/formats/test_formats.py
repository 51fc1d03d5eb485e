"""Outcomes in other people's formats."""

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from routeiq.core.decision import Decision, Reason
from routeiq.core.errors import DataError
from routeiq.core.outcome import Feedback, Outcome, Status, Usage
from routeiq.core.remembered import PromptRecord, Record
from routeiq.learn.dataset import read
from routeiq.learn.formats import llmrouter, payloads, records, routerbench, spend_logs
from routeiq.learn.formats.answers import Answer, Place, Price, Reader, Skipped
from routeiq.learn.formats.folder import Gathered, gather, split_of, stem, write

NO_SCORE = "the score is missing"


def lines(path: Path, rows: Iterable[Any]) -> Path:
    """Write JSON Lines."""
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def gathered(reader: Reader, *paths: Path) -> Gathered:
    """Return what a reader finds in files."""
    return gather(reader(paths), "s", NO_SCORE)


def reasons(found: Gathered) -> list[tuple[int, str]]:
    """Return row and reason of what was left out."""
    return [(item.place.row, item.reason) for item in found.skipped]


def routing_row(query: str, model: str, performance: Any, **more: Any) -> dict[str, Any]:
    """Return a row of LLMRouter's routing data."""
    return {"task_name": "gsm8k", "query": query, "ground_truth": "4", "metric": "GSM8K", "model_name": model,
            "performance": performance, "input_tokens": 40, "output_tokens": 10, "token_num": 50,
            "response_time": 1.5, "embedding_id": 0, **more}  # fmt: skip


def test_llmrouter_files_make_a_data_folder_that_training_reads(tmp_path: Path) -> None:
    """Routing data and candidates come back as the matrix they describe, with costs from tokens and list prices."""
    routing = lines(
        tmp_path / "train.jsonl",
        [routing_row(f"question {i}", model, float(model == "big")) for i in range(30) for model in ("big", "small")],
    )
    candidates = tmp_path / "llm.json"
    price = {"size": "7B", "feature": "a model", "input_price": 2.0, "output_price": 4.0, "model": "x", "service": "y"}
    candidates.write_text(json.dumps({"big": price, "small": {**price, "input_price": 0.2}}))
    found = gathered(llmrouter.read, routing, candidates)
    write(found, tmp_path / "data")
    matrix = read(tmp_path / "data", ["s"])
    assert matrix.models == ("big", "small")
    assert sorted(matrix.texts) == sorted(f"question {i}" for i in range(30))
    assert set(matrix.categories) == {"gsm8k"}
    assert (matrix.score == [1.0, 0.0]).all()
    assert np.allclose(matrix.cost_usd[:, 0], (40 * 2 + 10 * 4) / 1e6)
    assert (matrix.latency_s == 1.5).all()
    assert matrix.splits == tuple(split_of(text) for text in matrix.texts)
    assert not found.skipped


def test_every_row_of_llmrouter_that_is_left_out_is_listed(tmp_path: Path) -> None:
    """Broken lines, rows without prompt, model or score, and scores outside 0..1 are named by row and reason."""
    routing = lines(
        tmp_path / "train.jsonl",
        [
            routing_row("q", "a", 1.0),
            "{oops\n",
            {"task_name": "gsm8k", "model_name": "a", "performance": 0.5},
            {"task_name": "gsm8k", "query": "q", "ground_truth": "4", "metric": "m"},
            routing_row("q", "b", None),
            routing_row("q", "c", 7),
            "[1]\n",
            routing_row("q", "a", 0.0),
        ],
    )
    vectors = tmp_path / "query_embeddings.pt"
    vectors.write_bytes(b"never opened")
    found = gathered(llmrouter.read, routing, vectors)
    assert [row for row, _ in reasons(found)] == [2, 3, 4, 5, 6, 7, 0]
    assert "not JSON" in found.skipped[0].reason
    assert "`query`" in found.skipped[1].reason
    assert "`model_name`" in found.skipped[2].reason
    assert "outside 0..1" in found.skipped[4].reason
    assert "pickle" in found.skipped[6].reason
    assert [str(item.place) for item in found.merged] == [f"{routing} row 8"]
    assert [row["score"] for row in found.outcomes] == [0.5]


def test_embeddings_of_candidates_are_said_to_be_left_out(tmp_path: Path) -> None:
    """A candidate file with embeddings gives its prices, and one line per embedding that is not used."""
    file = tmp_path / "llm_embeddings.json"
    file.write_text(json.dumps({"a": {"input_price": 1, "output_price": 2, "embedding": [0.1, 0.2]}, "b": {}}))
    prices, vectors, unpriced = list(llmrouter.read([file]))
    assert isinstance(prices, Price)
    assert (prices.usd_per_m_input, prices.usd_per_m_output) == (1.0, 2.0)
    assert isinstance(vectors, Skipped)
    assert "another encoder" in vectors.reason
    assert isinstance(unpriced, Skipped)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_wide_table_gives_an_answer_per_model(tmp_path: Path, kind: str) -> None:
    """RouterBench's columns become outcomes with costs, and its list of turns becomes text."""
    columns = {
        "sample_id": ["mmlu.1", "gsm.2"],
        "prompt": ["['Two', 'turns']", '["What is 2+2?"]'],
        "eval_name": ["mmlu", "gsm8k"],
        "gpt-4": [1.0, 0.5],
        "gpt-4|model_response": ["A", "4"],
        "gpt-4|total_cost": [0.01, 0.02],
        "tiny": [0.0, None],
        "tiny|total_cost": [0.0001, 0.0002],
        "oracle_model_to_route_to": ["gpt-4", "gpt-4"],
    }
    path = tmp_path / f"bench.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    found = gathered(routerbench.read, path)
    assert [row["prompt"] for row in found.prompts] == ["['Two', 'turns']", "What is 2+2?"]
    assert [(row["model"], row["score"], row["cost_usd"]) for row in found.outcomes] == [
        ("gpt-4", 1.0, 0.01), ("tiny", 0.0, 0.0001), ("gpt-4", 0.5, 0.02),
    ]  # fmt: skip
    assert reasons(found) == [(2, NO_SCORE)]


def test_a_pickled_table_is_never_opened(tmp_path: Path) -> None:
    """RouterBench's own pickle is refused with the way round it."""
    with pytest.raises(DataError, match="runs code when opened; convert it to Parquet"):
        list(routerbench.read([tmp_path / "routerbench_0shot.pkl"]))


def spend_row(**changed: Any) -> dict[str, Any]:
    """Return a row of LiteLLM_SpendLogs as its CSV export has it."""
    return {
        "request_id": "r1", "call_type": "acompletion", "status": "success", "model": "openai/gpt-x", "spend": "0.002",
        "model_group": "good", "prompt_tokens": "12", "completion_tokens": "7", "cache_hit": "False",
        "startTime": "2026-11-01T10:00:00.000Z", "endTime": "2026-11-01T10:00:02.500Z",
        "messages": '[{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]',
        "metadata": '{"spend_logs_metadata": {"score": 0.75}}', **changed,
    }  # fmt: skip


def test_spend_logs_give_prompt_score_and_cost(tmp_path: Path) -> None:
    """A spend log row becomes the last user turn, the score of its metadata, what it cost and how long it took."""
    path = tmp_path / "spend.csv"
    request = '{"messages": [{"role": "user", "content": [{"type": "text", "text": "deep"}]}], "tools": [{"a": 1}]}'
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*spend_row(), "proxy_server_request"])
        writer.writeheader()
        writer.writerow(spend_row(proxy_server_request="{}"))
        writer.writerow(spend_row(messages="{}", proxy_server_request=request, spend="0"))
        writer.writerow(spend_row(messages="{}", proxy_server_request="{}"))
        writer.writerow(spend_row(status="failure", proxy_server_request="{}"))
        writer.writerow(spend_row(call_type="aembedding", proxy_server_request="{}"))
        writer.writerow(spend_row(metadata="{}", proxy_server_request="{}"))
    found = gathered(spend_logs.read, path)
    assert [(row["prompt"], row["tools"]) for row in found.prompts] == [("hello", None), ("deep", '[{"a": 1}]')]
    first, second = found.outcomes
    assert (first["model"], first["score"], first["cost_usd"], first["latency_s"]) == ("good", 0.75, 0.002, 2.5)
    assert second["cost_usd"] is None
    assert [row for row, _ in reasons(found)] == [3, 4, 5, 6]
    assert "store_prompts_in_spend_logs" in found.skipped[0].reason


def test_a_cached_answer_has_no_cost_of_its_own(tmp_path: Path) -> None:
    """What LiteLLM answered from its cache keeps its score but neither cost nor latency."""
    path = tmp_path / "spend.json"
    path.write_text(json.dumps({"data": [spend_row(cache_hit="True")]}))
    (answer,) = spend_logs.read([path])
    assert isinstance(answer, Answer)
    assert (answer.score, answer.cost_usd, answer.latency_s) == (0.75, None, None)


def test_payloads_give_answers_and_prices(tmp_path: Path) -> None:
    """A standard logging payload becomes an answer, and its price map entry the model's list price."""
    payload = {
        "id": "c1", "call_type": "acompletion", "status": "success", "model_group": "good", "response_cost": 0.5,
        "messages": [{"role": "user", "content": "hi"}], "metadata": {"requester_metadata": {"score": 1}},
        "prompt_tokens": 3, "completion_tokens": 4, "response_time": 0.5, "cache_hit": None,
        "model_map_information": {"model_map_value": {"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7}},
    }  # fmt: skip
    path = lines(tmp_path / "log.jsonl", [payload, {**payload, "messages": "redacted-by-litellm"}])
    answer, price, redacted = payloads.read([path])
    assert isinstance(answer, Answer)
    assert (answer.prompt, answer.score, answer.cost_usd, answer.latency_s) == ("hi", 1.0, 0.5, 0.5)
    assert price == Price(Place(str(path), 1), "good", 0.15, 0.6)
    assert isinstance(redacted, Skipped)


def record(**changed: Any) -> Record:
    """Return a judged request of our own log."""
    decision = Decision(
        id="d",
        request_id="r",
        alias="auto",
        strategy="knn",
        choice="a",
        ranking=("a",),
        propensity=1.0,
        at=1.0,
        reason=Reason.BEST,
    )
    parts: dict[str, Any] = {
        "decision": decision,
        "prompt": PromptRecord(text="why?"),
        "outcome": Outcome("d", "r", 1.0, "b", Status.SUCCESS, Usage(5, 6), cost_usd=0.1, latency_s=2.0),
        "feedback": (Feedback("f", "d", 2.0, "user", score=0.25),),
        **changed,
    }
    return Record(**parts)


def test_our_own_log_gives_what_the_serving_model_scored() -> None:
    """A record counts for the model that answered; one without text, end or score is left out with the reason."""
    broken = [
        record(prompt=PromptRecord()),
        record(outcome=None),
        record(outcome=Outcome("d", "r", 1.0, "b", Status.FAILURE)),
        record(feedback=(Feedback("f", "d", 2.0, "user", other="a", preferred="b"),)),
    ]
    first, *rest = records.read([record(), *broken], "log.sqlite3")
    assert isinstance(first, Answer)
    assert (first.model, first.score, first.category, first.cost_usd) == ("b", 0.25, "auto", 0.1)
    assert all(isinstance(item, Skipped) for item in rest)
    assert [str(item.place) for item in rest] == [f"log.sqlite3 row {i}" for i in (2, 3, 4, 5)]


def test_a_cached_answer_is_nobodys_unless_the_model_was_named() -> None:
    """LiteLLM keeps answers under the virtual model's name, so the one that was chosen need not have given it."""
    kept = Outcome("d", "r", 1.0, "b", Status.SUCCESS, cached=True)
    named = replace(record().decision, reason=Reason.NAMED)
    foreign, own = records.read([record(outcome=kept), record(outcome=kept, decision=named)], "log.sqlite3")
    assert isinstance(foreign, Skipped)
    assert "cache" in foreign.reason
    assert isinstance(own, Answer)
    assert (own.model, own.score, own.latency_s) == ("b", 0.25, None)


def test_the_same_question_is_always_on_the_same_side() -> None:
    """Case, white space and answer options do not move a question to another split."""
    assert stem("What  is\nlight?\n\nOptions:\nA. wave") == "what is light?"
    assert stem("What is light?\nA) wave\nB) dust") == "what is light?"
    assert split_of("What is light?\nA) wave") == split_of("what is  LIGHT?\n(A) dust")
    share = np.mean([split_of(f"question {i}") == "train" for i in range(4000)])
    assert 0.67 < share < 0.73


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    """An import without any outcome writes nothing and names the most frequent reason."""
    path = lines(tmp_path / "query.jsonl", [{"task_name": "t", "query": "q"}] * 3)
    with pytest.raises(DataError, match="import the routing data"):
        write(gathered(llmrouter.read, path), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_with_outcomes_is_not_overwritten(tmp_path: Path) -> None:
    """Importing twice into one folder is refused."""
    found = gathered(llmrouter.read, lines(tmp_path / "a.jsonl", [routing_row("q", "a", 1)]))
    write(found, tmp_path / "data")
    with pytest.raises(DataError, match=r"holds prompts\.parquet"):
        write(found, tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.xml", b"", "cannot tell the form"),
        ("x.json", b"{", "not JSON"),
        ("x.jsonl", b"\xff\xfe\x00", "not UTF-8"),
        ("x.parquet", b"PAR0", "cannot be read as Parquet"),
        ("x.json", b'"text"', "expected a list"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A file of the wrong form is an error that names it and what is wrong."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(spend_logs.read([path]))
    assert str(path) in caught.value.message


def test_reports_hold_no_prompt(tmp_path: Path) -> None:
    """The report of an import names places and reasons, never what was asked."""
    path = lines(tmp_path / "a.jsonl", [routing_row("SECRET", "a", 1), routing_row("SECRET", "b", 9), '"SECRET"\n'])
    assert "SECRET" not in json.dumps(gathered(llmrouter.read, path).report())
