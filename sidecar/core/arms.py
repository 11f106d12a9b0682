"""Which arms are in force, and the only way to change that."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
import structlog

from sidecar.audit import Attribution
from sidecar.core.families import check_family
from sidecar.core.routing import Arm, Routing, Switchboard
from sidecar.core.vitals import EndpointVitals
from sidecar.errors import (
    ArmNotUsable,
    InvalidRequest,
    Issue,
    ModelMismatch,
    NotFound,
    VersionConflict,
    VlmError,
)
from sidecar.policy import ArmChoice, Policy, Promotion, write_policy
from sidecar.ports import ArmLog, ArmsMeter, Clock

SETTINGS: Final = "settings"
"""Actor of choices that nobody made while the service ran."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ArmState:
    """An arm at the moment.

    Attributes:
        model: as its server names it; "" when that does not tell.
        problem: why it cannot work now; "" when it can.
        answers: whether its verdicts may be published.
        is_lead: whether it answers when nothing is known of an event.
        is_shadow: whether it is asked beside the published answers.
        typical_s: what nearly every completion stays below; None when there was none.
    """

    name: str
    adapter: str
    model: str
    problem: str
    answers: bool
    is_lead: bool
    is_shadow: bool
    typical_s: float | None
    endpoints: tuple[EndpointVitals, ...]


class Arms:
    """Puts policies in force, for all replicas that share a log.

    What was chosen while the service ran holds over restarts until the settings say something else
    than they said when it was chosen; then the settings win.

    Args:
        switchboard: where a choice is put in force.
        log: where it is kept; its newest entry is what is in force.
        clock: stamps the choices.
        meter: is told of every choice.
    """

    def __init__(
        self, switchboard: Switchboard, log: ArmLog, clock: Clock, meter: ArmsMeter
    ) -> None:
        self._switchboard = switchboard
        self._log = log
        self._clock = clock
        self._meter = meter
        self._settings = _digest(switchboard.current.policy)
        self._current = ArmChoice(
            0, switchboard.current.policy, SETTINGS, "", clock.now(), self._settings
        )
        self._rejected = 0

    @property
    def switchboard(self) -> Switchboard:
        """What is in force, for whoever asks an arm."""
        return self._switchboard

    @property
    def current(self) -> ArmChoice:
        """The choice in force."""
        return self._current

    async def restore(self) -> None:
        """Put in force at the start what was chosen last, or what the settings newly say.

        Raises:
            StoreUnavailable: the log cannot be read or written.
        """
        while True:
            latest = await self._log.latest()
            if latest is not None and latest.settings == self._settings and self._knows(latest):
                self._install(latest)
                return
            fresh = replace(
                self._current,
                version=1 if latest is None else latest.version + 1,
                reason="first start" if latest is None else "the settings changed",
                chosen_at=self._clock.now(),
            )
            entry = _by_settings(fresh).entry(
                fresh.chosen_at, "arms.choose", "arms", before=_shown(latest), after=_shown(fresh)
            )
            if await self._log.append(fresh, entry):
                self._install(fresh)
                return

    async def follow(self) -> None:
        """Put in force what another replica, or a command, has chosen since.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        latest = await self._log.latest()
        if latest is None or latest.version <= max(self._current.version, self._rejected):
            return
        if self._knows(latest):
            self._install(latest)
        else:
            self._rejected = latest.version

    async def choose(
        self,
        policy: Policy,
        by: Attribution,
        *,
        version: int | None = None,
        force: bool = False,
        promotion: Promotion | None = None,
    ) -> ArmChoice:
        """Put a policy in force, unless it is already. Events that were begun keep their arms.

        Args:
            policy: from now on.
            by: who chooses, and why; recorded with the choice.
            version: that the caller has seen in force; None does not care.
            force: take it although servers that would answer are away.
            promotion: that it belongs to; without one, a promotion that is going on ends.

        Raises:
            InvalidRequest: it names an arm that is not there.
            VersionConflict: another choice was made since that version.
            ArmNotUsable: an arm that would answer cannot, or serves another family's model.
            StoreUnavailable: the choice cannot be kept, so it is not in force either.
        """
        self._require_known(policy)
        latest = await self._log.latest() or self._current
        if version is not None and version != latest.version:
            raise VersionConflict(
                f"Version {latest.version} is in force, by {latest.actor} at "
                f"{latest.chosen_at.isoformat()}, and not {version}. Look at it and choose again."
            )
        if (policy, promotion) == (latest.policy, latest.promotion):
            return latest
        await self._require_usable(policy, force=force)
        now = self._clock.now()
        choice = ArmChoice(
            latest.version + 1, policy, by.actor, by.reason, now, latest.settings, promotion
        )
        entry = by.entry(now, "arms.choose", "arms", before=_shown(latest), after=_shown(choice))
        if not await self._log.append(choice, entry):
            raise VersionConflict(
                f"Somebody else chose version {choice.version} at the same time. Look at it and "
                "choose again."
            )
        self._install(choice)
        return choice

    async def past(self, version: int) -> ArmChoice:
        """Return an earlier choice.

        Raises:
            NotFound: there was none of that version.
        """
        found = await self._log.find(version)
        if found is None:
            raise NotFound(f"There was no choice {version}; see GET /api/v1/arms/history.")
        return found

    async def history(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a version below `before`."""
        return await self._log.list(limit=limit, before=before)

    async def states(self, *, within_s: float | None = None) -> Sequence[ArmState]:
        """Ask every arm whether it can work; one that says nothing in time cannot."""
        routing = self._switchboard.current
        asked = (_state(routing, arm, within_s) for arm in routing.arms.values())
        return await asyncio.gather(*asked)

    def _install(self, choice: ArmChoice) -> None:
        if choice.version <= self._current.version:  # a later one came in between
            return
        routing = self._switchboard.current
        self._switchboard.install(replace(routing, policy=choice.policy, version=choice.version))
        self._current = choice
        self._meter.chosen(choice.version)
        if choice.actor == SETTINGS:  # the start tells which arm that is
            return
        _log.info(
            "arms_chosen",
            version=choice.version,
            lead=choice.policy.lead,
            actor=choice.actor,
            reason=choice.reason,
        )

    def _knows(self, choice: ArmChoice) -> bool:
        """Tell whether the settings have all its arms; those of all replicas should."""
        unknown = choice.policy.unknown_arms(self._switchboard.current.arms)
        if unknown:
            names = ", ".join(sorted({arm for _, arm in unknown}))
            _log.error(
                "arms_unknown",
                version=choice.version,
                arms=names,
                advice="Give every replica the same arms in its settings.",
            )
        return not unknown

    def _require_known(self, policy: Policy) -> None:
        arms = self._switchboard.current.arms
        known = ", ".join(sorted(arms))
        issues = tuple(
            Issue(f"policy.{path}", "unknown_arm", f"There is no arm {arm!r}; known: {known}.")
            for path, arm in policy.unknown_arms(arms)
        )
        if issues:
            raise InvalidRequest(issues)

    async def _require_usable(self, policy: Policy, *, force: bool) -> None:
        routing = self._switchboard.current
        problems = await asyncio.gather(
            *(
                problem_of(routing, name, may_be_away=force or name not in policy.answering)
                for name in policy.named
            )
        )
        found = [problem for problem in problems if problem]
        if found:
            raise ArmNotUsable(" ".join(found))


