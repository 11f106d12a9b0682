"""A value that is found once for all who ask for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Finds a value at the first call and keeps it until it is forgotten.

    Callers that come while it is being found wait for that one search and share its outcome, an
    error too; one of them that is cancelled does not stop it. An error is not kept.

    Args:
        find: looks for the value.
    """

    def __init__(self, find: Callable[[], Awaitable[T]]) -> None:
        self._find = find
        self._search: asyncio.Task[T] | None = None

    @property
    def known(self) -> T | None:
        """The value, None when it is not known at the moment."""
        search = self._search
        if search is None or not search.done() or _failed(search):
            return None
        return search.result()

    async def get(self) -> T:
        """Return the value; raises what finding it raises."""
        if self._search is None or (self._search.done() and _failed(self._search)):
            self._search = asyncio.ensure_future(self._look())
        return await asyncio.shield(self._search)

    def forget(self) -> None:
        """Find it anew at the next call. A search that runs goes on."""
        if self._search is not None and self._search.done():
            self._search = None

    async def close(self) -> None:
        """Stop a search that runs."""
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])

    async def _look(self) -> T:
        return await self._find()


def _failed(search: asyncio.Task[T]) -> bool:
    return search.cancelled() or search.exception() is not None
