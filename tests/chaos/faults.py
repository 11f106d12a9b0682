"""What goes wrong, chosen by a seeded generator: the choices repeat with the seed, times do not."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chaos.receivers import KafkaReader
from chaos.world import LEASE_S, World
from sidecar.testing.fake_vst import CLIP, FILE, SENSORS, Scripted
from sidecar.testing.mock_vlm import ScriptedAnswer

Fault = Callable[[World, random.Random], Awaitable[None]]

GROUP_GIVEN_UP = "broker admitted nobody to the group, which was given up"
_YES = ScriptedAnswer("Yes")
_BAD_ANSWERS = {
    "model answers 429": ScriptedAnswer("busy", status=429),
    "model answers 500": ScriptedAnswer("broken", status=500),
    "model answers 503": ScriptedAnswer("overloaded", status=503),
    "model answers garbage": ScriptedAnswer(raw='<html>{"choices": [nothing'),
    "model hangs up in mid-answer": ScriptedAnswer(disconnect=True),
    "model never answers": ScriptedAnswer(hang=True),
}


@dataclass(slots=True)
class Chaos:
    """Lets faults happen until it is cancelled.

    Args:
        longest_s: length of the longest fault.

    Attributes:
        happened: how often each fault came to its end.
    """

    world: World
    seed: str
    longest_s: float
    happened: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Let the surroundings fail, and kill replicas meanwhile, each in its own rhythm."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail())
            group.create_task(self._kill())

    async def _fail(self) -> None:
        """Deal all faults in a random order, then again."""
        chance = random.Random(f"{self.seed} faults")
        deck = faults_of(self.world, self.longest_s)
        while True:
            for name in chance.sample(sorted(deck), len(deck)):
                await deck[name](self.world, chance)
                self.happened[name] += 1
                await asyncio.sleep(chance.uniform(0, 1))

    async def _kill(self) -> None:
        """Kill at any moment of a life: in the start, in the work, sometimes after a long time."""
        chance = random.Random(f"{self.seed} kills")
        while True:
            is_long = chance.random() < 0.25
            await asyncio.sleep(chance.uniform(6, 12) if is_long else chance.uniform(0.1, 4))
            victim = chance.choice(self.world.replicas)
            victim.kill()
            if chance.random() < 0.7:
                await victim.wait_until_up()
            self.happened["replica killed"] += 1


def faults_of(world: World, longest_s: float) -> dict[str, Fault]:
    """List what can go wrong in a world."""
    deck: dict[str, Fault] = {
        **{name: _model(answer) for name, answer in _BAD_ANSWERS.items()},
        "model is away": _model(None),
        "VST answers 404, then 200": _vst((CLIP,), 404),
        "VST answers 500, then 200": _vst((SENSORS, CLIP, FILE), 500),
        "media URL answers 404, then 200": _vst((FILE,), 404),
        "Kafka is silent": _broker(longest_s),
        "replica frozen": _frozen,
        "wall clock jumps": _clock,
    }
    if world.redis is None:
        deck |= {
            "Elasticsearch answers 503": _elastic,
            "webhook answers 500": _webhook(500, 0),
            "webhook never answers": _webhook(500, 30),
            "disk full": _disk_full,
        }
    else:
        deck |= {
            "Redis killed and restarted": _redis_killed,
            "Redis silent": _redis_silent,
            "Redis out of memory": _redis_full,
            "replica joins and leaves": _rebalance,
        }
    return deck


def _model(answer: ScriptedAnswer | None) -> Fault:
    async def fault(world: World, chance: random.Random) -> None:
        await world.model.answer(*([answer, answer, _YES] if answer else []))
        await asyncio.sleep(chance.uniform(2, 5))
        await world.model.heal()

    return fault


def _vst(endpoints: Sequence[str], status: int) -> Fault:
    async def fault(world: World, chance: random.Random) -> None:
        world.vst.script.update({it: Scripted(status=status) for it in endpoints})
        await asyncio.sleep(chance.uniform(2, 5))
        world.vst.script.clear()

    return fault


def _broker(longest_s: float) -> Fault:
    async def fault(world: World, chance: random.Random) -> None:
        world.kafka.pause()
        try:
            await asyncio.sleep(chance.uniform(longest_s / 4, longest_s))
        finally:
            world.kafka.resume()

    return fault


async def _frozen(world: World, chance: random.Random) -> None:
    """Freeze a replica for longer than its lease; Kafka may put it out of its group as well."""
    replica = chance.choice(world.replicas)
    replica.freeze()
    await asyncio.sleep(LEASE_S * chance.uniform(1.2, 4))
    replica.thaw()


async def _clock(world: World, chance: random.Random) -> None:
    """Let a replica live with a clock that is set forward or back, and then right again."""
    replica, ahead_s = chance.choice(world.replicas), chance.choice([-1, 1]) * 3600
    replica.is_clocked = True
    replica.kill()
    await asyncio.sleep(0.5)
    await replica.wait_until_up()
    await asyncio.sleep(chance.uniform(0.5, 2))
    replica.set_clock(ahead_s * chance.uniform(0.01, 1))
    await asyncio.sleep(chance.uniform(1, 4))
    replica.set_clock(0)
    await asyncio.sleep(chance.uniform(0.5, 2))
    replica.is_clocked = False


async def _elastic(world: World, chance: random.Random) -> None:
    assert world.elastic is not None
    world.elastic.status = 503
    await asyncio.sleep(chance.uniform(3, 8))
    world.elastic.status = 0


def _webhook(status: int, delay_s: float) -> Fault:
    async def fault(world: World, chance: random.Random) -> None:
        webhook = world.webhook
        assert webhook is not None
        webhook.status, webhook.delay_s = status, delay_s
        await asyncio.sleep(chance.uniform(3, 8))
        webhook.status, webhook.delay_s = 200, 0

    return fault


async def _disk_full(world: World, chance: random.Random) -> None:
    """Let every write to a file fail that goes beyond a few bytes (RLIMIT_FSIZE)."""
    replica = chance.choice(world.replicas)
    replica.limit_files(chance.choice([0, 4096, 65536]))
    await asyncio.sleep(chance.uniform(1, 4))
    replica.limit_files(-1)


async def _redis_killed(world: World, chance: random.Random) -> None:
    assert world.redis is not None
    world.redis.kill()
    await asyncio.sleep(chance.uniform(0.2, 5))
    world.redis.start()  # blocks, so that nobody can interrupt it


async def _redis_silent(world: World, chance: random.Random) -> None:
    assert world.redis is not None
    world.redis.freeze()
    await asyncio.sleep(LEASE_S * chance.uniform(0.5, 3))
    world.redis.thaw()


async def _redis_full(world: World, chance: random.Random) -> None:
    assert world.redis is not None
    async with _client(world.redis.url) as redis:
        await redis.config_set("maxmemory", "1")
        await asyncio.sleep(chance.uniform(1, 4))
        await redis.config_set("maxmemory", "0")


async def _rebalance(world: World, chance: random.Random) -> None:
    """Let one more replica share the work for a while, then leave in order or die for good."""
    replica = world.add_replica()
    await replica.wait_until_up()
    await asyncio.sleep(chance.uniform(2, 8))
    await world.remove_replica(replica, chance.choice([signal.SIGTERM, signal.SIGKILL]))


async def heal(world: World) -> str:
    """End all faults, whatever was interrupted, and wait until every replica works.

    The broker of the tests sometimes lets nobody into a group any more whose members died while
    they joined, not even a bare client. The replicas then read all topics again as another group,
    and what was accepted before must not be decided again.

    Returns:
        What happened on the way, "" in general.
    """
    world.kafka.resume()
    world.vst.script.clear()
    await world.model.heal()
    if world.elastic is not None and world.webhook is not None:
        world.elastic.status, world.webhook.status, world.webhook.delay_s = 0, 200, 0
    if world.redis is not None:
        world.redis.kill()
        world.redis.start()
    for replica in world.replicas:
        replica.is_clocked = False
        replica.set_clock(0)
        replica.limit_files(-1)
        replica.thaw()
    await world.wait_until_up()
    if not await asyncio.to_thread(KafkaReader(world.kafka.bootstrap_servers).admits, world.group):
        await world.change_group()
        return GROUP_GIVEN_UP
    return ""


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3)
    try:
        yield client
    except (RedisError, OSError):
        pass  # it was killed meanwhile, and has forgotten what it was told
    finally:
        await client.aclose()
