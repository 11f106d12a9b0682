import shutil
from pathlib import Path

import pytest
from review_samples import CLIP

from sidecar.testing.media import write_motion


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `short.mp4` of 6 s and `minute.mp4` of 60 s."""
    folder = tmp_path_factory.mktemp("clips")
    write_motion(folder / "short.mp4", seconds=6)
    write_motion(folder / "minute.mp4", seconds=60, fps=4, width=160, height=96)
    return folder


def _with_clip(folder: Path, clip: Path) -> Path:
    path = folder / CLIP
    path.parent.mkdir(parents=True)
    shutil.copy(clip, path)
    return folder


@pytest.fixture
def folder(tmp_path: Path, clips: Path) -> Path:
    """A folder of media that holds the samples' clip, of 6 s."""
    return _with_clip(tmp_path, clips / "short.mp4")


@pytest.fixture
def minute(tmp_path: Path, clips: Path) -> Path:
    """A folder of media that holds the samples' clip, of 60 s."""
    return _with_clip(tmp_path, clips / "minute.mp4")
