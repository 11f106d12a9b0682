"""What RT-VLM works on: streams are opened once, shared by rules, and closed with the last one.

The steps, their waits and what each failure means are VSS's (services/alert, realtime_service.py).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from sidecar.contract.realtime import write_captions, write_stream
from sidecar.errors import (
    RequestError,
    RtviInvalidResponse,
    RtviStreamConflict,
    RtviStreamNotReadable,
    RtviUnavailable,
)
from sidecar.model import RealtimeRule
from sidecar.ports import Clock, LiveVlm, RealtimeMeter, RuleBook
from sidecar.settings import RealtimeSettings

T = TypeVar("T")

_STAGES: Final[Mapping[type[RequestError], str]] = {
    RtviStreamConflict: "stream_identity_conflict",
    RtviInvalidResponse: "missing_stream_id",
    RtviStreamNotReadable: "stream_readiness",
}
"""VSS's labels for what stopped a rule; RtviUnavailable has one for each call."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Started:
    """What RT-VLM calls the work on a rule: its stream, and its captions ("" when not told)."""

    stream_id: str
    request_id: str


class LiveStreams:
    """Starts and stops RT-VLM's work on rules.

    Args:
        rtvi: RT-VLM.
        book: tells which other rules need a stream.
        settings: how long to wait for what.
        clock: measures.
        meter: is told about calls and failures.
    """

    def __init__(
        self,
        rtvi: LiveVlm,
        book: RuleBook,
        settings: RealtimeSettings,
        clock: Clock,
        meter: RealtimeMeter,
    ) -> None:
        self._rtvi = rtvi
        self._book = book
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._captions: dict[str, asyncio.Task[None]] = {}
        self._starting: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def followed(self) -> int:
        """How many rules have captions that this process follows."""
        return len(self._captions)

    async def known(self) -> Mapping[str, str]:
        """Return the URLs of RT-VLM's streams by id, if it is ready.

        Raises:
            RtviUnavailable: it is not.
        """
        problem = await self._rtvi.ping()
        if problem:
            raise RtviUnavailable(problem)
        return await self._timed("get_stream_info", self._rtvi.streams())

    @asynccontextmanager
    async def start(self, rule: RealtimeRule) -> AsyncGenerator[Started]:
        """Let RT-VLM work on a rule, and undo that when the context raises.

        Raises:
            RtviUnavailable, RtviStreamConflict, RtviStreamNotReadable, RtviInvalidResponse:
                on entering, when it does not.
        """
        try:
            stream_id, is_new = await self._open(rule)
            async with self._counted(stream_id):
                try:
                    yield Started(stream_id, await self._begin(rule, stream_id, is_new=is_new))
                except RequestError:
                    self.unfollow(rule.id)
                    if is_new and not await self._is_shared(stream_id, rule.id, starting=1):
                        await self._close_stream(stream_id)
                    raise
        except RequestError as error:
            if type(error) in _STAGES:
                self._meter.rule_failed(_STAGES[type(error)])
            raise

    def follow(self, rule_id: str, lost: Callable[[str], None]) -> None:
        """Call `lost` with a sentence when RT-VLM breaks off the captions of a rule."""

        def ended(captions: asyncio.Task[None]) -> None:
            if self._captions.get(rule_id) is captions:
                del self._captions[rule_id]
            error = None if captions.cancelled() else captions.exception()
            if error is not None:
                lost(str(error))

        self._captions[rule_id].add_done_callback(ended)

    def unfollow(self, rule_id: str) -> None:
        """Let go of the captions of a rule."""
        captions = self._captions.pop(rule_id, None)
        if captions is not None:
            captions.cancel()

    async def stop(self, rule: RealtimeRule) -> None:
        """Stop the work on a rule, as far as no other rule needs it. Best effort."""
        self.unfollow(rule.id)
        if not rule.stream_id:
            return
        async with self._lock(rule.stream_id):
            if not await self._is_shared(rule.stream_id, rule.id):
                await self._close_stream(rule.stream_id)
            elif rule.request_id:
                stop = self._rtvi.stop_captions(rule.stream_id, rule.request_id)
                await self._try("stop_captions", stop)
            else:  # without an id, the captions of all its rules would end
                _log.warning("captions_left_running", rule=rule.id, stream=rule.stream_id)

    async def drop(self, stream_id: str) -> None:
        """Close a stream that no rule stands for any more, if RT-VLM has it."""
        with suppress(RtviUnavailable):
            async with self._lock(stream_id):
                if stream_id in await self.known() and not await self._is_shared(stream_id, ""):
                    await self._close_stream(stream_id)

    async def close(self) -> None:
        """Let go of all captions; RT-VLM goes on with them."""
        captions = list(self._captions.values())
        self._captions.clear()
        for task in captions:
            task.cancel()
        if captions:
            await asyncio.wait(captions)

    async def _open(self, rule: RealtimeRule) -> tuple[str, bool]:
        """Return the id of the rule's stream, and whether it was opened for it."""
        wanted = str(rule.fields.get("sensor_id") or "")
        stream = write_stream(rule)
        if not wanted:
            return await self._add(stream), True
        async with self._lock(wanted):
            known: Mapping[str, str] = {}
            with suppress(RtviUnavailable):  # then adding it tells what is wrong
                known = await self._timed("get_stream_info", self._rtvi.streams())
            if wanted not in known:
                return await self._add(stream), True
        if known[wanted].strip() not in ("", stream["liveStreamUrl"]):
            raise RtviStreamConflict(
                f"sensor_id '{wanted}' is already registered with a different liveStreamUrl. "
                "Delete the rule that uses it, or choose another sensor_id."
            )
        return wanted, False

    async def _add(self, stream: Mapping[str, Any]) -> str:
        try:
            return await self._timed("start_stream", self._rtvi.add_stream(stream))
        except RtviUnavailable:
            self._meter.rule_failed("start_stream")
            raise

    async def _begin(self, rule: RealtimeRule, stream_id: str, *, is_new: bool) -> str:
        """Start the captions and wait until they are likely to go on; returns their id."""
        accepted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        body = write_captions(rule, stream_id)
        captions = asyncio.create_task(self._rtvi.caption(body, accepted.set_result))
        self._captions[rule.id] = captions
        await self._timed("generate_captions", self._settle(captions, accepted, is_new=is_new))
        return accepted.result() if accepted.done() else ""

    async def _settle(
        self, captions: asyncio.Task[None], accepted: asyncio.Future[str], *, is_new: bool
    ) -> None:
        waited: set[asyncio.Future[Any]] = {captions, accepted}
        ack_s = self._settings.captions_ack_s
        await asyncio.wait(waited, timeout=ack_s, return_when=asyncio.FIRST_COMPLETED)
        refused = captions.done() and not accepted.done()
        if is_new and not captions.done():
            # RT-VLM knows a stream before it knows whether the camera can be read.
            await asyncio.wait({captions}, timeout=self._settings.readiness_wait_s)
        error = captions.exception() if captions.done() else None
        if isinstance(error, RtviUnavailable) and not refused:
            raise RtviStreamNotReadable(f"Stream failed readiness check: {error.detail}")
        if isinstance(error, RtviUnavailable):
            self._meter.rule_failed("generate_captions")
        if error is not None:
            raise error

    async def _close_stream(self, stream_id: str) -> None:
        # One after the other: RT-VLM refuses a second call about a stream with 409.
        await self._try("stop_captions", self._rtvi.stop_captions(stream_id, ""))
        await self._try("stop_stream", self._rtvi.delete_stream(stream_id))

    async def _is_shared(self, stream_id: str, rule_id: str, starting: int = 0) -> bool:
        """Tell whether another rule needs a stream; `starting` of those that start are known."""
        if self._starting[stream_id] > starting:
            return True
        rules = await self._book.list()
        return any(rule.stream_id == stream_id and rule.id != rule_id for rule in rules)

    async def _try(self, method: str, call: Awaitable[None]) -> None:
        try:
            await self._timed(method, call)
        except RtviUnavailable as error:
            _log.warning("rtvi_not_stopped", method=method, detail=error.detail)

    async def _timed(self, method: str, call: Awaitable[T]) -> T:
        started, ok = self._clock.monotonic(), False
        try:
            answer = await call
            ok = True
            return answer
        finally:
            self._meter.called_rtvi(method, self._clock.monotonic() - started, ok=ok)

    @asynccontextmanager
    async def _counted(self, stream_id: str) -> AsyncGenerator[None]:
        """Let others know that a rule starts on a stream before the store knows it."""
        self._starting[stream_id] += 1
        try:
            yield
        finally:
            self._starting[stream_id] -= 1
            self._starting += Counter()  # forgets streams at 0

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
