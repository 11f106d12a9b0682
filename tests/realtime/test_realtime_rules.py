"""Realtime rules against RT-VLM on a real socket, with their store in a real file."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from live import Live

from sidecar.errors import (
    InvalidRequest,
    NotFound,
    RealtimeOff,
    ReplayInFlight,
    ReplayInProgress,
    RequestError,
    RtviInvalidResponse,
    RtviStreamConflict,
    RtviStreamNotReadable,
    RtviUnavailable,
)
from sidecar.testing.fake_rtvi import FakeRtvi
from sidecar.work.rtvi_watch import RtviWatch

SENSOR = {"sensor_id": "camera-1", "sensor_name": "Gate"}


async def test_a_rule_is_stored_and_given_to_rtvi(live: Live, rtvi: FakeRtvi) -> None:
    """RT-VLM gets stream and captions as VSS words them, and the rule is active."""
    rule = await live.create(**SENSOR, password="secret", seed=None, vlm_input_width=256)

    assert [
        {
            "id": "camera-1",
            "liveStreamUrl": "rtsp://camera/1",
            "description": "",
            "sensor_name": "Gate",
            "password": "secret",
        }
    ] == list(rtvi.streams.values())
    assert {
        rule.request_id: {
            "id": "camera-1",
            "stream": True,
            "alert_category": "fire",
            "prompt": "Is there a fire?",
            "model": "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
            "chunk_duration": 30,
            "vlm_input_width": 256,
        }
    } == rtvi.captions
    assert ["active"] == await live.statuses()
    assert rule == await live.rules.find(rule.id)
    assert ([rule], 1) == await live.rules.list(offset=0, limit=10)
    assert 1 == live.metric("realtime_rules_created_total")
    assert 1 == live.metric("realtime_rules_active")
    assert 1 == live.metric("realtime_rules_count")
    assert 0 == live.metric("rtvi_call_failures_total", method="start_stream")


async def test_rules_of_one_sensor_share_its_stream(live: Live, rtvi: FakeRtvi) -> None:
    """The stream is opened once, also for rules that come at the same time."""
    await asyncio.gather(*(live.create(**SENSOR, alert_type=name) for name in "abc"))

    assert 1 == rtvi.calls.count("POST /streams/add")
    assert 3 == len(rtvi.captions)


async def test_another_camera_under_the_same_id_is_refused(live: Live, rtvi: FakeRtvi) -> None:
    """A rule is never bound to somebody else's camera, and leaves nothing behind."""
    await live.create(**SENSOR)

    with pytest.raises(RtviStreamConflict, match="choose another sensor_id"):
        await live.create(**SENSOR, live_stream_url="rtsp://camera/2")
    assert ["active"] == await live.statuses()
    assert 1 == len(rtvi.streams)
    stage = {"stage": "stream_identity_conflict"}
    assert 1 == live.metric("realtime_rules_failed_total", **stage)


@pytest.mark.parametrize(
    ("trouble", "error", "stage"),
    [
        ({"refusals": {"/streams/add": 503}}, RtviUnavailable, "start_stream"),
        ({"refusals": {"/generate_captions": 422}}, RtviUnavailable, "generate_captions"),
        ({"unreadable": {"rtsp://camera/1"}}, RtviStreamNotReadable, "stream_readiness"),
        ({"names_stream": False}, RtviInvalidResponse, "missing_stream_id"),
    ],
)
async def test_a_rule_that_cannot_start_leaves_nothing_behind(
    live: Live, rtvi: FakeRtvi, trouble: dict[str, Any], error: type[RequestError], stage: str
) -> None:
    """It is not stored, and the stream that was opened for it is closed again."""
    for name, value in trouble.items():
        setattr(rtvi, name, value)

    with pytest.raises(error):
        await live.create()
    assert [] == await live.statuses()
    assert {} == rtvi.captions
    assert stage == "missing_stream_id" or not rtvi.streams
    assert 1 == live.metric("realtime_rules_failed_total", stage=stage)


