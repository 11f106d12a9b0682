"""VSS's configuration in the sidecar's terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.errors import SettingsError
from sidecar.settings import load_settings as load_plain_settings
from sidecar.vss.config import map_config
from sidecar.vss.keys import KEYS
from sidecar.vss.loading import describe_settings, families, load_settings
from sidecar.vss.rules import Draft, Kind, Shapes

HERE = Path(__file__).parent
SHAPES = ("default-3.2.yml", "profile-3.3.yml", "redis-3.3.yml")
ENVIRONMENT = {
    "VLM_BASE_URL": "http://rtvi-vlm:8000",
    "VLM_NAME": "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
    "VST_INTERNAL_URL": "http://vst-ingress:30888",
    "RTVI_VLM_BASE_URL": "http://rtvi-vlm:8000",
    "ALERT_AGENT_ALWAYS_ON": "false",
}
LEAST = """
vlm: {base_url: "http://vlm:8000/v1", model: nvidia/cosmos-reason2-8b}
kafka: {bootstrap_servers: "kafka:29092"}
elastic: {hosts: ["http://elastic:9200"]}
"""


def mapped(text: str = "", environment: Mapping[str, str] | None = None) -> Draft:
    """Map the least configuration with other sections over it, `a.b.c: value` a line."""
    document = yaml.safe_load(LEAST)
    for line in text.splitlines():
        key, value = line.split(": ", 1)
        *path, leaf = key.strip().split(".")
        section = document
        for name in path:
            section = section.setdefault(name, {})
        section[leaf] = yaml.safe_load(value)
    return map_config(document, environment or {}, families())


def value_of(draft: Draft, setting: str) -> Any:
    section: Any = draft.settings
    for name in setting.split("."):
        section = section.get(name, {})
    return section


def told(draft: Draft, severity: str) -> list[str]:
    return [remark.key for remark in draft.remarks if remark.severity == severity]


@pytest.fixture
def use_shape(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a shape of VSS's configuration be read with nothing but its variables set."""

    def use(name: str, **variables: str) -> None:
        for variable, value in {**ENVIRONMENT, **variables}.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("SIDECAR_VSS_CONFIG", str(HERE / name))

    return use


@pytest.mark.parametrize("name", SHAPES)
def test_a_shipped_shape_gives_settings(use_shape: Any, name: str) -> None:
    """Both generations of VSS's configuration are read with nothing but variables set."""
    use_shape(name)

    settings = load_settings()

    assert settings.http.host == "0.0.0.0"
    assert settings.arms[settings.ab.primary].url.endswith("/v1")
    assert settings.prompts.alert_type_config == HERE / "alert_type_config.json"


