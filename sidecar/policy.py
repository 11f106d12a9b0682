"""Which arm answers which event: what an operator writes down, checked as far as it can be alone.

A policy is an ordered list of rules. The first whose `when` fits an event says how its verdict is
found; the last rule has no `when`, so that every event has one. The same form stands in the
settings, in a policy file, in `PUT /api/v1/arms` and in the record of what was in force.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from sidecar.model import Outcome

ArmName = Annotated[str, Field(min_length=1, max_length=64)]

_TOTALS: Final = (1.0, 100.0)
_TOLERANCE: Final = 1e-6


class QuestionKind(StrEnum):
    """What an alert type asks for; one may be of several kinds.

    DETECTION: a verdict in words. DESCRIPTION: free text. TIMELINE: what happens when. BOXES: what
    is where. TRAJECTORY: points that something moves along. CAUSAL: a verdict with its reasons, by
    `enable_reasoning` or perspectives.
    """

    DETECTION = "detection"
    DESCRIPTION = "description"
    TIMELINE = "timeline"
    BOXES = "boxes"
    TRAJECTORY = "trajectory"
    CAUSAL = "causal"


def _listed(value: object) -> object:
    """Let a list of one be written as a word."""
    return (value,) if isinstance(value, str) else value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)]


class Seconds(_Part):
    """A range of seconds, both ends included."""

    min: float = Field(default=0.0, ge=0)
    """At least so many."""
    max: float | None = Field(default=None, ge=0)
    """At most so many; None: any number."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError("`max` lies below `min`")
        return self


class When(_Part):
    """What an event must be like. What is not given is not asked for; all that is given must fit.

    `*`, `?` and `[...]` in names stand for what they stand for in a shell.
    """

    alert_types: Words = ()
    """Names of alert types, without regard to case."""
    sensors: Words = ()
    """Ids of sensors."""
    priorities: Words = ()
    """The event's `priority`, `info.priority` or `info.severity`, without regard to case."""
    questions: Annotated[tuple[QuestionKind, ...], BeforeValidator(_listed)] = ()
    """What its alert type asks for."""
    clip_s: Seconds | None = None
    """From the event's `timestamp` to its `end`."""

    @property
    def is_open(self) -> bool:
        """Whether it fits every event."""
        return self.clip_s is None and not any(
            (self.alert_types, self.sensors, self.priorities, self.questions)
        )


class Fixed(_Part):
    """One arm answers."""

    kind: Literal["fixed"]
    arm: ArmName

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms that it names, the most important one first."""
        return (self.arm,)


class Weighted(_Part):
    """Sensors are divided among arms: all events of one sensor go to one arm."""

    kind: Literal["weighted"]
    by: Literal["sensor", "event"] = "sensor"
    """`event` deals every event out by itself, so that few sensors get exact shares too."""
    weights: dict[ArmName, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    """Share of each arm; they add up to 1 or to 100."""

    @field_validator("weights")
    @classmethod
    def _add_up(cls, weights: dict[str, float]) -> dict[str, float]:
        total = sum(weights.values())
        if not any(abs(total - wanted) < _TOLERANCE * wanted for wanted in _TOTALS):
            raise ValueError(f"the weights add up to {total:g}; make that 1 or 100")
        return weights

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms that it names, the heaviest first."""
        return tuple(sorted(self.weights, key=lambda arm: -self.weights[arm]))


