"""The definitions of CI for a public forge: valid, safe, and about targets that exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.env_files import ROOT
from deploy.tools import tool
from sidecar import __version__

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_of_their_schema(file: Path) -> None:
    """A misspelt key would silently do nothing."""
    schema = ("--builtin-schema", "vendor.github-workflows")
    found = run(tool("check-jsonschema"), *schema, str(file))

    assert found.returncode == 0, found.stdout


def test_the_auditor_finds_no_way_in() -> None:
    """No permission too many, no text of strangers in a shell, no secret left behind."""
    found = run(tool("zizmor"), "--offline", "--format", "plain", str(GITHUB))

    assert found.returncode == 0, found.stdout


def test_the_auditor_would_find_one(tmp_path: Path) -> None:
    """A title of a pull request in a shell is a classic."""
    (tmp_path / ".github/workflows").mkdir(parents=True)
    file = tmp_path / ".github/workflows/x.yml"
    file.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )

    assert "template-injection" in run(tool("zizmor"), "--offline", str(file)).stdout


def test_targets_of_make_exist() -> None:
    """What CI calls is what a developer calls."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    called = {
        name
        for file in WORKFLOWS
        for name in re.findall(r"make ([a-z-]+)", file.read_text("utf-8"))
    }

    assert {"check", "test", "check-deploy"} <= called <= targets


def test_every_python_that_is_promised_is_tested() -> None:
    """By the classifiers of the package."""
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    jobs = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text("utf-8"))["jobs"]

    assert jobs["test"]["strategy"]["matrix"]["python"] == promised


def test_versions_are_one() -> None:
    """Image, chart and compose files carry the package's version."""
    for name in ("Dockerfile", ".github/workflows/ci.yml", "helm/vss-vlm-sidecar/Chart.yaml"):
        assert __version__ in (ROOT / name).read_text("utf-8"), name
