"""The two worlds in which faults happen: real processes around fakes of what VSS has besides."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafka_process import KafkaProcess
from redis_process import RedisProcess

from chaos.driver import Doorway, HttpDoorway, KafkaDoorway, StreamsDoorway
from chaos.offers import CAMERAS
from chaos.receivers import DEAD_LETTERS, GROUP, INCOMING, OUTGOING, Webhook
from chaos.replica import Replica
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.fake_vst import FakeVst
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

LEASE_S = 2.0
_COMMON = {
    "SIDECAR_AB__PRIMARY": "reason2",
    "SIDECAR_ARMS__REASON2__TIMEOUT_S": "2",
    "SIDECAR_ARMS__REASON2__RECONNECT_S": "4",
    "SIDECAR_ARMS__REASON2__MAX_FRAMES": "4",
    "SIDECAR_HTTP__PORT": "0",
    "SIDECAR_HTTP__SHUTDOWN_GRACE_S": "5",
    "SIDECAR_METRICS__ENABLED": "false",
    "SIDECAR_LEDGER__MAX_BACKLOG": "300",
    "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
    "SIDECAR_VERIFY__DEADLINE_S": "15",
    "SIDECAR_VST__WAIT_FOR_RECORDING_S": "8",
    "SIDECAR_KAFKA__START_AT": "earliest",
    "SIDECAR_KAFKA__SESSION_TIMEOUT_S": "6",
    # outages end, and a run has to end soon after them; nothing is given up
    "SIDECAR_SINKS__BACKOFF_MAX_S": "2",
    "SIDECAR_SINKS__MAX_ATTEMPTS": "10000",
}


@dataclass(slots=True)
class Model:
    """A model's server whose answers change; the address stays."""

    url: str = ""
    _server: MockVlm | None = None
    _port: int = 0

    async def answer(self, *answers: ScriptedAnswer) -> None:
        """Begin to answer like this, in turn; without answers, be away."""
        if self._server is not None:
            await self._server.close()
            self._server = None
        if answers:
            self._server = MockVlm(MockVlmOptions(answers=answers, latency_ms=5, keep=1))
            self.url = await self._server.start(port=self._port)
            self._port = int(self.url.rpartition(":")[2].removesuffix("/v1"))

    async def heal(self) -> None:
        """Answer yes and no."""
        await self.answer(ScriptedAnswer("Yes"), ScriptedAnswer("No"), ScriptedAnswer("Yes"))


@dataclass(slots=True)
class World:
    """Everything that a run has started.

    Attributes:
        name: of the configuration.
        environment: settings of every replica, the same for all.
        redis: None in the world without one.
        group: of the Kafka consumers.
    """

    name: str
    folder: Path
    clip: Path
    environment: Mapping[str, str]
    model: Model
    vst: FakeVst
    kafka: KafkaProcess
    elastic: FakeElastic | None = None
    webhook: Webhook | None = None
    redis: RedisProcess | None = None
    group: str = GROUP
    replicas: list[Replica] = field(default_factory=list)
    retired: list[Replica] = field(default_factory=list)

    @property
    def clip_url(self) -> str:
        return f"{self.vst.url}/vst/storage/temp_files/clip.mp4"

    @property
    def urls(self) -> Sequence[str]:
        """Where replicas listen now."""
        return [replica.url for replica in self.replicas if replica.url]

    @property
    def kills(self) -> int:
        """How many processes were killed so far."""
        return sum(replica.kills for replica in (*self.replicas, *self.retired))

    async def wait_until_up(self) -> None:
        """Wait until every replica listens."""
        for replica in self.replicas:
            await replica.wait_until_up()
            assert replica.url, f"{replica.name} does not come back: {replica.last_words}"

    def add_replica(self) -> Replica:
        """Start one more; it is told nothing that the others are not."""
        name = f"replica-{len(self.replicas) + len(self.retired)}"
        replica = Replica(name, self.folder, self.environment)
        self.replicas.append(replica)
        replica.start()
        return replica

    async def change_group(self) -> None:
        """Let all replicas read as another group, which begins where the topics begin."""
        self.group = f"{self.group}-again"
        for replica in self.replicas:
            replica.change("SIDECAR_KAFKA__GROUP_ID", self.group)
            replica.kill()
        await self.wait_until_up()

    async def remove_replica(self, replica: Replica, number: int) -> None:
        """End one for good, by a signal."""
        self.replicas.remove(replica)
        self.retired.append(replica)
        await replica.leave(number)

    def doorways(self, chance: random.Random) -> list[Doorway]:
        """Open all ways into this world."""
        ways: list[Doorway] = [
            HttpDoorway(lambda: self.urls, chance),
            KafkaDoorway(self.kafka.bootstrap_servers),
        ]
        return ways if self.redis is None else [*ways, StreamsDoorway(self.redis.url)]