class Cascade(_Part):
    """Arms are asked one after the other until one is sure, the cheapest first."""

    kind: Literal["cascade"]
    arms: tuple[ArmName, ...] = Field(min_length=2)
    """In the order in which they are asked."""
    unsure: tuple[float, float] | None = None
    """Probabilities of "confirmed", from and to, in which the next arm is asked, besides the
    abstain band of the alert type. The last arm's verdict counts wherever it lies."""
    second_opinion_on: Annotated[
        tuple[Literal[Outcome.CONFIRMED, Outcome.REJECTED], ...], BeforeValidator(_listed)
    ] = ()
    """Verdicts that count only when two arms give them one after the other; the last arm decides
    when they differ."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _require_distinct(self.arms)
        if self.unsure is not None and not 0 <= self.unsure[0] <= self.unsure[1] <= 1:
            raise ValueError("`unsure` must be two probabilities, the smaller one first")
        return self


class Vote(_Part):
    """Several arms are asked at the same time and must agree."""

    kind: Literal["vote"]
    arms: tuple[ArmName, ...] = Field(min_length=2)
    """All of them; the verdict is published as the first one's."""
    umpire: ArmName | None = None
    """Decides when they do not agree; None: the event ends as `arms_disagree`."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _require_distinct(self.arms if self.umpire is None else (*self.arms, self.umpire))
        return self


def _fixed(value: object) -> object:
    """Let one arm be written as its name."""
    return {"kind": "fixed", "arm": value} if isinstance(value, str) else value


Use = Annotated[
    Annotated[Fixed | Weighted | Cascade | Vote, Field(discriminator="kind")],
    BeforeValidator(_fixed),
]


class Rule(_Part):
    """How the verdict is found on the events that fit."""

    name: str = Field(default="", max_length=100)
    """Is shown with verdicts and by `explain`; by default `rule 1` and so on."""
    when: When | None = None
    """Which events; None: all that came so far."""
    use: Use

    @property
    def is_terminal(self) -> bool:
        """Whether nothing gets past it."""
        return self.when is None or self.when.is_open


class Shadow(_Part):
    """An arm that is asked about a share of the events after their verdict, which it cannot change.

    It has places of its own and is left out first when there is too much to do.
    """

    arm: ArmName
    share: float = Field(default=1.0, ge=0, le=1)
    """Of the events that fit, by a draw on the event itself."""
    limit: int = Field(default=2, ge=1, le=256)
    """Events that it is asked about at the same time; further ones are not shown to it."""
    when: When | None = None
    """Which events; None: all."""
    instead: ArmName | None = None
    """Arm to ask about the events that `arm` itself answers, so that both are asked about all."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.instead is not None:
            _require_distinct((self.arm, self.instead))
        return self

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms that it names."""
        return (self.arm,) if self.instead is None else (self.arm, self.instead)


class Policy(_Part):
    """Which arm answers which event."""

    rules: tuple[Rule, ...]
    """In their order. The last one, and only that one, has no `when`."""
    salt: str = Field(default="", max_length=100)
    """Another word deals the sensors and shadow events out anew."""
    fallback: Annotated[tuple[ArmName, ...], BeforeValidator(_listed)] = ()
    """Arms to ask, in this order, when those of the rule cannot answer: their servers fail or are
    known to be down, their time is over or would not suffice, or what they say is no verdict."""
    shadow: Shadow | None = None
    """An arm to compare with."""

    @field_validator("rules")
    @classmethod
    def _end(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        ends = [number for number, rule in enumerate(rules, 1) if rule.is_terminal]
        if not ends:
            raise ValueError("add a last rule without `when`, for the events that no other fits")
        if ends[0] < len(rules):
            raise ValueError(
                f"rule {ends[0]} fits every event, so that those behind it are never reached; "
                "move it to the end or give it a `when`"
            )
        return rules

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _require_distinct(self.fallback)
        names = [self.name_of(number) for number in range(len(self.rules))]
        if len(set(names)) < len(names):
            raise ValueError("two rules have the same name")
        return self

    @classmethod
    def only(cls, arm: str) -> Self:
        """Return the policy by which one arm answers everything."""
        return cls(rules=(Rule(use=Fixed(kind="fixed", arm=arm)),))

    @property
    def lead(self) -> str:
        """The arm that answers an event of which nothing is known."""
        return self.rules[-1].use.arms[0]

    @property
    def sole(self) -> str | None:
        """The arm that answers everything, when that is all there is to say."""
        is_plain = len(self.rules) == 1 and not self.fallback and self.shadow is None
        use = self.rules[0].use
        return use.arm if is_plain and isinstance(use, Fixed) else None

    @property
    def answering(self) -> tuple[str, ...]:
        """All arms whose verdicts may be published, the lead first."""
        return tuple(dict.fromkeys((self.lead, *(arm for _, arm in self._answering()))))

    @property
    def named(self) -> tuple[str, ...]:
        """All arms that may be asked, the shadow last."""
        shadow = () if self.shadow is None else self.shadow.arms
        return tuple(dict.fromkeys((*self.answering, *shadow)))

    @property
    def compares(self) -> bool:
        """Whether more than one arm may be asked, so that there is something to compare."""
        return len(self.named) > 1

    def name_of(self, index: int) -> str:
        """Return the name of a rule, by its place from 0 on."""
        return self.rules[index].name or f"rule {index + 1}"

    def unknown_arms(self, known: Collection[str]) -> Sequence[tuple[str, str]]:
        """Return where an arm is named that is not there, as dotted path and name."""
        named = list(self._answering())
        if self.shadow:
            named.append(("shadow.arm", self.shadow.arm))
            if self.shadow.instead:
                named.append(("shadow.instead", self.shadow.instead))
        return [(path, arm) for path, arm in named if arm not in known]

    def _answering(self) -> Iterator[tuple[str, str]]:
        """Yield every arm that may answer, with its dotted path."""
        for index, rule in enumerate(self.rules):
            use, at = rule.use, f"rules.{index}.use"
            if isinstance(use, Weighted):
                yield from ((f"{at}.weights.{arm}", arm) for arm in use.weights)
            elif isinstance(use, Fixed):
                yield f"{at}.arm", use.arm
            else:
                yield from ((f"{at}.arms.{i}", arm) for i, arm in enumerate(use.arms))
            if isinstance(use, Vote) and use.umpire:
                yield f"{at}.umpire", use.umpire
        yield from ((f"fallback.{i}", arm) for i, arm in enumerate(self.fallback))


class Stage(StrEnum):
    """How far a promotion got.

    OBSERVING: the candidate answers in the shadow. RECOMMENDED: it could be promoted, and somebody
    has to do it. CANARY: a share of the events is the candidate's. PROMOTED: all are. ROLLED_BACK:
    it was taken back, and stays so until somebody starts anew.
    """

    OBSERVING = "observing"
    RECOMMENDED = "recommended"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """One arm on its way to the events of another.

    Attributes:
        candidate: that shall answer them.
        reference: that answered them before.
        base: what was in force before the promotion, and is again when it is taken back.
        stage: how far it got. RECOMMENDED is not kept: every look finds it anew.
        share: of the reference's events that the candidate answers, 0..1.
        since: answers before are no evidence; None: all that are kept are.
        share_since: when it got its share; None while it has none.
        words: why it stands there.
    """

    candidate: str
    reference: str
    base: Policy
    stage: Stage = Stage.OBSERVING
    share: float = 0.0
    since: datetime | None = None
    share_since: datetime | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class ArmChoice:
    """A policy that was put in force.

    Attributes:
        version: grows by 1 with every choice; starts at 1.
        actor: who chose, as in the audit trail; `settings` for what stands there.
        reason: why, in the actor's words.
        settings: what the settings said at that time, as JSON. The choice holds until they say
            something else.
        promotion: that it belongs to; whoever chooses arms himself ends one.
    """

    version: int
    policy: Policy
    actor: str
    reason: str
    chosen_at: datetime
    settings: str
    promotion: Promotion | None = None


def write_policy(policy: Policy) -> dict[str, Any]:
    """Return the JSON form, without what is not set."""
    return policy.model_dump(mode="json", exclude_defaults=True)


def _require_distinct(arms: Sequence[str]) -> None:
    twice = sorted({arm for arm in arms if arms.count(arm) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice")
