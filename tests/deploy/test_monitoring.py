"""Dashboards and alerts: about metrics that exist, and alerts that fire when they should."""

import json
import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from deploy.env_files import COMPOSE, ROOT
from deploy.tools import miss, tool
from sidecar.observe.ab_metrics import PrometheusArmsMeter
from sidecar.observe.access_metrics import PrometheusAccessMeter
from sidecar.observe.audience_metrics import PrometheusAudienceMeter
from sidecar.observe.metrics import PrometheusMeter
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.observe.review_metrics import PrometheusReviewMeter

RULES = COMPOSE / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((COMPOSE / "grafana" / "dashboards").glob("*.json"))
ADDED = {"job", "instance", "le"}
"""Labels that Prometheus adds, or a histogram has."""
SCRAPED = {"up": {"job", "instance"}}


def registry() -> CollectorRegistry:
    """Return the registry of a service with every part that measures."""
    meter = PrometheusMeter()
    PrometheusRealtimeMeter(meter.registry)
    PrometheusReviewMeter(meter.registry)
    PrometheusArmsMeter(meter.registry, ["reason2"])
    PrometheusAccessMeter(meter.registry)
    PrometheusAudienceMeter(meter.registry)
    return meter.registry


def series() -> dict[str, set[str]]:
    """Return the labels of every series that a scrape can show, by its name."""
    found: dict[str, set[str]] = dict(SCRAPED)
    known = registry()
    for metric in known._collector_to_names:  # also those without a sample yet
        labels = set(getattr(metric, "_labelnames", ()))
        found |= dict.fromkeys(_names_of(metric), labels)
    for metric in known.collect():
        for sample in metric.samples:
            found.setdefault(sample.name, set(sample.labels))
    return found


def _names_of(metric: Any) -> Iterator[str]:
    name, kind = getattr(metric, "_name", ""), getattr(metric, "_type", "")
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    yield from (f"{name}{ending}" for ending in endings.get(kind, ()) if name)


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return list(group["rules"])


def queries() -> Iterator[tuple[str, str]]:
    """Yield where a query stands, and the query."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"].replace("$__rate_interval", "5m")
                yield f"{path.name}: {panel['title']}", text
    for alert in alerts():
        yield alert["alert"], alert["expr"]


@pytest.mark.parametrize(("place", "query"), list(queries()), ids=lambda it: it[:50])
def test_queries_are_about_series_and_labels_that_exist(place: str, query: str) -> None:
    """A name that nothing measures would show an empty picture, and an alert that never fires."""
    known = series()
    names = re.findall(r"\b([a-z][a-z_]+_[a-z_]+|up)\b(?=[\[{\s)>]|$)", query)
    used = [name for name in names if name != "histogram_quantile"]
    unknown = [name for name in used if name not in known]

    assert used, place
    assert not unknown, place
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*[=!]", matchers))
        assert labels <= known[name] | ADDED, place
    grouped = {it.strip() for by in re.findall(r"by \(([^)]*)\)", query) for it in by.split(",")}
    allowed = ADDED.union(*(known[name] for name in used))
    assert grouped <= allowed, place


def test_a_name_that_nothing_measures_is_noticed() -> None:
    """The check above can fail."""
    with pytest.raises(AssertionError):
        test_queries_are_about_series_and_labels_that_exist(
            "x", "rate(alert_bridge_nothing_total[5m])"
        )
    with pytest.raises(AssertionError):
        test_queries_are_about_series_and_labels_that_exist(
            "x", "sum by (camera) (rate(alert_bridge_events_total[5m]))"
        )


@pytest.mark.parametrize(("place", "query"), list(queries()), ids=lambda it: it[:50])
def test_queries_are_promql(place: str, query: str) -> None:
    """By a parser of the language."""
    if find_spec("promql_parser") is None:
        miss("promql-parser is not installed: make check-deploy")
    import promql_parser

    assert promql_parser.parse(query) is not None, place


def test_every_metric_of_ours_is_shown() -> None:
    """What is measured and never looked at is forgotten."""
    text = " ".join(query for _, query in queries())
    ours = {
        name
        for metric in registry()._collector_to_names
        for name in _names_of(metric)
        if name.startswith(("sidecar_", "alert_bridge_")) and not name.endswith(("_sum", "_count"))
    }
    hidden = {name for name in ours if name not in text}

    assert hidden <= {
        "alert_bridge_realtime_rules_persisted_total",  # the same as created
        "alert_bridge_replay_rule_failures_total",  # in the outcome of the replays
        "alert_bridge_incident_query_failures_total",
        "alert_bridge_dedup_split_reason_total",
        "alert_bridge_dedup_duration_seconds_bucket",
    }


def test_the_rules_and_the_scraping_are_valid() -> None:
    """By Prometheus's own checker."""
    for kind, path in (("rules", RULES), ("config", COMPOSE / "prometheus/prometheus.yml")):
        found = _promtool("check", kind, str(path))
        assert found.returncode == 0, found.stdout + found.stderr


def test_alerts_fire_in_trouble_and_not_in_quiet_work(tmp_path: Path) -> None:
    """Each of them, over series of an hour."""
    text = Path(__file__).with_name("alerts_test.yml").read_text("utf-8")
    file = tmp_path / "alerts_test.yml"
    file.write_text(text.replace("RULES", str(RULES)))
    found = _promtool("test", "rules", str(file))

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"value: {len(alerts())}" in text


def _promtool(*words: str) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_alert_has_its_explanation() -> None:
    """Under a heading of the operations page, which its annotation names."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for alert in alerts():
        name = alert["alert"]
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert f"\n### {name}\n" in page
        assert alert["labels"]["severity"] in ("warning", "critical")


def test_every_panel_fits_its_row() -> None:
    """Pictures have titles, a place of their own, and an id of their own."""
    for path in DASHBOARDS:
        panels = json.loads(path.read_text("utf-8"))["panels"]
        places = [(it["gridPos"]["x"], it["gridPos"]["y"]) for it in panels]

        assert all(it["title"] for it in panels)
        assert len(set(places)) == len(places)
        assert len({it["id"] for it in panels}) == len(panels)
        assert all(it["gridPos"]["x"] + it["gridPos"]["w"] <= 24 for it in panels)
