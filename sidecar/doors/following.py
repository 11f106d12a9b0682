"""The stream of verdicts as server-sent events, for any number of followers."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import orjson
from fastapi.sse import format_sse_event

from sidecar.contract.verdict import verdict_response
from sidecar.core.service import Service
from sidecar.model import VerdictFilter, VerdictRecord

KEPT: Final = 256
IDLE: Final = format_sse_event(comment="idle")


class EventStream:
    """Writes each verdict once, however many follow.

    Args:
        service: tells of verdicts.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._written: OrderedDict[int, bytes] = OrderedDict()

    async def follow(self, wanted: VerdictFilter, after: int | None) -> AsyncGenerator[bytes]:
        """Yield events without end, and a comment when there was none for a while.

        Args:
            wanted: which verdicts.
            after: `seq` to resume behind; None starts with the next verdict.
        """
        async with aclosing(self._service.follow(wanted, after)) as records:
            async for record in records:
                yield IDLE if record is None else self._write(record)

    def _write(self, record: VerdictRecord) -> bytes:
        written = self._written.get(record.seq)
        if written is None:
            data = orjson.dumps(verdict_response(record)).decode()
            written = format_sse_event(data_str=data, event="verdict", id=str(record.seq))
            self._written[record.seq] = written
            if len(self._written) > KEPT:
                self._written.popitem(last=False)
        return written
