"""Carries out the Dockerfile without an engine: each stage is a folder, each RUN a chroot in it.

usage: image_build.py FOLDER    (as root, on Debian, with debootstrap)

The base image is stood in for by a fresh Debian with this machine's Python below /usr/local, where
the official image has its own. What cannot be told this way is said by `docker build` in CI.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

ROOT = Path(__file__).parents[2]
RELEASE = "bookworm"
LIBRARIES = (
    "ca-certificates,libssl3,libffi8,libsqlite3-0,liblzma5,zlib1g,libbz2-1.0,libreadline8,"
    "libncursesw6"
)
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """One instruction and what follows it."""

    word: str
    rest: str


@dataclass
class Stage:
    """A stage while it is built; at the end, the image's configuration."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    args: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    healthcheck: Sequence[str] = ()
    volumes: Sequence[str] = ()


def read_steps(text: str) -> list[Step]:
    """Split a Dockerfile into instructions; comments are left out, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Step(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def build(dockerfile: str, context: Path, folder: Path) -> Stage:
    """Carry out every stage below `folder` and return the last one."""
    base = make_base(folder / "base")
    stages: dict[str, Stage] = {}
    stage = Stage(base)
    for step in read_steps(dockerfile):
        if step.word == "FROM":
            name = step.rest.split(" AS ")[-1] if " AS " in step.rest else "final"
            stage = stages[name] = Stage(_copy_of(base, folder / name))
        else:
            apply(step, stage, stages, context)
    return stage


def make_base(base: Path) -> Path:
    """Install a Debian without anything, and this Python where the official image has it."""
    done = base / "usr/local/.complete"
    if not done.exists():
        shutil.rmtree(base, ignore_errors=True)
        command = ("debootstrap", "--variant=minbase", f"--include={LIBRARIES}", RELEASE, str(base))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _install_python(base / "usr/local")
        done.touch()
    return base


def _install_python(prefix: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    source = Path(sys.base_prefix)
    skipped = shutil.ignore_patterns("test", "__pycache__", "site-packages", "*.a", "idlelib")
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / "bin" / version, prefix / "bin" / version)
    for library in source.glob("lib/libpython*.so*"):
        shutil.copy2(library, prefix / "lib")
    shutil.copytree(
        source / "lib" / version, prefix / "lib" / version, ignore=skipped, dirs_exist_ok=True
    )
    for name in ("python", "python3"):
        (prefix / "bin" / name).symlink_to(version)
    root = prefix.parents[1]
    enter(root, ["ldconfig"], {"PATH": PATH})
    enter(root, [f"/usr/local/bin/{version}", "-m", "ensurepip", "--upgrade"], {"PATH": PATH})


def _copy_of(base: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(("cp", "-a", "--reflink=auto", str(base), str(target)), check=True)
    return target


def apply(step: Step, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    """Carry out one instruction."""
    rest = step.rest
    match step.word:
        case "RUN":
            enter(stage.root, ["/bin/sh", "-c", rest], {**stage.args, **stage.env}, stage.workdir)
        case "COPY":
            _copy(rest, stage, stages, context)
        case "WORKDIR":
            stage.workdir = rest
            _inside(stage.root, rest).mkdir(parents=True, exist_ok=True)
        case "ARG":
            name, _, value = rest.partition("=")
            stage.args[name] = value
        case word:
            _note(word, rest, stage)


def _note(word: str, rest: str, stage: Stage) -> None:
    """Keep what the instruction says about containers of the image."""
    match word:
        case "ENV":
            stage.env |= _pairs(rest)
        case "LABEL":
            stage.labels |= _pairs(_filled(rest, stage.args))
        case "USER":
            stage.user = rest
        case "VOLUME":
            stage.volumes = rest.split()
        case "ENTRYPOINT":
            stage.entrypoint = _words(rest)
        case "CMD":
            stage.command = _words(rest)
        case "HEALTHCHECK":
            stage.healthcheck = _words(rest.partition("CMD")[2])
        case "STOPSIGNAL" | "EXPOSE":
            pass
        case other:
            raise ValueError(f"{other} is not known here")


def _copy(rest: str, stage: Stage, stages: Mapping[str, Stage], context: Path) -> None:
    *sources, target = rest.split()
    origin = context
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).removeprefix("--from=")].root
    to = _inside(stage.root, str(Path(stage.workdir, target)))
    for source in sources:
        it = _inside(origin, source)
        if it.is_dir():
            shutil.copytree(it, to, dirs_exist_ok=True, symlinks=True, ignore=_CACHES)
        else:
            is_folder = target.endswith("/") or to.is_dir()
            to.mkdir(parents=True, exist_ok=True) if is_folder else None
            shutil.copy2(it, to / it.name if is_folder else to)


_CACHES = shutil.ignore_patterns("__pycache__")


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _pairs(text: str) -> dict[str, str]:
    found = re.findall(r'([\w.]+)=("[^"]*"|\S+)', text)
    return {name: value.strip('"') for name, value in found}


def _filled(text: str, args: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: args[match[1]], text)


def _words(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def enter(
    root: Path,
    command: Sequence[str],
    env: Mapping[str, str],
    workdir: str = "/",
    user: str = "0:0",
) -> None:
    """Run a command in a root file system with the network of this machine, and wait."""
    subprocess.run(
        entering(root, command, workdir, user), env={**_network(root), **env}, check=True
    )


def entering(
    root: Path, command: Sequence[str], workdir: str = "/", user: str = "0:0"
) -> list[str]:
    """Return the command that runs another one in a root file system, with /dev and /proc."""
    mounts = f"mount --rbind /dev {root}/dev && mount --rbind /proc {root}/proc"
    words = " ".join(map(quote, command))
    inside = f"cd {quote(workdir)} && exec {words}"
    go = f"exec chroot --userspec={user} {root} /bin/sh -c {quote(inside)}"
    return ["unshare", "--mount", "sh", "-ec", f"{mounts} && {go}"]


def _network(root: Path) -> dict[str, str]:
    """Let package clients work as they do outside: names, certificates, and pip's settings."""
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"):
        if (source := Path("/", name)).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / name)
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    kept.pop("PIP_FIND_LINKS", None)  # folders of this machine
    return kept


def main() -> None:
    """Build the image of this project."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    stage = build((ROOT / "Dockerfile").read_text("utf-8"), ROOT, folder)
    print(stage.root)  # noqa: T201


if __name__ == "__main__":
    main()
