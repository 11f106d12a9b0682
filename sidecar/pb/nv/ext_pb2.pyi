import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sidecar.pb.nv import schema_pb2 as _schema_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GeoLocation(_message.Message):
    __slots__ = ("type", "coordinates")
    class Point(_message.Message):
        __slots__ = ("point",)
        POINT_FIELD_NUMBER: _ClassVar[int]
        point: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, point: _Optional[_Iterable[float]] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    type: str
    coordinates: _containers.RepeatedCompositeFieldContainer[GeoLocation.Point]
    def __init__(self, type: _Optional[str] = ..., coordinates: _Optional[_Iterable[_Union[GeoLocation.Point, _Mapping]]] = ...) -> None: ...

class Behavior(_message.Message):
    __slots__ = ("id", "timestamp", "end", "locations", "smoothLocations", "edges", "distance", "speed", "speedOverTime", "timeInterval", "bearing", "direction", "length", "place", "sensor", "analyticsModule", "object", "event", "videoPath", "poses", "lipActivities", "gazes", "embeddings", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    SMOOTHLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    SPEEDOVERTIME_FIELD_NUMBER: _ClassVar[int]
    TIMEINTERVAL_FIELD_NUMBER: _ClassVar[int]
    BEARING_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    ANALYTICSMODULE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VIDEOPATH_FIELD_NUMBER: _ClassVar[int]
    POSES_FIELD_NUMBER: _ClassVar[int]
    LIPACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    GAZES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    timestamp: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    locations: GeoLocation
    smoothLocations: GeoLocation
    edges: _containers.RepeatedScalarFieldContainer[str]
    distance: float
    speed: float
    speedOverTime: _containers.RepeatedScalarFieldContainer[float]
    timeInterval: float
    bearing: float
    direction: str
    length: int
    place: _schema_pb2.Place
    sensor: _schema_pb2.Sensor
    analyticsModule: _schema_pb2.AnalyticsModule
    object: _schema_pb2.Object
    event: _schema_pb2.Event
    videoPath: str
    poses: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Pose]
    lipActivities: _containers.RepeatedCompositeFieldContainer[_schema_pb2.LipActivity]
    gazes: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Gaze]
    embeddings: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Embedding]
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., locations: _Optional[_Union[GeoLocation, _Mapping]] = ..., smoothLocations: _Optional[_Union[GeoLocation, _Mapping]] = ..., edges: _Optional[_Iterable[str]] = ..., distance: _Optional[float] = ..., speed: _Optional[float] = ..., speedOverTime: _Optional[_Iterable[float]] = ..., timeInterval: _Optional[float] = ..., bearing: _Optional[float] = ..., direction: _Optional[str] = ..., length: _Optional[int] = ..., place: _Optional[_Union[_schema_pb2.Place, _Mapping]] = ..., sensor: _Optional[_Union[_schema_pb2.Sensor, _Mapping]] = ..., analyticsModule: _Optional[_Union[_schema_pb2.AnalyticsModule, _Mapping]] = ..., object: _Optional[_Union[_schema_pb2.Object, _Mapping]] = ..., event: _Optional[_Union[_schema_pb2.Event, _Mapping]] = ..., videoPath: _Optional[str] = ..., poses: _Optional[_Iterable[_Union[_schema_pb2.Pose, _Mapping]]] = ..., lipActivities: _Optional[_Iterable[_Union[_schema_pb2.LipActivity, _Mapping]]] = ..., gazes: _Optional[_Iterable[_Union[_schema_pb2.Gaze, _Mapping]]] = ..., embeddings: _Optional[_Iterable[_Union[_schema_pb2.Embedding, _Mapping]]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Incident(_message.Message):
    __slots__ = ("sensorId", "timestamp", "end", "objectIds", "frameIds", "place", "analyticsModule", "category", "embeddings", "isAnomaly", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SENSORID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    OBJECTIDS_FIELD_NUMBER: _ClassVar[int]
    FRAMEIDS_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ANALYTICSMODULE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    ISANOMALY_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    sensorId: str
    timestamp: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    objectIds: _containers.RepeatedScalarFieldContainer[str]
    frameIds: _containers.RepeatedScalarFieldContainer[str]
    place: _schema_pb2.Place
    analyticsModule: _schema_pb2.AnalyticsModule
    category: str
    embeddings: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Embedding]
    isAnomaly: bool
    info: _containers.ScalarMap[str, str]
    def __init__(self, sensorId: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., objectIds: _Optional[_Iterable[str]] = ..., frameIds: _Optional[_Iterable[str]] = ..., place: _Optional[_Union[_schema_pb2.Place, _Mapping]] = ..., analyticsModule: _Optional[_Union[_schema_pb2.AnalyticsModule, _Mapping]] = ..., category: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[_schema_pb2.Embedding, _Mapping]]] = ..., isAnomaly: _Optional[bool] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SpaceUtilizationMetrics(_message.Message):
    __slots__ = ("spaceOccupied", "freeSpace", "totalSpace", "spaceUtilization", "numExtraPallets", "utilizableFreeSpace", "freeSpaceQuality", "isUnsafe")
    SPACEOCCUPIED_FIELD_NUMBER: _ClassVar[int]
    FREESPACE_FIELD_NUMBER: _ClassVar[int]
    TOTALSPACE_FIELD_NUMBER: _ClassVar[int]
    SPACEUTILIZATION_FIELD_NUMBER: _ClassVar[int]
    NUMEXTRAPALLETS_FIELD_NUMBER: _ClassVar[int]
    UTILIZABLEFREESPACE_FIELD_NUMBER: _ClassVar[int]
    FREESPACEQUALITY_FIELD_NUMBER: _ClassVar[int]
    ISUNSAFE_FIELD_NUMBER: _ClassVar[int]
    spaceOccupied: float
    freeSpace: float
    totalSpace: float
    spaceUtilization: float
    numExtraPallets: int
    utilizableFreeSpace: float
    freeSpaceQuality: float
    isUnsafe: bool
    def __init__(self, spaceOccupied: _Optional[float] = ..., freeSpace: _Optional[float] = ..., totalSpace: _Optional[float] = ..., spaceUtilization: _Optional[float] = ..., numExtraPallets: _Optional[int] = ..., utilizableFreeSpace: _Optional[float] = ..., freeSpaceQuality: _Optional[float] = ..., isUnsafe: _Optional[bool] = ...) -> None: ...

