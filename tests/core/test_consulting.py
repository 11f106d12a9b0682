"""Fallback, cascade and vote: who is asked after whom, and what is published then."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import T0, an_event

from sidecar.core.choosing import Mode, Plan
from sidecar.core.consulting import Consultation, fair_share
from sidecar.core.routing import Arm
from sidecar.core.vitals import Breaker, EndpointVitals, Vitals
from sidecar.errors import (
    ContradictoryAnswer,
    DeadlineExpired,
    MediaMissing,
    ModelMismatch,
    NoPrompt,
    RefusedAnswer,
    UnsupportedQuestion,
    UnsureAnswer,
    VerificationError,
    VlmTimeout,
    VlmUnreachable,
    row_of,
)
from sidecar.model import Finding, LeftOut, Note, Outcome, Role, Verdict
from sidecar.testing.fakes import FrozenClock

YES, NO = Finding(confirmed=True), Finding(confirmed=False)
UNSURE = UnsureAnswer("between")
AWAY = VlmUnreachable("gone")

Answer = Finding | VerificationError


def sure(probability: float, *, confirmed: bool = True) -> Finding:
    """Return a verdict with its confidence."""
    return Finding(confirmed=confirmed, confidence=probability)


@dataclass
class Panel:
    """Arms that answer as they are told to, each after a second.

    Attributes:
        asked: in order, with how much time they were given and whether they would wait.
    """

    answers: Mapping[str, Answer]
    clock: FrozenClock = field(default_factory=FrozenClock)
    asked: list[tuple[str, float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arms = {name: self._arm(name) for name in self.answers}

    def _arm(self, name: str) -> Arm:
        nothing = cast("Any", None)
        vitals = Vitals([EndpointVitals(name)])
        return Arm(name, nothing, "patient", "impatient", vitals, nothing, nothing, 60.0)  # type: ignore[arg-type]

    async def ask(self, arm: Arm, limit_s: float) -> Verdict:
        self.asked.append((arm.name, limit_s, cast("Any", arm.backend) == "patient"))
        await asyncio.sleep(0)
        self.clock.advance(1.0)
        answer = self.answers[arm.name]
        found = Verdict(an_event(), arm.name, "generic", T0, 0)
        if isinstance(answer, Finding):
            return replace(found, finding=answer)
        return replace(found, error=answer)

    async def decide(self, plan: Plan, deadline: float = 100.0) -> Verdict:
        return await Consultation(self.arms, plan, self.ask, self.clock, deadline).verdict()

    def lie_down(self, *names: str) -> None:
        for name in names:
            self.arms[name].vitals.endpoints[0].breaker = Breaker.OPEN

    @property
    def order(self) -> list[str]:
        return [name for name, _, _ in self.asked]


def one(arm: str, *fallback: str) -> Plan:
    return Plan("r", "", Mode.ONE, (arm,), fallback=fallback)


def cascade(*arms: str, fallback: Sequence[str] = (), **rest: Any) -> Plan:
    return Plan("r", "", Mode.CASCADE, arms, fallback=tuple(fallback), **rest)


def vote(*arms: str, fallback: Sequence[str] = (), umpire: str = "") -> Plan:
    return Plan("r", "", Mode.VOTE, arms, fallback=tuple(fallback), umpire=umpire)


def said(found: Verdict) -> tuple[str, str]:
    """Return whose verdict it is and what it says, or why there is none."""
    return found.arm, row_of(found.error).reason if found.error else found.outcome.value


async def test_one_arm_has_all_the_time_and_waits_for_its_server() -> None:
    """The simple case is what it was without policies."""
    panel = Panel({"a": YES})
    found = await panel.decide(one("a"))

    assert [("a", 100.0, True)] == panel.asked
    assert ("a", "confirmed") == said(found)
    assert [("a", Role.PRIMARY, True)] == [(it.arm, it.role, it.is_published) for it in found.heard]


@pytest.mark.parametrize(
    "failure",
    [
        AWAY,
        VlmTimeout("slow"),
        ModelMismatch("other"),
        UnsupportedQuestion("no"),
        RefusedAnswer("cannot"),
        ContradictoryAnswer("both"),
        DeadlineExpired("late"),
    ],
)
async def test_an_arm_that_cannot_answer_is_replaced(failure: VerificationError) -> None:
    """Whatever kept it from a verdict, if another arm may have one."""
    panel = Panel({"a": failure, "b": AWAY, "c": NO})
    found = await panel.decide(one("a", "b", "c"))

    assert ["a", "b", "c"] == panel.order
    assert ("c", "rejected") == said(found)
    assert (Note.FELL_BACK,) == found.notes
    assert [(Role.PRIMARY, False), (Role.FALLBACK, False), (Role.FALLBACK, True)] == [
        (it.role, it.is_published) for it in found.heard
    ]


@pytest.mark.parametrize("failure", [MediaMissing("gone"), NoPrompt("none"), UNSURE])
async def test_what_no_arm_can_change_is_not_asked_again(failure: VerificationError) -> None:
    """A clip that is not there, and an honest «I cannot tell»."""
    panel = Panel({"a": failure, "b": YES})

    assert ("a", row_of(failure).reason) == said(await panel.decide(one("a", "b")))
    assert ["a"] == panel.order


async def test_when_nobody_can_answer_the_first_failure_is_told() -> None:
    """It is what an operator has to repair."""
    panel = Panel({"a": VlmTimeout("slow"), "b": AWAY})
    found = await panel.decide(one("a", "b"))

    assert ("a", "vlm_timeout") == said(found)
    assert [True, False] == [it.is_published for it in found.heard]


async def test_an_arm_that_is_down_costs_no_time_when_another_stands_by() -> None:
    """It is not asked, and the verdict says so."""
    panel = Panel({"a": YES, "b": NO})
    panel.lie_down("a")
    found = await panel.decide(one("a", "b"))

    assert [("b", 100.0, True)] == panel.asked
    assert (("a", LeftOut.DOWN),) == found.left_out


async def test_an_arm_that_is_down_is_asked_when_nobody_stands_by() -> None:
    """The last one is always asked, and waits for its server."""
    panel = Panel({"a": YES, "b": YES})
    panel.lie_down("a", "b")

    assert ("a", "confirmed") == said(await panel.decide(one("a")))
    assert ("b", "confirmed") == said(await panel.decide(one("a", "b")))


async def test_an_arm_for_which_the_deadline_is_too_near_is_left_out() -> None:
    """By what is typical of it."""
    panel = Panel({"slow": YES, "fast": NO})
    panel.arms["slow"].vitals.typical_s = 20.0
    panel.arms["fast"].vitals.typical_s = 1.0
    in_time = await panel.decide(one("slow", "fast"), deadline=30.0)
    late = await panel.decide(one("slow", "fast"), deadline=20.0)

    assert ("slow", "fast") == (in_time.arm, late.arm)
    assert (("slow", LeftOut.TOO_SLOW),) == late.left_out


async def test_those_behind_an_arm_keep_their_time() -> None:
    """Twice what is typical of them, or an even part where that is not known."""
    panel = Panel({"a": AWAY, "b": AWAY, "c": YES})
    panel.arms["b"].vitals.typical_s = 3.0
    await panel.decide(one("a", "b", "c"), deadline=90.0)

    assert [("a", 54.0, False), ("b", 44.5, False), ("c", 88.0, True)] == panel.asked


@given(
    st.floats(0.1, 1000),
    st.lists(st.none() | st.floats(0.01, 1000), max_size=5),
)
def test_every_arm_behind_gets_its_reserve(left_s: float, typical: list[float | None]) -> None:
    """And the one in front never less than an even part, so that nobody starves."""
    vitals = [Vitals([EndpointVitals("e")], typical_s=it) for it in typical]
    share = fair_share(left_s, vitals)

    assert left_s / (len(vitals) + 1) * 0.999 <= share <= left_s


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        (YES, ["a"]),
        (NO, ["a"]),
        (UNSURE, ["a", "b"]),
        (AWAY, ["a", "b"]),
        (RefusedAnswer("no"), ["a", "b"]),
        (sure(0.55), ["a", "b"]),
        (sure(0.55, confirmed=False), ["a", "b"]),
        (sure(0.9), ["a"]),
        (sure(0.9, confirmed=False), ["a"]),
        (MediaMissing("gone"), ["a"]),
        (Finding(None, description="text"), ["a"]),
    ],
)
async def test_a_cascade_ends_with_the_first_arm_that_is_sure(
    first: Answer, asked: list[str]
) -> None:
    """The next one is asked in the band, for want of a verdict, and not for want of a clip."""
    panel = Panel({"a": first, "b": NO})
    found = await panel.decide(cascade("a", "b", unsure=(0.4, 0.6)))

    assert asked == panel.order
    if asked == ["a", "b"]:
        assert ("b", "rejected") == said(found)


async def test_a_cascade_tells_why_each_arm_was_asked() -> None:
    """After an unsure one it is an escalation, after one that could not answer a fallback."""
    panel = Panel({"a": UNSURE, "b": AWAY, "c": YES})
    found = await panel.decide(cascade("a", "b", "c"))

    assert [Role.PRIMARY, Role.CASCADE, Role.FALLBACK] == [it.role for it in found.heard]
    assert ("c", "confirmed", (Note.FELL_BACK,)) == (*said(found), found.notes)


async def test_the_last_arm_of_a_cascade_decides_however_unsure() -> None:
    """There is nobody left to ask."""
    panel = Panel({"a": sure(0.5), "b": sure(0.51, confirmed=False)})

    assert ("b", "rejected") == said(await panel.decide(cascade("a", "b", unsure=(0.4, 0.6))))


@pytest.mark.parametrize(
    ("answers", "asked", "published"),
    [
        ((YES, NO, NO), "a", ("a", "confirmed")),
        ((NO, NO, YES), "ab", ("b", "rejected")),
        ((NO, YES, NO), "ab", ("b", "confirmed")),
        ((NO, UNSURE, YES), "abc", ("c", "confirmed")),
        ((UNSURE, NO, NO), "abc", ("c", "rejected")),
        ((UNSURE, NO, YES), "abc", ("c", "confirmed")),
        ((NO, AWAY, NO), "abc", ("c", "rejected")),
    ],
)
async def test_a_verdict_that_needs_a_second_opinion_is_said_twice_in_a_row(
    answers: tuple[Answer, ...], asked: str, published: tuple[str, str]
) -> None:
    """A rejection here; a confirmation counts at once, and the last arm decides."""
    panel = Panel(dict(zip("abc", answers, strict=True)))
    opinions = frozenset({Outcome.REJECTED})
    found = await panel.decide(cascade(*"abc", second_opinion_on=opinions))

    assert list(asked) == panel.order
    assert published == said(found)


async def test_a_cascade_whose_last_arm_fails_falls_back() -> None:
    """A cheap arm's unsure answer is not good enough."""
    panel = Panel({"a": UNSURE, "b": AWAY, "c": NO})

    assert ("c", "rejected") == said(await panel.decide(cascade("a", "b", fallback=["c"])))
    assert ("b", "vlm_connection_error") == said(await panel.decide(cascade("a", "b")))


