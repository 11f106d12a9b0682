"""Tools that check what is shipped. `make check-deploy` installs them and misses none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml

_SITE = "site-packages"
IS_CHECK = bool(os.environ.get("CHECK_DEPLOY"))


def tool(name: str) -> str:
    """Return the path of a program; skip the test when it is missing, unless all must run."""
    environments = [Path(sys.prefix), *(Path(it).parents[2] for it in sys.path if _SITE in it)]
    beside = (str(it / "bin" / name) for it in environments)
    found = next((it for it in beside if os.access(it, os.X_OK)), None) or shutil.which(name)
    if found is None:
        miss(f"{name} is not installed: make check-deploy")
    return str(found)


def miss(reason: str) -> None:
    """Skip a test that needs what is missing; with CHECK_DEPLOY it fails."""
    if IS_CHECK:
        pytest.fail(reason)
    pytest.skip(reason)


def render(
    files: Sequence[Path],
    folder: Path,
    *,
    env_file: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Merge and fill compose files as `docker-compose config` does; lists every profile's services.

    Raises:
        AssertionError: it refuses them; with its words.
    """
    text = _rendered(tuple(files), folder, env_file, tuple(sorted((env or {}).items())))
    return dict(yaml.safe_load(text))


@cache
def _rendered(
    files: tuple[Path, ...],
    folder: Path,
    env_file: Path | None,
    env: tuple[tuple[str, str], ...],
) -> str:
    command = [tool("docker-compose"), "--project-directory", str(folder)]
    command += ["--env-file", str(env_file)] if env_file else []
    command += [word for file in files for word in ("-f", str(file))]
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    found = subprocess.run(
        [*command, "config"],
        cwd=folder,
        env={**plain, **dict(env)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout
