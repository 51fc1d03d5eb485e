"""The learners of a process: who learns what from which answer, and that what was learned outlives the process.

Owns one learner for each artifact that is served by a scorer that can learn, whichever aliases serve it, and keeps it
through exchanges of the snapshot. Owns the thread that saves; learning itself is the scorers' families', files are the
store's. Telling a learner takes microseconds and no I/O.

Every process has its own learners. A learner's state is what was added to the artifact, so that a shared store can sum
the states of all processes: each adds what it gained since its last exchange and takes the sum.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol
from weakref import WeakSet

from routeiq.core.decision import Decision, Reason
from routeiq.core.errors import ArtifactError
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import PosteriorStore, Remembered
from routeiq.core.remembered import effective, whose
from routeiq.core.request import Caller
from routeiq.core.reward import ended_score, judged_score
from routeiq.routing.online import Judgement, Learner, LiveScorer, OnlineScorer, resume, state_of
from routeiq.routing.profile import Profile
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features, Scorer

LEARNERS_KEPT = 16
"""How many learners are kept in memory, those of former snapshots included: a roll-back goes on where it was left."""

JUDGED_KEPT = 5_000
"""How many judged decisions are remembered, so that an outcome that arrives after its judgement is not learned too."""

logger = logging.getLogger(__name__)


class Failed(Protocol):
    """Counts an error that was swallowed, as `core.ports.Telemetry.failed` does."""

    def __call__(self, where: str, error: BaseException) -> None:
        """Count it; `where` is of low cardinality."""
        ...


@dataclass(slots=True, eq=False)
class _Post:
    """A learner with the scorers that show what it knows. `unsaved` counts judgements since the last save."""

    learner: Learner
    digest: str
    judgements: int = 0
    unsaved: int = 0
    shown: "WeakSet[LiveScorer]" = field(default_factory=WeakSet)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, told: Judgement) -> bool:
        with self.lock:
            if not self.learner.learn_one(told):
                return False
            self.judgements += 1
            self.unsaved += 1
        for live in list(self.shown):
            live.current = self.learner.over(live.trained)
        return True

    def save(self, store: PosteriorStore) -> None:
        with self.lock:
            state, self.unsaved = state_of(self.learner, self.judgements), 0
        try:
            store.save(self.digest, state)
        except BaseException:
            self.unsaved += 1
            raise


@dataclass(slots=True, eq=False)
class Learners:
    """What this process has learned since its artifacts were trained. Safe to use from any thread.

    `answered` is what an answer that nobody judged counts as, see `core.reward.ended_score`. State is saved after
    `save_updates` judgements or `save_seconds`, whichever comes first, and by `close`.
    """

    store: PosteriorStore | None = None
    failed: Failed = lambda where, error: None
    answered: float | None = None
    save_updates: int = 200
    save_seconds: float = 5.0
    _posts: "OrderedDict[str, _Post]" = field(default_factory=OrderedDict)
    _judged: "OrderedDict[str, None]" = field(default_factory=OrderedDict)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _closed: bool = False

    def adopt(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with its scorers that can learn showing what was learned from their artifacts."""
        routes = {alias: self._route(route) for alias, route in snapshot.routes.items()}
        experiments = tuple(
            replace(found, routes={arm: self._route(route) for arm, route in found.routes.items()})
            for found in snapshot.experiments
        )
        return replace(snapshot, routes=routes, experiments=experiments)

    def _route(self, route: Route) -> Route:
        scorers = tuple((self._live(route.alias, scorer), weight) for scorer, weight in route.profile.scorers)
        profile: Profile = replace(route.profile, scorers=scorers)
        return replace(route, profile=profile)

    def _live(self, alias: str, scorer: Scorer) -> Scorer:
        trained = scorer.trained if isinstance(scorer, LiveScorer) else scorer
        make: Callable[[], Learner] | None = getattr(trained, "learner", None)
        if make is None:
            return scorer
        online: OnlineScorer = trained  # type: ignore[assignment]  # it names a learner
        post = self._post(alias, online.artifact.manifest.sha256, make)
        live = LiveScorer(trained)
        with post.lock:
            live.current = post.learner.over(trained)
        post.shown.add(live)
        return live

    def _post(self, alias: str, digest: str, make: Callable[[], Learner]) -> _Post:
        if digest not in self._posts:
            self._posts[digest] = self._resumed(alias, digest, make)
        self._posts.move_to_end(digest)
        if len(self._posts) > LEARNERS_KEPT:
            _, retired = self._posts.popitem(last=False)
            self._save(retired)
        return self._posts[digest]

    def _resumed(self, alias: str, digest: str, make: Callable[[], Learner]) -> _Post:
        """Return a learner that goes on where the last process left it; a state of no use is put aside."""
        post = _Post(make(), digest)
        if self.store is None:
            return post
        try:
            state = self.store.load(alias, digest)
            if state is not None:
                post.judgements = resume(post.learner, state)
        except ArtifactError as error:
            logger.warning("alias %r begins to learn anew: %s", alias, error.message)
            self.failed("posterior", error)
            self.store.put_aside(digest)
            return _Post(make(), digest)
        return post

    def ended(self, decision: Decision, features: Features, caller: Caller, outcome: Outcome) -> None:
        """Tell the learners concerned what the end of a request stands for, unless somebody judged it already."""
        value = ended_score(outcome, self.answered)
        if value is not None and whose(decision, outcome) is not None and decision.id not in self._judged:
            self._tell(Judgement(features, outcome.model, value, caller=caller, decision=decision))

    def judged(self, found: Remembered, given: Feedback) -> None:
        """Tell the learners concerned of feedback on a decision; `found` is what was known of it before.

        A judgement takes the place of what the outcome stood for, and of what the same source said before.
        """
        decision, outcome = found.decision, found.outcome
        self._judged[decision.id] = None
        if len(self._judged) > JUDGED_KEPT:
            self._judged.popitem(last=False)
        features = Features(found.embedding, decision.embedder)
        served = whose(decision, outcome)
        if served is None:
            return
        if given.other is not None:
            earlier = [f for f in effective(found.feedback) if (f.source, f.other) == (given.source, given.other)]
            former = _result(earlier[-1]) if earlier else None
            told = Judgement(features, served, _result(given), former, given.other, found.caller, decision)
        else:
            unjudged = ended_score(outcome, self.answered) if outcome is not None else None
            before = judged_score(effective(found.feedback), unjudged)
            after = judged_score(effective((*found.feedback, given)), unjudged)
            if after is None:
                return
            told = Judgement(features, served, after, before, None, found.caller, decision)
        self._tell(told)

    def _tell(self, told: Judgement) -> None:
        for post in self._concerned(told.decision):
            if post.tell(told):
                self._started()
                if post.unsaved >= self.save_updates:
                    self._wake.set()

    def _concerned(self, decision: Decision | None) -> Iterator[_Post]:
        """Yield the learners of the artifact that decided; where the caller named the model, all of them.

        None learns from the answer of a compound model, which several models had a part in.
        """
        if decision is not None and decision.reason is Reason.COMPOUND:
            return
        for post in list(self._posts.values()):
            version = post.learner.artifact.manifest.version
            if decision is None or decision.artifact == version or decision.reason is Reason.NAMED:
                yield post

    def status(self) -> dict[str, int]:
        """Return the number of judgements learned from, by version of the artifact."""
        return {post.learner.artifact.manifest.version: post.judgements for post in list(self._posts.values())}

    def _started(self) -> None:
        if self._thread is None and self.store is not None and not self._closed:
            self._thread = threading.Thread(target=self._keep_saving, name="routeiq-learners", daemon=True)
            self._thread.start()

    def _keep_saving(self) -> None:
        while not self._closed:
            self._wake.wait(self.save_seconds)
            self._wake.clear()
            self._save_all()

    def _save_all(self) -> None:
        for post in list(self._posts.values()):
            if post.unsaved:
                self._save(post)

    def _save(self, post: _Post) -> None:
        if self.store is None:
            return
        try:
            post.save(self.store)
        except Exception as error:  # noqa: BLE001 - a full disk must not end learning; the next save tries again
            self.failed("posterior", error)

    def close(self) -> None:
        """Save what is not saved, and leave it to the next process; may be called again."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(10.0)
        self._save_all()
        if self.store is not None:
            self.store.close()


def _result(given: Feedback) -> float:
    """Return a comparison as the result of the served answer."""
    if given.preferred is None:
        return 0.5
    return 0.0 if given.preferred == given.other else 1.0
