"""From the configuration of VSS 2.4's Alert Bridge to the bridge's streams.

It differs from 3.x's in that it names no model: that one is the engine's business there.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.vss.rules import Draft, Values
from sidecar.vss.transport import SINK, shape_connection, shape_reading
from sidecar.vss.transport import SOURCE as SOURCE_TYPE

SOURCE: Final = "event_bridge.redis_source"
INPUT: Final = f"{SOURCE}.streams.anomaly_stream"
_OUTPUT: Final = "event_bridge.redis_sink.streams"
_DEFAULTS_FILE: Final = "ALERT_AGENT_DEFAULTS_FILE"
_MEDIA_DIR: Final = "ALERT_REVIEW_MEDIA_BASE_DIR"


def is_bridge(values: Values) -> bool:
    """Tell a configuration of 2.4, by the stream that only 2.4 reads."""
    return values.has(INPUT) and values.text(SOURCE_TYPE).strip().lower() == "redisstream"


def names_model(values: Values) -> bool:
    """Tell whether a configuration says who answers; one of 2.4 need not."""
    return not is_bridge(values) or values.has("vlm.base_url")


def names_sink(values: Values) -> bool:
    """Tell whether a configuration says where verdicts go besides the bridge's streams."""
    return not is_bridge(values) or any(key.startswith(SINK) for key in values.by_key)


def shape_bridge(values: Values, environment: Mapping[str, str], draft: Draft) -> None:
    """Read and write the streams of 2.4, and find its clips and defaults where it does."""
    shape_connection("bridge.url", ("redis", SOURCE), values, draft)
    for setting, key in (
        ("bridge.input_stream", INPUT),
        ("bridge.enhanced_stream", f"{_OUTPUT}.enhanced_anomaly_stream"),
        ("bridge.incidents_stream", f"{_OUTPUT}.incidents_stream"),
        ("bridge.group", f"{SOURCE}.consumer_group"),
    ):
        if values.has(key):
            draft.put(setting, values.text(key), key)
    shape_reading("bridge", values, f"{SOURCE}.consumer_config", draft, start="0-0")
    if folder := environment.get(_MEDIA_DIR) or values.text(_MEDIA_DIR):
        draft.put("review.media_base_dir", folder, _MEDIA_DIR)
    if path := environment.get(_DEFAULTS_FILE):
        draft.put("bridge.request_defaults", path, _DEFAULTS_FILE)
    if not names_model(values):
        draft.warn(
            "vss_agent.base_url",
            "names the engine, and the sidecar needs the model's server in its place: set "
            "SIDECAR_ARMS__<ARM>__URL, and SIDECAR_AB__PRIMARY to that arm. Until then the "
            "built-in arm answers, which only detects motion.",
        )