async def problem_of(routing: Routing, name: str, *, may_be_away: bool) -> str:
    """Return "" when an arm may be put in force, else a sentence.

    Args:
        routing: that has it.
        name: of the arm.
        may_be_away: whether it suffices that its server does not serve the wrong model now.
    """
    arm = routing.arms[name]
    trouble = await arm.backend.ping()
    if trouble:
        return "" if may_be_away else trouble
    try:
        check_family(await arm.impatient.model(), name, arm.adapter.profile, routing.families)
    except VlmError as error:
        return "" if may_be_away else f"The server of arm {name} does not work: {error.detail}"
    except ModelMismatch as error:
        return error.detail
    return ""


async def _state(routing: Routing, arm: Arm, within_s: float | None) -> ArmState:
    model = ""
    try:
        async with asyncio.timeout(within_s):
            problem = await arm.backend.ping()
            if not problem:
                model = await arm.impatient.model()
    except TimeoutError:
        problem = f"It did not answer within {within_s:g} s."
    except VlmError as error:
        problem = error.detail
    shadow = routing.policy.shadow
    return ArmState(
        name=arm.name,
        adapter=arm.adapter.profile.name,
        model=model,
        problem=problem,
        answers=arm.name in routing.policy.answering,
        is_lead=arm is routing.lead,
        is_shadow=shadow is not None and arm.name in shadow.arms,
        typical_s=arm.vitals.typical_s,
        endpoints=tuple(arm.vitals.endpoints),
    )


def _by_settings(choice: ArmChoice) -> Attribution:
    return Attribution(SETTINGS, choice.reason)


def _digest(policy: Policy) -> str:
    return orjson.dumps(write_policy(policy), option=orjson.OPT_SORT_KEYS).decode()


def _shown(choice: ArmChoice | None) -> dict[str, object] | None:
    if choice is None:
        return None
    return {"version": choice.version, "policy": write_policy(choice.policy)}
