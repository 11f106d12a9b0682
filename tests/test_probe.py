"""Finding the dialect of a server."""

import asyncio
import json
import subprocess
import sys

import pytest

from sidecar.dialect import ReasoningField, ServerDialect, StructuredForm
from sidecar.errors import VlmError
from sidecar.outside.probe import probe_dialect
from sidecar.testing.stub_servers import FLAVOURS, StubServer

CHOICE, FORMAT = StructuredForm.STRUCTURED_OUTPUTS, StructuredForm.RESPONSE_FORMAT
OLD, NEW, INLINE = (
    ReasoningField.REASONING_CONTENT,
    ReasoningField.REASONING,
    ReasoningField.INLINE,
)


def _dialect(
    server: str,
    version: str,
    model: str,
    ready_path: str,
    *,
    reasoning: ReasoningField,
    structured: StructuredForm,
    media: tuple[bool, bool] = (True, True),
    frames_seen: int = 12,
    content_is_null: bool = False,
    logprobs: bool = True,
) -> ServerDialect:
    return ServerDialect(
        server=server,
        version=version,
        models=(model,),
        ready_path=ready_path,
        takes_video=True,
        frames_seen=frames_seen,
        frames_sent=12,
        media_options=media[0],
        sets_fps=media[1],
        structured=structured,
        thinking_switch=structured is not StructuredForm.NONE,
        reasoning=reasoning,
        content_is_null=content_is_null,
        logprobs=logprobs,
    )


REASON2, NANO = "nvidia/Cosmos-Reason2-8B", "nvidia/Cosmos3-Nano"
EXPECTED = {
    "vllm-0.11": _dialect("vllm", "0.11.0", REASON2, "/health", reasoning=OLD, structured=FORMAT),
    "vllm-0.13": _dialect("vllm", "0.13.0", REASON2, "/health", reasoning=NEW, structured=CHOICE),
    "vllm-0.26": _dialect("vllm", "0.26.0", NANO, "/health", reasoning=NEW, structured=CHOICE),
    "vllm-0.32": _dialect(
        "vllm",
        "0.32.0",
        NANO,
        "/health",
        reasoning=NEW,
        structured=CHOICE,
        media=(False, False),
    ),
    "vllm-0.32-parser": _dialect(
        "vllm",
        "0.32.0",
        REASON2,
        "/health",
        reasoning=NEW,
        structured=CHOICE,
        media=(False, False),
        content_is_null=True,
    ),
    "nim": _dialect(
        "nim",
        "",
        "nvidia/cosmos3-nano-reasoner",
        "/v1/health/ready",
        reasoning=INLINE,
        structured=FORMAT,
    ),
    "rt-vlm": _dialect(
        "rt-vlm",
        "",
        "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
        "/v1/ready",
        reasoning=INLINE,
        structured=StructuredForm.NONE,
        media=(True, False),
        frames_seen=2,
        logprobs=False,
    ),
    "sglang": _dialect("sglang", "", NANO, "/health", reasoning=OLD, structured=FORMAT),
}


@pytest.mark.parametrize("name", FLAVOURS)
async def test_each_kind_of_server_is_told_by_its_behaviour(name: str) -> None:
    """Every fact of the dialect, for every server that people run these models on."""
    server = StubServer(FLAVOURS[name])
    dialect = await probe_dialect(await server.start(), "", 5)
    await server.close()

    assert EXPECTED[name] == dialect


async def test_a_server_that_is_not_there_is_an_error() -> None:
    """The probe never makes up a dialect."""
    with pytest.raises(VlmError, match="ClientConnector"):
        await probe_dialect("http://127.0.0.1:9/v1", "", 5)


async def test_the_command_prints_the_dialect() -> None:
    """As JSON for programs; as a table for people."""
    server = StubServer(FLAVOURS["vllm-0.32"])
    url = await server.start()
    command = (sys.executable, "-m", "sidecar", "probe", url)
    shown = [await _run(*command, "--json"), await _run(*command)]
    await server.close()

    found = json.loads(shown[0])

    assert ("vllm", False, "structured_outputs") == (
        found["server"],
        found["media_options"],
        found["structured"],
    )
    assert "media_options" in shown[1]
    assert "12 of 12" in shown[1]


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