@pytest.mark.parametrize(
    ("variables", "trusted"),
    [
        ({}, ["10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
        ({"SIDECAR_SECURITY__TRUSTED_NETWORKS": "172.18.0.0/16"}, ["172.18.0.0/16"]),
        ({"SIDECAR_SECURITY__TRUSTED_NETWORKS": ""}, []),
    ],
)
def test_private_networks_are_trusted_until_somebody_says_which(
    use_shape: Any, variables: dict[str, str], trusted: list[str]
) -> None:
    """VSS's services send no keys, and are in such a network; public addresses need a key."""
    use_shape("profile-3.3.yml", **variables)
    networks = load_settings().security.trusted_networks

    assert trusted == [str(network) for network in networks if network.version == 4]
    assert all(network.is_private for network in networks)


def test_the_profile_means_what_it_says(use_shape: Any) -> None:
    """Values of the alerts profile arrive at the settings that mean the same."""
    use_shape("profile-3.3.yml")

    settings = load_settings()
    arm = settings.arms["cosmos3-nano"]

    assert (settings.ab.primary, arm.url) == ("cosmos3-nano", "http://rtvi-vlm:8000/v1")
    assert (arm.timeout_s, arm.max_tokens, arm.temperature) == (5, 4096, 0.6)
    assert (arm.fps, arm.max_frames, arm.max_pixels) == (4, 40, 3_960_000)
    assert (settings.vst.base_url, settings.vst.timeout_s) == ("http://vst-ingress:30888", 60)
    assert settings.verify.max_in_flight == 4
    assert settings.filters.end_time_delta.threshold_s == 3
    assert settings.sinks.elastic.hosts == ("http://elasticsearch:9200",)
    assert settings.kafka.bootstrap_servers == "kafka:29092"
    assert settings.sinks.kafka.bootstrap_servers == ""


def test_the_users_own_settings_win(use_shape: Any) -> None:
    """A SIDECAR_ variable wins over VSS's configuration, which wins over the defaults."""
    use_shape(
        "profile-3.3.yml",
        SIDECAR_ARMS__COSMOS3_NANO__TIMEOUT_S="45",
        SIDECAR_VST__TIMEOUT_S="7",
    )

    settings = load_settings()
    origins = {leaf.name: leaf.origin for leaf in describe_settings(settings)}

    assert (settings.arms["cosmos3-nano"].timeout_s, settings.vst.timeout_s) == (45, 7)
    assert settings.arms["cosmos3-nano"].max_tokens == 4096
    assert (origins["vst.timeout_s"], origins["vst.segment_anchor"]) == ("environment", "vss")


def test_an_unset_variable_is_named_in_the_error(use_shape: Any) -> None:
    """Without VLM_BASE_URL the service does not start, and the error names the variable."""
    use_shape("profile-3.3.yml", VLM_BASE_URL="")

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert "vlm.base_url" in caught.value.detail
    assert "Not set: VLM_BASE_URL." in caught.value.detail


def test_a_wrong_value_is_told_by_vss_name(use_shape: Any, tmp_path: Path) -> None:
    """A value that a setting does not take is reported under VSS's key."""
    config = tmp_path / "config.yml"
    config.write_text(LEAST + "vst_config: {segment_anchor: beginning}\n")
    use_shape(str(config))

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert f"vst_config.segment_anchor in {config}" in caught.value.detail


def test_without_a_configuration_nothing_changes() -> None:
    """Settings are the plain ones when no configuration of VSS is named."""
    assert load_settings() == load_plain_settings()


@pytest.mark.parametrize(
    ("content", "expected"),
    [("- a\n", "holds no sections"), ("a: [\n", "is not valid YAML"), (None, "cannot be read")],
)
def test_a_broken_file_is_one_sentence(
    use_shape: Any, tmp_path: Path, content: str | None, expected: str
) -> None:
    """A file that is missing or no configuration is a settings error that says so."""
    config = tmp_path / "config.yml"
    if content is not None:
        config.write_text(content)
    use_shape(str(config))

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert expected in caught.value.detail


def test_a_missing_file_of_alert_types_is_refused(use_shape: Any, tmp_path: Path) -> None:
    """A file of alert types that is named and not there keeps the service from starting."""
    config = tmp_path / "config.yml"
    config.write_text(LEAST + "alert_type_config_file: none.json\n")
    use_shape(str(config))

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert "alert_type_config_file" in caught.value.detail


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("nvidia/cosmos-reason2-8b", "reason2"),
        ("nim_nvidia_cosmos-reason2-8b_0303-fp8-dynamic-kv8", "reason2"),
        ("nim_nvidia_cosmos3-nano-reasoner_bf16-final", "cosmos3-nano"),
        ("nvidia/Cosmos3-Nano-Reasoner", "cosmos3-nano"),
    ],
)
def test_the_model_chooses_the_arm(model: str, adapter: str) -> None:
    """The arm and its adapter are found by the name of the model."""
    draft = mapped(f"vlm.model: {model}")

    assert adapter == value_of(draft, "ab.primary")
    assert (adapter, model) == (
        value_of(draft, f"arms.{adapter}.adapter"),
        value_of(draft, f"arms.{adapter}.model"),
    )


def test_an_unknown_model_is_asked_as_any() -> None:
    """A model of no known family gets the generic adapter, with a warning."""
    draft = mapped("vlm.model: Qwen/Qwen3-VL-8B-Instruct")

    assert value_of(draft, "ab.primary") == "generic"
    assert "vlm.model" in told(draft, "warning")


