"""Metrics of arms: what they say, how often they agree, and how their servers are."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar.model import ArmAnswer, LeftOut, Outcome
from sidecar.observe.metrics import SECONDS
from sidecar.policy import Promotion

SPARED: Final = ("full", "busy", "down", "no_media", "failed")
"""Why a shadow is not asked: its places are taken; those of events are; its servers are down; the
media are gone; or by a defect."""
_OUTCOMES: Final = {Outcome.NONE: "described"}


class PrometheusArmsMeter:
    """Implements the ArmsMeter port.

    Args:
        registry: where the metrics are.
        arms: names of all arms.
    """

    def __init__(self, registry: CollectorRegistry, arms: Iterable[str]) -> None:
        self._answers = Counter(
            "sidecar_ab_answers",
            "Answers of arms by outcome, and by why they were asked.",
            ["arm", "role", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "sidecar_ab_answer_seconds",
            "From asking an arm to its finding.",
            ["arm"],
            buckets=SECONDS,
            registry=registry,
        )
        self._compared = Counter(
            "sidecar_ab_compared",
            "Shadow answers by whether they agree with the published verdict; `none`: not both "
            "are verdicts.",
            ["arm", "agreement"],
            registry=registry,
        )
        self._left_out = Counter(
            "sidecar_ab_left_out", "Arms passed over.", ["arm", "reason"], registry=registry
        )
        self._spared = Counter(
            "sidecar_ab_shadow_spared",
            "Events of its share that a shadow was not asked about.",
            ["arm", "reason"],
            registry=registry,
        )
        self._lost = Counter(
            "sidecar_ab_lost_comparisons", "Events whose answers were not kept.", registry=registry
        )
        self._labels = Counter("sidecar_ab_labels", "Labels by people.", registry=registry)
        self._version = Gauge(
            "sidecar_ab_choice_version", "Version of the choice in force.", registry=registry
        )
        self._share = Gauge(
            "sidecar_ab_promotion_share",
            "Share of the events that an arm is given which is being promoted.",
            ["arm"],
            registry=registry,
        )
        self._stage = Gauge(
            "sidecar_ab_promotion_stage",
            "1 for how far the promotion of an arm is.",
            ["arm", "stage"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "sidecar_ab_endpoint_in_flight",
            "Requests that an endpoint is answering.",
            ["arm", "endpoint"],
            registry=registry,
        )
        self._limit = Gauge(
            "sidecar_endpoint_limit",
            "Requests that an endpoint may be answering at the same time now.",
            ["arm", "endpoint"],
            registry=registry,
        )
        self._waiting = Gauge(
            "sidecar_endpoint_waiting",
            "Requests that wait until an endpoint is answering fewer.",
            ["arm", "endpoint"],
            registry=registry,
        )
        self._is_left_out = Gauge(
            "sidecar_ab_endpoint_left_out",
            "1 while an endpoint fails and gets no requests that can go elsewhere.",
            ["arm", "endpoint"],
            registry=registry,
        )
        for arm in arms:
            self._seconds.labels(arm)
            for reason in LeftOut:
                self._left_out.labels(arm, reason)
            for spared in SPARED:
                self._spared.labels(arm, spared)

    def answered(self, answers: Sequence[ArmAnswer]) -> None:
        """Count and time the answers about one event."""
        for answer in answers:
            outcome = _OUTCOMES.get(answer.outcome, answer.outcome.value)
            self._answers.labels(answer.arm, answer.role.value, outcome).inc()
            self._seconds.labels(answer.arm).observe(answer.latency_ms / 1000)

    def compared(self, published: ArmAnswer, shadow: ArmAnswer) -> None:
        """Count whether a shadow agrees."""
        verdicts = {Outcome.CONFIRMED, Outcome.REJECTED}
        if not {published.outcome, shadow.outcome} <= verdicts:
            agreement = "none"
        else:
            agreement = "yes" if published.outcome is shadow.outcome else "no"
        self._compared.labels(shadow.arm, agreement).inc()

    def left_out(self, arm: str, reason: LeftOut) -> None:
        """Count an arm that was passed over."""
        self._left_out.labels(arm, reason.value).inc()

    def shadow_spared(self, arm: str, reason: str) -> None:
        """Count an event that a shadow did not see."""
        self._spared.labels(arm, reason).inc()

    def lost(self, events: int) -> None:
        """Count comparisons that nobody will see."""
        self._lost.inc(events)

    def labelled(self, labels: int) -> None:
        """Count labels."""
        self._labels.inc(labels)

    def chosen(self, version: int) -> None:
        """Tell the version in force."""
        self._version.set(version)

    def promoted(self, promotion: Promotion | None) -> None:
        """Tell how far a promotion is, and nothing of earlier ones."""
        self._share.clear()
        self._stage.clear()
        if promotion is not None:
            self._share.labels(promotion.candidate).set(promotion.share)
            self._stage.labels(promotion.candidate, promotion.stage.value).set(1)

    def endpoint(
        self,
        arm: str,
        place: str,
        *,
        in_flight: int,
        waiting: int,
        limit: int,
        is_left_out: bool,
    ) -> None:
        """Set the levels of an endpoint."""
        self._limit.labels(arm, place).set(limit)
        self._waiting.labels(arm, place).set(waiting)
        self._in_flight.labels(arm, place).set(in_flight)
        self._is_left_out.labels(arm, place).set(is_left_out)
