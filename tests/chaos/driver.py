"""Sends offers through the doors and notes what was accepted."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import aiohttp
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.offers import PROTOBUF, Book, Entry, Offer, OfferMaker
from sidecar.model import EventKind

POISON = 0.02
REPEATED = 0.05
"""Share of accepted events that are sent once more on purpose."""
LAST_TRIES_S = 45.0


class Doorway(Protocol):
    """A way into the service."""

    name: str
    takes_poison: bool

    async def send(self, offer: Offer) -> str:
        """Return what proves that it was accepted; "" when nobody said so."""

    async def close(self) -> None:
        """Close the connections."""


class Driver:
    """Offers events at a rate, again until they are accepted."""

    def __init__(
        self,
        book: Book,
        maker: OfferMaker,
        doorways: Sequence[Doorway],
        chance: random.Random,
        per_second: float,
    ) -> None:
        self._book = book
        self._maker = maker
        self._doorways = doorways
        self._chance = chance
        self._per_second = per_second
        self._tasks: set[asyncio.Task[None]] = set()
        self._defects: list[BaseException] = []

    async def run(self) -> None:
        """Offer until cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(self._per_second))
            doorway = self._chance.choice(self._doorways)
            is_poison = doorway.takes_poison and self._chance.random() < POISON
            offer = self._maker.poison() if is_poison else self._maker.event()
            entry = self._book.open(offer, doorway.name)
            repeats = 2 if self._chance.random() < REPEATED else 1
            task = asyncio.create_task(self._bring(entry, doorway, repeats))
            self._tasks.add(task)
            task.add_done_callback(self._end)

    async def finish(self) -> None:
        """Let what is on its way arrive, now that nothing is in its way; give up the rest.

        Raises:
            ExceptionGroup: a door answered what it must not.
        """
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_TRIES_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for doorway in self._doorways:
            await doorway.close()
        if self._defects:
            raise BaseExceptionGroup("doors", self._defects)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._defects.append(error)

    async def _bring(self, entry: Entry, doorway: Doorway, repeats: int) -> None:
        pause_s = 0.25
        while entry.accepted < repeats:
            entry.tries += 1
            evidence = await doorway.send(entry.offer)
            if evidence:
                entry.accepted += 1
                entry.evidence = entry.evidence or evidence
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 4.0)


class HttpDoorway:
    """POSTs to any replica. Accepted is what was answered with 2xx."""

    name = "http"
    takes_poison = False

    def __init__(self, urls: Callable[[], Sequence[str]], chance: random.Random) -> None:
        self._urls = urls
        self._chance = chance
        self._session: aiohttp.ClientSession | None = None

    async def send(self, offer: Offer) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        urls = self._urls()
        if not urls:
            return ""
        path = "incidents" if offer.kind is EventKind.INCIDENT else "alerts"
        url = f"{self._chance.choice(urls)}/api/v1/{path}"
        headers = {"Content-Type": offer.media_type}
        try:
            async with self._session.post(url, data=offer.payload, headers=headers) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ""
        assert answer.status < 400 or answer.status >= 500, (answer.status, text, offer)
        return f"{answer.status} {text}" if answer.status < 300 else ""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class KafkaDoorway:
    """Produces records. Accepted is what the broker confirmed."""

    name = "kafka"
    takes_poison = True

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "linger.ms": 5,
                "delivery.timeout.ms": 60_000,
                "log_level": 0,
            }
        )
        self._poller: asyncio.Task[None] | None = None

    async def send(self, offer: Offer) -> str:
        self._poller = self._poller or asyncio.create_task(self._poll())
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def report(error: KafkaError | None, message: Message) -> None:
            if not done.done():
                place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
                done.set_result("" if error else place)

        topic = "mdx-incidents" if offer.kind is EventKind.INCIDENT else "mdx-alerts"
        with suppress(BufferError, KafkaException):
            self._producer.produce(topic, offer.payload, offer.mark, on_delivery=report)
            return await done
        return ""

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
        await asyncio.to_thread(self._producer.flush, 5)

    async def _poll(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(0.02)


class StreamsDoorway:
    """Adds entries. Accepted is what Redis answered with an id."""

    name = "streams"
    takes_poison = True

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)

    async def send(self, offer: Offer) -> str:
        stream = "mdx-incidents" if offer.kind is EventKind.INCIDENT else "mdx-alerts"
        body = b"value" if offer.media_type == PROTOBUF or offer.is_poison else b"data"
        try:
            entry = await self._redis.xadd(stream, {b"key": offer.mark, body: offer.payload})
        except (RedisError, OSError):
            return ""
        return f"{stream}@{entry.decode()}"

    async def close(self) -> None:
        await self._redis.aclose()
