"""`sidecar preflight` as a user calls it, against real sockets."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kafka_process import KafkaProcess

from sidecar.preflight.result import Status
from sidecar.preflight.services import check_kafka, judge_clocks
from sidecar.settings import KafkaSettings
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer


async def preflight(folder: Path, *options: str, **settings: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "preflight", "--json", *options),
        cwd=folder,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(stdout)


def statuses(found: Mapping[str, Any]) -> dict[str, str]:
    return {it["name"]: it["status"] for it in found["checks"]}


async def test_a_service_that_will_work_is_told_so(tmp_path: Path) -> None:
    """Model, canary and sink answer; nothing is left behind."""
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos-reason2-8b", answers=(ScriptedAnswer("yes"),)))
    async with FakeElastic() as elastic:
        status, found = await preflight(
            tmp_path,
            SIDECAR_AB__PRIMARY="reason2",
            SIDECAR_ARMS__REASON2__URL=await vlm.start(),
            SIDECAR_SINKS__ELASTIC__HOSTS=elastic.url,
        )
    await vlm.close()

    assert status == 0, found
    for name in ("settings", "memory", "ledger disk", "arms", "canary", "sink elastic"):
        assert statuses(found)[name] == "ok", name
    assert not list(tmp_path.iterdir())


async def test_a_server_that_is_ready_and_cannot_verify_is_an_error(tmp_path: Path) -> None:
    """Its health path and its list of models work; the first real question fails."""
    broken = ScriptedAnswer("", status=500)
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos-reason2-8b", answers=(broken,)))
    status, found = await preflight(
        tmp_path,
        SIDECAR_AB__PRIMARY="reason2",
        SIDECAR_ARMS__REASON2__URL=await vlm.start(),
        SIDECAR_ARMS__REASON2__RETRIES="0",
    )
    await vlm.close()

    assert status == 6
    assert statuses(found)["arms"] == "ok"
    assert statuses(found)["canary"] == "error"


async def test_a_model_of_another_family_is_an_error(tmp_path: Path) -> None:
    """It would be asked in the wrong way."""
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos3-nano-reasoner"))
    status, found = await preflight(
        tmp_path, SIDECAR_AB__PRIMARY="reason2", SIDECAR_ARMS__REASON2__URL=await vlm.start()
    )
    await vlm.close()

    assert status == 6
    assert statuses(found)["arms.reason2.adapter"] == "error"


async def test_what_is_away_is_a_warning_unless_it_was_waited_for(tmp_path: Path) -> None:
    """The service waits for a model that loads; who gives a time wants it there by then."""
    settings = {
        "SIDECAR_AB__PRIMARY": "reason2",
        "SIDECAR_ARMS__REASON2__URL": "http://127.0.0.1:9/v1",
        "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    }
    at_once, found = await preflight(tmp_path, **settings)
    waited, late = await preflight(tmp_path, "--wait-s", "0.1", **settings)
    strict, _ = await preflight(tmp_path, "--strict", **settings)

    assert (at_once, waited, strict) == (0, 6, 6)
    for name in ("arms", "kafka"):
        assert statuses(found)[name] == "warning"
        assert statuses(late)[name] == "error"


async def test_settings_that_cannot_work_are_an_error(tmp_path: Path) -> None:
    """As `sidecar check` finds them."""
    status, found = await preflight(tmp_path, SIDECAR_AB__PRIMARY="nobody")

    assert status == 6
    assert statuses(found)["ab.primary"] == "error"


async def test_a_profile_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """With those that do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "preflight", "--hw", "abacus"),
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()

    assert process.returncode == 3
    assert b"dgx-spark-pair" in b"".join(stderr.split())


async def test_topics_that_are_missing_are_named(tmp_path: Path) -> None:
    """A broker alone is not enough."""
    async with KafkaProcess(tmp_path) as kafka:
        settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
        await kafka.create_topics("mdx-incidents")
        missing = await asyncio.to_thread(check_kafka, settings, Status.WARNING)
        await kafka.create_topics("mdx-alerts")
        there = await asyncio.to_thread(check_kafka, settings, Status.WARNING)

    assert missing.status is Status.WARNING
    assert "no topic mdx-alerts" in missing.text
    assert there.status is Status.OK, there.text


@pytest.mark.parametrize(
    ("skew", "status"), [(0.4, "ok"), (-1.9, "ok"), (5, "warning"), (-45, "error")]
)
def test_clocks_that_are_apart_are_told(skew: float, status: str) -> None:
    """Beyond the length of a few clips, other times are seen than those of the event."""
    (found,) = judge_clocks({"VST": skew})

    assert found.status == status


async def test_the_clock_of_vst_is_read_from_its_answers(tmp_path: Path) -> None:
    """A recorder that lives in the past is an error."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    status, found = await preflight(tmp_path, SIDECAR_VST__BASE_URL=url)
    await runner.cleanup()

    assert status == 6
    assert statuses(found)["clock"] == "error"
