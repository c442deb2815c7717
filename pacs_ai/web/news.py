"""Events of the audit log as server-sent events (HTML, section 9.2): a line of data each, soon after it was written."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.records import AuditEvent
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pacs_ai.lines.events import event_line

_LISTENERS = 8
_AT_ONCE = 500
_PAUSE_SECONDS = 1.0
_SIGN_OF_LIFE = ": \n\n"
_EVERY = 15


@dataclass(slots=True, kw_only=True)
class News:
    """At most eight listen at a time, so that the port has room for everybody else."""

    after: Callable[[int, int], list[AuditEvent]]
    _listening: int = field(default=0, init=False)

    def lines(self, last: int, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """What is written after the event of that number, until the listener is gone; HTTPException when too many are.

        Now and then a line says nothing, so that a connection that has ended is found out.
        """
        if self._listening >= _LISTENERS:
            raise HTTPException(503, f"{_LISTENERS} listen already")
        return self._told(last, is_gone)

    async def _told(self, last: int, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        quiet = 0
        self._listening += 1
        try:
            while not await is_gone():
                events = await self._next(last)
                for event in events:
                    last = event.identity or last
                    yield f"id: {last}\nevent: {event.action}\ndata: {json.dumps(event_line(event))}\n\n"
                quiet = 0 if events else quiet + 1
                if quiet and quiet % _EVERY == 0:
                    yield _SIGN_OF_LIFE
                if len(events) < _AT_ONCE:
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._listening -= 1

    async def _next(self, last: int) -> list[AuditEvent]:
        try:
            return await run_in_threadpool(self.after, last, _AT_ONCE)
        except LedgerUnavailable:
            return []  # the listener waits with us
