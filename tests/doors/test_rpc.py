"""The gRPC door over a real channel to a real service."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any, cast

import aiohttp
import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_health_probe import probe
from grpc_status import rpc_status
from review_samples import CLIP, FULL
from rpc_service import (
    NO_ARMS,
    arms_of,
    calling,
    incident,
    mock_vlm,
    model_arm,
    open_channel,
    rpc_service,
    serving,
    storing_rpc,
)
from service_process import free_port
from snippets import run_shell
from storing_service import storing

from sidecar.client import CallFailed, write_event
from sidecar.core.intake import Intake
from sidecar.core.routing import Arm, Routing
from sidecar.doors.rpc import RpcDoor
from sidecar.model import EventKind, StoredEvent, VerifyEvent
from sidecar.pb.inference import grpc_service_pb2 as probes
from sidecar.pb.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from sidecar.pb.nv.ext_pb2 import Behavior, Incident
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.pb.v1.verifier_pb2_grpc import VerifierStub
from sidecar.policy import Policy
from sidecar.settings import RpcSettings
from sidecar.testing.media import write_motion, write_still
from sidecar.testing.mock_vlm import ScriptedAnswer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _details(error: grpc.aio.AioRpcError) -> Status:
    return next(
        Status.FromString(value)
        for key, value in error.trailing_metadata()
        if key == rpc_status.GRPC_DETAILS_METADATA_KEY
    )


async def _refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_verify_answers_with_the_verdict(tmp_path: Path) -> None:
    """Verify waits for the verdict and gives its facts as typed fields."""
    clip = write_motion(tmp_path / "clip.mp4")
    async with (
        rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc,
        calling(rpc) as client,
    ):
        verdict = await client.verify(incident(1, info={"video_path": str(clip)}))

    document = json.loads(verdict.document_json)
    names = ("incident-1", "baseline", "camera-1")
    assert names == (verdict.id, verdict.arm, verdict.sensor_id)
    assert (pb.EVENT_KIND_INCIDENT, pb.OUTCOME_CONFIRMED) == (verdict.kind, verdict.outcome)
    assert ("confirmed", 1) == (document["info"]["verdict"], verdict.seq)
    assert not verdict.HasField("confidence")
    assert str(verdict.latency.ToMilliseconds()) == document["info"]["sidecarLatencyMs"]


async def test_verify_of_a_decided_event_answers_at_once(tmp_path: Path) -> None:
    """An event that was decided before is not decided again."""
    clip = write_motion(tmp_path / "clip.mp4")
    async with (
        rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc,
        calling(rpc) as client,
    ):
        event = incident(1, info={"video_path": str(clip)})
        first = await client.verify(event)
        second = await client.verify(event)

    assert first == second


async def test_all_forms_of_an_event_are_the_same_event(tmp_path: Path) -> None:
    """Typed fields, nv.Incident and JSON of one incident get one verdict key."""
    raw = incident(1, info={"primaryObjectId": "7"})
    fields = pb.EventFields(
        sensor_id="camera-1", category="motion", object_ids=["1"], info={"primaryObjectId": "7"}
    )
    fields.timestamp.FromJsonString(raw["timestamp"])
    fields.end.FromJsonString(raw["end"])
    message = ParseDict(raw, Incident(), ignore_unknown_fields=True)
    events = [pb.Event(fields=fields), write_event(message), write_event(raw)]
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        stub = VerifierStub(channel)
        answers = [await stub.Submit(pb.SubmitRequest(event=event)) for event in events]

    assert 1 == len({answer.receipt.verdict_key for answer in answers})


async def test_a_review_of_vss_2_4_is_an_event(tmp_path: Path) -> None:
    """What POST /reviewAlert takes is accepted durably, decided, and told with its document."""
    clip = tmp_path / CLIP
    clip.parent.mkdir(parents=True)
    write_motion(clip)
    review = {"media_base_dir": tmp_path}
    answer = ScriptedAnswer("<think>He climbs.</think>Yes")
    event = pb.Event(review_alert=json.dumps(FULL).encode())
    async with (
        mock_vlm(answer) as (_, arm),
        rpc_service(tmp_path, review=review, **arm) as rpc,
        calling(rpc) as client,
    ):
        verdict = await client.verify(event)
        with pytest.raises(CallFailed) as refused:
            await client.submit(pb.Event(review_alert=json.dumps(incident(1)).encode()))
        with pytest.raises(CallFailed) as doubled:
            await client.submit(write_event(event, clip=b"a clip"))

    document = json.loads(verdict.document_json)
    assert (FULL["id"], pb.EVENT_KIND_ALERT) == (verdict.id, verdict.kind)
    assert (pb.OUTCOME_CONFIRMED, "He climbs.", "Yes") == (
        verdict.outcome,
        verdict.reasoning,
        verdict.description,
    )
    assert ("SUCCESS", True) == (
        document["result"]["status"],
        document["result"]["verification_result"],
    )
    assert ["event.review_alert"] == list(refused.value.fields)
    assert ["event.media"] == list(doubled.value.fields)


async def test_a_behavior_is_an_alert(tmp_path: Path) -> None:
    """nv.Behavior and JSON with a sensor object are stored as alerts."""
    raw = {"id": "a", "timestamp": "2026-01-31T08:00:00Z", "sensor": {"id": "cam"}}
    message = ParseDict(raw, Behavior())
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        stub = VerifierStub(channel)
        await stub.Submit(pb.SubmitRequest(event=write_event(message)))
        await stub.Submit(pb.SubmitRequest(event=write_event(raw | {"id": "b"})))
        found = [await stub.GetVerdict(pb.GetVerdictRequest(id=name)) for name in ("a", "b")]

    assert [pb.EVENT_KIND_ALERT] * 2 == [answer.pending.kind for answer in found]


async def test_submit_stores_before_it_answers(tmp_path: Path) -> None:
    """What was receipted is found in the ledger and waits for its verdict."""
    async with storing_rpc(tmp_path) as (store, door), open_channel(door) as channel:
        stub = VerifierStub(channel)
        receipt = (await stub.Submit(pb.SubmitRequest(event=write_event(incident(1))))).receipt
        stored = await store.ledger.lookup(receipt.verdict_key)
        answer = await stub.GetVerdict(pb.GetVerdictRequest(id=receipt.id))

    assert isinstance(stored, StoredEvent)
    assert "incident-1" == answer.pending.id


async def test_a_url_becomes_media_of_the_event(tmp_path: Path) -> None:
    """A URL beside the event is what POST /api/v1/incidents calls info.media_urls."""
    event = write_event(incident(1), url="http://media/clip.mp4")
    async with storing_rpc(tmp_path) as (store, door), open_channel(door) as channel:
        await VerifierStub(channel).Submit(pb.SubmitRequest(event=event))
        stored = await store.ledger.lookup("incident-1")

    assert stored is not None
    assert isinstance(stored, StoredEvent)
    assert {"media_urls": ["http://media/clip.mp4"]} == stored.raw["info"]


async def test_a_stream_acknowledges_each_event_by_its_number(tmp_path: Path) -> None:
    """Every event gets its own answer, and one that is refused does not stop the others."""
    events = [incident(1), {"sensorId": "no more"}, incident(3)]
    numbered = [
        pb.StreamedEvent(sequence=number * 10, event=write_event(event))
        for number, event in enumerate(events)
    ]

    async def requests() -> AsyncIterator[pb.SubmitStreamRequest]:
        yield pb.SubmitStreamRequest(events=numbered[:2])
        yield pb.SubmitStreamRequest(events=numbered[2:])

    async with storing_rpc(tmp_path) as (store, door), open_channel(door) as channel:
        call = VerifierStub(channel).SubmitStream(requests())
        acks = [ack async for answer in call for ack in answer.acks]
        ids = await store.ids()

    assert [(0, "receipt"), (10, "refusal"), (20, "receipt")] == [
        (ack.sequence, ack.WhichOneof("result")) for ack in acks
    ]
    assert ["incident-1", "incident-3"] == ids
    refusal = acks[1].refusal
    assert ("INVALID_ARGUMENT", "validation_failed", False) == (
        refusal.code,
        refusal.reason,
        refusal.retryable,
    )
    assert {"timestamp", "end", "category"} == {it.field for it in refusal.violations}


async def test_a_stream_tells_which_refusals_pass(tmp_path: Path) -> None:
    """An event for which there is no room is refused as retryable."""
    events = [
        pb.StreamedEvent(sequence=number, event=write_event(incident(number))) for number in (1, 2)
    ]
    async with storing_rpc(tmp_path, max_backlog=1) as (_, door), open_channel(door) as channel:
        call = VerifierStub(channel).SubmitStream(iter([pb.SubmitStreamRequest(events=events)]))
        acks = [ack async for answer in call for ack in answer.acks]

    assert ["", "overloaded"] == [ack.refusal.reason for ack in acks]
    assert acks[1].refusal.retryable


async def _streamed(door: RpcDoor, events: list[pb.Event]) -> list[pb.Ack]:
    """Send events in one message, numbered from 1, and return their acknowledgements."""
    numbered = [pb.StreamedEvent(sequence=i, event=it) for i, it in enumerate(events, 1)]
    async with open_channel(door) as channel:
        call = VerifierStub(channel).SubmitStream(iter([pb.SubmitStreamRequest(events=numbered)]))
        return [ack async for answer in call for ack in answer.acks]


async def test_events_with_and_without_media_come_in_one_message(tmp_path: Path) -> None:
    """Each is accepted or refused for itself; what came with a dropped one is not kept."""
    twice = incident(1, info={"video_path": "clip.mp4"})
    again = incident(3, end="2026-02-01T00:00:01.000Z")
    events = [
        write_event(incident(1), clip=b"a clip"),
        write_event(incident(2)),
        write_event(twice, clip=b"a clip"),
        write_event(incident(3)),
        write_event(again, clip=b"a clip"),
    ]
    async with storing_rpc(tmp_path) as (store, door):
        acks = await _streamed(door, events)
        ids = await store.ids()
        kept = await store.ledger.lookup("incident-1")

    assert ["receipt", "receipt", "refusal", "receipt", "receipt"] == [
        ack.WhichOneof("result") for ack in acks
    ]
    assert ["media_given_twice"] == [it.rule for it in acks[2].refusal.violations]
    assert "dedup" in acks[4].receipt.dropped
    assert ["incident-1", "incident-2", "incident-3"] == ids
    assert isinstance(kept, StoredEvent)
    assert [kept.raw["info"]["video_path"]] == [
        it.name for it in (tmp_path / "inline").glob("*.mp4")
    ]


class _Picky(Intake):
    """Has a defect that one event meets."""

    def read(self, raw: Mapping[str, Any], kind: EventKind) -> VerifyEvent:
        if raw["id"] == "incident-2":
            raise ZeroDivisionError("the inside")
        return super().read(raw, kind)


async def test_an_event_that_meets_a_defect_does_not_stop_the_others(tmp_path: Path) -> None:
    """It alone is refused, as INTERNAL and without the exception."""
    async with storing(tmp_path) as store:
        service = replace(store.service, intake=_Picky())
        door = RpcDoor(RpcSettings(port=0), service, NO_ARMS, _unused, None)
        async with serving(door):
            acks = await _streamed(door, [write_event(incident(number)) for number in (1, 2, 3)])
        ids = await store.ids()

    assert ["", "INTERNAL", ""] == [ack.refusal.code for ack in acks]
    assert "inside" not in acks[1].refusal.message
    assert ["incident-1", "incident-3"] == ids


async def test_events_that_cannot_be_stored_may_be_sent_again(tmp_path: Path) -> None:
    """While the ledger takes nothing, each event is refused as retryable and the stream goes on."""
    async with storing_rpc(tmp_path) as (store, door):
        await store.database.close()
        acks = await _streamed(door, [write_event(incident(number)) for number in (1, 2)])

    assert [("UNAVAILABLE", True)] * 2 == [(it.refusal.code, it.refusal.retryable) for it in acks]


async def test_watching_resumes_behind_a_verdict(tmp_path: Path) -> None:
    """The resume token repeats nothing and leaves nothing out."""
    clip = write_still(tmp_path / "clip.mp4")
    async with (
        rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc,
        calling(rpc) as client,
    ):
        decided = [
            await client.verify(incident(number, info={"video_path": str(clip)}))
            for number in range(4)
        ]
        behind = client.watch(after=decided[1].seq)
        seen = [await anext(behind) for _ in range(2)]
        chosen = client.watch(after=0, sensor_id="camera-3", outcome=decided[3].outcome)
        only = await anext(chosen)
        at = decided[2].timestamp.ToDatetime(UTC)
        timed = client.watch(after=0, since=at, until=at)
        in_time = await anext(timed)
        for watching in (behind, chosen, timed):
            await watching.aclose()

    assert decided[2:] == seen
    assert decided[3] == only
    assert decided[2] == in_time


async def test_watching_starts_with_the_next_verdict(tmp_path: Path) -> None:
    """Without a token only verdicts that come later are seen."""
    clip = write_still(tmp_path / "clip.mp4")
    async with (
        rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc,
        calling(rpc) as client,
    ):
        await client.verify(incident(1, info={"video_path": str(clip)}))
        watching = client.watch()
        first = asyncio.create_task(anext(watching))
        await asyncio.sleep(0.2)
        later = await client.verify(incident(2, info={"video_path": str(clip)}))
        seen = await first
        await watching.aclose()

    assert later == seen


async def test_arms_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    """Each arm tells whether it can work now."""
    away = {"url": f"http://127.0.0.1:{free_port()}/v1"}
    async with (
        rpc_service(tmp_path, arms={"baseline": {}, "reason2": away}) as rpc,
        calling(rpc) as client,
    ):
        arms = {arm.name: arm for arm in await client.list_arms()}

    baseline, reason2 = arms["baseline"], arms["reason2"]
    assert (True, "opencv-motion-baseline", "") == (
        baseline.is_primary,
        baseline.model,
        baseline.problem,
    )
    assert (False, "cosmos-reason2") == (reason2.is_primary, reason2.adapter)
    assert "Start it" in reason2.problem


async def test_arms_are_set_and_refused(tmp_path: Path) -> None:
    """With version and reason; what cannot work leaves what was in force."""
    away = {"reason2": {"url": f"http://127.0.0.1:{free_port()}/v1"}}
    async with (
        mock_vlm() as (_, settings),
        rpc_service(tmp_path, **{**settings, "arms": settings["arms"] | away}) as rpc,
        calling(rpc) as client,
    ):
        chosen = await client.set_arms("baseline", reason="a trial", version=1)
        policy = '{"rules": [{"use": "generic"}], "fallback": ["baseline"]}'
        split = await client.set_arms(policy_json=policy)
        back = await client.set_arms(restore=2)
        codes = []
        for wrong in (
            {"primary": "gpt"},
            {"policy_json": '{"rules": []}'},
            {"policy_json": "{"},
            {},
            {"restore": 9},
            {"primary": "generic", "version": 1},
            {"primary": "reason2"},
        ):
            with pytest.raises(CallFailed) as failed:
                await client.set_arms(**cast("Any", wrong))
            codes.append(failed.value.code)
        arms = {arm.name: arm for arm in await client.list_arms()}

    assert (2, "baseline", "a trial") == (chosen.version, chosen.primary, chosen.reason)
    assert (3, "") == (split.version, split.primary)
    assert (4, "baseline") == (back.version, back.primary)
    assert [
        *["INVALID_ARGUMENT"] * 4,
        "NOT_FOUND",
        "ABORTED",
        "FAILED_PRECONDITION",
    ] == [code.name for code in codes]
    assert [True, False] == [arms[name].is_primary for name in ("baseline", "generic")]
    assert [1, 1] == [len(arms[name].endpoints) for name in ("baseline", "generic")]


async def test_refusals_carry_rich_details(tmp_path: Path) -> None:
    """A wrong event is INVALID_ARGUMENT with the reason and each wrong field."""
    wrong = write_event({"sensorId": "c", "category": "x", "timestamp": "soon", "end": "later"})
    info, fields = ErrorInfo(), BadRequest()
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).Submit(pb.SubmitRequest(event=wrong)))

    status = _details(error)
    status.details[0].Unpack(info)
    status.details[1].Unpack(fields)
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert ("VALIDATION_FAILED", "vlm_sidecar.v1") == (info.reason, info.domain)
    assert ["timestamp", "end"] == [it.field for it in fields.field_violations]


async def test_a_full_ledger_asks_to_come_back(tmp_path: Path) -> None:
    """Without room, Submit is RESOURCE_EXHAUSTED and tells when to try again."""
    retry = RetryInfo()
    async with storing_rpc(tmp_path, max_backlog=1) as (_, door), open_channel(door) as channel:
        stub = VerifierStub(channel)
        await stub.Submit(pb.SubmitRequest(event=write_event(incident(1))))
        error = await _refused(stub.Submit(pb.SubmitRequest(event=write_event(incident(2)))))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()
    assert _details(error).details[1].Unpack(retry)
    assert 1 == retry.retry_delay.seconds


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (pb.Event(), "Set one of fields"),
        (pb.Event(json=b"{"), "not valid JSON"),
        (pb.Event(json=b"[]"), "must be a JSON object"),
        (pb.Event(fields=pb.EventFields(sensor_id="c")), "Field required"),
        (write_event(incident(1, info={"video_path": "a.mp4"}), url="http://b"), "leave out one"),
        (write_event(incident(1), frames=[(0, b"PNG")]), "must be a JPEG"),
        (write_event(incident(1), frames=[(0, b"\xff\xd8\xff"), (0, b"\xff\xd8\xff")]), "grow"),
        (write_event(incident(1), frames=[(0, b"\xff\xd8\xff"), (1, b"\xff\xd8\xff")]), "be read"),
        (write_event(incident(1), frames=[(0, b"\xff\xd8\xff")] * 65), "send 1 to 64"),
    ],
)
async def test_wrong_events_are_explained(tmp_path: Path, event: pb.Event, text: str) -> None:
    """Each way to be wrong is INVALID_ARGUMENT with a sentence that says what to do."""
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).Submit(pb.SubmitRequest(event=event)))

    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert text in (error.details() or "")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.WatchVerdictsRequest(after=2**63), "after"),
        (pb.WatchVerdictsRequest(outcome=cast("pb.Outcome", 99)), "outcome"),
        (pb.WatchVerdictsRequest(since=Timestamp(seconds=2**60)), "since"),
    ],
)
async def test_filters_that_no_verdict_can_pass_are_refused(
    tmp_path: Path, request_: pb.WatchVerdictsRequest, field: str
) -> None:
    """INVALID_ARGUMENT names the field, instead of a stream that stays empty or shows all."""
    fields = BadRequest()
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).WatchVerdicts(request_).read())

    _details(error).details[1].Unpack(fields)
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert [field] == [it.field for it in fields.field_violations]


async def test_an_unknown_event_is_not_found(tmp_path: Path) -> None:
    """GetVerdict of what was never accepted is NOT_FOUND."""
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).GetVerdict(pb.GetVerdictRequest(id="x")))

    assert grpc.StatusCode.NOT_FOUND == error.code()


async def test_a_passed_deadline_leaves_the_event_in_the_ledger(tmp_path: Path) -> None:
    """Verify ends at its deadline; the accepted event still waits for its verdict."""
    request = pb.VerifyRequest(event=write_event(incident(1)))
    async with storing_rpc(tmp_path) as (store, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).Verify(request, timeout=0.3))
        ids = await store.ids()

    assert grpc.StatusCode.DEADLINE_EXCEEDED == error.code()
    assert ["incident-1"] == ids


@pytest.mark.parametrize("deadline_s", [None, 1.0])
async def test_a_dry_run_that_ends_early_stops_the_model(
    tmp_path: Path, deadline_s: float | None
) -> None:
    """When its caller goes away or its deadline passes, the call to the model ends with it."""
    clip = write_motion(tmp_path / "clip.mp4").read_bytes()
    async with (
        mock_vlm() as (vlm, arm),
        rpc_service(tmp_path, **arm) as rpc,
        open_channel(rpc.door) as channel,
        aiohttp.ClientSession() as http,
    ):
        event = write_event(incident(1, category="collision"), clip=clip)
        request = pb.VerifyRequest(event=event, dry_run=True)
        verify = VerifierStub(channel).Verify
        await verify(request)
        await http.post(arm["arms"]["generic"]["url"].replace("/v1", "/stub/gate/close"))
        call = verify(request, timeout=deadline_s)
        await vlm.wait_for_in_flight(1)
        taken, kept = rpc.app.service.slots.taken, len(rpc.kept())
        if deadline_s is None:
            call.cancel()
        async with asyncio.timeout(20):
            while rpc.app.service.slots.taken or rpc.kept() or vlm.stats["in_flight"]:
                await asyncio.sleep(0.01)
        code = await call.code()
        unknown = await rpc.app.ledger.lookup("incident-1")

    early = grpc.StatusCode.DEADLINE_EXCEEDED if deadline_s else grpc.StatusCode.CANCELLED
    assert (1, 2, early) == (taken, kept, code)
    assert unknown is None


async def test_a_dry_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """A dry run gives the verdict and keeps neither event, verdict nor media."""
    clip = write_motion(tmp_path / "clip.mp4").read_bytes()
    async with rpc_service(tmp_path) as rpc, calling(rpc) as client:
        verdict = await client.verify(write_event(incident(1), clip=clip), dry_run=True)
        found = await rpc.app.ledger.lookup("incident-1")
        kept = rpc.kept()

    assert (pb.OUTCOME_CONFIRMED, 0) == (verdict.outcome, verdict.seq)
    assert found is None
    assert [] == kept


async def test_dry_runs_do_not_wait_in_line(tmp_path: Path) -> None:
    """When every place is taken, a dry run is refused at once."""
    request = pb.VerifyRequest(event=write_event(incident(1)), dry_run=True)
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        error = await _refused(VerifierStub(channel).Verify(request))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()


async def test_a_defect_shows_nothing_of_its_inside(tmp_path: Path) -> None:
    """What is our fault is INTERNAL, without the exception."""
    async with storing_rpc(tmp_path) as (store, _):
        broken = arms_of(Routing({"broken": cast("Arm", None)}, Policy.only("broken"), {}))
        door = RpcDoor(RpcSettings(port=0), store.service, broken, _unused, None)
        async with serving(door), open_channel(door) as channel:
            error = await _refused(VerifierStub(channel).ListArms(pb.ListArmsRequest()))

    assert grpc.StatusCode.INTERNAL == error.code()
    assert "Internal server error occurred." == error.details()


async def test_a_stopping_server_asks_its_callers_to_come_back(tmp_path: Path) -> None:
    """Calls that wait when the server stops end as UNAVAILABLE, which clients try again."""
    async with storing_rpc(tmp_path) as (_, door):
        channel = open_channel(door)
        stub = VerifierStub(channel)
        verify = stub.Verify(pb.VerifyRequest(event=write_event(incident(1))))
        watch = stub.WatchVerdicts(pb.WatchVerdictsRequest())
        await asyncio.sleep(0.2)
    codes = [await verify.code(), await watch.code()]
    await channel.close()

    assert [grpc.StatusCode.UNAVAILABLE] * 2 == codes


async def test_a_dropped_event_gets_no_verdict(tmp_path: Path) -> None:
    """Submit and Verify tell which filter dropped an update, and keep no media of it."""
    event, update = incident(1), incident(1, end="2026-02-01T00:00:01.000Z")
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        stub = VerifierStub(channel)
        await stub.Submit(pb.SubmitRequest(event=write_event(event)))
        again = write_event(update, clip=b"a clip")
        receipt = (await stub.Submit(pb.SubmitRequest(event=again))).receipt
        verified = await stub.Verify(pb.VerifyRequest(event=write_event(update)))

    assert "dedup" in receipt.dropped
    assert "dedup" in verified.dropped
    assert [] == list((tmp_path / "inline").glob("*"))


async def test_too_large_messages_are_refused(tmp_path: Path) -> None:
    """A message above the limit is refused before it is read."""
    clip = write_event(incident(1), clip=bytes(20_000))
    async with (
        rpc_service(tmp_path, grpc={"max_message_bytes": 10_000}) as rpc,
        open_channel(rpc.door) as channel,
    ):
        error = await _refused(VerifierStub(channel).Submit(pb.SubmitRequest(event=clip)))

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()


async def test_health_follows_the_service(tmp_path: Path) -> None:
    """Each service is NOT_SERVING while the primary arm is away, and SERVING afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    arm = model_arm(f"http://127.0.0.1:{port}/v1")
    names = ("", "vlm_sidecar.v1.Verifier", "inference.GRPCInferenceService")
    async with rpc_service(tmp_path, **arm) as rpc, open_channel(rpc.door) as channel:
        stub, kserve = HealthStub(channel), GRPCInferenceServiceStub(channel)
        requests = [health_pb2.HealthCheckRequest(service=name) for name in names]
        before = [(await stub.Check(request)).status for request in requests]
        ready_before = (await kserve.ServerReady(probes.ServerReadyRequest())).ready
        watching = stub.Watch(requests[1])
        async with mock_vlm(port=port):
            async with asyncio.timeout(10):
                watched = [(await watching.read()).status for _ in range(2)]
            after = [(await stub.Check(request)).status for request in requests]
            ready_after = (await kserve.ServerReady(probes.ServerReadyRequest())).ready

    assert ([NOT_SERVING] * 3, [SERVING] * 3) == (before, after)
    assert [NOT_SERVING, SERVING] == watched
    assert (False, True) == (ready_before, ready_after)


