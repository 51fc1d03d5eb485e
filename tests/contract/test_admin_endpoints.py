"""Every endpoint that is for admins only keeps the same promises: who may, when not, and what the audit says of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.audit import ACCESS_REFUSED, KINDS, STRANGER, AuditTrail
from routeiq.core.errors import StateUnavailable
from routeiq.core.request import Caller
from routeiq.guard.audits import Audits
from routeiq.guard.experiments import Experiments
from routeiq.guard.mirror import Mirror
from routeiq.http.admin import REPEATED_S, AdminDoor
from routeiq.http.audit import AuditEndpoint
from routeiq.http.config_sync import ReloadEndpoint
from routeiq.http.endpoints import Handler
from routeiq.http.experiments import handlers
from routeiq.http.restart import RestartEndpoint
from routeiq.http.rollback import RollbackEndpoint
from routeiq.http.strategy import StrategyEndpoint
from routeiq.http.table import AUDIT, KEYED, RELOAD, RESTART, RESTARTED, ROLLBACK, STEER, STRATEGIES, STRATEGY, Endpoint
from routeiq.sharing import AREAS
from routeiq.testing.fakes import FixedKeys, RecordingAudit
from tests.unit.config.test_reload import Scene as Reloads
from tests.unit.guard.test_rolling import Cluster
from tests.unit.http.scene import ADMIN, ALICE, Scene, keys, scene
from tests.unit.http.test_endpoints import code
from tests.unit.http.test_experiments import picture

BODIES: dict[Endpoint, Any] = {
    RELOAD: None,
    STEER: {"action": "stop"},
    STRATEGY: {"alias": "auto", "strategy": "largest"},
    ROLLBACK: {},
    RESTART: None,
}
"""What changes something, by endpoint; an endpoint of the table that changes and is not here fails."""

OURS = [endpoint for endpoint in KEYED if endpoint.admin]
CHANGING = [endpoint for endpoint in OURS if endpoint.kind is not None]
SHARED = [endpoint for endpoint in OURS if endpoint.shared]
SECRETS = (ALICE, ADMIN, "sk-wrong", "hash-alice")


class Store(MemorySharedState):
    """Shared state that can be away."""

    away = False

    async def ping(self) -> float:
        if self.away:
            raise StateUnavailable("away")
        return await super().ping()


class House:
    """An edge with every endpoint for admins, over memory, and the audit that its door writes."""

    def __init__(self, tmp_path: Path) -> None:
        callers: FixedKeys = keys()
        callers.callers[ADMIN] = Caller("hash-admin", admin=True)
        self.at: Scene = scene(picture=picture(), auth=callers)
        flow = self.at.flow
        self.clock, self.lonely, self.audit = flow.clock, False, RecordingAudit()
        self.state = Store(self.clock)
        self.mirror = Mirror(self.state, self.clock, AREAS, failed=flow.telemetry.failed)
        self.reloads, self.cluster = Reloads(tmp_path), Cluster(everywhere=False)
        trail = AuditTrail(self.audit, self.clock, "worker-1", lambda: "replica-1")
        self.door = AdminDoor(trail, self.state, lambda: self.lonely)
        flow.experiments = Experiments(self.mirror, self.state, self.clock, flow.telemetry.failed)
        more = {**self._handlers(), **handlers(flow)}
        self.at.edge._keyed = replace(self.at.edge._keyed, door=self.door, more=more)

    def _handlers(self) -> Mapping[Endpoint, Handler]:
        async def look() -> Any:
            return self.reloads.reloader.status

        async def all_look(force: bool) -> list[dict[str, Any]]:
            await self.reloads.reloader.check(force)
            return []

        strategy = StrategyEndpoint(self.state, self.mirror, lambda: {"auto": "smallest"}, lambda chosen: None, look)
        reloader = self.reloads.reloader
        return {
            RELOAD: ReloadEndpoint(reloader, all_look),
            ROLLBACK: RollbackEndpoint(reloader, self.mirror),
            **dict.fromkeys((RESTART, RESTARTED), RestartEndpoint(self.cluster.parts["a0"])),
            STRATEGY: strategy,
            STRATEGIES: strategy,
            AUDIT: AuditEndpoint(Audits(self.audit, self.state, False, self.at.flow.telemetry.failed)),
        }

    async def prepare(self) -> None:
        """Let there be a version to go back to."""
        self.reloads.files.now = "d2"
        await self.reloads.reloader.check()

    async def ask(self, endpoint: Endpoint, key: str | None = ADMIN, **more: Any) -> Any:
        path = endpoint.path.replace("{id}", "exp")
        body = {} if endpoint.kind is None else {"json": BODIES[endpoint]}
        return await self.at.ask(endpoint.method, path, key=key, **body, **more)

    def unchanged(self) -> bool:
        """Whether nothing was changed since `prepare`."""
        reloads = self.reloads
        if self.cluster.crews["a"].asked:
            return False
        return (reloads.holder.current.version, reloads.read_count, self.mirror.items("strategy")) == ("v2", 1, {})


@pytest.fixture
async def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    await made.prepare()
    return made


def test_the_table_says_which_endpoints_are_for_admins() -> None:
    """What stands below /routeiq/admin, and whatever changes a gateway, is behind the door, under a kind of its own."""
    assert {endpoint for endpoint in KEYED if endpoint.path.startswith("/routeiq/admin/")} <= set(OURS)
    assert {endpoint.path for endpoint in KEYED if endpoint.method not in ("GET", "HEAD") and not endpoint.admin} == {
        "/routeiq/route",
        "/routeiq/feedback",
    }
    for endpoint in OURS:
        assert ("admins only" in endpoint.summary) is True
        assert (endpoint.kind is None) == (endpoint.method == "GET")
        assert endpoint.kind is None or endpoint.kind in KINDS
    assert all(endpoint.kind is not None for endpoint in SHARED)


@pytest.mark.parametrize("endpoint", OURS, ids=lambda e: f"{e.method} {e.path}")
@pytest.mark.parametrize("key", [None, "sk-wrong", ALICE], ids=["no key", "wrong key", "ordinary key"])
async def test_others_are_refused_and_noted(house: House, endpoint: Endpoint, key: str | None) -> None:
    """A stranger gets 401, an ordinary key 403, nothing changes, and the audit knows where, by whom and how."""
    answer = await house.ask(endpoint, key, headers={"x-request-id": "req-7"})
    known = key == ALICE
    assert code(answer) == ((403, "forbidden") if known else (401, "unauthenticated"))
    assert house.unchanged()
    [event] = house.audit.events
    assert (event.kind, event.result, event.request_id) == (ACCESS_REFUSED, "refused", "req-7")
    assert (event.subject, event.reason) == (
        f"{endpoint.method} {endpoint.path}",
        "forbidden" if known else "unauthenticated",
    )
    assert event.actor == ("hash-alice" if known else STRANGER)
    assert (event.replica, event.worker) == ("replica-1", "worker-1")
    assert not any(secret in answer.text for secret in SECRETS)


@pytest.mark.parametrize("endpoint", OURS, ids=lambda e: f"{e.method} {e.path}")
async def test_another_method_is_refused(house: House, endpoint: Endpoint) -> None:
    """A method that the path does not take is 405 with those it takes, and changes nothing."""
    answer = await house.at.ask("DELETE", endpoint.path.replace("{id}", "exp"), key=ADMIN)
    assert code(answer) == (405, "method_not_allowed")
    assert endpoint.method in answer.headers["allow"]
    assert house.unchanged()


@pytest.mark.parametrize("endpoint", CHANGING, ids=lambda e: f"{e.method} {e.path}")
async def test_a_change_is_in_the_audit_before_it_is_answered(house: House, endpoint: Endpoint) -> None:
    """One event under the endpoint's kind, with actor and request, is durable when the answer comes."""
    answer = await house.ask(endpoint, headers={"x-request-id": "req-8"})
    assert answer.status_code in (200, 202), answer.text
    [event] = house.audit.events
    assert (event.kind, event.result, event.reason) == (endpoint.kind, "ok", None)
    assert (event.actor, event.request_id) == ("hash-admin", "req-8")
    assert house.audit.flushed == 1
    assert not any(secret in answer.text for secret in SECRETS)


