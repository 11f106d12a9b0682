"""Clips that are lent to viewers: opened once, and kept for a short while between their requests.

A player asks for a clip piece by piece; each piece must not fetch the whole clip again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from sidecar.core.past import find_verdict
from sidecar.core.past_clips import PastClips
from sidecar.errors import MediaAway, MediaError, MediaGone, Overloaded, row_of
from sidecar.model import Clip, VerdictRecord
from sidecar.ports import Ledger

MOST: Final = 4
"""Clips that are lent or kept at a time; each may take as much room as a download may."""
LINGER_S: Final = 60.0
DEADLINE_S: Final = 45.0


@dataclass(slots=True)
class _Loan:
    clip: Clip
    stack: AsyncExitStack
    viewers: int = 0
    expiry: asyncio.TimerHandle | None = None


class ClipLoans:
    """Lends the clips of verdicts. For one event loop.

    Args:
        ledger: knows the verdicts.
        clips: finds their media.
        linger_s: how long a clip is kept that nobody views.
        deadline_s: for finding one.
    """

    def __init__(
        self,
        ledger: Ledger,
        clips: PastClips,
        *,
        linger_s: float = LINGER_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._ledger = ledger
        self._clips = clips
        self._linger_s = linger_s
        self._deadline_s = deadline_s
        self._loans: dict[str, _Loan] = {}
        self._opening: dict[str, asyncio.Task[_Loan]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def borrow(self, identity: str) -> AsyncGenerator[Clip]:
        """Give the clip of a verdict, which stays while the context lasts.

        Raises:
            NotFound: on entering, when there is no such verdict.
            MediaGone, MediaAway, NotRepeatable: on entering, when there is no clip, for good or for
                now.
            Overloaded: on entering, when too many are lent.
        """
        loan = await self._lend(await find_verdict(self._ledger, identity))
        try:
            yield loan.clip
        finally:
            loan.viewers -= 1
            self._expire_later(loan)

    async def close(self) -> None:
        """Take back everything. Safe to call twice."""
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), *self._closing, return_exceptions=True)
        for key in list(self._loans):
            await self._take_back(key)

    async def _lend(self, record: VerdictRecord) -> _Loan:
        key = record.key
        while key not in self._loans:
            if key not in self._opening:
                await self._make_room()
            if key not in self._opening:
                opening = self._opening[key] = asyncio.create_task(self._open(record))
                opening.add_done_callback(partial(self._opened, key))
            await asyncio.shield(self._opening[key])
        loan = self._loans[key]
        loan.viewers += 1
        if loan.expiry is not None:
            loan.expiry.cancel()
        return loan

    def _opened(self, key: str, opening: asyncio.Task[_Loan]) -> None:
        """Keep what was opened, also when whoever asked for it has gone."""
        del self._opening[key]
        if not opening.cancelled() and opening.exception() is None:
            self._loans[key] = opening.result()
            self._expire_later(self._loans[key])

    async def _open(self, record: VerdictRecord) -> _Loan:
        stack = AsyncExitStack()
        try:
            async with asyncio.timeout(self._deadline_s):
                _, clip = await stack.enter_async_context(self._clips.open(record))
        except TimeoutError:
            raise MediaAway(f"The clip was not found within {self._deadline_s:g} s.") from None
        except MediaError as error:
            kind = MediaAway if row_of(error).retryable else MediaGone
            raise kind(error.detail or row_of(error).wording.status) from error
        return _Loan(clip, stack)

    async def _make_room(self) -> None:
        while len(self._loans) + len(self._opening) >= MOST:
            idle = next((key for key, loan in self._loans.items() if not loan.viewers), None)
            if idle is None:
                raise Overloaded(f"{MOST} clips are being viewed, and no more are lent.")
            await self._take_back(idle)

    def _expire_later(self, loan: _Loan) -> None:
        if not loan.viewers:
            loop = asyncio.get_running_loop()
            loan.expiry = loop.call_later(self._linger_s, self._expire, loan)

    def _expire(self, loan: _Loan) -> None:
        key = next((key for key, it in self._loans.items() if it is loan), None)
        if key is None or loan.viewers:
            return
        task = asyncio.create_task(self._take_back(key))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _take_back(self, key: str) -> None:
        loan = self._loans.pop(key, None)
        if loan is None:
            return
        if loan.expiry is not None:
            loan.expiry.cancel()
        await loan.stack.aclose()
