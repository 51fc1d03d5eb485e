"""`/routeiq/experiments`: what the experiments of the configuration say so far, and what an operator makes of them.

Owns the form of the report and the checks of what is posted. The numbers are `learn.sequential`'s, keeping and sharing
is `guard.experiments`'s.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from routeiq.core.errors import RequestInvalid, nearest
from routeiq.core.experiment import Phase, Plan, Steering
from routeiq.core.request import Caller
from routeiq.flow import RequestFlow
from routeiq.guard.experiments import Experiments, moved, promoted, resumed, stopped
from routeiq.http.admin import noted
from routeiq.http.answers import Json, refusal
from routeiq.http.bodies import read_object, shown
from routeiq.http.table import EXPERIMENT, EXPERIMENTS, STEER, Endpoint
from routeiq.learn import sequential
from routeiq.routing.snapshot import Arms

STEER_LIMIT = 16 * 1024
"""Largest body of a change, in bytes."""

COMPARED = {"quality": "score", "cost_usd": "cost", "latency_s": "latency", "failure_rate": "failure"}
"""What a report compares, by its name there, and the counters it comes from."""

logger = logging.getLogger(__name__)

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Change = Callable[[Steering | None], Steering | None]


class SteerBody(BaseModel):
    """What an operator wants of an experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["weights", "stop", "promote", "resume"]
    weights: dict[str, Weight] | None = None
    arm: str | None = None


def report(arms: Arms, counts: Mapping[str, Mapping[str, float]], said: Steering | None, now: float) -> dict[str, Any]:
    """Return what is known of an experiment: its state, and each arm with intervals and differences to the control.

    `counts` are the counters by arm, `said` what an operator said of it, `now` is in seconds since the epoch.
    """
    plan = arms.plan
    phase = Phase.RUNNING if said is None else said.phase
    control = {name: sequential.moments(counts[plan.arms[0]], metric) for name, metric in COMPARED.items()}
    steps = [at for at, _ in plan.stages if at > now]
    return {
        "name": plan.name,
        "alias": plan.alias,
        "unit": plan.unit.value,
        "run": plan.run,
        "phase": phase.value,
        "winner": said.winner if said is not None and phase is Phase.PROMOTED else None,
        "counting": phase is Phase.RUNNING and plan.starts <= now < plan.ends,
        "starts": _moment(plan.starts),
        "ends": _moment(plan.ends),
        "weights": plan.allocation(now, said).shares,
        "by_schedule": said is None or said.allocation is None,
        "next_step": steps[0] if steps and (said is None or said.allocation is None) else None,
        "skew": _skew(plan, counts),
        "arms": {arm: _arm(arms, arm, counts[arm], control) for arm in plan.arms},
    }