@asynccontextmanager
async def file_world(folder: Path) -> AsyncIterator[World]:
    """Run one replica on a SQLite file: HTTP and Kafka in, Elasticsearch and a webhook out."""
    async with _around(folder) as world, FakeElastic() as elastic, Webhook() as webhook:
        world.elastic, world.webhook = elastic, webhook
        world.environment = {
            **world.environment,
            "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
            "SIDECAR_SINKS__ELASTIC__HOSTS": elastic.url,
            "SIDECAR_SINKS__ELASTIC__TIMEOUT_S": "3",
            "SIDECAR_SINKS__WEBHOOK__URL": webhook.url,
            "SIDECAR_SINKS__WEBHOOK__TIMEOUT_S": "3",
        }
        async with _replicas(world, 1):
            yield replace(world, name="SQLite, one process")


@asynccontextmanager
async def shared_world(folder: Path) -> AsyncIterator[World]:
    """Run two replicas on one Redis: HTTP, Kafka and Streams in, Kafka and Streams out."""
    async with _around(folder) as world:
        redis = RedisProcess(folder).start()
        try:
            world.redis = redis
            world.environment = {
                **world.environment,
                "SIDECAR_LEDGER__REDIS__URL": redis.url,
                "SIDECAR_LEDGER__REDIS__LEASE_S": f"{LEASE_S}",
                "SIDECAR_LEDGER__REDIS__TIMEOUT_S": "2",
                "SIDECAR_STREAMS__URL": redis.url,
                "SIDECAR_STREAMS__START_AT": "earliest",
                "SIDECAR_STREAMS__SWEEP_S": "1",
                "SIDECAR_STREAMS__CLAIM_AFTER_S": "3",
                "SIDECAR_SINKS__STREAMS__URL": redis.url,
                "SIDECAR_SINKS__STREAMS__TIMEOUT_S": "2",
                "SIDECAR_SINKS__KAFKA__BOOTSTRAP_SERVERS": world.kafka.bootstrap_servers,
                "SIDECAR_SINKS__KAFKA__TIMEOUT_S": "5",
            }
            async with _replicas(world, 2):
                yield replace(world, name="Redis, several replicas")
        finally:
            redis.kill()


@asynccontextmanager
async def _around(folder: Path) -> AsyncIterator[World]:
    """Start what both worlds have."""
    clip = write_motion(folder / "clip.mp4", seconds=1, fps=5, width=64, height=48)
    cameras = {f"camera-{number}": f"stream-{number}" for number in range(CAMERAS)}
    model, vst = Model(), FakeVst(clip=clip, streams=cameras)
    async with AsyncExitStack() as stack:
        await model.heal()
        stack.push_async_callback(model.answer)
        await stack.enter_async_context(vst)
        kafka = await stack.enter_async_context(KafkaProcess(folder))
        await kafka.create_topics(*INCOMING, *OUTGOING.values(), partitions=4)
        await kafka.create_topics(DEAD_LETTERS, partitions=1)
        environment = {
            **_COMMON,
            "SIDECAR_ARMS__REASON2__URL": model.url,
            "SIDECAR_MEDIA__ALLOWED_ROOTS": str(folder),
            "SIDECAR_VST__BASE_URL": vst.url,
            "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        }
        yield World("", folder, clip, environment, model, vst, kafka)


@asynccontextmanager
async def _replicas(world: World, count: int) -> AsyncIterator[None]:
    for _ in range(count):
        world.add_replica()
    try:
        for replica in world.replicas:
            await replica.wait_until_up()
        yield
    finally:
        await asyncio.gather(*(replica.leave() for replica in world.replicas))
