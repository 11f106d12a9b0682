"""P6: an event of a camera that begins to stream reaches RT-VLM as VSS forwards it."""

from pathlib import Path

from harness import running

from sidecar.testing.fake_rtvi import FakeRtvi

CAMERA = "c0413489-6ca1-422e-a09c-08224169ff6a"
P6 = {
    "source": "vst",
    "alert_type": "camera_status_change",
    "created_at": "2026-04-22T17:38:38Z",
    "event": {
        "camera_id": CAMERA,
        "camera_name": "warehouse",
        "camera_url": f"rtsp://localhost:8554/live/{CAMERA}",
        "camera_vod_url": f"rtsp://localhost:8554/vod/{CAMERA}",
        "change": "camera_streaming",
        "metadata": {"codec": "H264"},
    },
}
RULES = """
always_on_rules:
  - rule_id: ppe
    alert_type: ppe-violation
    always_on_params:
      prompt: Does a worker go without a hard hat?
      system_prompt: Answer yes or no.
      model: cosmos
      chunk_duration: 60
"""


async def test_a_camera_event_starts_its_rules_at_rt_vlm(tmp_path: Path) -> None:
    """One stream under the camera's id, captions with the rule's prompt, and VSS's answer."""
    rules = tmp_path / "realtime-config.yaml"
    rules.write_text(RULES)
    async with FakeRtvi() as rtvi:
        realtime = {"base_url": rtvi.url, "always_on": True, "always_on_rules": rules}
        async with running(tmp_path, realtime={**realtime, "captions_ack_s": 0.2}) as service:
            status, answer = await service.post("/api/v1/realtime/always-on", P6)
            _, listed = await service.get("/api/v1/realtime")
            streams, captions = dict(rtvi.streams), list(rtvi.captions.values())

    assert {
        CAMERA: {
            "id": CAMERA,
            "liveStreamUrl": f"rtsp://localhost:8554/live/{CAMERA}",
            "description": "",
            "sensor_name": "warehouse",
        }
    } == streams
    assert [
        {
            "id": CAMERA,
            "stream": True,
            "alert_category": "ppe-violation",
            "prompt": "Does a worker go without a hard hat?",
            "system_prompt": "Answer yes or no.",
            "model": "cosmos",
            "chunk_duration": 60,
            "chunk_overlap_duration": 5,
            "num_frames_per_second_or_fixed_frames_chunk": 10,
            "use_fps_for_chunking": True,
            "vlm_input_width": 256,
            "vlm_input_height": 256,
            "enable_reasoning": True,
        }
    ] == captions
    started = {
        "rule_id": "ppe",
        "alert_type": "ppe-violation",
        "status": 201,
        "result": "success",
        "alert_rule_id": listed["rules"][0]["id"],
    }
    assert (200, "STREAM_ADD_SUCCESS", "HTTP/1.1 200 OK", [started]) == (
        status,
        answer["reason"],
        answer["status"],
        answer["details"],
    )
