"""Runs a command as a container of a built image would, without an engine.

Root file system read-only, files and folders mounted into it, the image's user without any
capability, the network of this machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote, split

from deploy.image_build import Stage


@dataclass(frozen=True)
class Container:
    """How to run an image.

    Attributes:
        binds: what is mounted read-only, by its path inside.
        volumes: what is mounted to be written, by its path inside.
        tmpfs: folders inside that are in memory and open to every user.
    """

    image: Stage
    binds: Mapping[str, Path] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    tmpfs: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variables that the command gets: the image's, then its own."""
        return {**self.image.env, **self.env}

    def command(self, *words: str) -> list[str]:
        """Return what to execute here; signals reach the command itself."""
        root = self.image.root
        lines = [f"mount --bind {root} {root}"]
        lines += [f"mount --rbind /{name} {root}/{name}" for name in ("dev", "proc")]
        for inside, outside in {**self.volumes, **self.binds}.items():
            lines.append(f"mount --bind {outside} {self._target(inside, outside)}")
        lines += [
            f"mount -o remount,bind,ro {self._target(inside, outside)}"
            for inside, outside in self.binds.items()
        ]
        for inside in self.tmpfs:
            self._inside(inside).mkdir(parents=True, exist_ok=True)
            lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {self._inside(inside)}")
        lines.append(f"mount -o remount,bind,ro {root}")
        lines.append(f"exec chroot {root} /bin/sh -c {quote(self._inner(words))}")
        return ["unshare", "--mount", "sh", "-ec", " && ".join(lines)]

    def _inner(self, words: Sequence[str]) -> str:
        user, _, group = self.image.user.partition(":")
        drop = f"setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs"
        shown = " ".join(map(quote, words))
        return f"cd {self.image.workdir} && exec {drop} --bounding-set=-all {shown}"

    def _inside(self, path: str) -> Path:
        return self.image.root / path.lstrip("/")

    def _target(self, inside: str, outside: Path) -> Path:
        """Make the place that something is mounted on."""
        target = self._inside(inside)
        if outside.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        return target


def words_of(text: str | Sequence[str]) -> list[str]:
    """Split a compose file's command or entry point as compose does."""
    return split(text) if isinstance(text, str) else list(text)
