"""Learning while serving, through the flow: judgements move what is chosen, and what was learned is not lost."""

import asyncio
import fcntl
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from routeiq.adapters.files.posteriors import FilePosteriorStore
from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.decision import CandidateReport, Decision, Reason
from routeiq.core.errors import ArtifactError
from routeiq.core.outcome import Feedback, Outcome, Status
from routeiq.core.request import Caller
from routeiq.core.reward import Objective
from routeiq.flow import Passage, RequestFlow
from routeiq.learn import elo, linucb, personalized, thompson
from routeiq.routing.learners import Learners
from routeiq.routing.online import Judgement, LiveScorer
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.stages import Features
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import FakeClock, RecordingLog, RecordingTelemetry
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world
from tests.unit.routing.scene import request

POOL = CandidateTable(tuple(Candidate(name, 1e-6, 2e-6) for name in MODELS))
RED = Caller(team="red", user="ann")


def taught(family: ModuleType = thompson, prompts: int = 40) -> Artifact:
    """A strategy that has seen few outcomes: the poet is the one for verse."""
    matrix = world(prompts)
    if family is personalized:
        return personalized.fit(elo.fit(matrix, vectors(matrix), "words@1"), [])
    if family is elo:
        return elo.fit(matrix, vectors(matrix), "words@1")
    artifact: Artifact = family.fit(matrix, vectors(matrix), "words@1")
    return artifact


def picture(artifact: Artifact, version: str = "v1") -> Snapshot:
    """A snapshot that serves an artifact."""
    profile = build(recipe(artifact.manifest.strategy), POOL, artifact, Tuning(Objective()))
    return Snapshot(version, {"auto": Route("auto", POOL, profile)})


def flow_over(artifact: Artifact, learners: Learners | None = None) -> RequestFlow:
    """A flow whose scorers learn."""
    telemetry = RecordingTelemetry()
    learners = learners or Learners(failed=telemetry.failed)
    holder = SnapshotHolder(picture(artifact), learners.adopt)
    return RequestFlow(
        holder, WordEmbedder(), RecordingLog(), telemetry, FakeClock(), random.Random(3), learners=learners
    )


async def served(flow: RequestFlow, name: str, topic: str = "verse", caller: Caller = RED, **ask: Any) -> Passage:
    """One request from admission to its end."""
    text = " ".join(random.Random(name).choices(WORDS[topic], k=5))
    passage = flow.admit(request(id=name, text=text, caller=caller, **ask))
    await flow.prepare(passage)
    decision = flow.decide(passage)
    flow.attempt(passage, decision.choice)
    return passage


def end(flow: RequestFlow, passage: Passage, status: Status = Status.SUCCESS) -> None:
    """End a request on the model that was chosen."""
    assert passage.decision is not None
    flow.observe(passage, Outcome(passage.decision.id, passage.request.id, 0.0, passage.decision.choice, status))


async def judge(flow: RequestFlow, passage: Passage, score: float | None, **more: Any) -> None:
    """Post feedback as the endpoint does."""
    assert passage.decision is not None
    found = await flow.log.find(passage.decision.id)
    assert found is not None
    given = Feedback(f"fb{len(found.feedback)}", passage.decision.id, 1.0, more.pop("source", "client"), score, **more)
    await flow.log.add_feedback(given)
    flow.judged(found, given)


def shares(choices: Sequence[str], name: str) -> list[float]:
    """How often a model was chosen in each third."""
    third = len(choices) // 3
    return [choices[i * third : (i + 1) * third].count(name) / third for i in range(3)]


@pytest.mark.parametrize("family", [thompson, linucb, elo, personalized])
async def test_the_better_model_is_chosen_more_and_more(family: ModuleType) -> None:
    """Over 300 judged requests the model that is better now gains what the one that was better at training loses."""
    flow, quality = flow_over(taught(family)), {"cheap": 0.1, "dear": 0.95, "poet": 0.05}
    first = (await served(flow, "warm")).decision
    assert first is not None
    choices = []
    for i in range(300):
        passage = await served(flow, f"r{i}")
        assert passage.decision is not None
        choices.append(passage.decision.choice)
        end(flow, passage)
        await judge(flow, passage, quality[passage.decision.choice])
    dear = shares(choices, "dear")
    assert all(later >= earlier for earlier, later in pairwise(dear))
    assert dear[2] > 0.9
    assert shares(choices, "poet")[2] < 0.1
    assert isinstance(flow.telemetry, RecordingTelemetry)
    assert flow.telemetry.failures == []
    assert sum(flow.learners.status().values()) == 300


