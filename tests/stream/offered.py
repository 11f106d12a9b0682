"""VSS's documented payloads, as JSON and as protobuf, and what VSS's readers may expect of each."""

import hashlib
import hmac
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from nv_wire import VARINT, entries, message, record, text, time
from payloads import BEHAVIOR, COLLISION, ON_DEMAND, WITH_MEDIA

PPE: dict[str, Any] = {
    "sensorId": "warehouse-cam-03",
    "timestamp": "2026-03-17T10:00:00Z",
    "end": "2026-03-17T10:00:10Z",
    "category": "ppe-violation",
    "place": {"name": "warehouse-zone-A"},
    "info": {
        "media_urls": ["http://127.0.0.1:30888/vst/sim/media/ppe-clip.mp4"],
        "media_type": "video",
    },
}


@dataclass(frozen=True)
class Payload:
    """One documented payload, to be sent by several doors from a camera each.

    Attributes:
        name: in the reference.
        route: of the HTTP door.
        is_alert: it is an nv.Behavior.
        body: as JSON.
        encode: builds the protobuf message from a camera's name; None has none.
        as_read: what VSS sees instead of the JSON fields when the event came as protobuf.
        identity: the string that `Id` is the fingerprint of; `{}` is the camera.
        info: what `info` holds of the event itself, all values as strings.
        day: in the name of the index.
        times: `timestamp` and `end` as Elasticsearch gets them.
        place: as Elasticsearch gets it.
        media: where the clip is when the event names it; "" is in the recorder.
        category: of the published document.
        message: what is left of it in a protobuf message, without camera, times and `info`.
    """

    name: str
    route: str
    is_alert: bool
    body: dict[str, Any]
    encode: Callable[[str], bytes] | None
    as_read: dict[str, Any]
    identity: str
    info: dict[str, str]
    day: str
    times: tuple[str, str]
    place: dict[str, Any]
    media: str
    category: str
    message: dict[str, Any]

    def fingerprint(self, camera: str) -> str:
        """Compute `Id` as VSS and Logstash do."""
        return hmac.new(b"HMAC", self.identity.format(camera).encode(), hashlib.sha1).hexdigest()

    def sent(self, camera: str) -> dict[str, Any]:
        """Return the JSON object to send."""
        body = deepcopy(self.body)
        if self.is_alert:
            body["sensor"] = {"id": camera}
        else:
            body["sensorId"] = camera
        return body


def _collision(camera: str) -> bytes:
    return b"".join(
        [
            text(1, camera),
            time(2, 1_757_549_307, 822_000_000),
            time(3, 1_757_549_362, 122_000_000),
            *(text(4, it) for it in COLLISION["objectIds"]),
            message(6, text(2, "city=Montague/intersection=Lafayette_Agnew")),
            message(
                7,
                text(1, "Collision Detection Module"),
                text(2, "Potential collision detected between 4 vehicles"),
            ),
            text(8, "collision"),
            record(10, VARINT, 1),
            entries(11, COLLISION["info"]),
        ]
    )


def _with_media(camera: str) -> bytes:
    return b"".join(
        [
            text(1, camera),
            time(2, 1_736_951_400),
            time(3, 1_736_951_430),
            text(8, "collision"),
            entries(11, INFO_2),
        ]
    )


def _behavior(camera: str) -> bytes:
    return b"".join(
        [
            text(1, "alert-12345"),
            time(2, 1_736_951_400),
            time(3, 1_736_951_400),
            message(16, text(1, camera)),
            message(17, text(1, "Alert Module"), entries(5, {"source": "http_ingest"})),
            message(19, text(1, "alert-12345"), text(2, "alert_event")),
            text(20, "/media/videos/traffic_incident.mp4"),
        ]
    )


INFO_2 = {
    "location": "warehouse-loading-dock",
    "primaryObjectId": "worker-04",
    "media_urls": '["https://media-store/incident-67890.mp4"]',
}

