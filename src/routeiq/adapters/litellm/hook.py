"""What LiteLLM calls while a request passes: the proxy hook, and the strategy for `litellm.Router` as a library.

Owns when each step of the flow happens, and the promise that an error of ours costs a request nothing. What LiteLLM's
dictionaries mean is `translate`'s business, what its running state says is `host`'s, decisions are the flow's.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from litellm.integrations.custom_logger import CustomLogger
from litellm.types.router import CustomRoutingStrategyBase

from routeiq.adapters.litellm import host, translate
from routeiq.adapters.litellm.access import Access
from routeiq.core.compound import WITHIN
from routeiq.core.decision import Decision, Reason
from routeiq.core.headers import DEGRADED, decision_headers
from routeiq.core.outcome import Outcome, Status
from routeiq.core.request import Caller, RouteRequest, Surface
from routeiq.flow import Passage, RequestFlow
from routeiq.routing.snapshot import Route

REQUEST_ID = "routeiq_request_id"
"""Where a request's bucket holds the id of its passage. Ours to write: what a client sends under it is dropped."""


class RouteIQHook(CustomLogger):  # type: ignore[misc] # LiteLLM ships no usable types
    """The seam. LiteLLM looks hooks up on the registered class itself, so every one of them is defined here."""

    def __init__(self, flow: RequestFlow, access: Access | None = None, announces: bool = True) -> None:
        """`announces` is False where somebody else, our edge, puts the headers that name a decision."""
        super().__init__()
        self.flow = flow
        self._announces = announces
        self._access = access or Access(flow.clock, flow.telemetry.failed)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Open the passage of a request for a virtual model, or for a candidate by its own name; change nothing."""
        if WITHIN.get() is not None:
            return None  # one decision is kept of a compound request, and it holds this call
        try:
            sender = translate.caller(user_api_key_dict, translate.bucket(data) or {})
            self.flow.met(data.get("litellm_call_id"), sender)
            _forget_claims(data)
            surface = translate.SURFACES.get(getattr(call_type, "value", call_type))
            model = data.get("model")
            if surface is not None and isinstance(model, str) and self._concerns(alias := host.resolve(model)):
                await self.flow.prepare(self._open(data, alias, surface, sender, user_api_key_dict))
        except Exception as error:  # noqa: BLE001 - fail open: the filter hook opens the passage without features
            self.flow.telemetry.failed("pre_call", error)
        return None

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Return copies of the deployments in the order to try them, without those that the caller may not use."""
        request = {} if request_kwargs is None else request_kwargs
        try:
            passage = self._passage(request) or await self._opened_late(model, messages, request)
            names = dict.fromkeys(map(name_of, healthy_deployments))
            refused = await self._refused(passage, model, names, request)
        except Exception as error:  # noqa: BLE001 - permission fails closed
            self.flow.telemetry.failed("access", error)
            return []
        permitted = [d for d in healthy_deployments if not refused or name_of(d) not in refused]
        if passage is None or not permitted:
            return permitted
        try:
            barred = await self._barred(passage.snapshot.route(model), model, permitted, names, refused, request)
            return self._ordered(passage, model, permitted, barred, request, parent_otel_span)
        except Exception as error:  # noqa: BLE001 - fail open: what may be used, in the operator's order
            self.flow.telemetry.failed("filter", error)
            return _in_order(permitted, _names(passage.snapshot.route(model)), passage)

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        """Note which candidate is called. Where LiteLLM serves one surface by another, one call comes here twice."""
        passage, name = self._passage(kwargs), translate.served_by(kwargs)
        if passage is not None and name is not None and not passage.ended and passage.serving != name:
            self.flow.attempt(passage, name)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Mapping[str, Any], exception: Exception, call_type: Any, fallback_depth: int | None = None
    ) -> None:
        """Note that one attempt failed; a retry or a fallback may follow."""
        passage = self._passage(request_data)
        if passage is not None:
            self._give_up(passage, blamed=translate.blames(exception))

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Return the headers that name the decision and the candidate that answered."""
        passage = self._passage(data)
        if passage is None:
            return None
        if passage.decision is None:
            return None if response is None else {DEGRADED: "internal"}
        if not self._announces:
            return None
        return decision_headers(passage.decision, passage.tried[-1] if passage.tried else None)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record the end of a request that was answered, or of a stream that its client left."""
        passage = self._passage(kwargs)
        if passage is None or passage.decision is None or passage.ended:
            return
        blank = self._outcome(passage, passage.decision, translate.served_by(kwargs))
        ended = translate.success(kwargs, start_time, end_time, blank)
        served = (route.table for route in passage.snapshot.routes.values() if ended.model in route.table.index)
        listed = next((table.candidates[table.index[ended.model]] for table in served), None)
        self.flow.observe(passage, translate.priced(ended, listed))

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Record the end of a request that LiteLLM gave up on, after all retries and fallbacks."""
        passage = self._passage(request_data)
        if passage is None or passage.ended:
            return
        if passage.decision is None:
            self.flow.dismiss(passage)
            return
        if not translate.blames(original_exception):
            self._give_up(passage, blamed=False)
        status, error = translate.failure(original_exception)
        self.flow.observe(passage, self._outcome(passage, passage.decision, None, status, error))

    def _concerns(self, alias: str) -> bool:
        routes = self.flow.holder.current.routes
        return alias in routes or any(alias in route.table.index for route in routes.values())

    def _open(self, data: Mapping[str, Any], alias: str, surface: Surface, sender: Caller, auth: Any = None) -> Passage:
        """Open a passage and leave its id in the request's bucket, which every later hook is given.

        The id is LiteLLM's call id. Clients may choose that one, so an id that is taken gets another.
        """
        call_id = data.get("litellm_call_id")
        taken = not isinstance(call_id, str) or self.flow.passage(call_id) is not None
        request_id = f"req_{secrets.token_hex(12)}" if taken else str(call_id)
        known = translate.bucket(data)
        if known is not None:
            known[REQUEST_ID] = request_id
        return self.flow.admit(self._read(data, alias, surface, request_id, sender, auth))

    def _read(
        self, data: Mapping[str, Any], alias: str, surface: Surface, request_id: str, sender: Caller, auth: Any
    ) -> RouteRequest:
        """Return what is asked. Of a body that cannot be read only who sent it is known, and that is what permits."""
        try:
            return translate.request(data, alias, surface, request_id, auth, sender)
        except Exception as error:  # noqa: BLE001 - fail open: bodies are anybody's; routing only knows less
            self.flow.telemetry.failed("translate", error)
            return RouteRequest(request_id, alias, surface, caller=sender)

    def _passage(self, data: Mapping[str, Any]) -> Passage | None:
        request_id = (translate.bucket(data) or {}).get(REQUEST_ID)
        return self.flow.passage(request_id) if isinstance(request_id, str) else None

    async def _refused(
        self, passage: Passage | None, model: str, names: Collection[str], request: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return the names that the operator forbids or that the caller could not call itself, and the word for it.

        Asked for virtual models, and for a candidate that LiteLLM falls back to from one; everything else is between
        LiteLLM and the operator.
        """
        if passage is None or not names:
            return {}
        alias = model if passage.snapshot.route(model) is not None else passage.request.alias
        route = passage.snapshot.route(alias)
        if route is None or (alias != model and model not in route.table.index):
            return {}
        words = self.flow.forbidden(passage, alias)
        auth = (translate.bucket(request) or {}).get("user_api_key_auth")
        if auth is not None:
            asked = [name for name in names if name not in words]
            words |= dict.fromkeys(await self._access.refused(auth, asked), "access")
        return words

    async def _barred(
        self,
        route: Route | None,
        model: str,
        permitted: Sequence[Any],
        offered: Collection[str],
        refused: Mapping[str, str],
        request: Mapping[str, Any],
    ) -> dict[str, str]:
        """Return the candidates of a route that are not to be had, and the word for why."""
        try:
            tags = await host.refused_by_tags(model, permitted, request)
        except Exception as error:  # noqa: BLE001 - LiteLLM filters by tags itself; the decision only knows less
            self.flow.telemetry.failed("tags", error)
            tags = frozenset()
        gone = {name: "unavailable" for name in _names(route) if name not in offered}
        return {**gone, **dict.fromkeys(tags, "tags"), **refused}

    async def _opened_late(self, model: str, messages: list[Any] | None, request: Mapping[str, Any]) -> Passage | None:
        """Open the passage of a request that did not come through the proxy's hooks; None when it is not for us."""
        if self.flow.holder.current.route(model) is None:
            return None
        if not request:  # nobody calls: LiteLLM asks which deployment it would be, to count tokens as that one does
            return Passage(RouteRequest("", model, Surface.CHAT), self.flow.holder.current)
        sender = translate.caller(None, translate.bucket(request) or {})
        passage = self._open({"messages": messages, **request}, model, Surface.CHAT, sender)
        await self.flow.prepare(passage)
        return passage

    def _ordered(
        self,
        passage: Passage,
        model: str,
        permitted: list[Any],
        barred: Mapping[str, str],
        request: Mapping[str, Any],
        span: Any,
    ) -> list[Any]:
        """Decide once for the request, and return the deployments in the order that is left of the decision."""
        self._give_up(passage)
        if passage.decision is None and model == passage.request.alias and request:
            _stamp(request, self.flow.decide(passage, barred, span))
        route, decision = passage.snapshot.route(model), passage.decision
        if route is None:
            return permitted
        if decision is None or model != decision.alias:
            return _in_order(permitted, self.flow.divert(passage, model, barred), passage)
        return _in_order(permitted, _standing(decision, permitted), passage)

    def _give_up(self, passage: Passage, blamed: bool = True) -> None:
        self.flow.release(passage, self.flow.clock.monotonic() - passage.since, ok=False, blamed=blamed)

    def _outcome(
        self,
        passage: Passage,
        decision: Decision,
        served: str | None,
        status: Status = Status.SUCCESS,
        error: str | None = None,
    ) -> Outcome:
        last = passage.tried[-1] if passage.tried else decision.choice
        return Outcome(
            decision_id=decision.id,
            request_id=passage.request.id,
            at=self.flow.clock.now(),
            model=served or last,
            status=status,
            latency_s=self.flow.clock.monotonic() - passage.since if passage.tried else None,
            retries=max(0, len(passage.tried) - 1),
            streamed=passage.request.stream,
            error=error,
        )


