"""What docs/openai.md tells people to type works as written."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest
from snippets import blocks, here, run_python, run_shell

from sidecar.testing.media import write_motion

PAGE = "docs/openai.md"
HOST = "http://127.0.0.1:9080"
FOLDER = "/data/clips"


def variables() -> dict[str, str]:
    return dict(line.split("=", 1) for line in blocks(PAGE, "env")[0].split())


@pytest.fixture
async def documented(run_face: Any, model_server: Any, tmp_path: Path) -> AsyncGenerator[Any]:
    """A face with the clip that the document names."""
    write_motion(tmp_path / "fall.mp4", seconds=2, fps=10, width=64, height=64)
    said = {"message": {"content": "<think>He lies there.</think>\n\nYes."}}
    server = model_server(lambda text: said if text.startswith("Is somebody") else None)
    async with run_face(tmp_path, server) as face:
        yield face


def own(block: str, face: Any, folder: Path) -> str:
    places = {HOST: face.url.removesuffix("/v1"), FOLDER: str(folder)}
    return here(block, {place: it for place, it in places.items() if place in block})


async def test_the_curl_line_gets_a_verdict(documented: Any, tmp_path: Path) -> None:
    """The text that VSS's parser reads."""
    line = own(blocks(PAGE, "sh")[0], documented, tmp_path)
    answer = json.loads(await run_shell(line, tmp_path))

    assert "<think>He lies there.</think>YES" == answer["choices"][0]["message"]["content"]


async def test_the_python_program_prints_the_text_of_the_model(
    documented: Any, tmp_path: Path
) -> None:
    """With the official package, in a process of its own."""
    program = own(blocks(PAGE, "python")[0], documented, tmp_path)
    printed = await run_python(program, tmp_path)

    assert "<think>He lies there.</think>\n\nYes.\n" == printed


async def test_the_variables_of_vss_lead_to_the_face(documented: Any, tmp_path: Path) -> None:
    """The bridge's base URL gets `/v1` added, and both names are models that exist."""
    given = {name: own(value, documented, tmp_path) for name, value in variables().items()}
    names = {given["VLM_NAME"], given["RTVI_VLM_OPENAI_MODEL_DEPLOYMENT_NAME"]}
    async with openai.AsyncOpenAI(
        base_url=f"{given['VLM_BASE_URL']}/v1", api_key="not-used"
    ) as client:
        ids = {model.id async for model in client.models.list()}

    assert f"{given['VLM_BASE_URL']}/v1" == given["RTVI_VLM_ENDPOINT"]
    assert names <= ids


def test_the_bridges_own_configuration_names_the_same_model_and_place() -> None:
    """The YAML and the variables do not drift apart."""
    yaml = blocks(PAGE, "yaml")[0]

    assert f"model: {variables()['VLM_NAME']}\n" in yaml
    assert f"base_url: {variables()['VLM_BASE_URL']}/v1\n" in yaml
