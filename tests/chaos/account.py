"""What must be true at the end, and how it is printed."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from confluent_kafka import KafkaException
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.offers import Book, Entry
from chaos.receivers import (
    Arrivals,
    KafkaReader,
    dead_in_streams,
    in_api,
    in_elastic,
    in_streams,
    pending_in_streams,
)
from chaos.world import World

SETTLE_S = 150.0
LOOK_EVERY_S = 2.0
QUIET_S = 3.0
_SHOWN = 20
_CANNOT_LOOK = (aiohttp.ClientError, KafkaException, RedisError, OSError, ValueError)
"""What may come in the way of a look on a machine that is busy with other things."""
_SIDECAR = Path(sys.executable).with_name("sidecar")


@dataclass(slots=True)
class Account:
    """One look at a world.

    Attributes:
        places: the terminal records of events, by place.
        dead: dead letters of the doors, by mark.
        undelivered: verdict keys that sinks refused for good, by sink.
        lag: records that Kafka's group has not committed.
        pending: entries that Redis's group has not acknowledged.
    """

    book: Book
    places: Mapping[str, Arrivals]
    dead: Counter[str]
    undelivered: Mapping[str, list[str]] = field(default_factory=dict)
    lag: int = 0
    pending: int = 0

    @property
    def lost(self) -> list[tuple[Entry, str]]:
        """Accepted offers without an end, and where it is missing."""
        missing = [
            (entry, place)
            for entry in self.book.accepted()
            for place, arrivals in self.places.items()
            if entry.offer.mark not in arrivals.contents and entry.offer.mark not in self.dead
        ]
        poison = self.book.accepted(poison=True)
        return missing + [(it, "dead letters") for it in poison if it.offer.mark not in self.dead]

    @property
    def wrong(self) -> dict[str, list[str]]:
        """Marks that break a promise, by what is wrong."""
        ends = {mark for arrivals in self.places.values() for mark in arrivals.contents}
        twice = {mark for arrivals in self.places.values() for mark in arrivals.decided_twice}
        poison = {mark for mark, it in self.book.entries.items() if it.offer.is_poison}
        found = {
            "unknown": sorted((ends | set(self.dead)) - set(self.book.entries)),
            "decided twice": sorted(twice),
            "decided and dead-lettered": sorted(ends & set(self.dead)),
            "verified though malformed": sorted(ends & poison),
            "given up at a sink": sorted(key for keys in self.undelivered.values() for key in keys),
        }
        return {what: marks for what, marks in found.items() if marks}

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.wrong or self.lag or self.pending)

    def lines(self) -> list[str]:
        """Write it down."""
        entries = self.book.entries.values()
        accepted = [*self.book.accepted(), *self.book.accepted(poison=True)]
        by_door = Counter(entry.door for entry in accepted)
        ledger = self.places["ledger"]
        repeats = sum(entry.accepted - 1 for entry in accepted if not entry.offer.is_poison)
        again = {place: it.redelivered for place, it in self.places.items() if place != "ledger"}
        again["dead letters"] = sum(times - 1 for times in self.dead.values())
        return [
            f"  offered                 {len(entries)}",
            f"  accepted                {len(accepted)} ({_count(by_door)})",
            f"  decided                 {len(ledger.contents)} ({_count(ledger.reasons)})",
            f"  dead-lettered           {len(self.dead)}",
            (
                f"  duplicates suppressed   {repeats} accepted again at a door; "
                f"written again under their key: {_count(again)}"
            ),
            f"  lost                    {len({it.offer.mark for it, _ in self.lost})}",
            f"  unknown                 {len(self.wrong.get('unknown', ()))}",
            f"  decided twice           {len(self.wrong.get('decided twice', ()))}",
            f"  Kafka lag               {self.lag}",
            f"  Redis entries pending   {self.pending}",
        ]

    def complaints(self) -> list[str]:
        """Name the events concerned."""
        places: dict[str, list[str]] = {}
        for entry, place in self.lost:
            places.setdefault(entry.offer.mark, []).append(place)
        lost = [
            f"  lost at {', '.join(missing)}: {_described(self.book.entries[mark])}"
            for mark, missing in places.items()
        ]
        return [
            *_cut(lost),
            *(line for what, marks in self.wrong.items() for line in _cut(_named(what, marks))),
        ]


async def take_account(world: World, book: Book) -> Account:
    """Look at every place where events end."""
    reader = KafkaReader(world.kafka.bootstrap_servers)
    dead = await asyncio.to_thread(reader.dead)
    await world.wait_until_up()
    places = {"ledger": await in_api(world.urls[0])}
    pending = 0
    if world.elastic is not None and world.webhook is not None:
        places |= {"elastic": in_elastic(world.elastic), "webhook": world.webhook.arrivals}
    if world.redis is not None:
        places["kafka"] = await asyncio.to_thread(reader.verdicts)
        async with Redis.from_url(world.redis.url, protocol=2) as redis:
            places["streams"] = await in_streams(redis)
            dead += await dead_in_streams(redis)
            pending = await pending_in_streams(redis)
    lag = await asyncio.to_thread(reader.lag, world.group)
    return Account(book, places, dead, await _undelivered(world), lag, pending)


async def settle(world: World, book: Book) -> Account:
    """Take account until all is right and stays so, or for `SETTLE_S`."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLE_S
    while True:
        try:
            account = await take_account(world, book)
            if account.is_right:
                await asyncio.sleep(QUIET_S)
                account = await take_account(world, book)
            if account.is_right or loop.time() > give_up:
                return account
        except _CANNOT_LOOK:
            if loop.time() > give_up:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


async def _undelivered(world: World) -> dict[str, list[str]]:
    """Ask the command line for deliveries that were given up."""
    process = await asyncio.create_subprocess_exec(
        *(str(_SIDECAR), "dead-letters", "list", "--limit", "10000", "--json"),
        env=world.replicas[0].environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found: dict[str, list[str]] = {}
    for letter in json.loads(output)["deadLetters"]:
        found.setdefault(letter["sink"], []).append(f"{letter['verdictKey']}: {letter['error']}")
    return found


def _described(entry: Entry) -> str:
    form = entry.offer.media_type or "poison"
    sent = f"{entry.offer.mark} through {entry.door}, {form}"
    return f"{sent}, tried {entry.tries} times: {entry.evidence}"


def _count(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _named(what: str, marks: list[str]) -> list[str]:
    return [f"  {what}: {mark}" for mark in marks]


def _cut(lines: list[str]) -> list[str]:
    return lines[:_SHOWN] + [f"  ... and {len(lines) - _SHOWN} more"] * (len(lines) > _SHOWN)
