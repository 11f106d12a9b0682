"""Every key of VSS's `config.yml`, and what becomes of it. Read it as a table.

Sources: services/alert/config.yaml of 3.2 and 3.3, the developer profile's config.yml, and what the
code reads beyond them (VST client, VLM client, Redis transport). Nothing else is known: another key
is reported with the nearest name of this table.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.vss.rules import Kind, Null, Refused, Rule, Sets, Shapes, Unused

TEXT, URL, NUMBER, WHOLE = Kind.TEXT, Kind.URL, Kind.NUMBER, Kind.WHOLE
FLAG, NAMES, MAPPING = Kind.FLAG, Kind.NAMES, Kind.MAPPING
MS: Final = 0.001
MEGABYTE: Final = 1_048_576

_OUTBOX: Final = "verdicts wait in the ledger until the sink has taken them (sinks.*)"
_COMMITS: Final = "an offset is committed as soon as its event is stored, so that none is lost"
_FETCHES: Final = "records are fetched in the background, as many as there is room for"
_LEDGER: Final = "what must outlive a restart is in the ledger (ledger.*), not in Elasticsearch"
_ONE_LOOP: Final = "there is one event loop; verify.max_in_flight bounds the work"
_BRIDGE_REDIS: Final = "reviewed alerts go to the Redis that they come from"
_REVIEWS: Final = "no engine is asked: alerts are reviewed here"
_RETRIES: Final = "an arm says how often its model's server is asked again (arms.*)"
_PUSHES: Final = "clients are told from the ledger, not from Redis"
_ROUTES: Final = "verdicts go where vlm_enhanced_sink says; VSS does not use this key either"

_VST: Final[Mapping[str, Rule]] = {
    "base_url": Sets("vst.base_url", URL),
    "sensor_list_endpoint": Sets("vst.sensor_list_endpoint"),
    "segment_anchor": Sets("vst.segment_anchor"),
    "segment_duration_seconds": Sets("vst.segment_duration_s", NUMBER),
    "add_overlay": Sets("vst.add_overlay", FLAG),
    "storage.base_url": Sets("vst.storage_url", URL),
    "storage.media_file_path_by_id_endpoint": Sets("vst.file_path_endpoint"),
    "timeout": Sets("vst.timeout_s", NUMBER),
    "request_timeout": Unused("vst_config.timeout bounds every request to VST"),
    "url_retention_minutes": Sets("vst.url_expiry_minutes", WHOLE),
    "stream_status_cache_duration": Sets("vst.sensor_cache_s", NUMBER),
    "retry_without_overlay": Sets("vst.retry_without_overlay", FLAG),
    "recording_check_max_attempts": Unused("VST is asked until vst.wait_for_recording_s is over"),
    "verify_time_existence": Unused("VST's answer to the request for the clip tells it"),
    "overlay.color": Sets("vst.overlay.color"),
    "overlay.thickness": Sets("vst.overlay.thickness", WHOLE),
    "overlay.opacity": Sets("vst.overlay.opacity", WHOLE),
    "overlay.debug": Sets("vst.overlay.debug", FLAG),
    "overlay.showObjId": Sets("vst.overlay.show_object_ids", FLAG),
    "overlay.objIdPosition": Sets("vst.overlay.object_id_position", WHOLE),
    "download_dir": Unused("clips that are fetched lie in the system's temporary folder"),
    "image_download_max_attempts": Unused("a picture that cannot be fetched fails its event"),
}

_KAFKA: Final[Mapping[str, Rule]] = {
    "bootstrap_servers": Shapes("door and sink"),
    "group_id": Unused("the group is event_bridge.kafka_source.group_id"),
    "max_poll_records": Unused(_FETCHES),
    "auto_offset_reset": Shapes("door"),
    "enable_auto_commit": Unused(_COMMITS, missed_at=True),
    "poll_timeout": Unused(_FETCHES),
    "message_type": Unused("the topic tells incidents from alerts"),
    "max_poll_interval_ms": Unused("a busy consumer pauses and keeps polling"),
    "session_timeout_ms": Sets("kafka.session_timeout_s", NUMBER, factor=MS),
    "heartbeat_interval_ms": Unused("the client library chooses it"),
    "batch_commit": Unused(_COMMITS),
    "enhanced_anomaly_topic": Unused(_ROUTES),
    "incidents_topic": Unused(_ROUTES),
    "heartbeat_topic": Unused("heartbeats carry no event"),
    "anomalyTopic": Refused("is of an older VSS: write event_bridge.kafka_source.topics.alert"),
}

_VLM: Final[Mapping[str, Rule]] = {
    "base_url": Shapes("arm", URL),
    "model": Shapes("arm"),
    "max_tokens": Shapes("arm", WHOLE),
    "request_timeout": Shapes("arm", NUMBER),
    "temperature": Shapes("arm", NUMBER),
    "max_retries": Shapes("arm", WHOLE),
    "vlm_media_source_using_base64": Shapes("sampling", FLAG),
    "use_vlm_media_defaults": Shapes("sampling", FLAG),
    "do_resize": Shapes("sampling", FLAG),
    "min_pixels": Unused("frames are made smaller, never larger"),
    "max_pixels": Shapes("sampling", WHOLE),
    "num_frames": Shapes("sampling", WHOLE),
    "enable_sampling": Shapes("sampling", FLAG),
    "sampling_fps": Shapes("sampling", NUMBER),
    "dynamic_frame_count": Shapes("sampling", FLAG),
    "response_format": Shapes("answers"),
    "custom_parser_module": Sets("answers.custom_parser_module"),
    "response_parser": Sets("answers.response_parser"),
    "json_parser.verdict_field": Sets("answers.json_verdict_field"),
    "json_parser.reasoning_fields": Sets("answers.json_reasoning_fields", NAMES),
    "json_parser.verdict_mapping": Sets("answers.json_verdict_mapping", MAPPING),
    "warmup.poll_timeout": Unused("a model that is away keeps /ready at 503 and ends nothing"),
    "warmup.poll_interval": Sets("canary.retry_s", NUMBER),
    "warmup.inference_timeout": Sets("canary.timeout_s", NUMBER),
    "warmup.num_requests": Unused("the canary asks once, and again every canary.interval_s"),
}

_BRIDGE: Final[Mapping[str, Rule]] = {
    "sourceType": Shapes("door"),
    "sinkType": Unused(_ROUTES),
    "kafka_source.group_id": Sets("kafka.group_id"),
    "kafka_source.topics.incident": Sets("kafka.incidents_topic"),
    "kafka_source.topics.alert": Sets("kafka.alerts_topic"),
    "kafka_source.topics.heartbeat": Unused("heartbeats carry no event"),
    "redis_source.streams.incident": Shapes("door"),
    "redis_source.streams.incident_stream": Shapes("door"),
    "redis_source.streams.alert": Shapes("door"),
    "redis_source.streams.alert_stream": Shapes("door"),
    "redis_source.streams.anomaly": Shapes("door"),
    "redis_source.streams.anomaly_stream": Shapes("bridge"),
    "redis_source.streams.heartbeat": Unused("heartbeats carry no event"),
    "redis_source.streams.heartbeat_stream": Unused("heartbeats carry no event"),
    "redis_source.consumer_group": Sets("streams.group"),
    "redis_source.consumer_config.count": Unused(_FETCHES),
    "redis_source.consumer_config.batch_size": Unused(_FETCHES),
    "redis_source.consumer_config.block_time": Unused(_FETCHES),
    "redis_source.consumer_config.start_id": Shapes("door"),
    "redis_source.consumer_config.error_backoff": Unused("waits grow with the failures"),
    "redis_source.consumer_config.reclaim_interval": Sets("streams.sweep_s", NUMBER),
    "redis_source.consumer_config.pending_min_idle_ms": Shapes("door", NUMBER),
    "redis_source.consumer_config.reclaim_min_idle_ms": Shapes("door", NUMBER),
    "redis_source.consumer_config.reclaim_min_idle_time": Shapes("door", NUMBER),
    "redis_sink.host": Unused(_BRIDGE_REDIS),
    "redis_sink.port": Unused(_BRIDGE_REDIS),
    "redis_sink.db": Unused(_BRIDGE_REDIS),
    "redis_sink.password": Unused(_BRIDGE_REDIS),
    "redis_sink.streams.enhanced_anomaly": Unused(_ROUTES),
    "redis_sink.streams.incidents": Unused(_ROUTES),
    "redis_sink.streams.enhanced_anomaly_stream": Shapes("bridge"),
    "redis_sink.streams.incidents_stream": Shapes("bridge"),
}

_ENGINE: Final[Mapping[str, Rule]] = {
    "base_url": Unused(_REVIEWS),
    "VSS_IMAGE_ENDPOINT": Unused(_REVIEWS),
    "VSS_SUMMARIZE_ENDPOINT": Unused(_REVIEWS),
    "VSS_CHAT_ENDPOINT": Unused(_REVIEWS),
    "VSS_REVIEW_ALERT_ENDPOINT": Unused(_REVIEWS),
    "request_timeout": Sets("review.deadline_s", NUMBER),
    "max_retries": Unused(_RETRIES),
    "retry_delay": Unused(_RETRIES),
    "connection_retry_interval": Unused(_RETRIES),
    "connection_max_retry_interval": Unused(_RETRIES),
    "connection_wait_timeout": Unused(_RETRIES),
    "vlm_param_allowlist": Unused("what an alert may set is what a review understands"),
}

_FILTERS: Final[Mapping[str, Rule]] = {
    "dedup_ttl_seconds": Sets("filters.dedup_ttl_s", NUMBER),
    "end_time_in_dedup_key_categories": Sets("filters.end_time_in_dedup_key_categories", NAMES),
    "protect_confirmed_verdicts.enabled": Sets("filters.protect_confirmed.enabled", FLAG),
    "protect_confirmed_verdicts.ttl_seconds": Sets("filters.protect_confirmed.ttl_s", NUMBER),
    "protect_confirmed_verdicts.es_retry_backoff_seconds": Unused(_LEDGER),
    "protect_confirmed_verdicts.retention_interval_seconds": Unused(_LEDGER),
    "protect_confirmed_verdicts.retention_requests_per_second": Unused(_LEDGER),
    "end_time_delta_filter.enabled": Sets("filters.end_time_delta.enabled", FLAG),
    "end_time_delta_filter.threshold_seconds": Sets("filters.end_time_delta.threshold_s", NUMBER),
    "end_time_delta_filter.ttl_seconds": Sets("filters.end_time_delta.ttl_s", NUMBER),
}

_AGENT: Final[Mapping[str, Rule]] = {
    "processes": Shapes("workers", WHOLE),
    "num_workers": Shapes("workers", WHOLE),
    "async_dispatch_workers": Shapes("workers", WHOLE),
    "async_io.max_vlm_concurrent": Shapes("workers", WHOLE),
    "async_dispatch_max_in_flight": Unused(_ONE_LOOP),
    "pipeline_mode": Unused(_ONE_LOOP),
    "async_io.pipeline_mode": Unused(_ONE_LOOP),
    "async_io.enabled": Unused(_ONE_LOOP),
    "async_io.external_timeout_seconds": Unused("each outside party has its own timeout"),
    "async_io.max_vst_concurrent": Unused(_ONE_LOOP),
    "async_io.sink_warn_in_flight": Unused("deliveries are counted by their result"),
    "async_io.vst_enabled": Unused("VSS has retired it"),
    "async_io.elastic_enabled": Unused("VSS has retired it"),
    "async_io.dedup_enabled": Unused("VSS has retired it"),
    "async_io.redis_enabled": Unused("VSS has retired it"),
    "chunk_size": Unused("VSS has retired it"),
    "startup_timeout_seconds": Unused("nothing at the start waits for the outside"),
    "max_allowed_stream_size": Unused("media.max_duration_s bounds clips"),
    "default_stream_interval": Unused("the window is vst_config.segment_duration_seconds"),
    "vst_pass_through_mode": Shapes("media", FLAG),
    "verify_only_finished_events": Sets("filters.verify_only_finished_events", FLAG),
    "include_latency_info": Unused(
        "times are metrics, info.latency is not written", missed_at=True
    ),
    "url_transform.enabled": Sets("vst.rewrite_urls", FLAG),
    "media_download.enabled": Shapes("media", FLAG),
    "media_download.max_media_count": Sets("media.max_items", WHOLE),
    "media_download.timeout_seconds": Sets("media.fetch_timeout_s", NUMBER),
    "media_download.max_size_mb": Sets("media.max_bytes", WHOLE, factor=MEGABYTE),
    "media_download.allow_private_urls": Shapes("media", FLAG),
    "media_download.use_verdict": Sets("verify.use_verdict", FLAG, absent=False),
    "enrichment.enabled": Unused("no second question is asked for a description", missed_at=True),
    "always_on": Sets("realtime.always_on", FLAG),
    "metrics.per_sensor_labels": Unused("metrics are not divided by sensor", missed_at=True),
    "tracing.sampling_ratio": Sets("trace.sample_ratio", NUMBER),
    "tracing.include_content": Unused("prompts and answers are not traced", missed_at=True),
    "tracing.max_content_chars": Unused("prompts and answers are not traced"),
    **{f"event_filters.{key}": rule for key, rule in _FILTERS.items()},
}

_RTVI: Final[Mapping[str, Rule]] = {
    "base_url": Sets("realtime.base_url", URL),
    "timeout": Sets("realtime.timeout_s", NUMBER),
    "default_model": Sets("realtime.default_model"),
    "captions_ack_timeout": Sets("realtime.captions_ack_s", NUMBER),
    "stream_readiness_poll_interval": Unused("the stream is watched for stream_readiness_max_wait"),
    "stream_readiness_max_wait": Sets("realtime.readiness_wait_s", NUMBER),
    "stream_readiness_timeout": Unused("VSS has retired it"),
    "rules_collection": Unused(_LEDGER),
    "pending_ttl_seconds": Sets("realtime.pending_ttl_s", NUMBER),
    "health_check_interval_seconds": Sets("realtime.health_every_s", NUMBER),
    "enable_realtime_persistence": Unused("rules are always kept in the ledger", missed_at=False),
    "consolidation.max_inter_alert_gap_seconds": Sets("realtime.consolidation.max_gap_s", WHOLE),
    "consolidation.max_event_duration_seconds": Sets(
        "realtime.consolidation.max_duration_s", WHOLE, null=Null.VALUE
    ),
    "consolidation.representative": Sets("realtime.consolidation.representative"),
}

_WEBHOOK: Final[Mapping[str, Rule]] = {
    "enabled": Shapes("webhook", FLAG),
    "url": Shapes("webhook", URL),
    "timeout_seconds": Shapes("webhook", NUMBER),
    "topic": Unused("the webhook is a sink of its own and needs no topic"),
    "group_id": Unused("the webhook is a sink of its own and needs no topic"),
    "max_pending": Unused(_OUTBOX),
}

_ELASTIC: Final[Mapping[str, Rule]] = {
    "enabled": Shapes("sink", FLAG),
    "hosts": Shapes("sink", NAMES),
    "username": Sets("sinks.elastic.username"),
    "password": Sets("sinks.elastic.password"),
    "api_key": Sets("sinks.elastic.api_key"),
    "ca_certs": Sets("sinks.elastic.ca_certs"),
    "verify_certs": Sets("sinks.elastic.verify_certs", FLAG),
    "request_timeout": Sets("sinks.elastic.timeout_s", NUMBER),
    "cloud_id": Refused("is not understood: write the deployment's URL to elastic.hosts"),
    "index_name": Unused("the index is vlm_enhanced_sink.incident.elastic.index"),
}

_SINK: Final[Mapping[str, Rule]] = {
    "type": Shapes("sink"),
    **{
        f"{kind}.{key}": rule
        for kind, target in (("incident", "incidents"), ("alert", "alerts"))
        for key, rule in (
            ("type", Shapes("sink")),
            ("elastic.index", Sets(f"sinks.elastic.{target}_index")),
            ("kafka.topic", Sets(f"sinks.kafka.{target}_topic")),
            ("kafka.message_type", Shapes("sink")),
            ("kafka.key_field", Shapes("sink")),
            ("redisStream.stream", Sets(f"sinks.streams.{target}_stream")),
            ("redisStream.message_type", Shapes("sink")),
            ("redisStream.key_field", Shapes("sink")),
            ("redisStream.payload_format", Shapes("sink")),
        )
    },
}

_REDIS: Final[Mapping[str, Rule]] = {
    "host": Shapes("redis"),
    "port": Shapes("redis", WHOLE),
    "db": Shapes("redis", WHOLE),
    "password": Shapes("redis"),
    "socket_timeout": Shapes("redis", NUMBER),
    "maxlen": Shapes("redis", WHOLE),
    "publish_retries": Unused(_OUTBOX),
    "publish_retry_backoff": Unused(_OUTBOX),
    "publish_budget": Unused(_OUTBOX),
}
_READING_REDIS: Final[Mapping[str, Rule]] = {
    "socket_timeout": Unused("the door bounds its exchanges itself"),
    "maxlen": Unused("only streams that are written to are trimmed"),
}

_REST: Final[Mapping[str, Rule]] = {
    "ALERT_REVIEW_MEDIA_BASE_DIR": Shapes("media"),
    "alert_type_config_file": Sets("prompts.alert_type_config", absent="alert_type_config.json"),
    "vlm_rate_limit_enabled": Sets("filters.rate_limit.enabled", FLAG),
    "prompt.prefer_payload_prompt": Unused(
        "only alerts of 2.4 bring a prompt; who sends others does not choose what is asked",
        missed_at=True,
    ),
    "prompt.override_prompts_on_start": Sets("prompts.override_on_start", FLAG, absent=True),
    "prompt.default_system_prompt": Sets("prompts.default_system", null=Null.REFUSED),
    "cors": Unused("pages of other origins are let in by security.cors_origins alone", whole=True),
    "websocket.enabled": Sets("websocket.enabled", FLAG),
    "websocket.consumer_group_prefix": Unused(_PUSHES),
    "websocket.redis_consumer": Unused(_PUSHES, whole=True),
    "vlm_enhanced_incident_sink": Refused(
        "is of an older VSS: write vlm_enhanced_sink.incident", whole=True
    ),
    "persistence.enabled": Unused(_LEDGER),
    "persistence.backend": Unused(_LEDGER),
    "persistence.index_prefix": Unused(_LEDGER),
    "persistence.dev_allow_in_memory": Unused(_LEDGER),
    "persistence.cache_ttl_seconds": Unused(_LEDGER),
    "persistence.elasticsearch": Unused(_LEDGER, whole=True),
    "logging.level": Shapes("log"),
    "logging.format": Unused("a log line is one JSON object (log.format)"),
    "logging.third_party_level": Unused("libraries log from warnings on"),
    "logging.truncate_base64": Unused("media are never logged"),
}

_SECTIONS: Final = (
    ("vst_config", _VST),
    ("vss_agent", _ENGINE),
    ("kafka", _KAFKA),
    ("vlm", _VLM),
    ("event_bridge", _BRIDGE),
    ("alert_agent", _AGENT),
    ("rtvi_vlm", _RTVI),
    ("webhook.openclaw", _WEBHOOK),
    ("elastic", _ELASTIC),
    ("vlm_enhanced_sink", _SINK),
    ("redis", _REDIS),
    ("event_bridge.redis_source", {**_REDIS, **_READING_REDIS}),
    ("vlm_enhanced_sink.redisStream", _REDIS),
)
KEYS: Final[Mapping[str, Rule]] = {
    **_REST,
    **{f"{section}.{key}": rule for section, rules in _SECTIONS for key, rule in rules.items()},
}
"""By dotted name."""
