"""From VSS's sources and sinks to doors and sinks: Kafka, Redis Streams, Elasticsearch, webhook."""

from typing import Final
from urllib.parse import quote

from sidecar.vss.rules import Draft, Values

SOURCE: Final = "event_bridge.sourceType"
SERVERS: Final = "kafka.bootstrap_servers"
SINK: Final = "vlm_enhanced_sink"
_KINDS: Final = ("incident", "alert")
_SINKS: Final = ("elastic", "kafka", "redisStream", "console")
_MESSAGES: Final = frozenset({"incident", "alert", "behavior"})
_STARTS: Final = {"$": "latest", "0": "earliest", "0-0": "earliest"}


def shape_doors(values: Values, draft: Draft) -> None:
    """Open the one door that VSS's `sourceType` names."""
    source = values.text(SOURCE, "kafka")
    match source.strip().lower():
        case "kafka":
            _shape_kafka_door(values, draft)
        case "redisstream":
            _shape_streams_door(values, draft)
        case _:
            draft.refuse(SOURCE, f"{source!r} is unknown; write kafka or redisStream.")


def shape_sinks(values: Values, draft: Draft) -> None:
    """Switch on the sinks of the two kinds of events."""
    chosen = {kind: _sink_of(kind, values) for kind in _KINDS}
    for kind, name in chosen.items():
        if name not in _SINKS:
            draft.refuse(f"{SINK}.{kind}.type", f"{name!r} is unknown; write {', '.join(_SINKS)}.")
    if len(set(chosen.values())) > 1:
        draft.warn(SINK, "names two sinks. Each of them gets the verdicts of both kinds of events.")
    names = set(chosen.values())
    if "elastic" in names:
        _shape_elastic(values, draft)
    if "kafka" in names:
        _shape_kafka_sink(values, draft)
    if "redisStream" in names:
        _shape_streams_sink(values, draft)
    if "console" in names:
        draft.put("sinks.console.enabled", True, f"{SINK}.type")
    _check_routes(values, draft)


def shape_webhook(values: Values, draft: Draft) -> None:
    """Post verdicts where VSS posts verified incidents."""
    at = "webhook.openclaw"
    if not values.flag(f"{at}.enabled"):
        return
    if not values.has(f"{at}.url"):
        draft.refuse(f"{at}.url", "is missing; write where to post, or switch the webhook off.")
        return
    draft.put("sinks.webhook.url", values.text(f"{at}.url"), f"{at}.url")
    timeout_s = values.number(f"{at}.timeout_seconds", 5.0)
    draft.put("sinks.webhook.timeout_s", timeout_s, f"{at}.timeout_seconds")
    draft.note(f"{at}.enabled", "alerts are posted as well as incidents, and failed ones too.")


def _shape_kafka_door(values: Values, draft: Draft) -> None:
    if not values.has(SERVERS):
        draft.warn(SERVERS, "is missing: nothing is read from Kafka, events come by HTTP only.")
        return
    draft.put("kafka.bootstrap_servers", values.text(SERVERS), SERVERS)
    key = "kafka.auto_offset_reset"
    start = values.text(key, "latest")
    if start in {"latest", "earliest"}:
        draft.put("kafka.start_at", start, key)
    else:
        draft.refuse(key, f"{start!r} is unknown; write latest or earliest.")


def _shape_streams_door(values: Values, draft: Draft) -> None:
    at = "event_bridge.redis_source"
    shape_connection("streams.url", ("redis", at), values, draft)
    for setting, names in (
        ("streams.incidents_stream", ("incident", "incident_stream")),
        ("streams.alerts_stream", ("alert", "alert_stream", "anomaly")),
    ):
        keys = [f"{at}.streams.{name}" for name in names]
        if stream := values.first_text(keys):
            draft.put(setting, stream, keys[0])
    shape_reading("streams", values, f"{at}.consumer_config", draft, start="$")


