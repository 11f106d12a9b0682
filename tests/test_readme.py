"""The README's programs, as they are written, against a service as its users start it."""

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from service_process import ServiceProcess, free_port
from snippets import blocks, here, run_python, run_shell

from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

README = "README.md"
THOUGHT = "<think>A person walks through.</think>Yes."


@dataclass(frozen=True)
class Shown:
    """A folder in which the README's commands are typed, and where its service listens."""

    folder: Path
    http: str
    rpc: str

    def write(self, code: str) -> str:
        """Put our ports where the README has the usual ones."""
        places = {"localhost:9080": self.http, "localhost:9082": self.rpc}
        return here(code, {place: own for place, own in places.items() if place in code})


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncGenerator[Shown]:
    """The quickstart's folder and service, with gRPC and a model that answers with a thought."""
    (tmp_path / "clips").mkdir()
    write_motion(tmp_path / "clips" / "gate.mp4", seconds=2, fps=5, width=64, height=64)
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(THOUGHT),)))
    rpc_port = free_port()
    settings = {
        "SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path / "clips"),
        "SIDECAR_GRPC__ENABLED": "true",
        "SIDECAR_GRPC__PORT": f"{rpc_port}",
        "SIDECAR_AB__PRIMARY": "reason2",
        "SIDECAR_ARMS__REASON2__URL": await vlm.start(),
        "SIDECAR_VERIFY__MIN_FRAMES_SEEN": "0",
    }
    service = ServiceProcess(tmp_path, settings)
    await service.start()
    yield Shown(tmp_path, service.url.removeprefix("http://"), f"localhost:{rpc_port}")
    await service.stop()
    await vlm.close()


def _one(language: str, part: str) -> str:
    [code] = [block for block in blocks(README, language) if part in block]
    return code


def _commands() -> list[str]:
    """Return the quickstart's commands for a service that runs, without their comments."""
    code = re.sub(r"  +# .*", "", _one("sh", "SIDECAR_MEDIA__ALLOWED_ROOTS=clips"))
    return re.findall(r"^curl (?:[^\n]*'\{\n.*?\}'|[^\n]*)$", code, re.DOTALL | re.MULTILINE)


async def test_the_quickstart_accepts_decides_and_follows(shown: Shown) -> None:
    """The incident is accepted; its verdict is read by id, and comes by the stream."""
    submit, read, follow = (shown.write(command) for command in _commands())
    accepted = json.loads(await run_shell(submit, shown.folder))
    until = f"until {read} | grep -q decided; do sleep 0.1; done; {read}"
    decided = json.loads(await run_shell(until, shown.folder))
    # the stream has no end, so it is cut after its first event
    resumed = follow.replace("curl -sN", "curl -sN -H 'Last-Event-ID: 0'")
    streamed = await run_shell(f"{resumed} | sed '/^data:/q'", shown.folder)

    assert ("accepted", "first") == (accepted["status"], accepted["id"])
    assert "confirmed" == decided["event"]["info"]["verdict"]
    assert '"first"' in streamed


async def test_the_grpc_program_prints_the_enriched_incident(shown: Shown) -> None:
    """Ten lines hand a clip over and get the document that VSS reads."""
    code = _one("python", "VerifierClient")
    document = json.loads(await run_python(shown.write(code), shown.folder))

    assert "confirmed" == document["info"]["verdict"]
    assert "A person walks through." == document["info"]["reasoning"]
    assert 12 >= len(code.splitlines())


async def test_the_grpcurl_line_gets_a_verdict(shown: Shown) -> None:
    """By a client that knows nothing but what the service tells."""
    answer = json.loads(await run_shell(shown.write(_one("sh", "grpcurl")), shown.folder))

    assert "OUTCOME_CONFIRMED" == answer["verdict"]["outcome"]


async def test_the_openai_program_prints_a_verdict_that_vss_reads(shown: Shown) -> None:
    """The official package, and the strict text."""
    printed = await run_python(shown.write(_one("python", "OpenAI")), shown.folder)

    assert "<think>A person walks through.</think>YES\n" == printed


async def test_the_curl_line_gets_the_models_own_text(shown: Shown) -> None:
    """Without a package and without a mode."""
    line = shown.write(_one("sh", "chat/completions"))
    answer = json.loads(await run_shell(line, shown.folder))

    assert THOUGHT == answer["choices"][0]["message"]["content"]
