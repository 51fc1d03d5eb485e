"""What the client of a compound model is sent, and what is kept of its request.

Owns the answer's headers and body, plain or streamed, and the one decision and outcome that a request ends in.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from starlette.types import Message, Send

from routeiq.core.decision import Decision, Reason
from routeiq.core.outcome import Outcome, Status, Usage
from routeiq.flow import Passage, RequestFlow
from routeiq.http.answers import refusal
from routeiq.http.compound.conduct import Conduct
from routeiq.http.compound.streams import Relay, told
from routeiq.routing.compound.steps import Answer, Reply

_NOT_PASSED_ON = (b"content-length", b"transfer-encoding", b"x-litellm-response-cost", b"x-litellm-call-id")
"""Beginnings of names: what is true of one call, but not of the answer."""

_NOBODY = "no candidate of this compound model gave an answer; the decision that x-routeiq-decision-id names says why"


@dataclass(slots=True)
class Answering:
    """The end of one request: what is sent, and what is recorded of it when that is over, however it ends."""

    conduct: Conduct
    passage: Passage
    flow: RequestFlow
    send: Send
    found: Answer | None = None
    ttft_s: float | None = None
    status: Status = Status.CANCELLED
    error: str | None = None

    async def run(self) -> None:
        """Conduct the request and answer it. Whatever happens, one decision and one outcome are recorded."""
        try:
            self.found = await self.conduct.answer()
            self.passage.decision = self._decision()
            self.passage.tried = [self.passage.decision.choice]
            if self.found is None:
                await self._refuse()
            elif self.conduct.live is not None:
                await self._pass_on(self.found)
            else:
                await self._tell(self.found)
        except Exception as error:
            self.status, self.error = Status.FAILURE, type(error).__name__
            raise
        finally:
            try:
                if self.conduct.live is not None:
                    await self.conduct.live.close(patiently=True)
            finally:
                self._record()

    @property
    def _streamed(self) -> bool:
        return self.passage.request.stream

    async def _refuse(self) -> None:
        """Pass the last error on as LiteLLM worded it, or say that nobody answered."""
        self.status = Status.FAILURE
        failed = next((made for made in reversed(self.conduct.made) if made.status >= 400), None)
        self.error = next((made.error for made in reversed(self.conduct.made) if made.error), "no_candidate")
        if failed is None:
            response = refusal(503, "no_candidate", _NOBODY)
            await self.send({"type": "http.response.start", "status": 503, "headers": response.raw_headers})
            await self.send({"type": "http.response.body", "body": response.body})
            return
        headers = [pair for pair in failed.headers if not pair[0].lower().startswith(_NOT_PASSED_ON)]
        await self._start(headers, failed.status, len(failed.body))
        await self.send({"type": "http.response.body", "body": failed.body})

    async def _tell(self, found: Answer) -> None:
        """Send an answer that is there, as a whole or in the form of a stream."""
        conduct = self.conduct
        made = conduct.made[found.reply.number]
        answer = conduct.form.rewritten(made.answer or {}, conduct.compound.name, found.text, conduct.usage())
        headers = [pair for pair in made.headers if not pair[0].lower().startswith(_NOT_PASSED_ON)]
        if (cost := conduct.cost_usd()) is not None:
            headers.append((b"x-litellm-response-cost", str(cost).encode()))
        if self._streamed:
            body = told(conduct.form.surface, answer, conduct.form.asks_for_usage(conduct.body))
            headers = [pair for pair in headers if pair[0].lower() != b"content-type"]
            await self._start([*headers, (b"content-type", b"text/event-stream; charset=utf-8")])
        else:
            body = json.dumps(answer).encode()
            await self._start(headers, length=len(body))
        self.ttft_s = self._elapsed()
        await self.send({"type": "http.response.body", "body": body})
        self.status = Status.SUCCESS

    async def _pass_on(self, found: Answer) -> None:
        """Send the stream of the call that answers, as it comes."""
        conduct, call = self.conduct, self.conduct.live
        assert call is not None  # noqa: S101 - for the type checker; `run` has looked
        made = conduct.made[found.reply.number]
        wanted = conduct.form.asks_for_usage(conduct.body)
        relay = Relay(conduct.form.surface, conduct.compound.name, conduct.usage(), wanted)
        await self._start([pair for pair in call.headers if not pair[0].lower().startswith(_NOT_PASSED_ON)])
        try:
            async for chunk in call.chunks():
                if data := relay.feed(chunk):
                    self.ttft_s = self.ttft_s or self._elapsed()
                    await self._more(data)
            await self._more(relay.end())
            await self.send({"type": "http.response.body", "body": b""})
            self.status = Status.FAILURE if relay.broken else Status.SUCCESS
            self.error = made.error = "stream" if relay.broken else None
        finally:
            made.usage = relay.usage
            made.cost_usd = conduct.cost(made.model, relay.usage)
            made.latency_s = self.flow.clock.monotonic() - made.at

    async def _start(
        self, headers: Iterable[tuple[bytes, bytes]], status: int = 200, length: int | None = None
    ) -> None:
        sized = [] if length is None else [(b"content-length", str(length).encode())]
        named = (b"x-litellm-call-id", self.passage.request.id.encode())
        message: Message = {"type": "http.response.start", "status": status, "headers": [*headers, *sized, named]}
        await self.send(message)

    async def _more(self, data: bytes) -> None:
        if data:
            await self.send({"type": "http.response.body", "body": data, "more_body": True})

    def _elapsed(self) -> float:
        return self.flow.clock.monotonic() - self.conduct.since

    def _decision(self) -> Decision:
        """Return the decision as it is known now: whose answer it is, why, and the calls so far."""
        conduct, found = self.conduct, self.found
        tried = dict.fromkeys(made.model for made in reversed(conduct.made))
        choice = found.reply.model if found is not None else next(iter(tried), conduct.compound.candidates[0])
        served: Reply | None = found.reply if found is not None else None
        former = self.passage.decision
        return replace(
            conduct.expected,
            id=former.id if former is not None else "dec_" + secrets.token_hex(12),
            strategy=conduct.compound.method.name,
            choice=choice,
            ranking=tuple(dict.fromkeys([choice, *tried])),
            propensity=1.0,
            reason=Reason.COMPOUND,
            score=found.score if found is not None else None,
            degraded=found.cut if found is not None else None,
            calls=conduct.calls(served),
        )

    def _record(self) -> None:
        decision = self._decision()
        self.flow.conclude(self.passage, decision, dict(self._trace_headers()))
        made = self.conduct.made
        known = self.conduct.cost_usd()
        self.flow.observe(
            self.passage,
            Outcome(
                decision_id=decision.id,
                request_id=self.passage.request.id,
                at=self.flow.clock.now(),
                model=decision.choice,
                status=self.status,
                usage=self.conduct.usage() if made else Usage(),
                cost_usd=known,
                latency_s=self._elapsed(),
                ttft_s=self.ttft_s if self._streamed else None,
                retries=sum(call.error is not None for call in made),
                streamed=self._streamed,
                error=self.error,
            ),
        )

    def _trace_headers(self) -> Iterable[tuple[str, str]]:
        """Return the client's headers as text, by which spans and lines find the trace."""
        return ((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in self.conduct.scope["headers"])