async def test_health_waits_for_the_canary(tmp_path: Path) -> None:
    """A model's server that answers pings and nothing else is not served."""
    looking = {"enabled": True, "timeout_s": 20.0}
    request = health_pb2.HealthCheckRequest(service="vlm_sidecar.v1.Verifier")
    async with mock_vlm() as (vlm, arm), aiohttp.ClientSession() as http:
        gate = arm["arms"]["generic"]["url"].replace("/v1", "/stub/gate/")
        await http.post(gate + "close")
        async with (
            rpc_service(tmp_path, **{**arm, "canary": looking}) as rpc,
            open_channel(rpc.door) as channel,
        ):
            await vlm.wait_for_in_flight(1)
            before = (await HealthStub(channel).Check(request)).status
            watching = HealthStub(channel).Watch(request)
            await http.post(gate + "open")
            async with asyncio.timeout(20):
                watched = [(await watching.read()).status for _ in range(2)]

    assert NOT_SERVING == before
    assert [NOT_SERVING, SERVING] == watched


async def test_a_health_probe_tells_by_its_exit_status(tmp_path: Path) -> None:
    """As `grpc_health_probe` in a container does: serving, unknown, not serving, nobody there."""
    away = model_arm(f"http://127.0.0.1:{free_port()}/v1")
    async with (
        rpc_service(tmp_path / "ready") as ready,
        rpc_service(tmp_path / "away", **away) as (not_ready),
    ):
        async with asyncio.timeout(20):
            while await asyncio.to_thread(probe, ready.target, "", 20.0) != 0:
                await asyncio.sleep(0.05)
        asked = [
            (ready.target, "vlm_sidecar.v1.Verifier", 20.0),
            (ready.target, "vlm_sidecar.v1.Unknown", 20.0),
            (not_ready.target, "vlm_sidecar.v1.Verifier", 20.0),
            (f"127.0.0.1:{free_port()}", "", 0.3),
        ]
        statuses = [await asyncio.to_thread(probe, *it) for it in asked]

    assert [0, 3, 4, 2] == statuses


