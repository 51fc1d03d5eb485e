"""Sends a plan's requests when they are due and writes down what became of each.

Owns sockets and clocks. It sends to this machine only; what is due when is in `plan`, what it means in `report`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from routeiq.testing.load.fate import Fate, Record
from routeiq.testing.load.plan import Plan, Shot, shots
from routeiq.testing.load.report import Report

MOST_OPEN = 5_000
"""Requests under way at once; those beyond it are recorded as failed, with the reason `generator_full`."""

_DONE = b"data: [DONE]"
_ERROR = b'data: {"error"'
_TAIL = 4_096


@dataclass(slots=True)
class _Seen:
    """What is known of an answer so far."""

    status: int | None = None
    first: float | None = None
    request_id: str = ""
    model: str = ""


def check_loopback(url: str) -> None:
    """Raise ValueError for an address that is not of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"the load generator sends to this machine only, found {host!r}; expected 127.0.0.1 or ::1")


class Load:
    """A load under way. `start`, then `finish` for its end, or `stop` to send nothing more."""

    def __init__(self, plan: Plan, url: str) -> None:
        check_loopback(url)
        self._plan = plan
        self._url = f"{url.rstrip('/')}/v1/chat/completions"
        self._records: list[Record] = []
        self._open: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()
        self._begun = 0.0
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._begun = time.monotonic()
        self._sending = asyncio.create_task(self._send_all())

    def elapsed(self) -> float:
        """Return the seconds since the start: the time that `Record.at` is in."""
        return time.monotonic() - self._begun

    @property
    def under_way(self) -> int:
        """How many requests have left and not ended."""
        return len(self._open)

    async def finish(self) -> Report:
        """Wait until everything due has been sent and has ended."""
        if self._sending is None:
            raise RuntimeError("the load was not started; call start() first")
        await self._sending
        return Report(sorted(self._records, key=lambda record: record.at), self.elapsed())

    async def stop(self) -> Report:
        """Send nothing more, and wait until what is under way has ended."""
        self._ending.set()
        return await self.finish()

    async def _send_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=self._plan.timeout_s)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            for shot in shots(self._plan):
                wait = self._begun + shot.at - time.monotonic()
                if wait > 0.0 and await self._ended_within(wait):
                    break
                self._fire(session, shot)
            await asyncio.gather(*self._open)

    async def _ended_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _fire(self, session: aiohttp.ClientSession, shot: Shot) -> None:
        if len(self._open) >= MOST_OPEN:
            self._note(shot, Fate.FAILED, "generator_full", _Seen(), time.monotonic())
            return
        task = asyncio.create_task(self._one(session, shot))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _one(self, session: aiohttp.ClientSession, shot: Shot) -> None:
        sender = shot.sender
        message = {"role": "user", "content": sender.prompt.replace("{n}", str(shot.number))}
        body = {"model": sender.model, "messages": [message], "stream": shot.streamed, **sender.more}
        headers = {"content-type": "application/json", "authorization": f"Bearer {sender.key}", **sender.headers}
        left, seen = time.monotonic(), _Seen()
        try:
            async with session.post(self._url, data=json.dumps(body).encode(), headers=headers) as answer:
                seen.status = answer.status
                seen.request_id = answer.headers.get("x-request-id", "")
                seen.model = answer.headers.get("x-routeiq-model", "")
                fate, reason = await _read(answer, shot.streamed, seen)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fate = Fate.CUT if seen.status == 200 else Fate.FAILED
            reason = type(error).__name__
        self._note(shot, fate, reason, seen, left)

    def _note(self, shot: Shot, fate: Fate, reason: str, seen: _Seen, left: float) -> None:
        due = self._begun + shot.at
        self._records.append(
            Record(
                team=shot.sender.team,
                at=shot.at,
                streamed=shot.streamed,
                fate=fate,
                status=seen.status,
                reason=reason,
                latency_s=time.monotonic() - due,
                ttft_s=None if seen.first is None else seen.first - due,
                late_s=left - due,
                request_id=seen.request_id,
                model=seen.model,
            )
        )


async def _read(answer: aiohttp.ClientResponse, streamed: bool, seen: _Seen) -> tuple[Fate, str]:
    if answer.status != 200:
        waits = answer.status in (429, 503) and "retry-after" in answer.headers
        return (Fate.REFUSED if waits else Fate.FAILED), _code(await answer.read(), answer.status)
    tail = b""
    async for piece in answer.content.iter_any():
        if seen.first is None:
            seen.first = time.monotonic()
        tail = (tail + piece)[-_TAIL:]
        if streamed and _ERROR in tail:
            return Fate.CUT, _code(tail[tail.index(_ERROR) + len(b"data: ") :].split(b"\n")[0], 200)
    if streamed and _DONE not in tail:
        return Fate.CUT, "no_end"
    return Fate.OK, ""


def _code(body: bytes, status: int) -> str:
    """Return the error code of a body in OpenAI's form, else the status."""
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return str(status)
