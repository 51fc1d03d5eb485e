"""One request to a compound model, conducted: its method names calls, they are made, it is told what came of them.

Owns the only loop that drives a method, the keeping of its budget, and the account of every call. Which calls are made
is the method's, how one is made is `calls`', what is sent to the client is `answering`'s.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Scope

from routeiq.core.candidate import Candidate
from routeiq.core.decision import BREAKER, Decision, InnerCall
from routeiq.core.outcome import Usage
from routeiq.flow import RequestFlow
from routeiq.http.compound.calls import Call
from routeiq.http.compound.forms import Form, original
from routeiq.routing.compound.ledger import TIME, Ledger
from routeiq.routing.compound.methods import Compound
from routeiq.routing.compound.steps import Answer, Ask, Prospect, Reply, Role

NOT_PERMITTED = "access"
"""What a call ends in that would go to a model the caller may not use; it is not made."""

_FINAL = frozenset({401})
"""Statuses after which no other candidate is asked: the key itself is refused."""


_BLAMED = frozenset({408})
"""Statuses below 500 that say something of the model; 429 may be the caller's own limit, and opens no breaker."""


@dataclass(slots=True)
class Made:
    """A call that was made: what it was for, what it took and what it brought. `at` is when it began."""

    model: str
    role: Role
    at: float
    usage: Usage = Usage()
    cost_usd: float | None = None
    latency_s: float | None = None
    error: str | None = None
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    answer: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the model did what it was asked; None when how the call ended says nothing of the model."""
        if self.error is None:
            return True if self.status == 200 else None
        if self.status == 0:
            return None if self.error == TIME else False
        return False if self.status in _BLAMED or self.status >= 500 or self.status == 200 else None


Choose = Callable[[str], Awaitable[tuple[str, ...]]]
"""A prompt to the candidates in the order in which they are recommended for it."""


@dataclass(slots=True)
class Conduct:
    """The work on one request.

    `expected` is what the compound model's strategy expects of every model for this request; `permitted` are those that
    the caller may use. `made` are the calls in the order in which they began; `live` is the call whose stream is the
    answer, if there is one.
    """

    compound: Compound
    form: Form
    body: Mapping[str, Any]
    app: ASGIApp
    scope: Scope
    flow: RequestFlow
    expected: Decision
    permitted: frozenset[str]
    choose: Choose
    since: float
    made: list[Made] = field(default_factory=list)
    live: Call | None = None
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        prices = {r.name: r.expected_cost_usd for r in self.expected.candidates if r.expected_cost_usd is not None}
        self.ledger = Ledger(self.compound.budget, prices, self._elapsed)

    def _elapsed(self) -> float:
        return self.flow.clock.monotonic() - self.since

    def pool(self) -> tuple[Prospect, ...]:
        """Return the candidates that may answer this caller's request, from the cheapest to the dearest.

        Those whose breaker is open are left out while there are others.
        """
        left, reports = set(self.expected.ranking) & self.permitted, self.expected.report
        every = [name for name in self.compound.candidates if name in left]
        shut = {name for name, report in reports.items() if report.filtered_by == BREAKER}
        names = [name for name in every if name not in shut] or every
        found = ((name, reports.get(name)) for name in names)
        return tuple(
            Prospect(name, report.expected_score if report else None, report.expected_cost_usd if report else None)
            for name, report in found
        )

    async def answer(self) -> Answer | None:
        """Return what the method came to; None when no call gave an answer."""
        pool, question = self.pool(), self.form.question(self.body)
        if not pool:
            return None
        run = self.compound.method.run(question, pool, self.ledger, self.compound.plan)
        try:
            asks = next(run)
            while True:
                replies = await self._make(asks, tuple(prospect.name for prospect in pool))
                if any(made.status in _FINAL for made in self.made):
                    return None
                asks = run.send(replies)
        except StopIteration as end:
            found: Answer | None = end.value
            return found
        finally:
            run.close()

    async def _make(self, asks: tuple[Ask, ...], pool: tuple[str, ...]) -> tuple[Reply, ...]:
        """Make calls together, and return their replies in the order of the calls."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(ask, pool)) for ask in asks]
        return tuple(task.result() for task in tasks)

    async def _one(self, ask: Ask, pool: tuple[str, ...]) -> Reply:
        model = ask.model or await self._chosen(ask, pool)
        if model not in self.permitted:
            return Reply(model, ask.role, -1, error=NOT_PERMITTED)
        if not self.ledger.allows(model):
            return Reply(model, ask.role, -1, error=self.ledger.refused)
        number = self.ledger.begin(model)
        made = Made(model, ask.role, self.flow.clock.monotonic())
        self.made.append(made)
        self.flow.vitals.begin(model)
        breakers, streams = self.flow.breakers, ask.live and self.body.get("stream") is True
        noted = breakers.begin(model, streams) if breakers is not None else None
        try:
            await self._meet(ask, model, made, streams)
        except TimeoutError:
            made.error = TIME
        except Exception as error:  # noqa: BLE001 - one call that breaks is a failed call; the method goes on
            self.flow.telemetry.failed("compound", error)
            made.error = type(error).__name__
        finally:
            made.latency_s = self.flow.clock.monotonic() - made.at
            self.flow.vitals.end(model, made.latency_s, made.ok is True)
            if breakers is not None and noted is not None:
                breakers.end(noted, made.ok, made.latency_s)
            self.ledger.end(number, made.cost_usd)
        text = self.form.text(made.answer) if made.answer is not None else ""
        return Reply(model, ask.role, number, text, made.usage, made.cost_usd, made.error)

    async def _chosen(self, ask: Ask, pool: tuple[str, ...]) -> str:
        ranking = await self.choose(ask.prompt or "")
        return next((name for name in ranking if name in pool), pool[0])

    async def _meet(self, ask: Ask, model: str, made: Made, streams: bool) -> None:
        """Make one call within what is left of the deadline, and note what came of it."""
        call = Call(self.app, self.scope, self._asked(ask, model, streams), self.compound.name)
        kept = False
        try:
            async with asyncio.timeout(max(0.0, self.compound.budget.deadline_s - self._elapsed())):
                await call.begin()
                made.status, made.headers = call.status, call.headers
                kept = streams and call.status == 200
                if not kept:
                    made.body = await call.whole()
        finally:
            if not kept:
                await call.close()
        if kept:
            self.live = call
        else:
            self._read(call, made)

    def _asked(self, ask: Ask, model: str, streams: bool) -> dict[str, Any]:
        if ask.prompt is not None:
            return self.form.put(self.body, model, ask.prompt)
        asked = original(self.body, model, streams, ask.notes, fresh=ask.role is Role.SAMPLE)
        if streams:
            asked |= self.form.stream_options()
        return asked

    def _read(self, call: Call, made: Made) -> None:
        try:
            found = json.loads(made.body)
        except ValueError:
            found = None
        if made.status != 200 or not isinstance(found, dict):
            made.error = f"http_{made.status}" if made.status != 200 else "unreadable"
            return
        made.answer, made.usage = found, self.form.usage(found)
        stated = call.header("x-litellm-response-cost")
        cached = call.header("x-litellm-cache-key") is not None
        made.cost_usd = self.cost(made.model, made.usage, stated, cached)

    def cost(self, model: str, usage: Usage, stated: str | None = None, cached: bool = False) -> float | None:
        """Return what LiteLLM says that a call cost, else what the price list makes of its tokens; None when unknown.

        LiteLLM states 0 also where it knows no price.
        """
        if said := _positive(stated):
            return said
        if cached:
            return 0.0
        table = self.compound.route.table
        candidate: Candidate = table.candidates[table.index[model]]
        prices = (candidate.usd_per_input_token, candidate.usd_per_output_token)
        if prices[0] is None or prices[1] is None or usage == Usage():
            return None
        return prices[0] * usage.input_tokens + prices[1] * usage.output_tokens

    def calls(self, served: Reply | None) -> tuple[InnerCall, ...]:
        """Return the account of all calls; `served` is the reply that the client was given."""
        return tuple(
            InnerCall(
                model=made.model,
                role=made.role.value,
                input_tokens=made.usage.input_tokens,
                output_tokens=made.usage.output_tokens,
                cost_usd=made.cost_usd,
                latency_s=made.latency_s,
                score=self.ledger.scores.get(number),
                error=made.error,
                served=served is not None and served.number == number,
            )
            for number, made in enumerate(self.made)
        )

    def usage(self) -> Usage:
        """Return the tokens of all calls together."""
        used = [made.usage for made in self.made]
        return Usage(sum(usage.input_tokens for usage in used), sum(usage.output_tokens for usage in used))

    def cost_usd(self) -> float | None:
        """Return what all calls cost together; None when that of an answered one is not known."""
        costs = [made.cost_usd for made in self.made if made.error is None]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known and len(known) == len(costs) else None


def _positive(said: str | None) -> float | None:
    try:
        number = float(said or "")
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
