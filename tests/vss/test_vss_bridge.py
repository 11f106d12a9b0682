"""The configuration of VSS 2.4's Alert Bridge, as it is."""

from pathlib import Path

import pytest

from sidecar.vss.loading import find_vss_config, load_settings

CONFIG = Path(__file__).parent / "bridge-2.4.yaml"


def test_the_bridge_is_what_the_file_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Streams, group, timeouts and clips; nothing of 3.x is switched on or asked for."""
    monkeypatch.setenv("SIDECAR_VSS_CONFIG", str(CONFIG))
    monkeypatch.setenv("ALERT_REVIEW_MEDIA_BASE_DIR", str(tmp_path))
    monkeypatch.setenv("ALERT_AGENT_DEFAULTS_FILE", "/app/alert_request_defaults.yaml")

    settings = load_settings()
    bridge = settings.bridge

    assert "redis://redis:6379/0" == bridge.url.get_secret_value()
    assert ("alert-bridge-input-stream", "reviewed-alerts", "alert-bridge-incidents-stream") == (
        bridge.input_stream,
        bridge.enhanced_stream,
        bridge.incidents_stream,
    )
    assert ("vlm_agents_group", "earliest") == (bridge.group, bridge.start_at)
    assert Path("/app/alert_request_defaults.yaml") == bridge.request_defaults
    assert (200, tmp_path) == (settings.review.deadline_s, settings.review.media_base_dir)
    assert ("http://storage-ms:30000", True) == (settings.vst.base_url, settings.websocket.enabled)
    assert ("", "", ()) == (
        settings.streams.url.get_secret_value(),
        settings.kafka.bootstrap_servers,
        settings.sinks.elastic.hosts,
    )


def test_every_key_is_known_and_the_missing_model_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No key of 2.4 is reported as unknown; that it names no model is a warning."""
    monkeypatch.setenv("SIDECAR_VSS_CONFIG", str(CONFIG))

    config = find_vss_config()

    assert config is not None
    assert [] == [it for it in config.remarks if "not known" in it.text or it.severity == "error"]
    assert {"vss_agent.base_url", "prompt.prefer_payload_prompt"} == {
        remark.key for remark in config.remarks if remark.severity == "warning"
    }


def test_a_model_may_be_named_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the words of 3.x, in the same file."""
    path = tmp_path / "config.yaml"
    vlm = 'vlm: {base_url: "http://vlm:8000/v1", model: nvidia/cosmos-reason2-8b}\n'
    path.write_text(CONFIG.read_text() + vlm)
    monkeypatch.setenv("SIDECAR_VSS_CONFIG", str(path))

    settings = load_settings()

    assert ("reason2", "http://vlm:8000/v1") == (
        settings.ab.primary,
        settings.arms["reason2"].url,
    )
