import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ImageFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RAW: _ClassVar[ImageFormat]
    JPG: _ClassVar[ImageFormat]
    JPEG: _ClassVar[ImageFormat]
    PNG: _ClassVar[ImageFormat]
RAW: ImageFormat
JPG: ImageFormat
JPEG: ImageFormat
PNG: ImageFormat

class Frame(_message.Message):
    __slots__ = ("version", "id", "timestamp", "sensorId", "objects", "fov", "rois", "socialDistancing", "segmentation", "interactions", "congestions", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SENSORID_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    FOV_FIELD_NUMBER: _ClassVar[int]
    ROIS_FIELD_NUMBER: _ClassVar[int]
    SOCIALDISTANCING_FIELD_NUMBER: _ClassVar[int]
    SEGMENTATION_FIELD_NUMBER: _ClassVar[int]
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    CONGESTIONS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    version: str
    id: str
    timestamp: _timestamp_pb2.Timestamp
    sensorId: str
    objects: _containers.RepeatedCompositeFieldContainer[Object]
    fov: _containers.RepeatedCompositeFieldContainer[TypeMetrics]
    rois: _containers.RepeatedCompositeFieldContainer[TypeMetrics]
    socialDistancing: SD
    segmentation: Segmentation
    interactions: _containers.RepeatedCompositeFieldContainer[Interaction]
    congestions: _containers.RepeatedCompositeFieldContainer[Congestion]
    info: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sensorId: _Optional[str] = ..., objects: _Optional[_Iterable[_Union[Object, _Mapping]]] = ..., fov: _Optional[_Iterable[_Union[TypeMetrics, _Mapping]]] = ..., rois: _Optional[_Iterable[_Union[TypeMetrics, _Mapping]]] = ..., socialDistancing: _Optional[_Union[SD, _Mapping]] = ..., segmentation: _Optional[_Union[Segmentation, _Mapping]] = ..., interactions: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ..., congestions: _Optional[_Iterable[_Union[Congestion, _Mapping]]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Object(_message.Message):
    __slots__ = ("id", "bbox", "type", "confidence", "info", "embedding", "pose", "gaze", "lipActivity", "speed", "dir", "coordinate", "location", "bbox3d")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    BBOX_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    LIPACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    DIR_FIELD_NUMBER: _ClassVar[int]
    COORDINATE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    BBOX3D_FIELD_NUMBER: _ClassVar[int]
    id: str
    bbox: Bbox
    type: str
    confidence: float
    info: _containers.ScalarMap[str, str]
    embedding: Embedding
    pose: Pose
    gaze: Gaze
    lipActivity: LipActivity
    speed: float
    dir: _containers.RepeatedScalarFieldContainer[float]
    coordinate: Coordinate
    location: Location
    bbox3d: Bbox3d
    def __init__(self, id: _Optional[str] = ..., bbox: _Optional[_Union[Bbox, _Mapping]] = ..., type: _Optional[str] = ..., confidence: _Optional[float] = ..., info: _Optional[_Mapping[str, str]] = ..., embedding: _Optional[_Union[Embedding, _Mapping]] = ..., pose: _Optional[_Union[Pose, _Mapping]] = ..., gaze: _Optional[_Union[Gaze, _Mapping]] = ..., lipActivity: _Optional[_Union[LipActivity, _Mapping]] = ..., speed: _Optional[float] = ..., dir: _Optional[_Iterable[float]] = ..., coordinate: _Optional[_Union[Coordinate, _Mapping]] = ..., location: _Optional[_Union[Location, _Mapping]] = ..., bbox3d: _Optional[_Union[Bbox3d, _Mapping]] = ...) -> None: ...

class Coordinate(_message.Message):
    __slots__ = ("x", "y", "z")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    z: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("lat", "lon", "alt")
    LAT_FIELD_NUMBER: _ClassVar[int]
    LON_FIELD_NUMBER: _ClassVar[int]
    ALT_FIELD_NUMBER: _ClassVar[int]
    lat: float
    lon: float
    alt: float
    def __init__(self, lat: _Optional[float] = ..., lon: _Optional[float] = ..., alt: _Optional[float] = ...) -> None: ...

class Bbox(_message.Message):
    __slots__ = ("leftX", "topY", "rightX", "bottomY", "embeddings", "confidence", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEFTX_FIELD_NUMBER: _ClassVar[int]
    TOPY_FIELD_NUMBER: _ClassVar[int]
    RIGHTX_FIELD_NUMBER: _ClassVar[int]
    BOTTOMY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    leftX: float
    topY: float
    rightX: float
    bottomY: float
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    confidence: float
    info: _containers.ScalarMap[str, str]
    def __init__(self, leftX: _Optional[float] = ..., topY: _Optional[float] = ..., rightX: _Optional[float] = ..., bottomY: _Optional[float] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., confidence: _Optional[float] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Bbox3d(_message.Message):
    __slots__ = ("coordinates", "embeddings", "confidence", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    coordinates: _containers.RepeatedScalarFieldContainer[float]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    confidence: float
    info: _containers.ScalarMap[str, str]
    def __init__(self, coordinates: _Optional[_Iterable[float]] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., confidence: _Optional[float] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Segmentation(_message.Message):
    __slots__ = ("mask", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MASK_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    mask: _containers.RepeatedScalarFieldContainer[int]
    info: _containers.ScalarMap[str, str]
    def __init__(self, mask: _Optional[_Iterable[int]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TypeMetrics(_message.Message):
    __slots__ = ("id", "type", "count", "coordinates", "objectIds", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    OBJECTIDS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    count: int
    coordinates: _containers.RepeatedCompositeFieldContainer[Coordinate]
    objectIds: _containers.RepeatedScalarFieldContainer[str]
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., count: _Optional[int] = ..., coordinates: _Optional[_Iterable[_Union[Coordinate, _Mapping]]] = ..., objectIds: _Optional[_Iterable[str]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[Point2D]
    def __init__(self, points: _Optional[_Iterable[_Union[Point2D, _Mapping]]] = ...) -> None: ...

class Point2D(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class SD(_message.Message):
    __slots__ = ("threshold", "proximityDetections", "clusters", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PROXIMITYDETECTIONS_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    proximityDetections: int
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    info: _containers.ScalarMap[str, str]
    def __init__(self, threshold: _Optional[float] = ..., proximityDetections: _Optional[int] = ..., clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("coordinates", "holes")
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    HOLES_FIELD_NUMBER: _ClassVar[int]
    coordinates: _containers.RepeatedCompositeFieldContainer[Point2D]
    holes: _containers.RepeatedCompositeFieldContainer[PolygonHole]
    def __init__(self, coordinates: _Optional[_Iterable[_Union[Point2D, _Mapping]]] = ..., holes: _Optional[_Iterable[_Union[PolygonHole, _Mapping]]] = ...) -> None: ...

class PolygonHole(_message.Message):
    __slots__ = ("coordinates",)
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    coordinates: _containers.RepeatedCompositeFieldContainer[Point2D]
    def __init__(self, coordinates: _Optional[_Iterable[_Union[Point2D, _Mapping]]] = ...) -> None: ...

class Interaction(_message.Message):
    __slots__ = ("id", "objectIds", "coordinates", "description", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    OBJECTIDS_FIELD_NUMBER: _ClassVar[int]
    COORDINATES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    objectIds: _containers.RepeatedScalarFieldContainer[str]
    coordinates: _containers.RepeatedCompositeFieldContainer[Coordinate]
    description: str
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., objectIds: _Optional[_Iterable[str]] = ..., coordinates: _Optional[_Iterable[_Union[Coordinate, _Mapping]]] = ..., description: _Optional[str] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Congestion(_message.Message):
    __slots__ = ("id", "objectIds", "amount", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    OBJECTIDS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    objectIds: _containers.RepeatedScalarFieldContainer[str]
    amount: float
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., objectIds: _Optional[_Iterable[str]] = ..., amount: _Optional[float] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Pose(_message.Message):
    __slots__ = ("type", "keypoints", "actions")
    class Keypoint(_message.Message):
        __slots__ = ("name", "coordinates", "quaternion")
        NAME_FIELD_NUMBER: _ClassVar[int]
        COORDINATES_FIELD_NUMBER: _ClassVar[int]
        QUATERNION_FIELD_NUMBER: _ClassVar[int]
        name: str
        coordinates: _containers.RepeatedScalarFieldContainer[float]
        quaternion: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, name: _Optional[str] = ..., coordinates: _Optional[_Iterable[float]] = ..., quaternion: _Optional[_Iterable[float]] = ...) -> None: ...
    class Action(_message.Message):
        __slots__ = ("type", "confidence")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        type: str
        confidence: float
        def __init__(self, type: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEYPOINTS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    type: str
    keypoints: _containers.RepeatedCompositeFieldContainer[Pose.Keypoint]
    actions: _containers.RepeatedCompositeFieldContainer[Pose.Action]
    def __init__(self, type: _Optional[str] = ..., keypoints: _Optional[_Iterable[_Union[Pose.Keypoint, _Mapping]]] = ..., actions: _Optional[_Iterable[_Union[Pose.Action, _Mapping]]] = ...) -> None: ...

class Gaze(_message.Message):
    __slots__ = ("x", "y", "z", "theta", "phi")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    THETA_FIELD_NUMBER: _ClassVar[int]
    PHI_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    z: float
    theta: float
    phi: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ..., theta: _Optional[float] = ..., phi: _Optional[float] = ...) -> None: ...

class LipActivity(_message.Message):
    __slots__ = ("classLabel",)
    CLASSLABEL_FIELD_NUMBER: _ClassVar[int]
    classLabel: str
    def __init__(self, classLabel: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "type", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AnalyticsModule(_message.Message):
    __slots__ = ("id", "description", "source", "version", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    source: str
    version: str
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., source: _Optional[str] = ..., version: _Optional[str] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Sensor(_message.Message):
    __slots__ = ("id", "type", "description", "location", "coordinate", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    COORDINATE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    description: str
    location: Location
    coordinate: Coordinate
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., description: _Optional[str] = ..., location: _Optional[_Union[Location, _Mapping]] = ..., coordinate: _Optional[_Union[Coordinate, _Mapping]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("id", "name", "type", "location", "coordinate", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    COORDINATE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    type: str
    location: Location
    coordinate: Coordinate
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ..., location: _Optional[_Union[Location, _Mapping]] = ..., coordinate: _Optional[_Union[Coordinate, _Mapping]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("messageid", "mdsversion", "timestamp", "place", "sensor", "analyticsModule", "object", "event", "videoPath")
    MESSAGEID_FIELD_NUMBER: _ClassVar[int]
    MDSVERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    ANALYTICSMODULE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VIDEOPATH_FIELD_NUMBER: _ClassVar[int]
    messageid: str
    mdsversion: str
    timestamp: _timestamp_pb2.Timestamp
    place: Place
    sensor: Sensor
    analyticsModule: AnalyticsModule
    object: Object
    event: Event
    videoPath: str
    def __init__(self, messageid: _Optional[str] = ..., mdsversion: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., place: _Optional[_Union[Place, _Mapping]] = ..., sensor: _Optional[_Union[Sensor, _Mapping]] = ..., analyticsModule: _Optional[_Union[AnalyticsModule, _Mapping]] = ..., object: _Optional[_Union[Object, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., videoPath: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    vector: _containers.RepeatedScalarFieldContainer[float]
    info: _containers.ScalarMap[str, str]
    def __init__(self, vector: _Optional[_Iterable[float]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ImageData(_message.Message):
    __slots__ = ("format", "encoding", "name", "data", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    format: ImageFormat
    encoding: str
    name: str
    data: bytes
    info: _containers.ScalarMap[str, str]
    def __init__(self, format: _Optional[_Union[ImageFormat, str]] = ..., encoding: _Optional[str] = ..., name: _Optional[str] = ..., data: _Optional[bytes] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class VisionLLM(_message.Message):
    __slots__ = ("version", "timestamp", "end", "startFrameId", "endFrameId", "sensor", "llm", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    STARTFRAMEID_FIELD_NUMBER: _ClassVar[int]
    ENDFRAMEID_FIELD_NUMBER: _ClassVar[int]
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    LLM_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    version: str
    timestamp: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    startFrameId: str
    endFrameId: str
    sensor: Sensor
    llm: LLM
    info: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., startFrameId: _Optional[str] = ..., endFrameId: _Optional[str] = ..., sensor: _Optional[_Union[Sensor, _Mapping]] = ..., llm: _Optional[_Union[LLM, _Mapping]] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class LLM(_message.Message):
    __slots__ = ("info", "conversations", "embeddings")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INFO_FIELD_NUMBER: _ClassVar[int]
    CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    info: _containers.ScalarMap[str, str]
    conversations: _containers.RepeatedCompositeFieldContainer[Conversation]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    def __init__(self, info: _Optional[_Mapping[str, str]] = ..., conversations: _Optional[_Iterable[_Union[Conversation, _Mapping]]] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("id", "query", "response")
    ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    query: str
    response: str
    def __init__(self, id: _Optional[str] = ..., query: _Optional[str] = ..., response: _Optional[str] = ...) -> None: ...
