"""What each sink must have of an event, by the reference and not by the sidecar's own code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.offered import Payload

ANSWER = "<think>Two cars touch.</think>\n\nYes"
ALERT_FIELDS = ["category", "notification_type", "objectIds", "sensorId"]
MODEL = "nvidia/cosmos-reason2-8b"
VARYING = "*"
PROVENANCE = {
    "sidecarAdapter": "cosmos-reason2",
    "sidecarAnswers": VARYING,
    "sidecarArm": "reason2",
    "sidecarAttempt": "1",
    "sidecarConfidence": "",
    "sidecarFramesAsked": "",
    "sidecarFramesSeen": "",
    "sidecarLatencyMs": VARYING,
    "sidecarModel": MODEL,
    "sidecarNotes": "frames_unknown",
    "sidecarPromptVersion": VARYING,
    "sidecarStages": VARYING,
    "sidecarVerdictKey": VARYING,
}
"""What we add to `info`; values that differ from event to event are masked."""


@dataclass(frozen=True)
class Expectation:
    """An event that was sent, and what it must have become.

    Attributes:
        camera: of this event alone; it tells its documents from those of others.
        as_protobuf: how it was sent.
    """

    payload: Payload
    camera: str
    as_protobuf: bool
    recorder: str

    @property
    def kind(self) -> str:
        return "alert" if self.payload.is_alert else "incident"

    @property
    def base(self) -> str:
        """The name of index, topic and stream."""
        return "mdx-vlm-alerts" if self.payload.is_alert else "mdx-vlm-incidents"

    @property
    def info(self) -> dict[str, str]:
        """`info` at every sink."""
        clip = f"{self.recorder}/vst/storage/temp_files/{self.camera}.mp4"
        return {
            **self.payload.info,
            "reasoning": "Two cars touch.",
            "verdict": "confirmed",
            "description": "",
            "videoSource": self.payload.media or clip,
            "verificationResponseCode": "200",
            "verificationResponseStatus": "OK",
            **PROVENANCE,
        }

    @property
    def document(self) -> dict[str, Any]:
        """The published document."""
        document = self._as_submitted()
        document |= {
            "Id": self.payload.fingerprint(self.camera),
            "type": self.base,
            "category": self.payload.category,
            "info": self.info,
        }
        if self.payload.is_alert:
            document |= {
                "sensorId": self.camera,
                "objectIds": [],
                "notification_type": "alert",
                "_normalized_added_fields": ALERT_FIELDS,
            }
        return document

    @property
    def searchable(self) -> dict[str, Any]:
        """The document in Elasticsearch."""
        document = self.document
        document.pop("embeddings", None)
        timestamp, end = self.payload.times
        place = {**document.get("place", {}), **self.payload.place}
        return {**document, "timestamp": timestamp, "end": end, "place": place}

    @property
    def index(self) -> str:
        return f"{self.base}-{self.payload.day}"

    @property
    def message(self) -> dict[str, Any]:
        """The fields of the protobuf message: no `Id`, no `type`, and of an incident no `id`."""
        sensor = {"sensor": {"id": self.camera}} if self.payload.is_alert else {}
        camera = sensor or {"sensorId": self.camera}
        return {**self.payload.message, **camera, "info": self.info}

    @property
    def message_key(self) -> str:
        """The key in Kafka: the document's `id`, without one its `Id`."""
        return str(self._as_submitted().get("id") or self.payload.fingerprint(self.camera))

    def _as_submitted(self) -> dict[str, Any]:
        document = self.payload.sent(self.camera)
        if not self.as_protobuf:
            return document
        read = self.payload.as_read
        document |= {name: value for name, value in read.items() if value is not None}
        if self.payload.is_alert:
            document["sensor"] = {**document["sensor"], "id": self.camera}
        return {name: it for name, it in document.items() if read.get(name, it) is not None}


def masked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Hide what differs from event to event in our additions to `info`."""
    info = dict(document["info"])
    info |= {name: VARYING for name in info if PROVENANCE.get(name) == VARYING}
    return {**document, "info": info}
