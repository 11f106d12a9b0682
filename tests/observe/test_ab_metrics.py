"""What a Prometheus learns about arms."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from sidecar.model import ArmAnswer, LeftOut, Outcome, Role
from sidecar.observe.ab_metrics import SPARED, PrometheusArmsMeter

SAID = ArmAnswer(
    key="k",
    arm="a",
    model="m",
    adapter="x",
    role=Role.PRIMARY,
    outcome=Outcome.CONFIRMED,
    decided_at=datetime(2026, 1, 31, 8, tzinfo=UTC),
    latency_ms=1500,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meter(registry: CollectorRegistry) -> PrometheusArmsMeter:
    return PrometheusArmsMeter(registry, ["a", "b"])


def test_answers_are_counted_and_timed(
    meter: PrometheusArmsMeter, registry: CollectorRegistry
) -> None:
    """By arm, by why it was asked, and by outcome; a description has a word of its own."""
    meter.answered([SAID, replace(SAID, arm="b", role=Role.SHADOW, outcome=Outcome.NONE)])
    value = registry.get_sample_value

    labels = {"arm": "a", "role": "primary", "outcome": "confirmed"}
    described = {"arm": "b", "role": "shadow", "outcome": "described"}
    assert (1, 1) == (
        value("sidecar_ab_answers_total", labels),
        value("sidecar_ab_answers_total", described),
    )
    assert 1.5 == value("sidecar_ab_answer_seconds_sum", {"arm": "a"})


@pytest.mark.parametrize(
    ("outcome", "agreement"),
    [
        (Outcome.CONFIRMED, "yes"),
        (Outcome.REJECTED, "no"),
        (Outcome.FAILED, "none"),
        (Outcome.NONE, "none"),
    ],
)
def test_agreement_is_between_verdicts(
    meter: PrometheusArmsMeter,
    registry: CollectorRegistry,
    outcome: Outcome,
    agreement: str,
) -> None:
    """Where one of both has none there is nothing to agree on."""
    meter.compared(SAID, replace(SAID, arm="b", outcome=outcome))
    labels = {"arm": "b", "agreement": agreement}

    assert 1 == registry.get_sample_value("sidecar_ab_compared_total", labels)


def test_what_is_rare_is_there_from_the_start(registry: CollectorRegistry) -> None:
    """So that rates and alerts work before it happens for the first time."""
    PrometheusArmsMeter(registry, ["a"])
    value = registry.get_sample_value
    names = [("sidecar_ab_left_out_total", reason.value) for reason in LeftOut]
    names += [("sidecar_ab_shadow_spared_total", reason) for reason in SPARED]

    assert {0.0} == {value(name, {"arm": "a", "reason": reason}) for name, reason in names}
    assert (0, 0) == (value("sidecar_ab_labels_total"), value("sidecar_ab_lost_comparisons_total"))


def test_levels_follow_the_servers(meter: PrometheusArmsMeter, registry: CollectorRegistry) -> None:
    """And the version in force."""
    meter.endpoint("a", "http://gpu", in_flight=3, waiting=2, limit=5, is_left_out=True)
    meter.chosen(7)
    labels = {"arm": "a", "endpoint": "http://gpu"}
    value = registry.get_sample_value

    assert (3, 2, 5, 1, 7) == (
        value("sidecar_ab_endpoint_in_flight", labels),
        value("sidecar_endpoint_waiting", labels),
        value("sidecar_endpoint_limit", labels),
        value("sidecar_ab_endpoint_left_out", labels),
        value("sidecar_ab_choice_version"),
    )
