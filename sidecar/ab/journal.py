"""A file of compared events that grows answer by answer, and survives an interruption."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from sidecar.compared import ComparedEvent
from sidecar.contract.compared import merge, read_line, write_line
from sidecar.errors import ROWS, SettingsError

_LINE_BEGIN: Final = b'{"key":'
_CHUNK: Final = 65_536
_RETRYABLE: Final = frozenset(row.reason for row in ROWS.values() if row.retryable)


class Journal:
    """Appends compared events to a file; for one process at a time.

    Args:
        path: the file; made when missing. What an interruption left of a last line is cut off.

    Raises:
        SettingsError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            _cut_torn_line(path)
            self._file = path.open("ab")
        except OSError as error:
            raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def answered(self) -> set[tuple[str, str]]:
        """Return which event was answered by which arm, by key and name.

        A failure that may pass, such as of a server that was away, does not count.

        Raises:
            InvalidRequest: a line is something else.
        """
        return {
            (event.key, answer.arm)
            for event in read_compared(self._path)
            for answer in event.answers
            if answer.reason not in _RETRYABLE
        }

    def append(self, event: ComparedEvent) -> None:
        """Add what is new about an event; it outlives this process once this returns."""
        self._file.write(write_line(event))
        self._file.flush()

    def close(self) -> None:
        """Put everything on the disk. Safe to call twice."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def compact(self) -> int:
        """Close, and rewrite the file with one line for each event; returns how many there are."""
        self.close()
        beside = self._path.with_name(f"{self._path.name}.new")
        events = list(merge(read_compared(self._path)))
        with beside.open("wb") as target:
            target.writelines(map(write_line, events))
            target.flush()
            os.fsync(target.fileno())
        beside.replace(self._path)
        return len(events)


def read_compared(path: Path) -> Iterator[ComparedEvent]:
    """Read a file of compared events, line by line; lines about one event are not joined.

    Raises:
        InvalidRequest: names the line that is none.
        SettingsError: the file cannot be read.
    """
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield read_line(line, f"{path}:{number}")
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line without its end, as a killed process leaves it.

    Raises:
        SettingsError: it is not the beginning of a compared event.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        begin = _last_line(file, end)
        file.seek(begin)
        torn = file.read(len(_LINE_BEGIN))
        if torn and not _LINE_BEGIN.startswith(torn):
            raise SettingsError(f"{path} holds something else than compared events.")
        file.truncate(begin)


def _last_line(file: BinaryIO, end: int) -> int:
    """Return where the text after the last end of a line begins; `end` when there is none."""
    at = end
    while at:
        step = min(at, _CHUNK)
        file.seek(at - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return at - step + found + 1
        at -= step
    return 0