async def test_probes_ask_for_models_by_arm_and_by_id(tmp_path: Path) -> None:
    """ModelReady knows arms and model ids; another name is NOT_FOUND."""
    away = {"url": f"http://127.0.0.1:{free_port()}/v1"}
    async with (
        rpc_service(tmp_path, arms={"baseline": {}, "reason2": away}) as rpc,
        open_channel(rpc.door) as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        names = ("baseline", "opencv-motion-baseline", "reason2")
        ready = [(await stub.ModelReady(probes.ModelReadyRequest(name=it))).ready for it in names]
        live = (await stub.ServerLive(probes.ServerLiveRequest())).live
        error = await _refused(stub.ModelReady(probes.ModelReadyRequest(name="gpt")))

    assert [True, True, False] == ready
    assert live
    assert grpc.StatusCode.NOT_FOUND == error.code()


async def test_a_taken_port_is_told_and_tried_again(tmp_path: Path) -> None:
    """A door whose port somebody holds says so, and the service is not ready."""
    async with storing_rpc(tmp_path) as (store, door):
        settings = RpcSettings(enabled=True, port=door.port)
        second = RpcDoor(settings, store.service, NO_ARMS, _unused, None)
        running = asyncio.create_task(second.run())
        async with asyncio.timeout(5):
            while "cannot listen" not in await second.ping():
                await asyncio.sleep(0.01)
        problem = await second.ping()
        running.cancel()

    assert "SIDECAR_GRPC__PORT" in problem


async def _unused(event: object) -> Any:
    raise AssertionError(event)


async def test_reflection_lists_what_is_served(tmp_path: Path) -> None:
    """A client without our files finds the services; the documentation shows it calling one."""
    async with storing_rpc(tmp_path) as (_, door):
        listed = await run_shell(f"grpcurl -plaintext localhost:{door.port} list", tmp_path)

    assert [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "vlm_sidecar.v1.Verifier",
    ] == listed.split()


async def test_a_call_to_a_stopped_server_fails(tmp_path: Path) -> None:
    """After the door stopped, its port is closed."""
    async with storing_rpc(tmp_path) as (_, door):
        target = f"localhost:{door.port}"
    async with grpc.aio.insecure_channel(target) as channel:
        error = await _refused(VerifierStub(channel).GetVerdict(pb.GetVerdictRequest(id="x")))

    assert grpc.StatusCode.UNAVAILABLE == error.code()
    assert "" != await door.ping()