def name_of(deployment: Mapping[str, Any]) -> str:
    """Return the name by which callers know a deployment's model group; a team's own model has a second one."""
    info = deployment.get("model_info") or {}
    return str(info.get("team_public_model_name") or deployment["model_name"])


def _forget_claims(data: Mapping[str, Any]) -> None:
    for name in translate.BUCKETS:
        if isinstance(part := data.get(name), dict):
            part.pop(REQUEST_ID, None)


def _names(route: Route | None) -> tuple[str, ...]:
    return () if route is None else route.table.names


def _standing(decision: Decision, permitted: Iterable[Any]) -> tuple[str, ...]:
    """Return the decision's ranking, followed by candidates that only came to be had after it was made."""
    ranked = set(decision.ranking)
    late = dict.fromkeys(name for d in permitted if (name := name_of(d)) not in ranked)
    if not late:
        return decision.ranking
    words = {report.name: report.filtered_by for report in decision.candidates}
    return (*decision.ranking, *(name for name in late if words.get(name) == "unavailable"))


def _in_order(deployments: list[Any], ranking: Sequence[str], passage: Passage) -> list[Any]:
    """Return copies with `order` set: by how often a candidate was tried, then by its rank.

    LiteLLM serves the lowest order, and balances by its own means between deployments of the same one. Deployments
    outside the ranking are left out, unless nothing else is there.
    """
    tried, restated = passage.tried, passage.request.surface in translate.PRICED_BY_CALL
    last = len(ranking)
    keys = {name: (tried.count(name), at) for at, name in enumerate(ranking)}
    placed = [(keys.get(name) or (tried.count(name), last), d) for d in deployments for name in (name_of(d),)]
    listed = sorted([one for one in placed if one[0][1] < last] or placed, key=itemgetter(0))
    copies, order, former = [], 0, None
    for key, deployment in listed:
        order += key != former
        former = key
        copies.append(translate.ordered(deployment, order, restated))
    return copies


