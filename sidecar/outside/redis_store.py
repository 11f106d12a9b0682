"""One Redis, or one cluster of them: scripts go out in batches, and errors are translated here.

A round trip takes about as long for one script as for many. So everything that waits is sent as
one pipeline, and while its answers are on their way the next one fills up.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from sidecar.errors import SettingsError, StoreUnavailable

Argument: TypeAlias = str | bytes | int
Call: TypeAlias = tuple[Argument, ...]

_MAX_BATCH: Final = 256
_SYNCING_BATCHES: Final = 8
_ADVICE: Final = {
    "used memory > 'maxmemory'": "Raise it, or make room; the sidecar goes on by itself.",
    "did not take the writes": "Check its disk; the sidecar goes on by itself.",
    "MISCONF": "Make room on its disk; the sidecar goes on by itself.",
    "read only replica": "Point SIDECAR_LEDGER__REDIS__URL to the primary.",
    "no permissions": "Allow EVALSHA, SCRIPT LOAD, INFO and the ledger's keys to its user.",
    "Authentication required": "Give the password in SIDECAR_LEDGER__REDIS__URL.",
    "username-password": "Correct the password in SIDECAR_LEDGER__REDIS__URL.",
}
"""By a part of the error's text; what surrounds it differs between versions of Redis."""

_AWAY: Final = "Start it, or set SIDECAR_LEDGER__REDIS__URL; the sidecar goes on by itself."
_CLOSED: Final = "The ledger is closed because the sidecar is stopping. Send again in a moment."


class RedisStore:
    """Runs the operations of `ledger.lua`, for one event loop. Connects when it is first used.

    What a power cut takes back is up to the server: nothing with `appendfsync always`, the last
    second with `everysec`, everything since the last snapshot without `appendonly yes`. With
    `wait_aof` a write returns once the server has synced it to its disk, whatever its policy is.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://...` or `unix://...`.
        namespace: what all keys begin with, in braces, so that a cluster keeps them together.
        timeout_s: time for connecting and for each answer.
        wait_aof: end each batch of writes with WAITAOF; needs Redis 7.2 with `appendonly yes`.
        is_cluster: the URL names one node of a cluster; not together with `wait_aof`.

    Raises:
        SettingsError: the URL or the combination cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "sidecar",
        timeout_s: float = 5.0,
        wait_aof: bool = False,
        is_cluster: bool = False,
    ) -> None:
        if wait_aof and is_cluster:
            raise SettingsError(
                "ledger.redis.wait_aof: it cannot be used on a cluster. Set `appendfsync always` "
                "there and SIDECAR_LEDGER__REDIS__WAIT_AOF=false."
            )
        self._client = _connect(url, timeout_s, is_cluster=is_cluster)
        parts = urlsplit(url)
        self._place = parts.netloc.rpartition("@")[2] or parts.path
        self._root = f"{{{namespace}}}"
        self._script = files("sidecar.outside").joinpath("ledger.lua").read_text()
        self._sha = ""
        self._wait_aof = wait_aof
        self._sync_ms = int(timeout_s * 500)
        # Syncing takes up to a second, in which further batches can be sent.
        lanes = _SYNCING_BATCHES if wait_aof else 1
        self._writes = _Queue(partial(self._send, sync=wait_aof), lanes)
        self._reads = _Queue(partial(self._send, sync=False), lanes=1)
        self._is_closed = False

    async def write(self, operation: str, *arguments: Argument) -> Any:
        """Run an operation and return its answer once that is as durable as promised.

        A caller that is cancelled meanwhile does not take its write back.

        Raises:
            StoreUnavailable: no answer came; the operation may have happened all the same.
        """
        return await self._run(self._writes, (operation, *arguments))

    async def read(self, operation: str, *arguments: Argument) -> Any:
        """Run an operation that changes nothing.

        Raises:
            StoreUnavailable: no answer came.
        """
        return await self._run(self._reads, (operation, *arguments))

    async def check(self) -> None:
        """Find out whether the server can do what the settings ask for.

        Raises:
            SettingsError: it cannot.
            StoreUnavailable: it does not answer.
        """
        if not self._wait_aof:
            return
        persistence = await self._info("persistence")
        with self._border():
            known = await self._client.execute_command("COMMAND INFO", "WAITAOF")
        if not (persistence.get("aof_enabled") and known and all(known)):
            raise SettingsError(
                f"ledger.redis.wait_aof: Redis at {self._place} has to be version 7.2 or newer, "
                "with `appendonly yes`. Make it so, or set SIDECAR_LEDGER__REDIS__WAIT_AOF=false."
            )

    async def ping(self) -> str:
        """Return "" when the server takes writes and forgets nothing, else what is wrong."""
        try:
            await self.write("ping")
            memory = await self._info("memory")
        except StoreUnavailable as error:
            return error.detail
        policy = str(memory.get("maxmemory_policy", ""))
        if memory.get("maxmemory") and policy.startswith("allkeys"):
            return (
                f"Redis at {self._place} forgets events when its memory is full, because "
                f"`maxmemory-policy` is {policy}. Set it to noeviction."
            )
        return ""

    async def risks(self) -> Sequence[str]:
        """Tell what would lose events that were accepted, one sentence each.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        persistence = await self._info("persistence")
        if persistence.get("aof_enabled"):
            return ()
        risk = (
            f"Redis at {self._place} loses events when it stops, because it writes no append-only "
            "file. Set `appendonly yes`."
        )
        return (risk,)

    async def close(self) -> None:
        """Finish what was begun and disconnect. Safe to call twice."""
        self._is_closed = True
        await self._writes.drain()
        await self._reads.drain()
        await self._client.aclose()

    async def _run(self, queue: "_Queue", call: Call) -> Any:
        if self._is_closed:
            raise StoreUnavailable(_CLOSED)
        with self._border():
            return await queue.put(call)

    async def _send(self, batch: Sequence[Call], *, sync: bool) -> Sequence[Any]:
        """Run a batch; in the place of an answer there may be an exception."""
        if not self._sha:
            # A server that wants a password says so, but not to somebody who sends 16 KB.
            await self._client.execute_command("PING")
            self._sha = str(await self._client.script_load(self._script))
        answers = await self._pipe(batch, sync=sync)
        missed = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missed:  # a server that was restarted does not know the script any more
            await self._client.script_load(self._script)
            again = await self._pipe([batch[i] for i in missed], sync=sync)
            for i, answer in zip(missed, again, strict=True):
                answers[i] = answer
        return answers

    async def _pipe(self, batch: Sequence[Call], *, sync: bool) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.execute_command("EVALSHA", self._sha, 1, self._root, *call)
        if sync:
            pipeline.execute_command("WAITAOF", 1, 0, self._sync_ms)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        if sync:
            synced = answers.pop()
            if isinstance(synced, Exception):
                raise synced
            if not synced[0]:
                raise TimeoutError("its disk did not take the writes in time")
        return answers

    async def _info(self, section: str) -> Mapping[str, Any]:
        with self._border():
            if isinstance(self._client, RedisCluster):
                await self._client.initialize()
                node = self._client.get_node_from_key(self._root)
                facts = await self._client.info(section, target_nodes=node)
            else:
                facts = await self._client.info(section)
        return dict(facts)

    @contextmanager
    def _border(self) -> Generator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis at {self._place}: {_explain(error)}") from error


