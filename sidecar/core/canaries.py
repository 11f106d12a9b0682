"""How a policy is changed while an arm is promoted. Pure functions."""

from dataclasses import dataclass

from sidecar.policy import Fixed, Policy, Shadow, Use, Weighted

MOST_DIGITS = 9
"""Of a weight: products of shares have more digits than they mean."""


@dataclass(frozen=True, slots=True)
class Shadowing:
    """How arms are compared during a promotion: see `sidecar.policy.Shadow`."""

    share: float = 1.0
    limit: int = 2


def can_be_promoted(base: Policy, reference: str) -> bool:
    """Tell whether a policy gives the reference events that another arm could answer."""
    return any(_is_given(rule.use, reference) for rule in base.rules)


def observe(base: Policy, reference: str, candidate: str, shadowing: Shadowing) -> Policy:
    """Let the candidate be asked about what the reference answers, and the other way round.

    A shadow that asks the candidate already stays as it is.
    """
    shadow = base.shadow
    if shadow is None or shadow.arm != candidate:
        shadow = Shadow(arm=candidate, share=shadowing.share, limit=shadowing.limit)
    shadow = shadow.model_copy(update={"instead": reference})
    return base.model_copy(update={"shadow": shadow})


def give(policy: Policy, reference: str, candidate: str, share: float) -> Policy:
    """Give the candidate a share of what the reference answers by fixed and weighted rules.

    The reference becomes the last fallback: what the candidate cannot answer is answered all the
    same. Cascades and votes stay as they are.

    Args:
        policy: before the promotion.
        reference: that answers now.
        candidate: that shall answer.
        share: above 0, up to 1.
    """
    rules = tuple(
        rule.model_copy(update={"use": _given(rule.use, reference, candidate, share)})
        for rule in policy.rules
    )
    fallback = policy.fallback
    if reference not in fallback:
        fallback = (*fallback, reference)
    return policy.model_copy(update={"rules": rules, "fallback": fallback})


def _is_given(use: Use, reference: str) -> bool:
    if isinstance(use, Weighted):
        return use.weights.get(reference, 0.0) > 0
    return isinstance(use, Fixed) and use.arm == reference


def _given(use: Use, reference: str, candidate: str, share: float) -> Use:
    if not _is_given(use, reference):
        return use
    if isinstance(use, Fixed):
        if share >= 1:
            return Fixed(kind="fixed", arm=candidate)
        return _weighted({reference: 1 - share, candidate: share}, "event")
    assert isinstance(use, Weighted)
    moved = use.weights[reference] * share
    weights = {
        **use.weights,
        reference: use.weights[reference] - moved,
        candidate: use.weights.get(candidate, 0.0) + moved,
    }
    return use.model_copy(update={"weights": _rounded(weights)})


def _weighted(weights: dict[str, float], by: str) -> Weighted:
    return Weighted.model_validate({"kind": "weighted", "by": by, "weights": _rounded(weights)})


def _rounded(weights: dict[str, float]) -> dict[str, float]:
    return {arm: round(weight, MOST_DIGITS) for arm, weight in weights.items()}
