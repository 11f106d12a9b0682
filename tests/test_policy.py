"""A policy that cannot work is refused with the reason; nothing is put in force then."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sidecar.errors import SettingsError
from sidecar.outside.policy_file import load_policy, read_policy_file
from sidecar.policy import Policy, write_policy
from sidecar.settings import AbSettings, load_settings

LAST = {"use": "a"}
ARMS = ("a", "b", "c")

names = st.sampled_from(ARMS)
several = st.lists(names, min_size=2, max_size=3, unique=True)
uses = st.one_of(
    names,
    st.integers(0, 100).map(lambda it: {"kind": "weighted", "weights": {"a": it, "b": 100 - it}}),
    several.map(lambda arms: {"kind": "cascade", "arms": arms, "unsure": [0.25, 0.5]}),
    several.map(lambda arms: {"kind": "vote", "arms": arms}),
)
whens = st.fixed_dictionaries(
    {"sensors": st.lists(st.text(min_size=1), min_size=1)},
    optional={"clip_s": st.just({"max": 3.0}), "questions": st.just(["causal"])},
)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"rules": []}, "add a last rule without `when`"),
        ({"rules": [{"when": {"sensors": "x"}, "use": "a"}]}, "add a last rule without `when`"),
        ({"rules": [LAST, LAST]}, "rule 1 fits every event"),
        ({"rules": [{"when": {}, "use": "a"}, LAST]}, "rule 1 fits every event"),
        ({"rules": [{"use": {"kind": "weighted", "weights": {"a": 50, "b": 40}}}]}, "add up to 90"),
        ({"rules": [{"use": {"kind": "weighted", "weights": {}}}]}, "add up to 0"),
        ({"rules": [{"use": {"kind": "weighted", "weights": {"a": -1, "b": 2}}}]}, "greater than"),
        ({"rules": [{"use": {"kind": "dice", "arms": ["a"]}}]}, "'dice'"),
        ({"rules": [{"use": {"arm": "a"}}]}, "kind"),
        ({"rules": [{"use": {"kind": "vote", "arms": ["a"]}}]}, "at least 2"),
        ({"rules": [{"use": {"kind": "vote", "arms": ["a", "a"]}}]}, "a stands there twice"),
        (
            {"rules": [{"use": {"kind": "vote", "arms": ["a", "b"], "umpire": "b"}}]},
            "b stands there twice",
        ),
        (
            {"rules": [{"use": {"kind": "cascade", "arms": ["a", "b"], "unsure": [0.7, 0.3]}}]},
            "two probabilities",
        ),
        ({"rules": [{"when": {"clip_s": {"min": 2, "max": 1}}, "use": "a"}, LAST]}, "below `min`"),
        ({"rules": [{"when": {"colour": "red"}, "use": "a"}, LAST]}, "colour"),
        ({"rules": [{"when": {"questions": "why"}, "use": "a"}, LAST]}, "'causal'"),
        ({"rules": [LAST], "shadow": {"arm": "b", "share": 1.5}}, "less than or equal to 1"),
        ({"rules": [LAST], "fallback": ["b", "b"]}, "b stands there twice"),
        (
            {"rules": [{"name": "x", "when": {"sensors": "1"}, "use": "a"}, {"name": "x", **LAST}]},
            "same name",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(value: Any, reason: str) -> None:
    """Weights that do not add up, rules without an end, arms that stand twice, wrong words."""
    with pytest.raises(ValidationError, match=reason):
        Policy.model_validate(value)


@pytest.mark.parametrize("total", [1, 100])
def test_weights_are_shares_or_percentages(total: float) -> None:
    """Whichever an operator likes."""
    weights = {"a": total * 0.9, "b": total * 0.1}
    policy = Policy.model_validate({"rules": [{"use": {"kind": "weighted", "weights": weights}}]})

    assert "a" == policy.lead


@given(
    st.lists(st.fixed_dictionaries({"when": whens, "use": uses}), max_size=3),
    uses,
    st.lists(names, max_size=2, unique=True),
)
def test_a_policy_is_read_as_it_was_written(
    rules: list[dict[str, Any]], last: Any, fallback: list[str]
) -> None:
    """What is stored and shown is what was in force."""
    value = {"rules": [*rules, {"use": last}], "fallback": fallback, "salt": "s"}
    policy = Policy.model_validate(value)

    assert policy == Policy.model_validate(write_policy(policy))


def test_an_unknown_arm_is_told_by_its_place() -> None:
    """Wherever a policy can name one."""
    policy = Policy.model_validate(
        {
            "rules": [
                {"when": {"sensors": "x"}, "use": {"kind": "vote", "arms": ["a", "?"]}},
                {"use": {"kind": "weighted", "weights": {"b": 1, "!": 0}}},
            ],
            "fallback": ["c", "nobody"],
            "shadow": {"arm": "ghost"},
        }
    )

    assert [
        ("rules.0.use.arms.1", "?"),
        ("rules.1.use.weights.!", "!"),
        ("fallback.1", "nobody"),
        ("shadow.arm", "ghost"),
    ] == policy.unknown_arms(ARMS)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"primary": "z"}, "ab.primary: there is no arm 'z'; known: a, b, c."),
        ({"policy": {"rules": [{"use": "z"}]}}, "ab.policy, rules.0.use.arm: there is no arm 'z'"),
        ({"policy_file": "usage-map"}, "there is no arm 'cosmos3-nano'"),
        ({"policy_file": "nowhere.yaml"}, "one that comes with the sidecar: usage-map"),
    ],
)
def test_settings_that_name_what_is_not_there_stop_the_start(
    settings: dict[str, Any], reason: str
) -> None:
    """With a sentence that says what there is."""
    with pytest.raises(SettingsError, match=reason):
        load_policy(AbSettings.model_validate(settings), ARMS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("rules: [", "is not YAML"), ("rules: []", "rules: .*last rule"), ("3", "the file: ")],
)
def test_a_policy_file_that_is_wrong_says_where(tmp_path: Path, text: str, reason: str) -> None:
    """The file's name and the key."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=reason) as raised:
        read_policy_file(str(path))
    assert str(path) in raised.value.detail


def test_the_policy_of_the_documentation_is_one() -> None:
    """What a user copies from there works."""
    page = (Path(__file__).parents[1] / "docs" / "ab.md").read_text("utf-8")
    policy = Policy.model_validate(yaml.safe_load(page.split("```yaml")[1].split("```")[0]))

    assert "reason2" == policy.lead
    assert ["vote", "cascade", "weighted"] == [rule.use.kind for rule in policy.rules[1:]]


def test_one_arm_is_the_simple_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SIDECAR_AB__PRIMARY=b` alone."""
    monkeypatch.setenv("SIDECAR_AB__PRIMARY", "b")
    policy = load_policy(load_settings().ab, ARMS)

    assert ("b", ("b",), False) == (policy.sole, policy.named, policy.compares)


def test_a_policy_fits_into_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON."""
    monkeypatch.setenv("SIDECAR_AB__POLICY", '{"rules": [{"use": "b"}], "shadow": {"arm": "a"}}')
    policy = load_policy(load_settings().ab, ARMS)

    assert (None, ("b", "a"), True) == (policy.sole, policy.named, policy.compares)


def test_two_policies_at_once_are_refused() -> None:
    """Nobody could tell which one counts."""
    with pytest.raises(ValidationError, match="either `policy` or `policy_file`"):
        AbSettings.model_validate({"policy": {"rules": [LAST]}, "policy_file": "usage-map"})
