"""The service in front of vLLM servers that were started in different ways."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running
from real_vllm.server import FAMILIES, MODEL_IDS, OPTIONS, PARSER, VllmServer, run_vllm

from sidecar.dialect import FrameControl, StructuredForm
from sidecar.outside.probe import probe_dialect
from sidecar.testing.media import write_motion

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

EVENTS = 10
EXTRA_STARTS = {"reason2": PARSER, "cosmos3-nano": OPTIONS}


@pytest.fixture(scope="module", params=list(EXTRA_STARTS))
def extra_server(
    request: pytest.FixtureRequest, vllm_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, VllmServer]]:
    """An arm and its server, started with one of the two flags."""
    arm = str(request.param)
    folder = tmp_path_factory.mktemp(arm)
    with run_vllm(vllm_python, FAMILIES[arm], folder, flags=EXTRA_STARTS[arm]) as server:
        yield arm, server.wait()


def _event(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "sensorId": f"camera-{name}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:05.000Z",
        "category": "collision",
        "info": {"video_path": "clip.mp4"},
    }


def _settings(folder: Path, arm: str, server: VllmServer, **options: Any) -> dict[str, Any]:
    write_motion(folder / "clip.mp4", seconds=5, fps=10)
    return {
        "arms": {arm: {"url": server.url, "max_tokens": 4, **options}},
        "media": {"allowed_roots": [folder]},
        "ab": {"primary": arm},
    }


async def _infos(service: Running, names: Sequence[str]) -> list[dict[str, Any]]:
    documents = await asyncio.gather(*(service.verdict_on(_event(name)) for name in names))
    return [document["info"] for document in documents]


async def _check_ten(arm: str, server: VllmServer, folder: Path, options: dict[str, Any]) -> str:
    """Verify ten events; returns the notes, which must be the same for all."""
    async with running(folder, **_settings(folder, arm, server, **options)) as service:
        infos = await _infos(service, [f"event-{number}" for number in range(EVENTS)])
    frames = str(round(5 * options.get("fps", 2)))

    assert {"confirmed", "rejected"} >= {info["verdict"] for info in infos}, infos[0]
    assert {(frames, frames)} == {
        (info["sidecarFramesAsked"], info["sidecarFramesSeen"]) for info in infos
    }
    assert {(arm, server.model)} == {(it["sidecarArm"], it["sidecarModel"]) for it in infos}
    return str({info.get("sidecarNotes", "") for info in infos})


@pytest.mark.parametrize("arm", FAMILIES)
@pytest.mark.parametrize("answer", ["choice", "free"])
async def test_ten_events_end_in_verdicts_about_every_frame(
    arm: str, answer: str, vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """By a constrained choice at once, or after noise by the second question."""
    notes = await _check_ten(arm, vllm_servers[arm], tmp_path, {"answer": answer})

    assert ("asked_again" in notes) is (answer == "free")


@pytest.mark.parametrize("arm", FAMILIES)
async def test_four_frames_a_second_are_seen_whole(
    arm: str, vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """By a media option where the server takes one, else by a slower clip, which is noted."""
    options = {"answer": "choice", "fps": 4}
    notes = await _check_ten(arm, vllm_servers[arm], tmp_path, options)

    assert ("times_stretched" in notes) is (arm == "reason2")


@pytest.mark.parametrize("arm", FAMILIES)
async def test_the_probe_finds_what_the_flags_change(
    arm: str, vllm_servers: dict[str, VllmServer]
) -> None:
    """Media options only where they were allowed; null content only behind the parser."""
    server, has_flags = vllm_servers[arm], arm == "cosmos3-nano"
    dialect = await probe_dialect(server.url, "", 120)

    assert ("vllm", "/health", (server.model,)) == (
        dialect.server,
        dialect.ready_path,
        dialect.models,
    )
    assert (True, 2.0) == (dialect.takes_video, dialect.loader_fps)
    assert has_flags is dialect.media_options is dialect.content_is_null
    assert (FrameControl.MEDIA_IO_KWARGS if has_flags else FrameControl.NONE) is dialect.frames
    assert StructuredForm.STRUCTURED_OUTPUTS is dialect.structured
    assert dialect.logprobs


@pytest.mark.extra_servers
@pytest.mark.parametrize("options", [{"answer": "choice"}, {}, {"answer": "choice", "fps": 4}])
async def test_one_flag_alone_changes_no_verdict(
    extra_server: tuple[str, VllmServer], options: dict[str, Any], tmp_path: Path
) -> None:
    """The reasoning parser without media options, and media options without the parser."""
    arm, server = extra_server

    await _check_ten(arm, server, tmp_path, options)


@pytest.mark.extra_servers
async def test_a_restart_with_other_flags_costs_no_event(vllm_python: Path, tmp_path: Path) -> None:
    """Events that come while the server restarts wait for it, and are asked as it now wants."""
    model = tmp_path / "vllm"
    model.mkdir()
    with run_vllm(vllm_python, "reason2", model) as first:
        server = first.wait()
        port = int(server.url.split(":")[2].split("/")[0])
        options = {"answer": "choice", "fps": 4, "reconnect_s": 240, "timeout_s": 300}
        settings = {**_settings(tmp_path, "reason2", server, **options)}
        async with running(tmp_path, **settings, verify={"deadline_s": 300}) as service:
            before = await _infos(service, ["before-0", "before-1"])
            first.process.terminate()
            await asyncio.to_thread(first.process.wait)
            during = asyncio.create_task(_waited(service, EVENTS))
            with run_vllm(
                vllm_python, "reason2", model, flags=(*PARSER, *OPTIONS), port=port
            ) as second:
                await asyncio.to_thread(second.wait)
                after = await during
    infos = [*before, *after]

    assert MODEL_IDS["reason2"] == server.model
    assert {"confirmed", "rejected"} >= {info["verdict"] for info in infos}, infos
    assert {("20", "20")} == {
        (info["sidecarFramesAsked"], info["sidecarFramesSeen"]) for info in infos
    }


async def _waited(service: Running, events: int) -> list[dict[str, Any]]:
    """Submit events to a service whose model is away, and wait for all of their verdicts."""
    infos = []
    for number in range(events):
        status, answer = await service.post("/api/v1/incidents", _event(f"during-{number}"))
        assert status == 202
        infos.append(answer["id"])
    return [(await service.decided(name, timeout_s=280))["event"]["info"] for name in infos]
