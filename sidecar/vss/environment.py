"""The environment variables of VSS's alert service, and what becomes of each. Read it as a table.

Source: deploy/docker/services/alert/compose.yml of 3.2 and 3.3, and what the code reads beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.vss.rules import Draft, Kind, Sets, Shapes, Unused, Values


@dataclass(frozen=True, slots=True)
class Fills:
    """The value stands in `config.yml` where `${...}` names the variable, and nowhere else."""


_FLAG_LOG: Final = Unused("prompts, answers and documents are not logged")
_TRACING: Final = Unused("spans are sent by OTLP with the limits of the sidecar")
_METRICS: Final = Unused("metrics are scraped from the Prometheus endpoint")

VARIABLES: Final[Mapping[str, Sets | Shapes | Unused | Fills]] = {
    "VLM_BASE_URL": Fills(),
    "VLM_NAME": Fills(),
    "VST_INTERNAL_URL": Fills(),
    "RTVI_VLM_BASE_URL": Fills(),
    "ALERT_AGENT_ALWAYS_ON": Fills(),
    "REDIS_HOST": Fills(),
    "FASTAPI_PORT": Shapes("listening", Kind.WHOLE),
    "ALERT_BRIDGE_PORT": Shapes("listening", Kind.WHOLE),
    "PROMETHEUS_METRICS_ENABLED": Sets("metrics.enabled", Kind.FLAG),
    "PROMETHEUS_PORT": Sets("metrics.port", Kind.WHOLE),
    "PROMETHEUS_MULTIPROC_DIR": Unused("one process counts everything"),
    "EXTERNAL_IP": Sets("vst.external_host"),
    "INTERNAL_IP": Sets("vst.internal_host"),
    "VLM_MODE": Shapes("whether the model is remote"),
    "LLM_MODE": Unused("no language model is asked"),
    "STORAGE_MODULE_ENDPOINT": Sets("vst.storage_url", Kind.URL),
    "ALERT_REVIEW_MEDIA_BASE_DIR": Shapes("folder of local media"),
    "CONFIG_PATH": Shapes("the configuration, when --config does not name it"),
    "ALWAYS_ON_RULES_CONFIG": Shapes("rules for cameras, when they are switched on"),
    "ALERT_AGENT_DEFAULTS_FILE": Shapes("defaults of alerts, in a configuration of 2.4"),
    "VLM_WARMUP_ENABLED": Sets("canary.enabled", Kind.FLAG),
    "RTVI_VLM_MODEL_TO_USE": Unused("it tells RT-VLM, not its callers, what to load"),
    "ENABLE_OTEL_MONITORING": Shapes("tracing", Kind.FLAG),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _TRACING,
    "OTEL_EXPORTER_OTLP_ENDPOINT": Shapes("tracing", Kind.URL),
    "OTEL_SERVICE_NAME": Shapes("tracing"),
    "OTEL_RESOURCE_ATTRIBUTES": Unused("OpenTelemetry reads it by itself"),
    "OTEL_TRACES_EXPORTER": _TRACING,
    "OTEL_METRICS_EXPORTER": _METRICS,
    "OTEL_METRIC_EXPORT_INTERVAL": _METRICS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _METRICS,
    "LOG_VLM_USAGE": Unused("the tokens of an answer stand with its verdict"),
    "LOG_VERBOSE_PROMPTS": _FLAG_LOG,
    "LOG_VERBOSE_VLM_RESPONSE": _FLAG_LOG,
    "LOG_VERBOSE_ES": _FLAG_LOG,
    "LOG_VERBOSE_SINK": _FLAG_LOG,
    "LOG_VERBOSE_DEDUP": _FLAG_LOG,
    "LOG_TRUNCATE_BASE64": _FLAG_LOG,
}

_COLLECTOR: Final = "http://otel-collector:4318"
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  # a container is reached from other containers only so
_PORT: Final = 9080
_PRIVATE: Final = (
    "10.0.0.0/8",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1",
    "fc00::/7",
)
"""Where VSS's own services call from: they send no keys, and its compose network is one of these,
as are the addresses of a host whose network the containers share (VSS 3.1, 3.2)."""


def shape_environment(environment: Mapping[str, str], draft: Draft) -> None:
    """Take over what VSS's compose file says; a variable wins over `config.yml`, as in VSS."""
    values = _read(environment, draft)
    draft.put("http.host", _EVERYWHERE, "the container")
    draft.put("security.trusted_networks", _PRIVATE, "the container")
    draft.put("metrics.host", _EVERYWHERE, "the container")
    name = "FASTAPI_PORT" if values.has("FASTAPI_PORT") else "ALERT_BRIDGE_PORT"
    draft.put("http.port", values.whole(name, _PORT), name)
    draft.put("vst.model_is_remote", values.text("VLM_MODE").lower() == "remote", "VLM_MODE")
    if values.flag("ENABLE_OTEL_MONITORING"):
        endpoint = values.text("OTEL_EXPORTER_OTLP_ENDPOINT", _COLLECTOR)
        draft.put("trace.endpoint", endpoint, "ENABLE_OTEL_MONITORING")
        if values.has("OTEL_SERVICE_NAME"):
            name = values.text("OTEL_SERVICE_NAME")
            draft.put("trace.service_name", name, "OTEL_SERVICE_NAME")
    if values.has("ALERT_REVIEW_MEDIA_BASE_DIR"):
        folder = values.text("ALERT_REVIEW_MEDIA_BASE_DIR")
        draft.put("media.allowed_roots", [folder], "ALERT_REVIEW_MEDIA_BASE_DIR")
    if draft.settings.get("realtime", {}).get("always_on") and values.has("ALWAYS_ON_RULES_CONFIG"):
        rules = values.text("ALWAYS_ON_RULES_CONFIG")
        draft.put("realtime.always_on_rules", rules, "ALWAYS_ON_RULES_CONFIG")


def _read(environment: Mapping[str, str], draft: Draft) -> Values:
    """Read what is set; the draft gets remarks and whatever is a setting by itself."""
    found = {}
    for name, rule in VARIABLES.items():
        text = environment.get(name, "").strip()
        if not text:
            continue
        match rule:
            case Unused(because, missed_at):
                tell = draft.warn if missed_at == text.lower() else draft.note
                tell(name, f"not used, because {because}.")
            case Sets(kind=kind) | Shapes(kind=kind):
                try:
                    found[name] = kind.read(text)
                except ValueError as error:
                    draft.refuse(name, f"{error}.")
                    continue
                if isinstance(rule, Sets):
                    draft.put(rule.setting, found[name], name)
    return Values(found)
