import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_process import RedisProcess
from review_samples import CLIP

from sidecar.testing.media import write_motion


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 6 s."""
    return write_motion(tmp_path_factory.mktemp("clips") / "short.mp4", seconds=6)


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    """A folder of media that holds the samples' clip."""
    path = tmp_path / CLIP
    path.parent.mkdir(parents=True)
    shutil.copy(clip, path)
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A redis-server that forgets nothing when it is killed."""
    data = tmp_path / "redis"
    data.mkdir()
    process = RedisProcess(data).start()
    yield process
    process.kill()