async def test_outcomes_teach_where_the_operator_says_what_they_stand_for() -> None:
    """With an answered score, a model that fails is left; without one, outcomes alone teach nothing."""
    for answered, learned in ((0.8, True), (None, False)):
        flow = flow_over(taught(), Learners(answered=answered))
        choices = []
        for i in range(200):
            passage = await served(flow, f"r{i}")
            assert passage.decision is not None
            choices.append(passage.decision.choice)
            end(flow, passage, Status.FAILURE if choices[-1] == "poet" else Status.SUCCESS)
        assert (shares(choices, "poet")[2] < 0.2) is learned
        assert (sum(flow.learners.status().values()) > 0) is learned


async def test_an_answer_from_the_hosts_cache_teaches_nothing_of_the_chosen_model() -> None:
    """Neither its end nor a judgement of it is taken for the model that was chosen: another may have given it."""
    flow = flow_over(taught(), Learners(answered=0.8))
    passage = await served(flow, "r")
    assert passage.decision is not None
    choice = passage.decision.choice
    flow.observe(passage, Outcome(passage.decision.id, "r", 0.0, choice, Status.SUCCESS, cached=True))
    await judge(flow, passage, 0.0)
    await judge(flow, passage, None, other="dear", preferred="dear")
    assert sum(flow.learners.status().values()) == 0


async def test_a_judgement_takes_the_place_of_what_came_before() -> None:
    """What the outcome stood for, and what the same judge said earlier, leave no trace in the posterior."""
    artifact = taught()
    twice, once = (flow_over(artifact, Learners(answered=answered)) for answered in (0.9, None))
    for flow, scores in ((twice, (1.0, 0.2)), (once, (0.2,))):
        passage = await served(flow, "r")
        if flow is twice:
            end(flow, passage)
        for score in scores:
            await judge(flow, passage, score)
        if flow is once:
            end(flow, passage)
    both = [state(flow) for flow in (twice, once)]
    for name in ("precision", "moment", "seen"):
        np.testing.assert_allclose(both[0][name], both[1][name], atol=1e-12)


def state(flow: RequestFlow) -> Any:
    """What the flow's only learner has added."""
    [(scorer, _)] = flow.holder.current.routes["auto"].profile.scorers
    assert isinstance(scorer, LiveScorer)
    [post] = flow.learners._posts.values()
    return post.learner.gains()[0]


async def test_an_outcome_that_comes_after_its_judgement_is_not_learned_too() -> None:
    """Feedback may be quicker than the host's event of the end."""
    flow = flow_over(taught(), Learners(answered=0.9))
    passage = await served(flow, "r")
    await judge(flow, passage, 0.2)
    end(flow, passage)
    assert state(flow)["seen"].sum() == 1.0


async def test_comparisons_move_ratings() -> None:
    """A model that loses game after game is expected to be worse than the winner; a bandit learns scores only."""
    flow = flow_over(taught(elo))
    for i in range(120):
        passage = await served(flow, f"r{i}")
        assert passage.decision is not None
        other = "dear" if passage.decision.choice != "dear" else "cheap"
        await judge(flow, passage, None, other=other, preferred="dear")
    found = (await served(flow, "last")).decision
    assert found is not None
    assert found.choice == "dear"
    bandit = flow_over(taught())
    await judge(bandit, await served(bandit, "r"), None, other="dear", preferred=None)
    assert sum(bandit.learners.status().values()) == 0


async def test_what_one_team_thinks_is_not_what_another_thinks() -> None:
    """Judgements of a new team move its own requests; those of others, and of strangers, stay."""
    flow = flow_over(taught(personalized))
    for i in range(80):
        passage = await served(flow, f"r{i}", alias="auto")
        end(flow, passage)
        assert passage.decision is not None
        await judge(flow, passage, 1.0 if passage.decision.choice == "cheap" else 0.0)
    mine, theirs = await served(flow, "x"), await served(flow, "y", caller=Caller(team="blue"))
    assert mine.decision is not None
    assert theirs.decision is not None
    assert (mine.decision.choice, theirs.decision.choice) == ("cheap", "poet")


async def test_an_exchange_of_the_snapshot_keeps_what_was_learned() -> None:
    """The same artifact in a new snapshot goes on; another artifact begins anew; the way back goes on again."""
    artifact, other = taught(), taught(prompts=60)
    flow = flow_over(artifact)
    for i in range(50):
        passage = await served(flow, f"r{i}")
        await judge(flow, passage, 0.0)
    learned = (await flow.preview(request(text="moon rose"))).report["poet"].expected_score
    for which, same in ((artifact, True), (other, False), (artifact, True)):
        flow.holder.swap(picture(which, "v2"))
        found = (await flow.preview(request(text="moon rose"))).report["poet"].expected_score
        assert (found == learned) is same


async def test_learning_never_fails_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while learning is counted; the outcome and the feedback are recorded all the same."""
    flow = flow_over(taught(), Learners(answered=1.0))
    monkeypatch.setattr(Learners, "_tell", lambda self, told: 1 / 0)
    passage = await served(flow, "r")
    end(flow, passage)
    await judge(flow, passage, 0.5)
    log, telemetry = flow.log, flow.telemetry
    assert isinstance(log, RecordingLog)
    assert isinstance(telemetry, RecordingTelemetry)
    assert (len(log.outcomes), len(log.feedback)) == (1, 1)
    assert [where for where, _ in telemetry.failures] == ["learn", "learn"]


@pytest.mark.parametrize("family", [thompson, elo, personalized])
async def test_what_was_learned_survives_a_restart(family: ModuleType, tmp_path: Path) -> None:
    """The next process expects what the last one expected at its end."""
    artifact, scores = taught(family), []
    for turn in range(2):
        flow = flow_over(artifact, Learners(FilePosteriorStore(lambda alias: tmp_path / "a.npz")))
        if turn == 0:
            before = (await flow.preview(request(text="moon rose", caller=RED))).report["poet"].expected_score
            for i in range(40):
                passage = await served(flow, f"r{i}")
                await judge(flow, passage, 0.0)
        scores.append((await flow.preview(request(text="moon rose", caller=RED))).report["poet"].expected_score)
        await flow.close()
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert scores[0] < before


async def test_state_is_saved_while_serving(tmp_path: Path) -> None:
    """After so many judgements the state is on disk, without the end of the process."""
    learners = Learners(FilePosteriorStore(lambda alias: tmp_path / "a.npz"), save_updates=5, save_seconds=0.05)
    flow = flow_over(taught(), learners)
    for i in range(5):
        await judge(flow, await served(flow, f"r{i}"), 0.0)
    deadline = 200
    while not list(tmp_path.glob("*.learned-0.json")) and deadline:
        await asyncio.sleep(0.05)
        deadline -= 1
    assert [p.name for p in tmp_path.glob("*.learned-0.json")]
    await flow.close()


@pytest.mark.parametrize("damage", ["cut", "other"])
async def test_a_state_of_no_use_is_put_aside(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged file, or one that is no state of this artifact, is renamed with a warning, and learning begins anew."""
    artifact = taught()
    store = FilePosteriorStore(lambda alias: tmp_path / "a.npz")
    flow = flow_over(artifact, Learners(store))
    await judge(flow, await served(flow, "r"), 0.0)
    await flow.close()
    [file] = tmp_path.glob("*.npz")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        file.with_suffix(".json").write_text(
            file.with_suffix(".json").read_text().replace(artifact.manifest.sha256, "0")
        )
    failures: list[BaseException] = []
    again = Learners(store, failed=lambda where, error: failures.append(error))
    flow = flow_over(artifact, again)
    assert sum(again.status().values()) == 0
    assert [type(error) for error in failures] != []
    assert "begins to learn anew" in caplog.text
    assert sorted(p.name.rsplit(".", 2)[1:] for p in tmp_path.glob("*.corrupt")) == [
        ["json", "corrupt"],
        ["npz", "corrupt"],
    ]
    await judge(flow, await served(flow, "r2"), 0.0)
    await flow.close()
    assert flow_over(artifact, Learners(store)).learners.status() == {artifact.manifest.version: 1}
    store.close()