@pytest.mark.parametrize(
    ("answers", "umpire", "published"),
    [
        ((YES, YES), "", ("a", "confirmed")),
        ((NO, NO), "c", ("a", "rejected")),
        ((YES, NO), "", ("a", "arms_disagree")),
        ((YES, NO), "c", ("c", "confirmed")),
        ((UNSURE, NO), "", ("a", "arms_disagree")),
        ((UNSURE, UNSURE), "", ("a", "unverified")),
        ((YES, AWAY), "", ("b", "vlm_connection_error")),
        ((YES, AWAY), "c", ("c", "confirmed")),
        ((AWAY, AWAY), "", ("a", "vlm_connection_error")),
        ((MediaMissing("gone"), MediaMissing("gone")), "c", ("a", "media_missing")),
        ((Finding(None, description="t"), YES), "", ("a", "")),
    ],
)
async def test_a_vote_needs_two_who_agree(
    answers: tuple[Answer, ...], umpire: str, published: tuple[str, str]
) -> None:
    """Or an umpire, where there is one; else the event fails visibly."""
    panel = Panel({"a": answers[0], "b": answers[1], "c": YES})
    found = await panel.decide(vote("a", "b", umpire=umpire))

    assert published == said(found)
    assert ["a", "b"] == panel.order[:2]


