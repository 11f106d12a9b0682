"""Ten swaps of the primary arm between two real servers, while events keep coming."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import running
from ledger_samples import until
from real_vllm.server import VllmServer

from sidecar.testing.media import write_motion

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ARMS = ("reason2", "cosmos3-nano")
SWAPS, BETWEEN, WORKERS = 10, 6, 4
WAIT_S = 300.0


def _event(number: int) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:05.000Z",
        "category": "collision",
        "info": {"video_path": "clip.mp4"},
    }


async def test_ten_swaps_between_real_servers_lose_no_event(
    vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """Each accepted event has one verdict, which names its arm and the model that arm serves."""
    write_motion(tmp_path / "clip.mp4", seconds=2, fps=10)
    settings: dict[str, Any] = {
        "arms": {
            name: {"url": server.url, "answer": "choice"} for name, server in vllm_servers.items()
        },
        "media": {"allowed_roots": [tmp_path]},
        "ab": {"primary": ARMS[0]},
        "verify": {"max_in_flight": WORKERS, "deadline_s": WAIT_S},
    }
    async with running(tmp_path, **settings) as service:
        served = {
            name: await arm.backend.model()
            for name, arm in service.app.verifier.switchboard.current.arms.items()
            if name in ARMS
        }
        submitting, accepted, decided = True, list[str](), list[dict[str, Any]]()

        async def submit(worker: int) -> None:
            """Offer one event after the other, each once the one before it is decided."""
            number = worker
            while submitting:
                status, answer = await service.post("/api/v1/incidents", _event(number))
                assert status == 202, answer
                accepted.append(answer["id"])
                decided.append(await service.decided(answer["id"], WAIT_S))
                number += WORKERS

        workers = [asyncio.create_task(submit(worker)) for worker in range(WORKERS)]
        statuses = []
        for swap in range(SWAPS):
            goal = len(accepted) + BETWEEN
            await until(lambda goal=goal: len(accepted) >= goal, timeout_s=WAIT_S)
            status, _ = await service.put("/api/v1/arms", {"primary": ARMS[1 - swap % 2]})
            statuses.append(status)
        submitting = False
        await asyncio.gather(*workers)
        backlog = await service.app.ledger.backlog()
        _, history = await service.get("/api/v1/arms/history")

    assert [200] * SWAPS == statuses
    assert (0, SWAPS + 1) == (backlog, history["count"])
    assert sorted(accepted) == sorted(verdict["id"] for verdict in decided)
    assert len(accepted) == len({verdict["verdictKey"] for verdict in decided})
    assert {"confirmed", "rejected"} >= {verdict["verdict"] for verdict in decided}
    arms = Counter(verdict["arm"] for verdict in decided)
    assert set(ARMS) == arms.keys()
    assert set(served.items()) == {
        (verdict["arm"], verdict["event"]["info"]["sidecarModel"]) for verdict in decided
    }