@pytest.mark.parametrize("endpoint", SHARED, ids=lambda e: f"{e.method} {e.path}")
@pytest.mark.parametrize("missing", ["away", "lonely"])
async def test_a_change_that_cannot_reach_all_workers_is_refused(
    house: House, endpoint: Endpoint, missing: str
) -> None:
    """While shared state is away, and where workers share none, the answer is 503, nothing changes, and it is noted."""
    house.state.away, house.lonely = missing == "away", missing == "lonely"
    answer = await house.ask(endpoint)
    assert code(answer) == (503, "state_unavailable")
    assert ("REDIS_URL" in answer.text) is (missing == "lonely")
    assert answer.headers["retry-after"] == "1"
    assert house.unchanged()
    assert house.mirror.items("ab.weights") == {}
    assert [(e.kind, e.result, e.reason) for e in house.audit.events] == [
        (endpoint.kind, "refused", "state_unavailable")
    ]


@pytest.mark.parametrize("endpoint", [e for e in OURS if not e.shared], ids=lambda e: f"{e.method} {e.path}")
async def test_what_needs_no_shared_state_goes_on_without(house: House, endpoint: Endpoint) -> None:
    """Looking, and reloading files that every worker has, works during an outage."""
    house.state.away = house.lonely = True
    assert (await house.ask(endpoint)).status_code in (200, 202)


