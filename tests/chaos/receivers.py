"""What arrived at the sinks."""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from redis.asyncio import Redis

from chaos.offers import MARK
from sidecar.contract.nvschema import from_protobuf
from sidecar.model import EventKind
from sidecar.testing.fake_elastic import FakeElastic

OUTGOING = {EventKind.INCIDENT: "mdx-vlm-incidents", EventKind.ALERT: "mdx-vlm-alerts"}
DEAD_LETTERS = "mdx-vlm-dead-letters"
GROUP = "alert-bridge-vlm-group"
ADMITTED_S = 25.0
"""Several times the session timeout of the members that died."""
INCOMING = ("mdx-incidents", "mdx-alerts")


@dataclass(slots=True)
class Arrivals:
    """The terminal records at one place.

    Attributes:
        contents: how often each content came, by mark: a second content is a second decision.
        reasons: how events ended: their verdict, or why there is none.
        repeats: records that were written again, beyond those that `contents` shows.
    """

    contents: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    repeats: int = 0

    def add(self, document: Mapping[str, Any]) -> None:
        """Count a document."""
        info = document["info"]
        mark = info.get(MARK, f"without a mark: {document.get('id')}")
        text = json.dumps(document, sort_keys=True, default=str)
        if mark not in self.contents:
            self.reasons[info.get("sidecarReason") or info["verdict"]] += 1
        content = hashlib.sha256(text.encode()).hexdigest()
        self.contents.setdefault(mark, Counter())[content] += 1

    @property
    def redelivered(self) -> int:
        """How many records came again with the same content."""
        return self.repeats + sum(
            times - 1 for contents in self.contents.values() for times in contents.values()
        )

    @property
    def decided_twice(self) -> list[str]:
        """Marks that came with different contents."""
        return sorted(mark for mark, contents in self.contents.items() if len(contents) > 1)


class Webhook:
    """Takes verdicts by HTTP.

    Attributes:
        status: of every answer; what is not 200 is not counted as delivered.
        delay_s: wait before each answer.
    """

    def __init__(self) -> None:
        self.status = 200
        self.delay_s = 0.0
        self.url = ""
        self.keys: Counter[str] = Counter()
        self.arrivals = Arrivals()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        document = json.loads(await request.read())
        await asyncio.sleep(self.delay_s)
        if self.status == 200:
            self.keys[unquote(request.headers["X-Sidecar-Delivery"])] += 1
            self.arrivals.add(document)
        return web.Response(status=self.status)


def in_elastic(elastic: FakeElastic) -> Arrivals:
    """Return the documents that a search finds."""
    found = Arrivals()
    for stored in elastic.documents.values():
        found.add(stored.source)
    found.repeats = sum(elastic.bulk_sizes) - len(elastic.documents)
    return found


async def in_api(url: str) -> Arrivals:
    """Return the verdicts that a replica lists."""
    found, cursor = Arrivals(), ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
        while True:
            async with client.get(f"{url}/api/v1/verdicts?limit=1000{cursor}") as answer:
                answer.raise_for_status()
                page = json.loads(await answer.read())
            for verdict in page["verdicts"]:
                found.add({**verdict["event"], "decidedAt": verdict["decidedAt"]})
            if page["nextCursor"] is None:
                return found
            cursor = f"&cursor={page['nextCursor']}"


async def in_streams(redis: Redis) -> Arrivals:
    """Return the verdicts in both outgoing streams."""
    found = Arrivals()
    for kind, stream in OUTGOING.items():
        for _, fields in await redis.xrange(stream):
            found.add(from_protobuf(fields[b"value"], kind))
    return found


async def dead_in_streams(redis: Redis) -> Counter[str]:
    """Return how often each mark is among the dead letters."""
    entries = await redis.xrange(DEAD_LETTERS)
    return Counter(fields[b"key"].decode() for _, fields in entries)


async def pending_in_streams(redis: Redis) -> int:
    """Return how many entries were not acknowledged or not read."""
    pending = 0
    for stream in INCOMING:
        for group in await redis.xinfo_groups(stream):
            unread = await redis.xrange(stream, f"({group['last-delivered-id'].decode()}", "+")
            pending += group["pending"] + len(unread)
    return pending


class KafkaReader:
    """Reads whole topics and asks what the group has committed. Calls block.

    Where a partition ends is learnt by reading up to there: the broker of the tests answers a
    question about it with the beginning of its last batch.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._properties = {
            "bootstrap.servers": bootstrap_servers,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }

    def verdicts(self) -> Arrivals:
        """Return the verdicts in both outgoing topics."""
        found = Arrivals()
        for kind, topic in OUTGOING.items():
            for message in self._read(topic):
                found.add(from_protobuf(_bytes(message.value()), kind))
        return found

    def dead(self) -> Counter[str]:
        """Return how often each mark is among the dead letters."""
        return Counter(_bytes(message.key()).decode() for message in self._read(DEAD_LETTERS))

    def lag(self, group: str) -> int:
        """Return how many records a group has not committed."""
        return sum(1 for topic in INCOMING for _ in self._read(topic, group))

    def admits(self, group: str) -> bool:
        """Tell whether a new member of a group gets its share of the partitions, or none."""
        given: list[object] = []
        member = Consumer(
            {
                **self._properties,
                "group.id": group,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )
        member.subscribe([*INCOMING], on_assign=lambda _, share: given.append(share))
        give_up = time.monotonic() + ADMITTED_S
        while not given and time.monotonic() < give_up:
            member.poll(0.2)
        member.close()
        return bool(given)

    def _read(self, topic: str, behind: str = "") -> Iterator[Message]:
        """Yield all messages, or those that a group has not committed."""
        consumer = Consumer({**self._properties, "group.id": behind or "accountant"})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            places = [TopicPartition(topic, number, 0) for number in partitions]
            if behind:
                places = consumer.committed(places, timeout=10)
            consumer.assign(
                [TopicPartition(topic, it.partition, max(it.offset, 0)) for it in places]
            )
            unfinished = set(partitions)
            while unfinished:
                batch = consumer.consume(500, timeout=0.5)
                for message in batch:
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unfinished.discard(message.partition())
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