class SpaceUtilizationLayouts(_message.Message):
    __slots__ = ("freeSpace", "utilizableFreeSpace")
    FREESPACE_FIELD_NUMBER: _ClassVar[int]
    UTILIZABLEFREESPACE_FIELD_NUMBER: _ClassVar[int]
    freeSpace: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Polygon]
    utilizableFreeSpace: _containers.RepeatedCompositeFieldContainer[_schema_pb2.Polygon]
    def __init__(self, freeSpace: _Optional[_Iterable[_Union[_schema_pb2.Polygon, _Mapping]]] = ..., utilizableFreeSpace: _Optional[_Iterable[_Union[_schema_pb2.Polygon, _Mapping]]] = ...) -> None: ...

class SpaceUtilization(_message.Message):
    __slots__ = ("id", "timestamp", "metrics", "sensors", "layouts")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    LAYOUTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    timestamp: _timestamp_pb2.Timestamp
    metrics: SpaceUtilizationMetrics
    sensors: _containers.RepeatedScalarFieldContainer[str]
    layouts: SpaceUtilizationLayouts
    def __init__(self, id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metrics: _Optional[_Union[SpaceUtilizationMetrics, _Mapping]] = ..., sensors: _Optional[_Iterable[str]] = ..., layouts: _Optional[_Union[SpaceUtilizationLayouts, _Mapping]] = ...) -> None: ...