async def test_of_three_votes_two_suffice_when_nobody_contradicts() -> None:
    """One that cannot tell or is away is no contradiction; one that says otherwise is."""
    for third, published in ((UNSURE, "confirmed"), (AWAY, "confirmed"), (NO, "arms_disagree")):
        panel = Panel({"a": YES, "b": YES, "c": third})
        assert published == said(await panel.decide(vote("a", "b", "c")))[1]


async def test_a_vote_that_lacks_voters_falls_back_and_one_that_is_split_does_not() -> None:
    """A replacement must not overrule two arms that have spoken."""
    lacking = Panel({"a": YES, "b": AWAY, "c": NO})
    split = Panel({"a": YES, "b": NO, "c": NO})

    assert ("c", "rejected") == said(await lacking.decide(vote("a", "b", fallback=["c"])))
    assert ("a", "arms_disagree") == said(await split.decide(vote("a", "b", fallback=["c"])))


async def test_a_split_vote_says_what_each_arm_said() -> None:
    """In words, and as answers none of which is published."""
    found = await Panel({"a": YES, "b": NO}).decide(vote("a", "b"))

    assert found.error is not None
    assert "The arms do not agree: a says confirmed, b says rejected." == found.error.detail
    assert [(Role.VOTE, False)] * 2 == [(it.role, it.is_published) for it in found.heard]


