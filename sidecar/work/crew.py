"""Runs what must not end while the service lives, and tells when one of it does all the same."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

_ADVICE: Final = "The service stops; what it accepted goes on when it is started again."

_log = structlog.get_logger()


class Crew:
    """Tasks without an end of their own, for one event loop.

    One that ends by a defect would leave a service that answers and does nothing. So the others are
    not kept alive around it: the service stops, and whoever runs it starts it again.

    Attributes:
        on_broken: called when a member has ended by itself.
        broken: names of such members.
    """

    def __init__(self) -> None:
        self.on_broken: Callable[[], None] = _do_nothing
        self.broken: list[str] = []
        self._members: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin; the name is used once."""
        member = asyncio.create_task(work, name=name)
        self._members[name] = member
        member.add_done_callback(self._look_at)

    async def stop(self, *names: str) -> None:
        """End these members, or all; one that breaks in its end is told and hinders nobody."""
        wanted = names or tuple(self._members)
        members = [self._members.pop(name) for name in wanted if name in self._members]
        for member in members:
            member.cancel()
        ends = await asyncio.gather(*members, return_exceptions=True)
        for member, end in zip(members, ends, strict=True):
            if isinstance(end, Exception) and member.get_name() not in self.broken:
                _log.error("part_broke_at_its_end", part=member.get_name(), exc_info=end)

    def _look_at(self, member: asyncio.Task[None]) -> None:
        name = member.get_name()
        if member.cancelled() or name not in self._members:
            return
        _log.critical("part_ended", part=name, exc_info=member.exception(), advice=_ADVICE)
        self.broken.append(name)
        self.on_broken()


def _do_nothing() -> None:
    pass
