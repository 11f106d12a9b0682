"""A producer of librdkafka whose deliveries can be awaited."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

_POLL_S: Final = 0.1
_librdkafka = logging.getLogger("librdkafka")


class AwaitableProducer:
    """Sends messages and tells when the brokers have confirmed each.

    A thread waits for librdkafka's reports and hands them to the event loop. (The package's own
    AIOProducer looks for reports by a timer only, so that a lone message waits for it.)

    Args:
        properties: of librdkafka.

    Raises:
        KafkaException: a property is wrong.
    """

    def __init__(self, properties: Mapping[str, str | int | float | bool]) -> None:
        self._producer = Producer({**properties, "logger": _librdkafka})
        self._retired = threading.Event()
        self._thread = threading.Thread(target=self._report, name="kafka-sink", daemon=True)
        self._thread.start()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Send a message and wait until all in-sync replicas have it.

        Raises:
            KafkaException: it was not confirmed.
            BufferError: too many messages wait already.
        """
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()
        report = partial(_hand_over, loop, confirmed)
        self._producer.produce(topic, value, key, on_delivery=report, headers=list(headers))
        await confirmed

    async def reach(self, timeout_s: float) -> None:
        """Ask the brokers for something.

        Raises:
            KafkaException: none answered in time.
        """
        await asyncio.to_thread(self._producer.list_topics, timeout=timeout_s)

    def retire(self) -> None:
        """Take no more messages; the thread ends when the last one has its report."""
        self._retired.set()

    async def close(self) -> None:
        """Give up what is not confirmed yet, with an error for its senders, and end the thread."""
        self.retire()
        self._producer.purge()
        await asyncio.to_thread(self._thread.join)

    @property
    def is_done(self) -> bool:
        """Whether it was retired and every message has its report."""
        return not self._thread.is_alive()

    def _report(self) -> None:
        while not self._retired.is_set() or len(self._producer):
            self._producer.poll(_POLL_S)


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    confirmed: "asyncio.Future[None]",
    error: KafkaError | None,
    _: Message,
) -> None:
    loop.call_soon_threadsafe(_settle, confirmed, error)


def _settle(confirmed: "asyncio.Future[None]", error: KafkaError | None) -> None:
    if confirmed.done():
        return  # nobody waits any more
    if error is None:
        confirmed.set_result(None)
    else:
        confirmed.set_exception(KafkaException(error))
