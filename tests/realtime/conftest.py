from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from live import Live

from sidecar.testing.fake_rtvi import FakeRtvi


@pytest.fixture
async def rtvi() -> AsyncGenerator[FakeRtvi]:
    async with FakeRtvi() as server:
        yield server


@pytest.fixture
async def live(tmp_path: Path, rtvi: FakeRtvi) -> AsyncGenerator[Live]:
    async with Live.at(tmp_path, rtvi.url) as parts:
        yield parts
