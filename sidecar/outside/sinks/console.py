import asyncio
from typing import TextIO

import orjson

from sidecar.errors import DeliveryError
from sidecar.model import OutboxEntry


class ConsoleSink:
    """Writes each verdict document as one JSON line. The stream stays open on `close`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return "console"

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 1

    async def publish(self, entry: OutboxEntry) -> None:
        """Write one line and flush it.

        Raises:
            DeliveryError: the other end of the stream is gone.
        """
        line = orjson.dumps(entry.record.document, default=dict).decode() + "\n"
        async with self._turn:
            await asyncio.to_thread(self._write, line)

    async def ping(self) -> str:
        """Return "" while the stream is open."""
        return "The console's stream is closed." if self._stream.closed else ""

    async def close(self) -> None:
        """Do nothing: the stream belongs to whoever opened it."""

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise DeliveryError(f"The console cannot be written: {error}.") from error