@pytest.mark.parametrize(
    ("text", "fps", "frames"),
    [
        ("vlm.num_frames: 5", 0.5, 5),
        ("vlm.num_frames: 5\nvst_config.segment_duration_seconds: 20", 0.25, 5),
        ("vlm.num_frames: 5\nvst_config.segment_duration_seconds: 0", 5, 5),
        ("vlm.enable_sampling: true", 4, 40),
        ("vlm.enable_sampling: true\nvlm.sampling_fps: 2", 2, 20),
        ("vlm.dynamic_frame_count: true", 1.2, 12),
        ("vlm.dynamic_frame_count: true\nvst_config.segment_duration_seconds: 30", 2.4, 72),
        ("vlm.num_frames: 5\nvlm.use_vlm_media_defaults: true", {}, {}),
        ("", {}, {}),
    ],
)
def test_as_many_frames_result_as_vss_asks_for(text: str, fps: Any, frames: Any) -> None:
    """The rate and the most frames of the arm give VSS's number of frames of a clip."""
    draft = mapped(text)

    assert (fps, frames) == (
        value_of(draft, "arms.reason2.fps"),
        value_of(draft, "arms.reason2.max_frames"),
    )


@pytest.mark.parametrize(
    ("text", "setting", "expected"),
    [
        ("vlm.base_url: http://vlm:8000", "arms.reason2.url", "http://vlm:8000/v1"),
        ("vlm.base_url: http://vlm:8000/", "arms.reason2.url", "http://vlm:8000/v1"),
        ("vlm.vlm_media_source_using_base64: true", "arms.reason2.evidence", "video"),
        ("vlm.max_pixels: 345600\nvlm.do_resize: false", "arms.reason2.max_pixels", {}),
        ("vlm.max_tokens: 0", "arms.reason2.max_tokens", None),
        ("vlm.request_timeout: 300", "verify.deadline_s", 660),
        ("vlm.response_format: cr3", "answers.response_format", "cosmos-reason"),
        ("alert_agent.vst_pass_through_mode: true", "vst.ignore_event_media", False),
        ("alert_agent.num_workers: 3", "verify.max_in_flight", 3),
        ("alert_agent.processes: 2", "verify.max_in_flight", 20),
        ("alert_agent.async_io.max_vlm_concurrent: 4", "verify.max_in_flight", 4),
        ("alert_agent.media_download.max_size_mb: 2", "media.max_bytes", 2_097_152),
        ("logging.level: CRITICAL", "log.level", "error"),
        ('prompt.default_system_prompt: ""', "prompts.default_system", ""),
        ("kafka.auto_offset_reset: earliest", "kafka.start_at", "earliest"),
        ("kafka.session_timeout_ms: 45000", "kafka.session_timeout_s", 45),
        ("vlm_enhanced_sink.type: console", "sinks.console.enabled", True),
        ("vlm_enhanced_sink.type: kafka", "sinks.kafka.bootstrap_servers", "kafka:29092"),
        ("vlm_enhanced_sink.type: kafka", "sinks.elastic.hosts", {}),
        (
            "rtvi_vlm.consolidation.max_event_duration_seconds: null",
            "realtime.consolidation.max_duration_s",
            None,
        ),
        ("webhook.openclaw.url: http://hook:1", "sinks.webhook.url", {}),
        (
            "webhook.openclaw.url: http://hook:1\nwebhook.openclaw.enabled: true",
            "sinks.webhook.url",
            "http://hook:1",
        ),
    ],
)
def test_a_key_means_a_setting(text: str, setting: str, expected: object) -> None:
    """A key of VSS arrives at the setting that means the same."""
    assert expected == value_of(mapped(text), setting)


