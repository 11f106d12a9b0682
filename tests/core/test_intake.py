"""Reading submitted events."""

from datetime import UTC, datetime
from typing import Any

import pytest
from payloads import BEHAVIOR, COLLISION, ON_DEMAND, WITH_MEDIA

from sidecar.core.intake import Intake, kind_of
from sidecar.errors import InvalidRequest, MediaRoute
from sidecar.model import EventKind, MediaRequest, MediaType, Origin, StoredEvent

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
INTAKE = Intake()


def _issues(raw: dict[str, Any], kind: EventKind = EventKind.INCIDENT) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        INTAKE.read(raw, kind)
    return [(issue.field, issue.type) for issue in caught.value.issues]


def _without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}


def test_an_incident_keeps_everything_it_came_with() -> None:
    """The raw event is the submitted object, unknown fields included."""
    raw = {**COLLISION, "unknown": {"kept": [1]}}

    assert raw == INTAKE.read(raw, EventKind.INCIDENT).raw


def test_missing_fields_are_all_named() -> None:
    """One answer tells everything that is missing."""
    assert [
        ("timestamp", "missing"),
        ("end", "missing"),
        ("sensorId", "missing"),
        ("category", "missing"),
    ] == _issues({})


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"timestamp": "2025-09-11T00:08:27"}, ("timestamp", "timestamp_without_zone")),
        ({"timestamp": "yesterday"}, ("timestamp", "timestamp_invalid")),
        ({"timestamp": 1_700_000_000}, ("timestamp", "timestamp_type")),
        ({"end": "9999-12-31T23:59:59-14:00"}, ("end", "timestamp_invalid")),
        ({"end": "2025-09-11T00:08:00Z"}, ("body", "end_before_timestamp")),
        ({"sensorId": 7}, ("sensorId", "string_type")),
        ({"sensorId": ""}, ("sensorId", "string_too_short")),
        ({"category": "c" * 257}, ("category", "string_too_long")),
        ({"objectIds": "958741182"}, ("objectIds", "list_type")),
        ({"objectIds": [1]}, ("objectIds.0", "string_type")),
        ({"info": {"count": 3}}, ("info", "info_value_type")),
        ({"info": {"flag": True}}, ("info", "info_value_type")),
        ({"info": []}, ("info", "dict_type")),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], issue: tuple[str, str]) -> None:
    """Field and rule stand in the answer."""
    assert [issue] == _issues({**COLLISION, **change})


def test_an_alert_needs_its_sensor_and_event() -> None:
    """nv.Behavior has other required fields than nv.Incident."""
    assert [("sensor", "missing"), ("event.type", "missing")] == _issues(
        {**_without(BEHAVIOR, "sensor"), "event": {"id": "x"}}, EventKind.ALERT
    )


def test_an_alert_is_read_like_an_incident() -> None:
    """Sensor, category and objects come from where a behaviour has them."""
    event = INTAKE.read({**BEHAVIOR, "object": {"id": "o1"}}, EventKind.ALERT)

    assert ("cam_highway_01", "Alert Module", ("o1",)) == (
        event.sensor_id,
        event.category,
        event.object_ids,
    )


@pytest.mark.parametrize(
    ("change", "media"),
    [
        ({}, MediaRequest(MediaRoute.RECORDER)),
        (
            {"info": {"media_urls": ["http://a/b.mp4"]}},
            MediaRequest(MediaRoute.DIRECT, MediaType.VIDEO, ("http://a/b.mp4",)),
        ),
        (
            {"info": {"media_urls": '["http://a/b.PNG?x=.mp4", "http://a/c.png"]'}},
            MediaRequest(
                MediaRoute.DIRECT, MediaType.IMAGE, ("http://a/b.PNG?x=.mp4", "http://a/c.png")
            ),
        ),
        (
            {"info": {"media_urls": ["http://a/b.mp4"], "media_type": "images"}},
            MediaRequest(MediaRoute.DIRECT, MediaType.IMAGE, ("http://a/b.mp4",)),
        ),
        (
            {"info": {"video_path": "clips/b.mp4"}},
            MediaRequest(MediaRoute.LOCAL, MediaType.VIDEO, ("clips/b.mp4",)),
        ),
        (
            {"info": {"video_path": "https://a/b.mp4"}},
            MediaRequest(MediaRoute.DIRECT, MediaType.VIDEO, ("https://a/b.mp4",)),
        ),
        (
            {"videoPath": "/media/b.mp4"},
            MediaRequest(MediaRoute.LOCAL, MediaType.VIDEO, ("/media/b.mp4",)),
        ),
    ],
)
def test_the_route_of_the_media_follows_from_the_event(
    change: dict[str, Any], media: MediaRequest
) -> None:
    """Named URLs first, then a named file, else the recorder."""
    raw = {**_without(COLLISION, "info"), **change}

    assert media == INTAKE.read(raw, EventKind.INCIDENT).media


def test_the_recorder_can_be_made_to_win() -> None:
    """As VSS without vst_pass_through_mode: named media are ignored."""
    event = Intake(ignore_event_media=True).read(WITH_MEDIA, EventKind.INCIDENT)

    assert MediaRoute.RECORDER == event.media.route


def test_on_demand_fills_in_what_is_missing() -> None:
    """Id, sensor and times have VSS's defaults; everything else stays as it came."""
    raw = {"category": "fire", "info": {"media_urls": ["http://a/b.jpg"]}, "extra": None}
    event = INTAKE.read_on_demand(raw, NOW)

    assert event.id.startswith("ondemand-")
    assert {"id": event.id, "extra": None, "sensorId": "ondemand"}.items() <= event.raw.items()
    assert (NOW, NOW, "ondemand") == (event.timestamp, event.end, event.sensor_id)


def test_on_demand_without_media_is_accepted_and_fails_later() -> None:
    """VSS answers 202 and writes the failure into the verdict; so do we."""
    event = INTAKE.read_on_demand({"category": "fire", "info": {}}, NOW)

    assert MediaRequest(MediaRoute.DIRECT) == event.media


@pytest.mark.parametrize("raw", [COLLISION, WITH_MEDIA])
def test_a_stored_incident_is_restored_as_it_was(raw: dict[str, Any]) -> None:
    """What a restart takes up is what was accepted."""
    event = INTAKE.read(raw, EventKind.INCIDENT)
    stored = StoredEvent(event.key, event.kind, event.origin, event.raw)

    assert event == INTAKE.restore(stored)


def test_a_stored_on_demand_request_is_restored_as_it_was() -> None:
    """The filled-in defaults are part of what is stored."""
    event = INTAKE.read_on_demand(_without(ON_DEMAND, "id", "timestamp", "end"), NOW)
    stored = StoredEvent(event.key, event.kind, Origin.ON_DEMAND, event.raw)

    assert event == INTAKE.restore(stored)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (COLLISION, EventKind.INCIDENT),
        (BEHAVIOR, EventKind.ALERT),
        ({**COLLISION, "notification_type": "alert"}, EventKind.ALERT),
    ],
)
def test_kinds_are_told_apart_by_their_fields(raw: dict[str, Any], kind: EventKind) -> None:
    """A file on the command line does not say what it is."""
    assert kind == kind_of(raw)
