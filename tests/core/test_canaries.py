"""How a policy changes while an arm is promoted."""

from collections import Counter

import pytest

from sidecar.core.canaries import Shadowing, can_be_promoted, give, observe
from sidecar.core.choosing import Facts, choose
from sidecar.policy import Policy, Weighted

OLD, NEW, OTHER = "reason2", "cosmos3-nano", "baseline"
SPLIT = {"kind": "weighted", "weights": {OLD: 60, NEW: 10, OTHER: 30}}
POLICY = Policy.model_validate(
    {
        "rules": [
            {"when": {"alert_types": "fire"}, "use": {"kind": "vote", "arms": [OLD, NEW]}},
            {"when": {"alert_types": "fall"}, "use": SPLIT},
            {"when": {"alert_types": "smoke"}, "use": OTHER},
            {"use": OLD},
        ],
    }
)


def _facts(number: int, alert_type: str = "ppe") -> Facts:
    return Facts(alert_type, "camera-1", "camera-1", f"key-{number}")


def _dealt(policy: Policy, events: int = 4000) -> Counter[str]:
    return Counter(choose(policy, _facts(number)).arms[0] for number in range(events))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_one_camera_alone_gives_the_candidate_its_share(share: float) -> None:
    """Each event is dealt out by itself; at most five standard deviations off."""
    dealt = _dealt(give(POLICY, OLD, NEW, share))
    deviation = (4000 * share * (1 - share)) ** 0.5

    assert {OLD, NEW} == set(dealt)
    assert abs(dealt[NEW] - 4000 * share) < 5 * deviation


def test_an_event_that_the_candidate_was_given_stays_with_it_as_its_share_grows() -> None:
    """From 10 to 50 % nothing goes back."""
    few, many = (give(POLICY, OLD, NEW, share) for share in (0.1, 0.5))
    before = {n for n in range(500) if choose(few, _facts(n)).arms == (NEW,)}
    after = {n for n in range(500) if choose(many, _facts(n)).arms == (NEW,)}

    assert before
    assert before < after


def test_all_of_it_replaces_the_reference_in_fixed_and_weighted_rules_only() -> None:
    """Votes and the events of other arms stay as they were; the reference catches failures."""
    given = give(POLICY, OLD, NEW, 1.0)
    split = given.rules[1].use

    assert POLICY.rules[0] == given.rules[0]
    assert isinstance(split, Weighted)
    assert {OLD: 0, NEW: 70, OTHER: 30} == split.weights
    assert POLICY.rules[2] == given.rules[2]
    assert (NEW,) == choose(given, _facts(1)).arms
    assert (OLD,) == choose(given, _facts(1)).fallback
    assert given == Policy.model_validate(given.model_dump(mode="json"))


def test_both_arms_are_asked_about_every_event_of_a_canary() -> None:
    """Whoever does not answer is the shadow."""
    policy = observe(give(POLICY, OLD, NEW, 0.5), OLD, NEW, Shadowing())
    pairs = {(plan.arms[0], plan.shadow) for n in range(50) if (plan := choose(policy, _facts(n)))}

    assert {(OLD, NEW), (NEW, OLD)} == pairs
    assert "" == choose(policy, _facts(1, "fire")).shadow


def test_a_shadow_that_asks_the_candidate_keeps_its_share() -> None:
    """What the operator wrote down counts; another arm's shadow makes room."""
    shadow = {"arm": NEW, "share": 0.2, "limit": 7}
    mine = Policy.model_validate({"rules": [{"use": OLD}], "shadow": shadow})
    other = Policy.model_validate({"rules": [{"use": OLD}], "shadow": {"arm": OTHER}})
    kept = observe(mine, OLD, NEW, Shadowing(share=1.0, limit=2)).shadow
    changed = observe(other, OLD, NEW, Shadowing(share=0.5, limit=3)).shadow

    assert kept is not None
    assert (NEW, OLD, 0.2, 7) == (kept.arm, kept.instead, kept.share, kept.limit)
    assert changed is not None
    assert (NEW, OLD, 0.5, 3) == (changed.arm, changed.instead, changed.share, changed.limit)


def test_an_arm_without_events_of_its_own_has_nothing_to_give() -> None:
    """A cascade or a vote cannot be split."""
    vote = {"kind": "vote", "arms": [OLD, NEW]}
    asks_both = Policy.model_validate({"rules": [{"use": vote}]})

    assert can_be_promoted(POLICY, OLD)
    assert can_be_promoted(POLICY, OTHER)
    assert not can_be_promoted(asks_both, OLD)
    assert not can_be_promoted(POLICY, "cosmos3-super")