def test_redis_is_reached_by_the_more_special_connection() -> None:
    """The connection of a component wins over the common one, which fills its blanks."""
    draft = mapped(
        "event_bridge.sourceType: redisStream\n"
        "redis.host: common\nredis.password: 'p:w'\nredis.db: 2\n"
        "event_bridge.redis_source.host: special\nevent_bridge.redis_source.password: ''\n"
    )

    assert value_of(draft, "streams.url") == "redis://:p%3Aw@special:6379/2"
    assert value_of(draft, "kafka.bootstrap_servers") == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("vlm.base_url: /v1", "vlm.base_url"),
        ("vlm.base_url: ''", "vlm.base_url"),
        ("vlm.model: ''", "vlm.model"),
        ("vlm.max_tokens: many", "vlm.max_tokens"),
        ("vlm: 5", "vlm"),
        ("event_bridge.sourceType: mqtt", "event_bridge.sourceType"),
        ("event_bridge.sourceType: redisStream", "event_bridge.redis_source.host"),
        ("kafka.anomalyTopic: a", "kafka.anomalyTopic"),
        ("kafka.auto_offset_reset: none", "kafka.auto_offset_reset"),
        ("vlm_enhanced_sink.type: mongo", "vlm_enhanced_sink.incident.type"),
        ("vlm_enhanced_incident_sink.type: kafka", "vlm_enhanced_incident_sink"),
        (
            "vlm_enhanced_sink.alert.kafka.message_type: frame",
            "vlm_enhanced_sink.alert.kafka.message_type",
        ),
        ("elastic.enabled: false", "elastic.enabled"),
        ("elastic.hosts: []", "elastic.hosts"),
        ("elastic.cloud_id: abc", "elastic.cloud_id"),
        ("prompt.default_system_prompt: null", "prompt.default_system_prompt"),
        ("webhook.openclaw.enabled: true", "webhook.openclaw.url"),
        ("logging.level: loud", "logging.level"),
    ],
)
def test_what_cannot_work_is_refused(text: str, key: str) -> None:
    """A value that cannot be honoured is an error under its own key."""
    assert key in told(mapped(text), "error")


def test_the_least_configuration_is_not_refused() -> None:
    """Three addresses and a model are enough."""
    assert told(mapped(), "error") == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("vlm.request_timeout: 5\nvlm.max_tokens: 4096", "vlm.request_timeout"),
        ("vlm.temperature: 0.6", "vlm.temperature"),
        ("vlm.num_frames: 5\nvlm.max_pixels: 345600", "vlm.max_pixels"),
        ("alert_agent.num_workers: 10", "alert_agent.async_io.max_vlm_concurrent"),
        ("kafka.auto_offset_reset: latest", "kafka.auto_offset_reset"),
        ("kafka.enable_auto_commit: true", "kafka.enable_auto_commit"),
        ("elastic.hosts: ['https://e:9200']\nelastic.verify_certs: false", "elastic.verify_certs"),
        ("alert_agent.enrichment.enabled: true", "alert_agent.enrichment.enabled"),
        ("prompt.prefer_payload_prompt: true", "prompt.prefer_payload_prompt"),
        (
            "alert_agent.media_download.allow_private_urls: true",
            "alert_agent.media_download.allow_private_urls",
        ),
        (
            "alert_agent.media_download.enabled: true",
            "alert_agent.media_download.use_verdict",
        ),
    ],
)
def test_a_harmful_value_is_warned_of(text: str, key: str) -> None:
    """A value that harms, or asks for what is missing, is a warning under its own key."""
    assert key in told(mapped(text), "warning")


def test_a_good_value_is_not_warned_of() -> None:
    """Values as the warnings propose them bring none."""
    draft = mapped(
        "vlm.request_timeout: 60\nvlm.max_tokens: 512\nvlm.temperature: 0\nvlm.num_frames: 5\n"
        "vlm.max_pixels: 3960000\nvlm.vlm_media_source_using_base64: true\n"
        "alert_agent.async_io.max_vlm_concurrent: 4\nkafka.auto_offset_reset: earliest\n"
        "alert_agent.media_download.allow_private_urls: false\n"
    )

    assert told(draft, "warning") == []


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("vlm.max_token", "vlm.max_tokens"),
        ("alert_agent.segment_anchor", "vst_config.segment_anchor"),
        ("vst_configs.base_url", None),
        ("wholly_different", None),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_name(key: str, meant: str | None) -> None:
    """A key that VSS does not have is a warning that names the nearest one that it has."""
    draft = mapped(f"{key}: 1")
    found = [it.text for it in draft.remarks if it.text.startswith("is not known")]

    assert len(found) == 1
    assert meant is None or f"Did you mean {meant}?" in found[0]