async def test_a_rule_without_a_model_is_refused(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """The error names the setting."""
    async with Live.at(tmp_path, rtvi.url, default_model="") as live:
        with pytest.raises(InvalidRequest, match="SIDECAR_REALTIME__DEFAULT_MODEL"):
            await live.create()


async def test_deleting_the_last_rule_closes_the_stream(live: Live, rtvi: FakeRtvi) -> None:
    """Captions of a deleted rule end, its stream stays while another rule needs it."""
    first, second = [await live.create(**SENSOR, alert_type=name) for name in "ab"]
    await live.rules.delete(first.id)

    assert [second.request_id] == list(rtvi.captions)
    assert ["camera-1"] == list(rtvi.streams)
    await live.rules.delete(second.id)
    assert ({}, {}) == (rtvi.captions, rtvi.streams)
    with pytest.raises(NotFound):
        await live.rules.delete(second.id)
    assert 2 == live.metric("realtime_rules_deleted_total")


async def test_sharers_live_on_when_rtvi_names_no_captions(live: Live, rtvi: FakeRtvi) -> None:
    """Without an id RT-VLM would end the captions of all rules, so nothing is ended."""
    rtvi.tells_ids = False
    first, _ = [await live.create(**SENSOR, alert_type=name) for name in "ab"]
    await live.rules.delete(first.id)

    assert 2 == len(rtvi.captions)


async def test_a_rule_can_be_deleted_while_rtvi_is_away(live: Live, rtvi: FakeRtvi) -> None:
    """The user gets rid of it; RT-VLM's side is best effort."""
    rule = await live.create()
    await rtvi.stop()
    await live.rules.delete(rule.id)

    assert [] == await live.statuses()


async def test_what_rtvi_lost_is_given_to_it_again(live: Live, rtvi: FakeRtvi) -> None:
    """After its restart one look is enough, and a second one finds nothing to do."""
    rules = [await live.create(**fields) for fields in (SENSOR, {"alert_type": "smoke"})]
    rtvi.lose_all()
    healed = await live.rules.heal()
    idle = await live.rules.heal()

    assert (2, 0) == (healed.succeeded, len(idle.outcomes))
    assert 2 == len(rtvi.streams) == len(rtvi.captions)
    assert ["active", "active"] == await live.statuses()
    assert {rule.id for rule in rules} == {rule.id for rule in await live.book.list()}
    assert 1 == live.metric("replay_invocations_total", outcome="success")


async def test_captions_that_break_off_are_started_again(live: Live, rtvi: FakeRtvi) -> None:
    """The rule is marked as failed at once, and healed at the next look without a second stream."""
    rule = await live.create()
    rtvi.break_captions(rule.request_id)
    while await live.statuses() != ["failed"]:
        await asyncio.sleep(0.01)
    await live.rules.heal()

    assert ["active"] == await live.statuses()
    assert 1 == len(rtvi.streams) == len(rtvi.captions)


async def test_a_camera_that_stays_away_is_tried_again(live: Live, rtvi: FakeRtvi) -> None:
    """The rule fails, and works as soon as its camera can be read."""
    await live.create()
    rtvi.lose_all()
    rtvi.unreadable.add("rtsp://camera/1")
    failed = await live.rules.heal()
    rtvi.unreadable.clear()
    healed = await live.rules.heal()

    assert (1, 1) == (failed.failed, healed.succeeded)
    assert 1 == live.metric("replay_rule_failures_total")
    assert 1 == live.metric("replay_invocations_total", outcome="failed")


async def test_the_watch_heals_without_being_asked(live: Live, rtvi: FakeRtvi) -> None:
    """RT-VLM goes away, comes back empty, and works on the rule again."""
    await live.create(**SENSOR)
    watch = asyncio.create_task(RtviWatch(live.rules, every_s=0.02).run())
    rtvi.is_ready = False
    rtvi.lose_all()
    while not await live.rules.ping():
        await asyncio.sleep(0.01)
    rtvi.is_ready = True
    while not rtvi.captions:
        await asyncio.sleep(0.01)
    watch.cancel()

    assert ["camera-1"] == list(rtvi.streams)


async def test_rules_survive_a_restart_of_the_sidecar(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """What RT-VLM still works on is left alone."""
    async with Live.at(tmp_path, rtvi.url) as live:
        rule = await live.create()
    async with Live.at(tmp_path, rtvi.url) as live:
        await live.rules.heal()

        assert [rule] == (await live.rules.list(offset=0, limit=10))[0]
    assert 1 == rtvi.calls.count("POST /streams/add")


async def test_a_replay_restarts_every_rule(live: Live, rtvi: FakeRtvi) -> None:
    """Also where RT-VLM lost nothing: then no captions run twice."""
    await live.create(**SENSOR)
    replay = await live.rules.replay()

    assert (1, 0) == (replay.succeeded, replay.failed)
    assert 1 == len(rtvi.streams) == len(rtvi.captions)


async def test_rules_cannot_be_changed_during_a_replay(live: Live) -> None:
    """Creating, deleting and a second replay are refused until it is over."""
    rule = await live.create()
    replay = asyncio.create_task(live.rules.replay())
    await asyncio.sleep(0)

    with pytest.raises(ReplayInFlight):
        await live.rules.replay()
    with pytest.raises(ReplayInProgress):
        await live.create()
    with pytest.raises(ReplayInProgress):
        await live.rules.delete(rule.id)
    await replay
    await live.rules.delete(rule.id)


async def test_without_rtvi_rules_can_only_be_seen_and_deleted(tmp_path: Path) -> None:
    """The errors name the setting."""
    async with Live.at(tmp_path, "") as live:
        with pytest.raises(RtviUnavailable, match="SIDECAR_REALTIME__BASE_URL"):
            await live.create()
        with pytest.raises(RealtimeOff, match="SIDECAR_REALTIME__BASE_URL"):
            await live.rules.replay()

        assert ([], 0) == await live.rules.list(offset=0, limit=10)
