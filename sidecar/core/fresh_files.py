"""What is made from files, and made again when they change, such as mounted secrets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from sidecar.errors import SettingsError

T = TypeVar("T")

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file."""

_log = structlog.get_logger()


class FreshFiles(Generic[T]):
    """Keeps what was made from files up to date; looking costs one `stat` for each.

    Args:
        paths: the files.
        make: reads them; raises SettingsError when they cannot be used.
        name: of what they hold, for the log.

    Raises:
        SettingsError: they cannot be used at the start.
    """

    def __init__(self, paths: Sequence[Path], make: Callable[[], T], name: str) -> None:
        self._paths = paths
        self._make = make
        self._name = name
        self._stamp = self._look()
        self._latest = make()

    def latest(self) -> T:
        """Return what the files hold; what they held before while they cannot be used."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            self._read_again()
        return self._latest

    def _read_again(self) -> None:
        files = [str(path) for path in self._paths]
        try:
            self._latest = self._make()
        except SettingsError as error:
            _log.error("files_not_used", what=self._name, files=files, detail=error.detail)
        else:
            _log.info("files_read_again", what=self._name, files=files)

    def _look(self) -> Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