async def test_votes_are_asked_for_at_the_same_time() -> None:
    """The slower one decides how long it takes."""
    panel = Panel({"a": YES, "b": YES})
    found = await panel.decide(vote("a", "b"))

    assert [100.0, 100.0] == [limit for _, limit, _ in panel.asked]
    assert ["a", "b"] == [it.arm for it in found.heard]


async def test_a_voter_that_is_down_is_left_to_the_umpire() -> None:
    """Without anybody else it is asked all the same."""
    panel = Panel({"a": YES, "b": YES, "c": NO})
    panel.lie_down("b")

    assert ("c", "rejected") == said(await panel.decide(vote("a", "b", umpire="c")))
    assert ("a", "confirmed") == said(await panel.decide(vote("a", "b")))


answers = st.sampled_from([YES, NO, UNSURE, AWAY, sure(0.5), sure(0.9), MediaMissing("gone")])


@given(
    st.fixed_dictionaries(dict.fromkeys("abcd", answers)),
    st.sampled_from([one("a"), cascade(*"abc"), vote("a", "b"), vote("a", "b", umpire="c")]),
    st.sets(st.sampled_from("abcd")),
    st.booleans(),
)
def test_every_plan_ends_with_one_verdict(
    given_answers: dict[str, Answer], plan: Plan, down: set[str], has_fallback: bool
) -> None:
    """Whatever the arms do: no arm is asked twice, and at most one answer is published."""

    async def decide() -> tuple[Panel, Verdict]:
        panel = Panel(given_answers)
        panel.lie_down(*down)
        fallback = ("d",) if has_fallback else ()
        whole = Plan(plan.rule, "", plan.mode, plan.arms, fallback, (0.4, 0.6), umpire=plan.umpire)
        return panel, await panel.decide(whole)

    panel, found = asyncio.run(decide())

    assert (found.finding is None) is (found.error is not None)
    assert len(set(panel.order)) == len(panel.order)
    assert sorted(panel.order) == sorted(it.arm for it in found.heard)
    published = [it.arm for it in found.heard if it.is_published]
    assert published in ([found.arm], [])
    if found.finding is not None:
        assert [found.arm] == published
    if not down and isinstance(given_answers[plan.arms[0]], MediaMissing):
        assert "media_missing" == said(found)[1]