@pytest.mark.parametrize("name", SHAPES)
def test_no_key_is_dropped_in_silence(name: str) -> None:
    """Every key of a shipped shape is either told or taken by a rule that uses it."""
    document = yaml.safe_load((HERE / name).read_text())
    draft = map_config(document, ENVIRONMENT, families())

    assert [it.key for it in draft.remarks if it.text.startswith("is not known")] == []


CONTEXTS = (
    "",
    "event_bridge.sourceType: redisStream\nvlm_enhanced_sink.type: redisStream\nredis.host: r",
    (
        "event_bridge.sourceType: redisStream\nredis.host: r\n"
        "event_bridge.redis_source.streams.anomaly_stream: in"
    ),
    "vlm_enhanced_sink.type: kafka",
    "webhook.openclaw.enabled: true\nwebhook.openclaw.url: http://hook:1",
    "alert_agent.vst_pass_through_mode: true",
    "vlm.enable_sampling: true",
    "vlm.num_frames: 5\nvlm.max_pixels: 345600",
    "vlm.response_parser: a.B",
)
EXAMPLES = {
    Kind.TEXT: ["other", "console", "redisStream", "earliest", "behavior", "json", "0", "debug"],
    Kind.URL: ["http://other:1"],
    Kind.NUMBER: [7],
    Kind.WHOLE: [7],
    Kind.FLAG: [True, False],
    Kind.NAMES: [["http://other:1"]],
}
SHAPING = [key for key, rule in KEYS.items() if isinstance(rule, Shapes)]


@pytest.mark.parametrize("key", SHAPING)
def test_a_key_that_shapes_settings_has_an_effect(key: str) -> None:
    """No key that the table calls used is dropped: with it the settings or remarks are others."""
    rule = KEYS[key]
    assert isinstance(rule, Shapes)
    effects = [
        (context, value)
        for context in CONTEXTS
        for value in EXAMPLES[rule.kind]
        if mapped(f"{context}\n{key}: {value}".strip()) != mapped(context)
    ]

    assert effects


def test_variables_of_the_compose_file_count() -> None:
    """Ports, hosts, folders and switches of the environment arrive; the environment wins."""
    draft = mapped(
        "vst_config.storage.base_url: http://file:1\nalert_agent.always_on: true",
        {
            "FASTAPI_PORT": "9090",
            "PROMETHEUS_METRICS_ENABLED": "false",
            "STORAGE_MODULE_ENDPOINT": "http://storage:2",
            "EXTERNAL_IP": "10.1.1.1",
            "VLM_MODE": "remote",
            "VLM_WARMUP_ENABLED": "false",
            "ALWAYS_ON_RULES_CONFIG": "/app/runtime/realtime-config.yml",
            "LOG_VERBOSE_ES": "true",
            "ENABLE_OTEL_MONITORING": "true",
            "OTEL_SERVICE_NAME": "vss-alert-ms",
        },
    )

    assert value_of(draft, "http") == {"host": "0.0.0.0", "port": 9090}
    assert value_of(draft, "metrics") == {"host": "0.0.0.0", "enabled": False}
    assert value_of(draft, "vst.storage_url") == "http://storage:2"
    assert value_of(draft, "vst.external_host") == "10.1.1.1"
    assert value_of(draft, "vst.model_is_remote") is True
    assert value_of(draft, "canary.enabled") is False
    assert value_of(draft, "realtime.always_on_rules") == "/app/runtime/realtime-config.yml"
    assert "LOG_VERBOSE_ES" in told(draft, "note")
    assert value_of(draft, "trace") == {
        "endpoint": "http://otel-collector:4318",
        "service_name": "vss-alert-ms",
    }


def test_a_wrong_variable_is_refused() -> None:
    """A port that is no number keeps the service from starting, by the variable's name."""
    assert told(mapped("", {"FASTAPI_PORT": "http"}), "error") == ["FASTAPI_PORT"]
