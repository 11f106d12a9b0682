"""The document Id, the cohort and the verdict key."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import BEHAVIOR, COLLISION

from sidecar.core.identity import (
    again_key,
    cohort_key,
    fingerprint,
    iso_ms,
    origin_of,
    request_key,
    superseded_key,
    verdict_key,
)
from sidecar.model import EventKind, Origin

WHEN = datetime(2025, 9, 11, 0, 8, 27, 822_000, tzinfo=UTC)
INCIDENT, ALERT = EventKind.INCIDENT, EventKind.ALERT


def test_incident_fingerprint_follows_the_logstash_rule() -> None:
    """Expected value: `printf '|[info][primaryObjectId]|...|' | openssl dgst -sha1 -hmac HMAC`."""
    assert "5a5d9519bc141592eab3b96372b53bcf9db6bfdc" == fingerprint(INCIDENT, COLLISION, WHEN)


def test_alert_fingerprint_skips_absent_parts() -> None:
    """Expected value: openssl over analyticsModule, sensor and timestamp alone."""
    when = datetime(2025, 1, 15, 14, 30, tzinfo=UTC)

    assert "736fbbe9515ebc7606971c223beeb54632ec6541" == fingerprint(ALERT, BEHAVIOR, when)


def test_an_update_of_an_incident_keeps_its_fingerprint() -> None:
    """`end` and the objects are not part of the Id."""
    update = {**COLLISION, "end": "2025-09-11T00:30:00Z", "objectIds": ["1"]}

    assert fingerprint(INCIDENT, COLLISION, WHEN) == fingerprint(INCIDENT, update, WHEN)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    """The zone of the sender does not change the identity."""
    tokyo = datetime(2025, 9, 11, 9, 8, 27, 822_999, tzinfo=timezone(timedelta(hours=9)))

    assert "2025-09-11T00:08:27.822Z" == iso_ms(tokyo)


@pytest.mark.parametrize(
    "change",
    [
        {"sensorId": "LAFAYETTE_agnew"},
        {"end": "2026-01-01T00:00:00Z"},
        {"objectIds": list(reversed(COLLISION["objectIds"]))},
        {"category": "Collision"},
        {"place": {"name": "elsewhere"}},
    ],
)
def test_what_vss_takes_for_the_same_question_is_one_cohort(change: dict[str, Any]) -> None:
    """Case, order of objects, `end` and unrelated fields do not matter."""
    changed = {**COLLISION, **change}

    assert cohort_key(INCIDENT, COLLISION, WHEN) == cohort_key(INCIDENT, changed, WHEN)


@pytest.mark.parametrize(
    "change",
    [
        {"sensorId": "other"},
        {"objectIds": ["958741182"]},
        {"objectIds": []},
        {"category": "near miss"},
        {"analyticsModule": {"id": "Other Module"}},
        {"info": {**COLLISION["info"], "isComplete": "true"}},
    ],
)
def test_another_question_is_another_cohort(change: dict[str, Any]) -> None:
    """Sensor, objects, category, module and completeness make the question."""
    changed = {**COLLISION, **change}

    assert cohort_key(INCIDENT, COLLISION, WHEN) != cohort_key(INCIDENT, changed, WHEN)


def test_an_update_with_another_end_is_another_question() -> None:
    """The same end, in whatever zone it is written, is the same question."""
    cohort = cohort_key(INCIDENT, COLLISION, WHEN)
    tokyo = WHEN.astimezone(timezone(timedelta(hours=9)))

    assert verdict_key(cohort, WHEN) == verdict_key(cohort, tokyo)
    assert verdict_key(cohort, WHEN) != verdict_key(cohort, WHEN + timedelta(milliseconds=1))


def test_separators_in_names_cannot_make_two_questions_one() -> None:
    """`a:b` + `c` and `a` + `b:c` stay apart."""
    first = {"sensor": {"id": "a:b"}, "object": {"id": "c"}}
    second = {"sensor": {"id": "a"}, "object": {"id": "b:c"}}

    assert cohort_key(ALERT, first, WHEN) != cohort_key(ALERT, second, WHEN)


def test_keys_of_requests_tell_bodies_and_purposes_apart() -> None:
    """The same id with other media is another question; the same body is the same one."""
    key = request_key(Origin.ON_DEMAND, "x", b"{1}")

    assert key == request_key(Origin.ON_DEMAND, "x", b"{1}")
    assert key != request_key(Origin.ON_DEMAND, "x", b"{2}")
    assert key != request_key(Origin.REVIEW, "x", b"{1}")


@given(
    sensor=st.text(max_size=20),
    identity=st.text(max_size=20) | st.sampled_from(["again:1", "x:again:2", ":again:3"]),
    times=st.integers(1, 12),
)
@settings(deadline=None)
def test_keys_of_replays_lead_back_to_the_first_one(sensor: str, identity: str, times: int) -> None:
    """Whatever a submitter puts into its names, and however often it is done."""
    moment = datetime(2026, 1, 31, 8, tzinfo=UTC)
    raw = {"sensorId": sensor, "category": identity}
    pipeline = verdict_key(cohort_key(EventKind.INCIDENT, raw, moment), moment)
    on_demand = request_key(Origin.ON_DEMAND, identity, b"{}")
    for first, origin in ((pipeline, Origin.PIPELINE), (on_demand, Origin.ON_DEMAND)):
        keys = [first]
        for _ in range(times):
            keys.append(again_key(keys[-1]))

        assert times + 1 == len(set(keys))
        assert ["", *keys[:-1]] == [superseded_key(key) for key in keys]
        assert {origin} == {origin_of(key) for key in keys}
