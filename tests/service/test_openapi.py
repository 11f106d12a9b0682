"""The HTTP API against its own description: by schemathesis, and what that has found."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running

from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.fake_rtvi import FakeRtvi
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm

TESTS = Path(__file__).parents[1]
ENDLESS = "/api/v1/verdicts/stream"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
OPTIONS = (
    "--phases=coverage,fuzzing,stateful",
    f"--checks={','.join(CHECKS)}",
    f"--exclude-path={ENDLESS}",
    "--max-examples=15",
    "--generation-deterministic",
    "--continue-on-failure",
    "--suppress-health-check=all",
    "--request-timeout=30",
    "--no-color",
)
CONFIG = "/api/v1/verification/config"
RULES = """
always_on_rules:
  - {rule_id: a, alert_type: a, always_on_params: {prompt: "Is it?", system_prompt: "", model: m}}
"""


@asynccontextmanager
async def whole_service(folder: Path) -> AsyncGenerator[Running]:
    """Run a service to which nothing is missing: a model, RT-VLM, Elasticsearch, a clip, rules."""
    write_motion(folder / "clip.mp4", seconds=1, fps=4, width=64, height=64)
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    async with AsyncExitStack() as stack:
        rtvi = await stack.enter_async_context(FakeRtvi())
        elastic = await stack.enter_async_context(FakeElastic())
        model = MockVlm()
        stack.push_async_callback(model.close)
        arm = {"url": await model.start(), "retries": 0, "reconnect_s": 0}
        realtime = {"base_url": rtvi.url, "captions_ack_s": 0, "readiness_wait_s": 0}
        yield await stack.enter_async_context(
            running(
                folder,
                ab={"primary": "reason2"},
                arms={"reason2": arm},
                media={"allowed_roots": [folder]},
                metrics={"enabled": True},
                review={"media_base_dir": folder, "files_dir": folder / "files"},
                realtime={**realtime, "always_on": True, "always_on_rules": rules},
                sinks={"elastic": {"hosts": (elastic.url,)}},
            )
        )


async def _schemathesis(url: str, report: Path) -> str:
    """Run the tool, which writes a report, and return what it prints."""
    command = (sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *OPTIONS)
    process = await asyncio.create_subprocess_exec(
        *command,
        f"--report-json-path={report}",
        cwd=report.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_answer_is_one_that_the_api_describes(tmp_path: Path) -> None:
    """Thousands of requests, right and wrong ones: no 5xx, no other status, type or shape."""
    async with whole_service(tmp_path) as service:
        _, described = await service.get("/openapi.json")
        output = await _schemathesis(service.url, tmp_path / "report.json")

    report = json.loads((tmp_path / "report.json").read_text())
    operations = sum(len(methods) for methods in described["paths"].values())
    tested, cases = report["operations"]["tested"], report["test_cases"]
    assert (operations - 1, [], []) == (tested, report["failures"], report["errors"]), output
    assert cases["generated"] > 2000


UNSENDABLE = (
    b'{"alert_type": "a", "prompt": "p", "vlm_params": {"max_tokens": 100000000000000000000}}',
    b'{"alert_type": "a", "prompt": "p", "vlm_params": {"temperature": NaN}}',
    rb'{"alert_type": "a", "prompt": "\ud800"}',
    b'{"alert_type": "a", "prompt": "\xff"}',
    b'{"alert_type": "a", "prompt": "p", "answer": ' + b"[" * 5000,
)


async def test_values_that_no_server_could_be_sent_are_refused(tmp_path: Path) -> None:
    """Numbers beyond 64 bits, NaN, halves of characters and bytes that are no text: 422."""
    async with running(tmp_path) as service:
        answers = [await service.post_bytes(CONFIG, body) for body in UNSENDABLE]
        _, listed = await service.get(CONFIG)

    assert [422] * len(UNSENDABLE) == [status for status, _ in answers]
    assert all(body["details"][0]["field"].startswith("body") for _, body in answers)
    assert "a" not in {config["alert_type"] for config in listed["configs"]}


@pytest.mark.parametrize(
    "query",
    [
        "verdicts?cursor=18244701854182628392960",
        "realtime?offset=4993951664966055409007722496",
        "realtime/incidents?offset=4993951664966055409007722496",
    ],
)
async def test_numbers_beyond_those_that_are_counted_with_are_refused(
    tmp_path: Path, query: str
) -> None:
    """422 names the parameter."""
    async with running(tmp_path) as service:
        status, body = await service.get(f"/api/v1/{query}")

    assert 422 == status
    assert body["details"][0]["field"] in ("query.cursor", "query.offset")


async def test_a_body_that_is_too_large_is_413_on_every_route(tmp_path: Path) -> None:
    """Also where the framework reads the body itself."""
    async with running(tmp_path, http={"max_body_bytes": 1024}) as service:
        status, body = await service.post(CONFIG, {"alert_type": "a", "prompt": "p" * 2000})

    assert (413, "body_too_large") == (status, body["error"])


async def test_allow_names_all_methods_of_a_path(tmp_path: Path) -> None:
    """Not only those of the first route that has it."""
    expected = {
        CONFIG: "GET, POST",
        f"{CONFIG}/motion": "GET, PUT, DELETE",
        "/files": "GET, POST",
        "/v1/models": "GET",
    }
    found: dict[str, Any] = {}
    async with running(tmp_path) as service:
        for path in expected:
            async with service.client.options(service.url + path) as answer:
                found[path] = answer.headers["Allow"]

    assert expected == found