def _skew(plan: Plan, counts: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    found = sequential.skew_of(plan, counts)
    return {"units": found.units, "p": found.p, "alarm": found.alarm}


def _arm(
    arms: Arms, name: str, counts: Mapping[str, float], control: Mapping[str, sequential.Moments]
) -> dict[str, Any]:
    route = arms.routes[name]
    whole = {part: int(counts.get(part, 0.0)) for part in ("assigned", "ok", "failed", "cancelled", "units")}
    found: dict[str, Any] = {
        "strategy": route.profile.strategy,
        "artifact": route.profile.artifact,
        "candidates": list(route.table.names),
        **whole,
        "under_way": whole["assigned"] - whole["ok"] - whole["failed"] - whole["cancelled"],
    }
    moments = {shown_as: sequential.moments(counts, metric) for shown_as, metric in COMPARED.items()}
    found |= {shown_as: asdict(sequential.estimate(of)) for shown_as, of in moments.items()}
    if name != arms.plan.arms[0]:
        found["versus_control"] = {
            shown_as: asdict(sequential.difference(of, control[shown_as])) for shown_as, of in moments.items()
        }
    return found


def _moment(at: float) -> float | None:
    return at if math.isfinite(at) else None


@dataclass(frozen=True, slots=True)
class ExperimentEndpoints:
    """Answers the endpoints of experiments. Any key reads, an admin's changes."""

    flow: RequestFlow
    experiments: Experiments

    @property
    def handlers(self) -> Mapping[Endpoint, Callable[[Request, Caller, str], Awaitable[Response]]]:
        """What answers each endpoint of the table."""
        return {EXPERIMENTS: self._list, EXPERIMENT: self._show, STEER: self._steer}

    async def _list(self, request: Request, caller: Caller, _: str) -> Response:
        running = self.flow.holder.current.experiments
        await self.experiments.ask(arms.plan for arms in running)
        found = [self._report(arms) for arms in running]
        return Json({"shared": self.experiments.mirror.reachable, "experiments": found})

    async def _show(self, request: Request, caller: Caller, name: str) -> Response:
        arms = self._arms(name)
        if arms is None:
            return _unknown(name, self._names())
        await self.experiments.ask((arms.plan,))
        return Json(self._report(arms))

    async def _steer(self, request: Request, caller: Caller, name: str) -> Response:
        arms = self._arms(name)
        if arms is None:
            return _unknown(name, self._names())
        body = steer_body(await read_object(request, STEER_LIMIT), arms.plan)
        before = _said(arms.plan, self.experiments, self.flow.clock.now())
        noted(request, arms.plan.name, before)
        await self.experiments.steer(arms.plan, _change(body, arms.plan, self.flow.clock.now()))
        noted(request, arms.plan.name, before, _said(arms.plan, self.experiments, self.flow.clock.now()))
        told = {"experiment": arms.plan.name, "action": body.action, "weights": body.weights, "arm": body.arm}
        logger.info("experiment changed", extra={"routeiq": told})
        return Json(self._report(arms))

    def _report(self, arms: Arms) -> dict[str, Any]:
        plan = arms.plan
        counts, said = self.experiments.counts(plan), self.experiments.steering(plan)
        return report(arms, counts, said, self.flow.clock.now())

    def _arms(self, name: str) -> Arms | None:
        return next((arms for arms in self.flow.holder.current.experiments if arms.plan.name == name), None)

    def _names(self) -> list[str]:
        return [arms.plan.name for arms in self.flow.holder.current.experiments]


def handlers(flow: RequestFlow) -> Mapping[Endpoint, Callable[[Request, Caller, str], Awaitable[Response]]]:
    """Return what answers for the experiments of a flow, nothing where there is nobody to count them."""
    return {} if flow.experiments is None else ExperimentEndpoints(flow, flow.experiments).handlers


def steer_body(found: Mapping[str, Any], plan: Plan) -> SteerBody:
    """Return the posted change; raises RequestInvalid saying what was found and what was expected."""
    try:
        body = SteerBody.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise RequestInvalid(f"unknown key {shown(at)}; {nearest(at, SteerBody.model_fields)}") from None
        raise RequestInvalid(f"`{at}`: {first['msg']}, found {shown(first['input'])}") from None
    if (body.weights is not None) != (body.action == "weights"):
        raise RequestInvalid("`weights` is what the action `weights` needs, and no other takes it")
    if (body.arm is not None) != (body.action == "promote"):
        raise RequestInvalid("`arm` is what the action `promote` needs, and no other takes it")
    named = [body.arm] if body.arm is not None else list(body.weights or ())
    for arm in named:
        if arm not in plan.arms:
            raise RequestInvalid(f"{shown(arm)} is not an arm of experiment {plan.name}; {nearest(arm, plan.arms)}")
    if body.weights is not None:
        missing = [arm for arm in plan.arms if arm not in body.weights]
        if missing:
            raise RequestInvalid(f"`weights`: nothing for {', '.join(missing)}; give each arm one, 0 for none")
        if not sum(body.weights.values()) > 0:
            raise RequestInvalid("`weights`: all are 0; expected a positive one")
    return body


def _change(body: SteerBody, plan: Plan, now: float) -> Change:
    if body.weights is not None:
        return moved(plan, {arm: body.weights[arm] for arm in plan.arms}, now)
    if body.arm is not None:
        return promoted(plan, body.arm, now)
    return stopped(plan, now) if body.action == "stop" else resumed


def _said(plan: Plan, experiments: Experiments, now: float) -> str:
    """Return phase and weights of an experiment on one line."""
    said = experiments.steering(plan)
    phase = Phase.RUNNING if said is None else said.phase
    if said is not None and phase is Phase.PROMOTED:
        return f"{phase.value} {said.winner}"
    weights = ", ".join(f"{arm} {share:.4g}" for arm, share in plan.allocation(now, said).shares.items())
    return f"{phase.value} {weights}"


def _unknown(name: str, known: list[str]) -> Response:
    return refusal(404, "unknown_experiment", f"there is no experiment {shown(name)}; {nearest(name, known)}")
