"""The events that VSS submits: nv.Incident and nv.Behavior as JSON, and on-demand requests.

Unknown fields are legal everywhere and travel through to the published document. Limits and
required fields are those of the Alert Bridge's openapi.json (services/alert, 3.2/3.3 line).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

_DATETIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def parse_timestamp(value: object) -> datetime:
    """Read an RFC 3339 time as an aware UTC datetime.

    Raises:
        PydanticCustomError: not a string, not a time, or without a zone.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError(
            "timestamp_type", "Give the time as a string such as 2026-01-31T08:00:00.000Z."
        )
    try:
        parsed = _DATETIME.validate_python(value)
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValidationError, OverflowError):
        raise PydanticCustomError(
            "timestamp_invalid",
            "Not a time that can be read; write it as 2026-01-31T08:00:00.000Z.",
        ) from None
    raise PydanticCustomError(
        "timestamp_without_zone", "The time has no zone; append Z for UTC or an offset like +09:00."
    )


def _check_info(value: Mapping[str, Any]) -> Mapping[str, Any]:
    scalars = [key for key, item in value.items() if isinstance(item, bool | int | float)]
    if scalars:
        raise PydanticCustomError(
            "info_value_type",
            "info values must be strings, arrays or objects; write {keys} as strings.",
            {"keys": ", ".join(scalars[:5])},
        )
    return value


Timestamp = Annotated[datetime, BeforeValidator(parse_timestamp)]
Info = Annotated[dict[str, Any], AfterValidator(_check_info)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Named(_Open):
    """A sub-object of which only the id matters here."""

    id: str = Field(default="", max_length=256)


class SensorRef(_Open):
    """The camera of a behaviour."""

    id: Name


class EventRef(_Open):
    """The triggering event of a behaviour."""

    id: Name
    type: Name


class PlaceRef(_Open):
    """Where it happened."""

    name: str = ""


class _Span(_Open):
    """Two times in order."""

    timestamp: Timestamp
    end: Timestamp | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.timestamp:
            raise PydanticCustomError(
                "end_before_timestamp", "`end` lies before `timestamp`; swap or correct them."
            )
        return self


class IncidentBody(_Span):
    """nv.Incident as JSON (POST /api/v1/incidents)."""

    sensorId: Name
    end: Timestamp
    category: Name
    id: str = Field(default="", max_length=256)
    incidentId: str = Field(default="", max_length=256)
    objectIds: list[str] = Field(default=[], max_length=10_000)
    analyticsModule: Named = Named()
    place: PlaceRef = PlaceRef()
    info: Info = Field(default={})


class BehaviorRecord(_Span):
    """nv.Behavior as brokers carry it: VSS's own encoder drops `event`, and `id` may be empty."""

    id: str = Field(default="", max_length=256)
    sensor: SensorRef
    event: EventRef | None = None
    analyticsModule: Named = Named()
    object: Named = Named()
    place: PlaceRef = PlaceRef()
    objectIds: list[str] = Field(default=[], max_length=10_000)
    videoPath: str = Field(default="", max_length=4096)
    info: Info = Field(default={})


class BehaviorBody(BehaviorRecord):
    """nv.Behavior as JSON (POST /api/v1/alerts)."""

    id: Name
    event: EventRef


class OnDemandBody(_Open):
    """A request to verify given media once (POST /api/v1/verification/ondemand)."""

    category: str = Field(min_length=1, max_length=100)
    info: Info
    id: str = Field(default="", max_length=256)
    sensorId: str = Field(default="", max_length=256)
    timestamp: Timestamp | None = None
    end: Timestamp | None = None
