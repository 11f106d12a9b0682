"""Sends what is published at the same time together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sidecar.errors import DeliveryError

T = TypeVar("T")
Outcomes = Sequence[DeliveryError | None]


class Batches(Generic[T]):
    """Collects items while the batch before them is on its way.

    Nothing waits for company: an item that finds nothing on its way is sent at once, and batches
    grow as the other side slows down. They go one at a time, in the order of their items.

    Args:
        send: delivers a batch; returns for each item what is wrong with it alone, or None, and
            raises DeliveryError when all of them failed.
        max_items: a batch holds no more.
        max_bytes: a batch of several items is not larger.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Awaitable[Outcomes]],
        *,
        max_items: int,
        max_bytes: int,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._turn = asyncio.Lock()
        self._open: _Batch[T] | None = None
        self._tasks: set[asyncio.Task[Outcomes]] = set()

    async def add(self, item: T, size: int) -> None:
        """Send an item of `size` bytes in the next batch, and wait for its outcome.

        Raises:
            DeliveryError: the item, or its whole batch, was not taken.
        """
        batch = self._room_for(size)
        place = len(batch.items)
        batch.items.append(item)
        batch.size += size
        task = batch.task or self._start(batch)
        error = (await asyncio.shield(task))[place]
        if error is not None:
            raise error

    async def close(self) -> None:
        """Give up what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _room_for(self, size: int) -> "_Batch[T]":
        batch = self._open
        if (
            batch is None
            or len(batch.items) >= self._max_items
            or batch.size + size > self._max_bytes
        ):
            batch = self._open = _Batch()
        return batch

    def _start(self, batch: "_Batch[T]") -> asyncio.Task[Outcomes]:
        task = batch.task = asyncio.create_task(self._deliver(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, batch: "_Batch[T]") -> Outcomes:
        async with self._turn:
            if self._open is batch:
                self._open = None
            return await self._send(batch.items)


@dataclass(slots=True)
class _Batch(Generic[T]):
    items: list[T] = field(default_factory=list)
    size: int = 0
    task: asyncio.Task[Outcomes] | None = None