def shape_reading(section: str, values: Values, at: str, draft: Draft, *, start: str) -> None:
    """Say where a group begins and when it takes entries over.

    Args:
        section: of the settings.
        values: of the configuration.
        at: where they stand in it.
        draft: gets the settings.
        start: VSS's default for where a group begins.
    """
    key = f"{at}.start_id"
    start = values.text(key, start)
    if start in _STARTS:
        draft.put(f"{section}.start_at", _STARTS[start], key)
    else:
        draft.refuse(key, f"{start!r} is unknown; write $ for what comes, or 0 for all there is.")
    for name in ("pending_min_idle_ms", "reclaim_min_idle_ms", "reclaim_min_idle_time"):
        key = f"{at}.{name}"
        if values.has(key):
            draft.put(f"{section}.claim_after_s", values.number(key, 0.0) / 1000, key)
            return


def shape_connection(setting: str, places: tuple[str, ...], values: Values, draft: Draft) -> None:
    """Write the URL of a Redis; the last place that tells a part of it wins."""

    def part(name: str, default: str = "") -> str:
        return values.first_text([f"{place}.{name}" for place in reversed(places)], default)

    host, password = part("host"), part("password")
    if not host:
        draft.refuse(f"{places[-1]}.host", "is missing, and redis.host as well; write one.")
        return
    login = f":{quote(password, safe='')}@" if password else ""
    address = f"[{host}]" if ":" in host else host
    url = f"redis://{login}{address}:{part('port', '6379')}/{part('db', '0')}"
    draft.put(setting, url, f"{places[0]}.host")


def _sink_of(kind: str, values: Values) -> str:
    return values.first_text([f"{SINK}.{kind}.type", f"{SINK}.type"], "elastic")


def _shape_elastic(values: Values, draft: Draft) -> None:
    hosts = values.by_key.get("elastic.hosts", ())
    if not values.flag("elastic.enabled", default=True):
        draft.refuse("elastic.enabled", f"is false, and {SINK} publishes there. Switch it on.")
    elif not hosts:
        draft.refuse("elastic.hosts", f"is missing, and {SINK} publishes there.")
    else:
        draft.put("sinks.elastic.hosts", hosts, "elastic.hosts")


def _shape_kafka_sink(values: Values, draft: Draft) -> None:
    if values.has(SERVERS):
        draft.put("sinks.kafka.bootstrap_servers", values.text(SERVERS), SERVERS)
    else:
        draft.refuse(SERVERS, f"is missing, and {SINK} publishes to Kafka.")
    if key_field := _one_for_both("kafka.key_field", values, draft):
        draft.put("sinks.kafka.key_field", key_field, f"{SINK}.incident.kafka.key_field")


def _shape_streams_sink(values: Values, draft: Draft) -> None:
    places = ("redis", f"{SINK}.redisStream")
    shape_connection("sinks.streams.url", places, values, draft)
    for name, setting in (("socket_timeout", "timeout_s"), ("maxlen", "max_length")):
        for place in places:
            if values.has(f"{place}.{name}"):
                value = values.by_key[f"{place}.{name}"]
                draft.put(f"sinks.streams.{setting}", value, f"{place}.{name}")
    for name, setting in (("key_field", "key_field"), ("payload_format", "payload")):
        if value := _one_for_both(f"redisStream.{name}", values, draft):
            draft.put(f"sinks.streams.{setting}", value, f"{SINK}.incident.redisStream.{name}")


def _one_for_both(name: str, values: Values, draft: Draft) -> str:
    """Return a value that holds for incidents and alerts; with two of them, the incidents'."""
    keys = [f"{SINK}.{kind}.{name}" for kind in _KINDS]
    found = [values.text(key) for key in keys if values.has(key)]
    if len(set(found)) > 1:
        draft.warn(
            keys[1],
            f"{found[1]!r} is not used: one value holds for both kinds, {found[0]!r}. An event "
            "without it is keyed by its sensor or its Id.",
        )
    return found[0] if found else ""


def _check_routes(values: Values, draft: Draft) -> None:
    """Refuse a message type that no route has; the kind of the event is what counts."""
    for kind in _KINDS:
        for sink in ("kafka", "redisStream"):
            key = f"{SINK}.{kind}.{sink}.message_type"
            told = values.text(key, kind).lower()
            if told not in _MESSAGES:
                draft.refuse(key, f"{told!r} is unknown; write {kind}.")
            elif told != kind:
                draft.note(key, f"{told!r} is taken for {kind!r}: the route tells the kind.")