def _stamp(request: Mapping[str, Any], decision: Decision) -> None:
    """Leave the decision where LiteLLM's spend logs and spans look for the decisions of its own routers."""
    known = translate.bucket(request)
    if known is None or decision.reason is Reason.NAMED:
        return
    known["routing_decision"] = {
        "router_model_name": decision.alias,
        "router_type": "routeiq",
        "cause": decision.reason.value,
        "routed_model": decision.choice,
        "score": decision.score,
        "signals": [decision.strategy, decision.id],
    }


class RouteIQRoutingStrategy(CustomRoutingStrategyBase):  # type: ignore[misc] # LiteLLM ships no usable types
    """RouteIQ for `litellm.Router` without the proxy; `attach` puts it in place.

    LiteLLM lets such a strategy replace its whole selection. This one asks the router for what is left after cooldowns,
    tags, context windows and other filters, and only then chooses. The router must be called asynchronously; its
    synchronous methods keep LiteLLM's own selection.
    """

    def __init__(self, router: Any, flow: RequestFlow) -> None:
        self._router = router
        self._hook = RouteIQHook(flow)
        self._flow = flow

    def attach(self) -> None:
        """Have the router choose by this strategy, and LiteLLM report what came of it."""
        host.register(self._hook)
        self._router.set_custom_routing_strategy(self)

    async def async_get_available_deployment(
        self,
        model: str,
        messages: list[Any] | None = None,
        input: Any = None,
        specific_deployment: bool | None = False,
        request_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return the deployment to call. Raises what the router raises when nothing is to be had."""
        left = await self._router.async_get_healthy_deployments(
            model=model,
            request_kwargs={} if request_kwargs is None else request_kwargs,
            messages=messages,
            input=input,
            specific_deployment=specific_deployment,
        )
        if isinstance(left, dict):
            return left
        weights = [float(d["litellm_params"].get("weight") or 1.0) for d in left]
        return self._flow.chance.choices(left, weights=weights)[0]

    def get_available_deployment(self, *args: Any, **kwargs: Any) -> Any:
        """Return what LiteLLM itself would choose: its synchronous path cannot wait for a decision."""
        return type(self._router).get_available_deployment(self._router, *args, **kwargs)