P1 = Payload(
    name="P1",
    route="/api/v1/incidents",
    is_alert=False,
    body=COLLISION,
    encode=_collision,
    as_read={
        "place": {
            "name": "city=Montague/intersection=Lafayette_Agnew",
            "id": "",
            "type": "",
            "info": {},
        },
        "analyticsModule": {
            "id": "Collision Detection Module",
            "description": "Potential collision detected between 4 vehicles",
            "source": "",
            "version": "",
            "info": {},
        },
        "frameIds": [],
        "embeddings": [],
    },
    identity=(
        "|[info][primaryObjectId]|958750871|category|collision|sensorId|{}"
        "|timestamp|2025-09-11T00:08:27.822Z|"
    ),
    info={
        "location": "42.48837572978232,-90.73894264480816,0.0",
        "primaryObjectId": "958750871",
    },
    day="2025-09-11",
    times=("2025-09-11T00:08:27.822Z", "2025-09-11T00:09:22.122Z"),
    place={"name": "city=Montague/intersection=Lafayette_Agnew"},
    media="",
    category="collision",
    message={
        "timestamp": "2025-09-11T00:08:27.822Z",
        "end": "2025-09-11T00:09:22.122Z",
        "objectIds": ["958741182", "958750871", "958834290", "958730631"],
        "place": {"name": "city=Montague/intersection=Lafayette_Agnew"},
        "analyticsModule": {
            "id": "Collision Detection Module",
            "description": "Potential collision detected between 4 vehicles",
        },
        "category": "collision",
        "isAnomaly": True,
    },
)
P2 = Payload(
    name="P2",
    route="/api/v1/incidents",
    is_alert=False,
    body=WITH_MEDIA,
    encode=_with_media,
    as_read={
        "id": None,
        "event": None,
        "objectIds": [],
        "frameIds": [],
        "embeddings": [],
        "isAnomaly": False,
    },
    identity=(
        "|[info][primaryObjectId]|worker-04|category|collision|sensorId|{}"
        "|timestamp|2025-01-15T14:30:00.000Z|"
    ),
    info=INFO_2,
    day="2025-01-15",
    times=("2025-01-15T14:30:00.000Z", "2025-01-15T14:30:30.000Z"),
    place={"name": ""},
    media="",
    category="collision",
    message={
        "timestamp": "2025-01-15T14:30:00Z",
        "end": "2025-01-15T14:30:30Z",
        "category": "collision",
    },
)
P3 = Payload(
    name="P3",
    route="/api/v1/alerts",
    is_alert=True,
    body=BEHAVIOR,
    encode=_behavior,
    as_read={
        "sensor": {"type": "", "description": "", "info": {}},
        "analyticsModule": {
            "id": "Alert Module",
            "info": {"source": "http_ingest"},
            "description": "",
            "source": "",
            "version": "",
        },
        "event": {"id": "alert-12345", "type": "alert_event", "info": {}},
        "edges": [],
        "distance": 0.0,
        "speed": 0.0,
        "speedOverTime": [],
        "timeInterval": 0.0,
        "bearing": 0.0,
        "direction": "",
        "length": 0,
        "poses": [],
        "lipActivities": [],
        "gazes": [],
        "embeddings": [],
    },
    identity=(
        "|[analyticsModule][id]|Alert Module|[sensor][id]|{}|timestamp|2025-01-15T14:30:00.000Z|"
    ),
    info={},
    day="2025-01-15",
    times=("2025-01-15T14:30:00.000Z", "2025-01-15T14:30:00.000Z"),
    place={"name": ""},
    media="",
    category="Traffic",
    message={
        "id": "alert-12345",
        "timestamp": "2025-01-15T14:30:00Z",
        "end": "2025-01-15T14:30:00Z",
        "place": {},
        "analyticsModule": {
            "id": "Alert Module",
            "info": {"source": "http_ingest", "dropped": "False"},
        },
        "object": {},
        "videoPath": "/media/videos/traffic_incident.mp4",
    },
)
P4 = Payload(
    name="P4",
    route="/api/v1/verification/ondemand",
    is_alert=False,
    body=ON_DEMAND,
    encode=None,
    as_read={},
    identity="|category|collision|sensorId|{}|timestamp|2026-04-22T10:00:00.000Z|",
    info={
        "media_type": "video",
        "media_urls": '["http://localhost:30888/vst/sim/media/incident.mp4"]',
    },
    day="2026-04-22",
    times=("2026-04-22T10:00:00.000Z", "2026-04-22T10:00:30.000Z"),
    place={"name": ""},
    media="http://localhost:30888/vst/sim/media/incident.mp4",
    category="collision",
    message={
        "timestamp": "2026-04-22T10:00:00Z",
        "end": "2026-04-22T10:00:30Z",
        "category": "collision",
    },
)
P5 = Payload(
    name="P5",
    route="/api/v1/verification/ondemand",
    is_alert=False,
    body={**PPE, "id": "ondemand-ppe"},
    encode=None,
    as_read={},
    identity="|category|ppe-violation|sensorId|{}|timestamp|2026-03-17T10:00:00.000Z|",
    info={
        "media_type": "video",
        "media_urls": '["http://127.0.0.1:30888/vst/sim/media/ppe-clip.mp4"]',
    },
    day="2026-03-17",
    times=("2026-03-17T10:00:00.000Z", "2026-03-17T10:00:10.000Z"),
    place={"name": "warehouse-zone-A"},
    media="http://127.0.0.1:30888/vst/sim/media/ppe-clip.mp4",
    category="PPE",
    message={
        "timestamp": "2026-03-17T10:00:00Z",
        "end": "2026-03-17T10:00:10Z",
        "place": {"name": "warehouse-zone-A"},
        "category": "PPE",
    },
)
