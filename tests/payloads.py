"""Events as VSS sends them (its documentation and test data name these shapes)."""

from typing import Any

COLLISION: dict[str, Any] = {
    "sensorId": "Lafayette_Agnew",
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
    "info": {
        "location": "42.48837572978232,-90.73894264480816,0.0",
        "primaryObjectId": "958750871",
    },
}

WITH_MEDIA: dict[str, Any] = {
    "id": "incident-67890",
    "timestamp": "2025-01-15T14:30:00Z",
    "end": "2025-01-15T14:30:30Z",
    "sensorId": "cam_warehouse_02",
    "category": "collision",
    "info": {
        "location": "warehouse-loading-dock",
        "primaryObjectId": "worker-04",
        "media_urls": ["https://media-store/incident-67890.mp4"],
    },
    "event": {"id": "incident-67890", "type": "incident_event"},
}

BEHAVIOR: dict[str, Any] = {
    "id": "alert-12345",
    "timestamp": "2025-01-15T14:30:00Z",
    "end": "2025-01-15T14:30:00Z",
    "sensor": {"id": "cam_highway_01"},
    "analyticsModule": {"id": "Alert Module", "info": {"source": "http_ingest"}},
    "videoPath": "/media/videos/traffic_incident.mp4",
    "event": {"id": "alert-12345", "type": "alert_event"},
}

ON_DEMAND: dict[str, Any] = {
    "category": "collision",
    "end": "2026-04-22T10:00:30Z",
    "id": "incident-123",
    "info": {
        "media_type": "video",
        "media_urls": ["http://localhost:30888/vst/sim/media/incident.mp4"],
    },
    "sensorId": "sensor-01",
    "timestamp": "2026-04-22T10:00:00Z",
}
