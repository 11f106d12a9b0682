"""What docs/openai.md tells people to type works as written."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest

from sidecar.testing.media import write_motion

TEXT = (Path(__file__).parents[2] / "docs" / "openai.md").read_text("utf-8")
HOST = "http://127.0.0.1:9080"
FOLDER = "/data/clips"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def variables() -> dict[str, str]:
    return dict(line.split("=", 1) for line in blocks("env")[0].split())


@pytest.fixture
async def documented(run_face: Any, model_server: Any, tmp_path: Path) -> AsyncGenerator[Any]:
    """A face with the clip that the document names."""
    write_motion(tmp_path / "fall.mp4", seconds=2, fps=10, width=64, height=64)
    said = {"message": {"content": "<think>He lies there.</think>\n\nYes."}}
    server = model_server(lambda text: said if text.startswith("Is somebody") else None)
    async with run_face(tmp_path, server) as face:
        yield face


def here(block: str, face: Any, folder: Path) -> str:
    return block.replace(HOST, face.url.removesuffix("/v1")).replace(FOLDER, str(folder))


async def output_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return output.decode()


async def test_the_curl_line_gets_a_verdict(documented: Any, tmp_path: Path) -> None:
    """The text that VSS's parser reads."""
    line = here(blocks("sh")[0], documented, tmp_path)
    answer = json.loads(await output_of("sh", "-c", line))

    assert "<think>He lies there.</think>YES" == answer["choices"][0]["message"]["content"]


async def test_the_python_program_prints_the_text_of_the_model(
    documented: Any, tmp_path: Path
) -> None:
    """With the official package, in a process of its own."""
    program = here(blocks("python")[0], documented, tmp_path)
    printed = await output_of(sys.executable, "-c", program)

    assert "<think>He lies there.</think>\n\nYes.\n" == printed


async def test_the_variables_of_vss_lead_to_the_face(documented: Any, tmp_path: Path) -> None:
    """The bridge's base URL gets `/v1` added, and both names are models that exist."""
    given = {name: here(value, documented, tmp_path) for name, value in variables().items()}
    names = {given["VLM_NAME"], given["RTVI_VLM_OPENAI_MODEL_DEPLOYMENT_NAME"]}
    async with openai.AsyncOpenAI(
        base_url=f"{given['VLM_BASE_URL']}/v1", api_key="not-used"
    ) as client:
        ids = {model.id async for model in client.models.list()}

    assert f"{given['VLM_BASE_URL']}/v1" == given["RTVI_VLM_ENDPOINT"]
    assert names <= ids


def test_the_bridges_own_configuration_names_the_same_model_and_place() -> None:
    """The YAML and the variables do not drift apart."""
    yaml = blocks("yaml")[0]

    assert f"model: {variables()['VLM_NAME']}\n" in yaml
    assert f"base_url: {variables()['VLM_BASE_URL']}/v1\n" in yaml
