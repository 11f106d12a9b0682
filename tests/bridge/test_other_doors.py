"""Alerts of 2.4 through doors that 2.4 does not have."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from bridge_samples import alert
from confluent_kafka import Producer
from kafka_process import KafkaProcess
from review_samples import CLIP, reviewing
from rpc_service import calling, mock_vlm, rpc_service

from sidecar.client import CallFailed, write_event
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.testing.mock_vlm import ScriptedAnswer


async def test_grpc_takes_them_as_json(folder: Path) -> None:
    """The answer has the review's facts as typed fields, and the document whole."""
    answer = ScriptedAnswer("<think>It falls.</think>Yes")
    async with (
        mock_vlm(answer, answer) as (_, arm),
        rpc_service(folder, review={"media_base_dir": folder}, **arm) as rpc,
        calling(rpc) as client,
    ):
        kept = await client.verify(alert("a"))
        tried = await client.verify(alert("b"), dry_run=True)

    for verdict in (kept, tried):
        assert (pb.EVENT_KIND_ALERT, pb.OUTCOME_CONFIRMED) == (verdict.kind, verdict.outcome)
        assert ("OK", "It falls.", "Yes") == (
            verdict.status,
            verdict.reasoning,
            verdict.description,
        )
        assert "REVIEWED" == json.loads(verdict.document_json)["alert"]["status"]


async def test_grpc_takes_no_media_beside_them(folder: Path) -> None:
    """They name their clip themselves."""
    async with rpc_service(folder) as rpc, calling(rpc) as client:
        with pytest.raises(CallFailed, match=r"INVALID_ARGUMENT: .* names media itself"):
            await client.verify(write_event(alert("a"), url="http://camera/clip.mp4"))


async def test_kafka_takes_them_where_alerts_come(folder: Path) -> None:
    """As JSON on the topic of alerts, which is where a 2.4 bridge reads them from Kafka."""
    async with KafkaProcess(folder) as broker:
        await broker.create_topics("mdx-incidents", "mdx-alerts")
        kafka = {"bootstrap_servers": broker.bootstrap_servers, "start_at": "earliest"}
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("mdx-alerts", json.dumps(alert("a")).encode())
        assert 0 == await asyncio.to_thread(producer.flush, 10)
        async with reviewing(folder, kafka=kafka) as (service, _), asyncio.timeout(30):
            while (await service.get("/api/v1/verdicts/a"))[0] == 404:
                await asyncio.sleep(0.05)
            verdict = await service.decided("a")

    assert "confirmed" == verdict["verdict"]


def test_the_command_line_reviews_one_now(folder: Path) -> None:
    """With another clip, if asked; the document is the bridge's."""
    event = folder / "alert.json"
    body = alert("a", video_path="elsewhere.mp4")
    body["alert"]["type"] = "MOTION_DETECTED"
    event.write_text(json.dumps(body))
    found = subprocess.run(
        [sys.executable, "-m", "sidecar", "verify", str(event), "--media", str(folder / CLIP)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=folder,
    )

    document = json.loads(found.stdout)
    assert (0, True) == (found.returncode, document["result"]["verification_result"])
