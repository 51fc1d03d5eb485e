"""The keyed endpoints: who may see what, the dry run, status, and refusals in one form."""

import os

import httpx
import pytest

from routeiq.core.errors import StoreUnavailable
from routeiq.core.request import Caller
from routeiq.http.table import EXPERIMENT, EXPERIMENTS, KEYED, LOAD
from routeiq.testing.fakes import FixedKeys, RecordingLog
from tests.unit.http.scene import ADMIN, ALICE, BOB, NOBODY, keys, scene
from tests.unit.routing.scene import snapshot

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return status and reason word of an error, after checking its form."""
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return answer.status_code, error["code"]


@pytest.mark.parametrize("endpoint", KEYED, ids=lambda e: e.path)
@pytest.mark.parametrize("key", [None, "sk-wrong"])
async def test_every_keyed_endpoint_needs_a_key(endpoint: object, key: str | None) -> None:
    """Without a valid key the answer is 401, and says how to send one."""
    at = scene()
    method, path = endpoint.method, endpoint.path.replace("{id}", "dec_1")  # type: ignore[attr-defined]
    answer = await at.ask(method, path, key=key)
    assert code(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_every_keyed_endpoint_has_a_handler() -> None:
    """The table and the handlers name the same endpoints, but for those of parts that this edge does not have."""
    absent = {LOAD, EXPERIMENTS, EXPERIMENT, *(endpoint for endpoint in KEYED if endpoint.admin)}
    assert set(scene().edge._keyed.handlers) == set(KEYED) - absent


async def test_an_endpoint_of_an_absent_part_does_not_exist() -> None:
    """Where nothing reloads, reloading is an unknown path."""
    assert code(await scene().ask("POST", "/routeiq/reload")) == (404, "unknown_path")


async def test_keys_that_cannot_be_checked_open_nothing() -> None:
    """When the authenticator breaks, the answer is 503 and the error is counted."""

    class Broken(FixedKeys):
        async def authenticate(self, headers: object) -> Caller | None:
            raise ConnectionError("database down")

    at = scene(auth=Broken({}))
    answer = await at.ask("GET", "/routeiq/status")
    assert code(answer) == (503, "auth_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert [where for where, _ in at.telemetry.failures] == ["authenticate"]


@pytest.mark.parametrize(
    "path", ["/routeiq", "/routeiq/", "/routeiq/decisions/", "/routeiq/decisions/a/b", "/routeiq/x"]
)
async def test_unknown_paths_below_ours_never_reach_the_inner_application(path: str) -> None:
    """What we do not serve is refused here, so nothing of LiteLLM can stand in our place."""
    at = scene()
    assert code(await at.ask("GET", path)) == (404, "unknown_path")
    assert not at.inner.seen


async def test_a_wrong_method_is_told_the_right_one() -> None:
    """405 names what the endpoint takes."""
    answer = await scene().ask("GET", "/routeiq/feedback")
    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_decision_is_explained_with_all_its_candidates() -> None:
    """The explanation has every candidate, the outcome, and the feedback so far."""
    at = scene()
    decision_id = await at.decided()
    await at.ask("POST", "/routeiq/feedback", json={"decision_id": decision_id, "score": 0.25, "source": "judge"})
    found = (await at.ask("GET", f"/routeiq/decisions/{decision_id}")).json()
    assert (found["id"], found["choice"], found["strategy"], found["schema"]) == (decision_id, "small", "smallest", "1")
    assert [c["name"] for c in found["candidates"]] == ["small", "medium", "large"]
    assert {"probability", "utility", "expected_score", "expected_cost_usd", "filtered_by"} <= set(
        found["candidates"][0]
    )
    assert found["outcome"]["usage"] == {"input_tokens": 10, "output_tokens": 20}
    assert [(f["source"], f["score"], f["comparison"]) for f in found["feedback"]] == [("judge", 0.25, None)]


async def test_a_caller_sees_decisions_of_its_own_key_only() -> None:
    """Another key of the same team gets the answer of a decision that does not exist; an admin sees all."""
    at = scene()
    decision_id = await at.decided()
    answers = {key: await at.ask("GET", f"/routeiq/decisions/{decision_id}", key=key) for key in (ALICE, BOB, ADMIN)}
    unknown = await at.ask("GET", f"/routeiq/decisions/dec_{'0' * 24}", key=BOB)
    assert [answers[key].status_code for key in (ALICE, BOB, ADMIN)] == [200, 404, 200]
    assert answers[BOB].text.replace(decision_id, "") == unknown.text.replace(f"dec_{'0' * 24}", "")


async def test_a_caller_without_a_key_hash_owns_nothing() -> None:
    """Two callers that LiteLLM knows no key of are not one caller."""
    at = scene(auth=FixedKeys({ALICE: Caller(None)}))
    decision_id = await at.decided(key_hash="")
    assert code(await at.ask("GET", f"/routeiq/decisions/{decision_id}")) == (404, "unknown_decision")


@pytest.mark.parametrize(
    "path", ["/routeiq/decisions/%00", "/routeiq/decisions/" + "x" * 65, "/routeiq/decisions/a%20b"]
)
async def test_ids_that_cannot_be_are_unknown(path: str) -> None:
    """An id that no decision can have is unknown, and the log is not asked."""
    assert code(await scene().ask("GET", path)) == (404, "unknown_decision")


async def test_a_log_that_cannot_be_read_is_a_503() -> None:
    """When the log is unavailable, the client is told to come back."""

    class Broken(RecordingLog):
        async def find(self, decision_id: str) -> None:
            raise StoreUnavailable("the outcome log cannot be read (disk_full)")

    answer = await scene(Broken()).ask("GET", "/routeiq/decisions/dec_1")
    assert code(answer) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_dry_run_explains_and_leaves_no_trace() -> None:
    """The ranking comes back in full, and nothing was counted, kept, logged or reported."""
    at = scene(picture=snapshot("round-robin"))
    answers = [(await at.ask("POST", "/routeiq/route", json=CHAT)).json() for _ in range(3)]
    assert [a["choice"] for a in answers] == ["small"] * 3
    assert (answers[0]["dry_run"], answers[0]["id"], len(answers[0]["candidates"])) == (True, None, 3)
    assert not at.kept.decisions
    assert not at.telemetry.decisions
    assert not at.inner.seen
    assert at.flow.passage("preview") is None
    assert not at.flow.vitals.in_flight(at.flow.holder.current.routes["auto"].table).any()


async def test_a_dry_run_honours_the_hint() -> None:
    """A hint counts in the dry run as it does in a call."""
    found = (await scene().ask("POST", "/routeiq/route", json=CHAT, headers={"x-routeiq-hint": "large"})).json()
    assert (found["choice"], found["reason"]) == ("large", "hint")


async def test_a_dry_run_never_widens_access() -> None:
    """Candidates that the key may not call by name are not ranked, and are named with the reason."""
    at = scene(picture=snapshot("largest"))
    found = (await at.ask("POST", "/routeiq/route", key=NOBODY, json=CHAT)).json()
    assert found["ranking"] == ["small"]
    assert {c["name"]: c["filtered_by"] for c in found["candidates"]} == {
        "small": None,
        "medium": "access",
        "large": "access",
    }


@pytest.mark.parametrize("model", ["autos", "large", "other"])
async def test_a_model_that_may_not_be_called_looks_like_one_that_does_not_exist(model: str) -> None:
    """Forbidden and unknown models get the same answer, which names what the key may use."""
    answer = await scene().ask("POST", "/routeiq/route", key=NOBODY, json={**CHAT, "model": model})
    assert code(answer) == (404, "unknown_model")
    message = answer.json()["error"]["message"].replace("did you mean 'auto'?", "known: auto")
    assert message == f"model {model!r} is not one that this key may have routed; known: auto"


async def test_an_alias_without_a_permitted_candidate_is_refused() -> None:
    """A key that may call the alias but none of its candidates gets no ranking."""
    auth = keys()
    auth.models["hash-nobody"] = {"auto"}
    answer = await scene(auth=auth).ask("POST", "/routeiq/route", key=NOBODY, json=CHAT)
    assert code(answer) == (404, "unknown_model")


async def test_a_named_model_is_previewed_as_named() -> None:
    """A concrete model is honoured, and the dry run says so."""
    found = (await scene().ask("POST", "/routeiq/route", json={**CHAT, "model": "large"})).json()
    assert (found["choice"], found["reason"], found["ranking"]) == ("large", "named", ["large"])


async def test_status_tells_what_runs() -> None:
    """Status has version, worker, snapshot, aliases, checks, and what the parts add."""
    at = scene(status=lambda: {"outcome_log": {"queued": 3}}, checks=lambda: {"outcome_log": "ok"})
    found = (await at.ask("GET", "/routeiq/status")).json()
    assert (found["pid"], found["snapshot"], found["state"]) == (os.getpid(), "v1", "starting")
    assert found["aliases"]["auto"]["candidates"] == ["small", "medium", "large"]
    assert (found["outcome_log"], found["checks"]) == ({"queued": 3}, {"outcome_log": "ok"})


async def test_a_broken_part_of_an_endpoint_is_told_and_counted() -> None:
    """An unexpected error gives an error in the common form, without its text, and is counted."""

    def broken() -> dict[str, object]:
        raise RuntimeError("password=hunter2")

    at = scene(status=broken)
    answer = await at.ask("GET", "/routeiq/status")
    assert code(answer) == (500, "internal")
    assert "hunter2" not in answer.text
    assert [where for where, _ in at.telemetry.failures] == ["endpoint"]
