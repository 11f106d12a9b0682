"""The image, carried out from its Dockerfile once for all tests that run it."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from deploy.image_build import ROOT, Stage, build
from deploy.tools import IS_CHECK, miss


@pytest.fixture(scope="session")
def image() -> Stage:
    """Build it; takes a minute, so only `make check-deploy` does."""
    if not IS_CHECK:
        pytest.skip("takes a minute: make check-deploy")
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        miss("building the image without an engine needs root and debootstrap")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        miss("building the image without an engine needs mount name spaces")
    digest = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir(), f"sidecar-image-{digest}")
    folder.mkdir(exist_ok=True)
    return build((ROOT / "Dockerfile").read_text("utf-8"), ROOT, folder)
