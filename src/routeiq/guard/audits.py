"""What the audits of all hosts said last, so that whoever is asked can show it.

Owns what a host tells the others through shared state: the newest entries of its chain, as they stand in its files. It
is for looking; what counts is in the files of the host itself, where alone a chain can be verified.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from routeiq.core.audit import AuditLog
from routeiq.core.errors import StateUnavailable
from routeiq.core.shared import SharedState
from routeiq.guard.tasks import Errands

AREA: Final = "audit"
"""The area of shared state; a key is the name of a chain."""

TOLD: Final = 100
TOLD_BYTES: Final = 64 << 10
"""How many entries of its chain a host tells the others, at most, and how many bytes they may have."""

KEPT_S: Final = 30 * 86_400.0
"""How long what a host said is shown after it said it last."""

TRIES: Final = 5

Entry = Mapping[str, Any]


@dataclass(slots=True)
class Audits:
    """The audit of this host, and what others told of theirs. `everywhere` says whether there is a way to tell."""

    own: AuditLog
    state: SharedState
    everywhere: bool
    failed: Callable[[str, BaseException], None]
    _errands: Errands = field(default_factory=Errands)
    _telling: bool = False
    _due: bool = False

    def start(self) -> None:
        """Tell the others from now on, on the running event loop."""
        if not self.everywhere:
            return
        loop = asyncio.get_running_loop()

        def written() -> None:
            with suppress(RuntimeError):  # the loop has ended: this was written on the way out
                loop.call_soon_threadsafe(self._tell)

        self.own.on_written(written)
        self._tell()

    async def close(self) -> None:
        """Tell no more."""
        await self._errands.end()

    async def elsewhere(self) -> Mapping[str, list[Entry]]:
        """Return the entries that other hosts told of, the newest first, by chain; raises StateUnavailable."""
        if not self.everywhere:
            return {}
        here = await asyncio.to_thread(self.own.chain_id)
        said = (await self.state.changes(AREA, 0)).entries
        return {chain: json.loads(value) for chain, value in said.items() if value is not None and chain != here}

    def _tell(self) -> None:
        self._due = True
        if not self._telling:
            self._telling = True
            self._errands.start(self._keep_telling())

    async def _keep_telling(self) -> None:
        try:
            while self._due:
                self._due = False
                await self._tell_now()
        except StateUnavailable:
            pass  # the next event tells of all that were missed
        except Exception as error:  # noqa: BLE001 - background task: what cannot be told is in the files all the same
            self.failed("audit", error)
        finally:
            self._telling = False

    async def _tell_now(self) -> None:
        chain, entries = await asyncio.to_thread(self._newest)
        for _ in range(TRIES if chain is not None and entries else 0):
            found = await self.state.get(AREA, str(chain))
            said = [] if found is None else json.loads(found.value)
            if said and said[0]["seq"] >= entries[0]["seq"]:
                return  # another worker of this host has told of more
            value, version = json.dumps(entries).encode(), 0 if found is None else found.version
            if await self.state.put(AREA, str(chain), value, expires_s=KEPT_S, expect=version) is not None:
                return

    def _newest(self) -> tuple[str | None, list[Entry]]:
        """Return the name of the chain and its newest entries; blocks."""
        entries: list[Entry] = []
        size = 0
        for entry in islice(self.own.entries(), TOLD):
            size += len(json.dumps(entry))
            if entries and size > TOLD_BYTES:
                break
            entries.append(entry)
        return self.own.chain_id(), entries