@pytest.mark.parametrize("endpoint", CHANGING, ids=lambda e: f"{e.method} {e.path}")
async def test_without_an_audit_changes_are_made_unless_it_is_required(house: House, endpoint: Endpoint) -> None:
    """A full disk does not keep an operator from acting, unless the settings want no change that is not audited."""
    house.audit.trouble = "disk_full"
    house.door.audited = True
    answer = await house.ask(endpoint)
    assert code(answer) == (503, "audit_unavailable")
    assert "disk_full" in answer.text
    assert house.unchanged()
    house.door.audited = False
    assert (await house.ask(endpoint)).status_code in (200, 202)
    assert [e.result for e in house.audit.events] == ["refused", "ok"]
    assert house.audit.flushed == 0  # what cannot be written is not waited for


async def test_a_refusal_by_the_endpoint_says_why(house: House) -> None:
    """What the endpoint refuses is told with subject, values and reason; what breaks, as failed."""
    bad = await house.at.ask("POST", STRATEGY.path, key=ADMIN, json={"alias": "atuo", "strategy": "x"})
    assert bad.status_code == 400
    unknown = await house.at.ask("POST", ROLLBACK.path, key=ADMIN, json={"to": "v9"})
    assert unknown.status_code == 404
    house.reloads.host.refusal = RuntimeError("sk-host-secret")
    broken = await house.ask(ROLLBACK)
    assert broken.status_code == 500
    told = [(e.kind, e.subject, e.before, e.after, e.result, e.reason) for e in house.audit.events]
    assert told == [
        ("strategy.changed", "/routeiq/admin/strategy", None, None, "refused", "request_invalid"),
        ("rollback.ordered", "configuration", "v2", "v9", "refused", "unknown_version"),
        ("rollback.ordered", "configuration", "v2", None, "failed", "internal"),
    ]


async def test_values_before_and_after_are_names(house: House) -> None:
    """A strategy, an experiment and a version are told as what they were and are."""
    await house.ask(STRATEGY)
    await house.ask(STEER)
    await house.ask(ROLLBACK)
    assert [(e.subject, e.before, e.after) for e in house.audit.events] == [
        ("auto", "smallest", "smallest"),  # this scene's aliases do not change
        ("exp", "running control 0.5, b 0.5", "stopped control 0.5, b 0.5"),
        ("configuration", "v2", "v1"),
    ]


async def test_who_is_refused_all_the_time_is_counted(house: House) -> None:
    """Refusals of one caller at one endpoint are written once a minute, with how many there were since."""
    for _ in range(5):
        await house.ask(RELOAD, ALICE)
    await house.ask(STRATEGIES, ALICE)
    await house.ask(RELOAD, None)
    assert [(e.subject, e.actor) for e in house.audit.events] == [
        ("POST /routeiq/reload", "hash-alice"),
        ("GET /routeiq/admin/strategy", "hash-alice"),
        ("POST /routeiq/reload", STRANGER),
    ]
    house.clock.advance(REPEATED_S + 1)  # type: ignore[attr-defined]  # the clock of a scene is a fake
    await house.ask(RELOAD, ALICE)
    assert house.audit.events[-1].after == "and 4 more before"