class _Queue:
    """Sends what waits, as much as fits into a batch, in up to `lanes` batches at a time."""

    def __init__(
        self, send: Callable[[Sequence[Call]], Awaitable[Sequence[Any]]], lanes: int
    ) -> None:
        self._send = send
        self._lanes = lanes
        self._waiting: deque[tuple[Call, asyncio.Future[Any]]] = deque()
        self._batches: set[asyncio.Task[None]] = set()

    async def put(self, call: Call) -> Any:
        """Return the answer to a call, or raise the exception that came in its place."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            # Whoever calls in the same round of the loop shares the batch.
            loop.call_soon(self._start)
        self._waiting.append((call, future))
        return await future

    async def drain(self) -> None:
        """Wait until everything is answered."""
        self._start()
        while self._batches:
            await asyncio.wait(self._batches)

    def _start(self) -> None:
        while self._waiting and len(self._batches) < self._lanes:
            count = min(len(self._waiting), _MAX_BATCH)
            self._begin([self._waiting.popleft() for _ in range(count)])

    def _begin(self, batch: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        task = asyncio.create_task(self._answer(batch))
        self._batches.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._start()

    async def _answer(self, batch: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        answers: Sequence[Any]
        try:
            answers = await self._send([call for call, _ in batch])
        except (RedisError, OSError) as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _connect(url: str, timeout_s: float, *, is_cluster: bool) -> Redis | RedisCluster:
    # A repeated script could find its own traces, so only the callers may decide to try again.
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    try:
        if is_cluster:
            return RedisCluster.from_url(url, **options)
        return Redis.from_url(url, **options)
    except ValueError as error:
        raise SettingsError(f"ledger.redis.url: {error}") from error


def _explain(error: Exception) -> str:
    text = str(error) or type(error).__name__
    for part, advice in _ADVICE.items():
        if part in text:
            return f"{text.rstrip('.')}. {advice}"
    return text if isinstance(error, ResponseError) else f"{text.rstrip('.')}. {_AWAY}"
