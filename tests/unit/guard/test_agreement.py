"""What all workers say of themselves, put side by side."""

from typing import Any

from routeiq.guard.agreement import agreement, totals


def one(state: str = "ok", snapshot: str = "v1", digest: str = "d1", **more: Any) -> dict[str, Any]:
    return {"version": "1.0", "snapshot": snapshot, "digest": digest, "seen": digest, "state": state, **more}


def test_equal_workers_agree_whatever_their_clocks_say() -> None:
    """Versions and digests count; that one of them lives in another year does not."""
    found = agreement([one(since=0.0), one(since=4e9)])
    assert (found["agree"], found["settled"], found["workers"]) == (True, True, 2)
    assert found["on"] == {"version": "1.0", "snapshot": "v1", "digest": "d1"}


def test_any_difference_is_a_party() -> None:
    """Another configuration, other files, or another RouteIQ: who serves what is counted, the most first."""
    for other in (one(snapshot="v2"), one(digest="d2"), {**one(), "version": "2.0"}):
        found = agreement([one(), one(), other])
        assert (found["agree"], found["on"], [party["workers"] for party in found["parties"]]) == (False, None, [2, 1])


def test_a_refused_version_is_agreed_on_but_not_settled() -> None:
    """All serve the old version, and some have seen one that they do not serve."""
    found = agreement([one(), one("rejected", seen="d2")])
    assert (found["agree"], found["settled"]) == (True, False)
    assert not agreement([one(), one(seen="d2")])["settled"]


def test_who_drains_has_no_vote() -> None:
    """A worker that ends after its last stream may serve the old version; where all drain they speak for themselves."""
    found = agreement([one("draining", snapshot="v0"), one()])
    assert (found["agree"], found["workers"]) == (True, 1)
    assert agreement([one("draining")])["agree"]


def test_sums_are_over_all_workers() -> None:
    """One log that fails makes the whole unhealthy; a worker that says nothing adds nothing."""
    log, load = {"healthy": True, "queued": 2, "dropped": 1}, {"in_flight": 3, "requests_per_second": 1.25}
    found = totals([one(outcome_log=log, load=load), one(outcome_log={**log, "healthy": False}, load=load), one()])
    assert found == {
        "workers": 3,
        "outcome_log": {"healthy": False, "queued": 4, "dropped": 2},
        "load": {"in_flight": 6, "requests_per_second": 2.5},
    }