def test_two_processes_have_a_slot_each(tmp_path: Path) -> None:
    """Who holds a slot keeps others out of it, and leaves it behind; without a folder to write in nothing is kept."""
    first, second = (FilePosteriorStore(lambda alias: tmp_path / "a.npz") for _ in range(2))
    assert first.load("auto", "d" * 64) is None
    assert second.load("auto", "d" * 64) is None
    locks = sorted(tmp_path.glob("*.lock"))
    assert [lock.name for lock in locks] == ["a.dddddddddddd.learned-0.lock", "a.dddddddddddd.learned-1.lock"]
    first.close()
    with locks[0].open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="state_path"):
        FilePosteriorStore(lambda alias: tmp_path / "file" / "a.npz").load("auto", "d" * 64)


@pytest.mark.parametrize("family", [thompson, elo, personalized])
def test_what_two_processes_learned_adds_up(family: ModuleType) -> None:
    """The sums of two states are what one process learns from both; of ratings, nearly."""
    artifact = taught(family)
    decision = expectation() if family is personalized else None
    told = [Judgement(about_verse(i), MODELS[i % 3], (i % 4) / 3, caller=RED, decision=decision) for i in range(12)]
    learners = [build_learner(artifact) for _ in range(4)]
    for i, one in enumerate(told):
        assert learners[0].learn_one(one)
        assert learners[1 + i // 6].learn_one(one)
    for part in learners[1:3]:
        learners[3].restore(*part.gains())
    whole, summed = learners[0].gains()[0], learners[3].gains()[0]
    for name, values in whole.items():
        tolerance = 1e-9 if family is thompson else 0.2 * float(np.abs(values).max())
        np.testing.assert_allclose(summed[name], values, atol=tolerance)


def build_learner(artifact: Artifact) -> Any:
    """A learner as a snapshot makes it."""
    [(scorer, _)] = picture(artifact).routes["auto"].profile.scorers
    return scorer.learner()  # type: ignore[attr-defined]


def about_verse(i: int) -> Features:
    """Features of the i-th prompt about verse."""
    return Features(WordEmbedder().embed(WORDS["verse"][i % 10]), "words@1")


def expectation() -> Decision:
    """A decision that expected half a point of everybody."""
    reports = tuple(CandidateReport(name, 1 / 3, expected_score=0.5) for name in MODELS)
    return Decision("d", "r", 0.0, "auto", "personalized", "poet", MODELS, 1.0, Reason.BEST, reports)


def test_a_state_that_does_not_fit_is_refused() -> None:
    """Arrays of another shape, and sums that no prompts can have, change nothing."""
    learner = build_learner(taught())
    arrays, words = learner.gains()
    for bad in (
        {},
        {**arrays, "seen": np.ones(7)},
        {**arrays, "moment": arrays["moment"] * np.nan},
        {**arrays, "precision": arrays["precision"] - 1e9},
    ):
        with pytest.raises(ArtifactError):
            learner.restore(bad, words)
    assert not learner.gains()[0]["precision"].any()


def test_the_snapshot_stays_as_it_was_compiled() -> None:
    """A learner never writes to the artifact or to the scorer that was made from it."""
    artifact = taught()
    learners = Learners()
    compiled = picture(artifact)
    kept = {name: np.array(values) for name, values in artifact.arrays.items()}
    adopted = learners.adopt(compiled)
    [(trained, _)] = compiled.routes["auto"].profile.scorers
    weights = trained.weights.copy()  # type: ignore[attr-defined]
    [post] = learners._posts.values()
    assert post.tell(Judgement(about_verse(0), "poet", 0.0))
    [(live, _)] = adopted.routes["auto"].profile.scorers
    assert isinstance(live, LiveScorer)
    assert not np.array_equal(live.current.weights, weights)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(trained.weights, weights)  # type: ignore[attr-defined]
    for name, values in kept.items():
        np.testing.assert_array_equal(artifact.arrays[name], values)
