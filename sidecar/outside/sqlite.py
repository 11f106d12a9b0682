"""One SQLite file: writes are committed in groups on one thread, reads run on another.

A commit waits for the disk, which takes about as long for one write as for many. So the writing
thread takes everything that waits, runs each write in its own savepoint of one transaction, and
answers all callers after COMMIT returned. `synchronous=FULL` makes that the moment from which the
writes survive a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

from sidecar.errors import SettingsError, StoreUnavailable

T = TypeVar("T")

SCHEMA_VERSION: Final = 6

_MAX_BATCH: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "busy_timeout = 5000",
    "foreign_keys = ON",
    "journal_size_limit = 67108864",
)
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "The disk is full. Make room; the sidecar goes on by itself.",
    sqlite3.SQLITE_BUSY: "Another process holds it. Stop that process.",
    sqlite3.SQLITE_LOCKED: "Another process holds it. Stop that process.",
    sqlite3.SQLITE_READONLY: "It is read-only. Make the file and its folder writable.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened. Make its folder writable.",
    sqlite3.SQLITE_PERM: "Access is denied. Make the file and its folder writable.",
    sqlite3.SQLITE_IOERR: "The disk reports an error. Check the disk.",
    sqlite3.SQLITE_CORRUPT: "It is damaged. Restore a backup, or move the file away to start anew.",
    sqlite3.SQLITE_NOTADB: "It is not a SQLite database. Set SIDECAR_LEDGER__PATH to another file.",
}
"""Primary result codes that mean trouble outside (https://www.sqlite.org/rescode.html)."""

_ADDED_COLUMNS: Final = (
    ("verdicts", "accepted_at", "INTEGER NOT NULL DEFAULT 0"),  # since schema 3
    ("labels", "withdrawn_by", "TEXT NOT NULL DEFAULT ''"),  # since schema 6
    ("labels", "withdrawn_at", "INTEGER NOT NULL DEFAULT 0"),
)
_CLOSED: Final = "The ledger is closed because the sidecar is stopping. Send again in a moment."


@dataclass(frozen=True, slots=True)
class _Job:
    fn: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    durable: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None


class Database:
    """A SQLite file, for one event loop.

    Args:
        path: the file; it and its folder are made when missing.
        exclusive: refuse when another process has the file open in the same way. The lock is one
            on `<path>.lock` that the system releases even when the process is killed. False is
            for short visits to an existing file.

    Raises:
        SettingsError: the file is in use, is missing, or comes from a newer version.
        StoreUnavailable: SQLite cannot open it.
    """

    def __init__(self, path: Path, *, exclusive: bool = True) -> None:
        self._path = path
        with ExitStack() as stack:
            if exclusive:
                _lock(path, stack)
            elif not path.is_file():
                raise SettingsError(f"There is no ledger at {path}. Set SIDECAR_LEDGER__PATH.")
            with self._border():
                self._writer = stack.enter_context(closing(_connect(path)))
                _prepare_schema(self._writer, path)
                self._reader = stack.enter_context(closing(_connect(path)))
                self._reader.execute("PRAGMA query_only = ON")
            self._resources = stack.pop_all()
        self._synchronous = ""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger-reader")
        self._thread = Thread(target=self._write_until_closed, name="ledger-writer", daemon=True)
        self._thread.start()
        self._is_closed = False

    async def write(self, fn: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run `fn` inside a transaction and return its result once that is durable.

        What `fn` raises undoes only what `fn` did. A caller that is cancelled meanwhile does not
        take its write back.

        Args:
            fn: what to do with the connection.
            durable: False for notes that a power cut may take back but the end of the process may
                not: such a write does not wait for the disk on its own.

        Raises:
            StoreUnavailable: nothing was written.
        """
        if self._is_closed:
            raise StoreUnavailable(_CLOSED)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(fn, future, durable))
        return await future

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` over one snapshot of what is committed, and return its result.

        Raises:
            StoreUnavailable: the file cannot be read.
        """
        if self._is_closed:
            raise StoreUnavailable(_CLOSED)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._snapshot, fn)

    async def close(self) -> None:
        """Finish what was begun, then release the file. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        self._resources.close()

    def _snapshot(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        with self._border():
            self._reader.execute("BEGIN")
            try:
                return fn(self._reader)
            finally:
                self._reader.execute("ROLLBACK")

    def _write_until_closed(self) -> None:
        is_open = True
        while is_open:
            jobs, is_open = self._take_batch()
            if jobs:
                _answer(jobs, self._run_batch(jobs))

    def _take_batch(self) -> tuple[list[_Job], bool]:
        """Wait for a job and take all that wait with it; False when the last one was taken."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        with suppress(Empty):
            while job is not None:
                jobs.append(job)
                if len(jobs) == _MAX_BATCH:
                    break
                job = self._jobs.get_nowait()
        return jobs, job is not None

    def _run_batch(self, jobs: Sequence[_Job]) -> Sequence[_Outcome]:
        outcomes: list[_Outcome] = []
        failure = self._capture(partial(self._commit, jobs, outcomes)).error
        if failure is None:
            return outcomes
        with suppress(sqlite3.Error):
            self._writer.rollback()
        return [_Outcome(error=failure)] * len(jobs)

    def _commit(self, jobs: Sequence[_Job], outcomes: list[_Outcome]) -> None:
        self._set_synchronous("FULL" if any(job.durable for job in jobs) else "NORMAL")
        self._writer.execute("BEGIN IMMEDIATE")
        for job in jobs:
            self._writer.execute("SAVEPOINT job")
            outcome = self._capture(partial(job.fn, self._writer))
            # SQLite itself may undo the whole transaction, as it can when the disk is full.
            if outcome.error is not None and not self._writer.in_transaction:
                raise outcome.error
            if outcome.error is not None:
                self._writer.execute("ROLLBACK TO job")
            self._writer.execute("RELEASE job")
            outcomes.append(outcome)
        self._writer.execute("COMMIT")

    def _set_synchronous(self, level: str) -> None:
        if level != self._synchronous:
            self._writer.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level

    def _capture(self, fn: Callable[[], Any]) -> _Outcome:
        try:
            with self._border():
                return _Outcome(fn())
        except Exception as error:  # noqa: BLE001 - raised again where the caller awaits
            return _Outcome(error=error)

    @contextmanager
    def _border(self) -> Iterator[None]:
        """Translate trouble with the file. Anything else is a defect and stays what it is."""
        try:
            yield
        except sqlite3.Error as error:
            # The low byte of an extended code is its primary code; sqlite3's own errors have none.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in _ADVICE:
                raise
            detail = f"The ledger {self._path} cannot be used ({error}). {_ADVICE[code]}"
            raise StoreUnavailable(detail) from error


def to_microseconds(moment: datetime) -> int:
    """Write an aware time as the schema keeps it."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Read a time of the schema; in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def _lock(path: Path, stack: ExitStack) -> None:
    """Hold `<path>.lock` until `stack` ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(path.with_name(f"{path.name}.lock").open("a"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SettingsError(
            f"Another sidecar works with {path}. Stop it, or set SIDECAR_LEDGER__PATH to another "
            "file."
        ) from error
    except OSError as error:
        raise SettingsError(
            f"The ledger cannot be at {path} ({error.strerror}). Set SIDECAR_LEDGER__PATH to a "
            "file in a writable folder."
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"{path} was written by a newer sidecar: it has schema {version}, this one knows "
            f"{SCHEMA_VERSION}. Upgrade the sidecar, or set SIDECAR_LEDGER__PATH to another file."
        )
    if version < SCHEMA_VERSION:
        for table, column, kind in _ADDED_COLUMNS:
            known = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
            if known and column not in known:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        connection.executescript(files(__package__).joinpath("schema.sql").read_text("utf-8"))


def _answer(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    """Hand all results to the event loop in one wake-up."""
    # A loop that is closed has nobody left who waits.
    with suppress(RuntimeError):
        jobs[0].future.get_loop().call_soon_threadsafe(_resolve, jobs, outcomes)


def _resolve(jobs: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future.done():  # its caller was cancelled
            continue
        if outcome.error is None:
            job.future.set_result(outcome.value)
        else:
            job.future.set_exception(outcome.error)
