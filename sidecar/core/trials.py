"""Asking again about events that were decided, with another arm or prompt. Nothing is published.

It is the same use case as for a new event, without everything that follows a verdict: no commit, no
deliveries, no comparison, no count of verdicts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from sidecar.core.intake import Intake
from sidecar.core.past import event_of, find_verdict
from sidecar.core.slots import Slots
from sidecar.core.verify import Verifier
from sidecar.errors import ArmNotUsable, NotFound, Overloaded
from sidecar.model import AlertConfig, Verdict, VerdictRecord
from sidecar.ports import Ledger
from sidecar.settings import variable_of

UNPUBLISHED: Final = 0
"""Version of a prompt that is only tried."""


@dataclass(frozen=True, slots=True)
class PromptChange:
    """Texts that are tried instead of those of an alert type.

    Attributes:
        system: None keeps the alert type's.
    """

    user: str
    system: str | None = None

    def applied(self, config: AlertConfig) -> AlertConfig:
        """Return an alert type with these texts."""
        system = config.system_prompt if self.system is None else self.system
        return replace(config, prompt=self.user, system_prompt=system, version=UNPUBLISHED)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of asking again, and the verdict that was published."""

    verdict: Verdict
    record: VerdictRecord


@dataclass(frozen=True, slots=True)
class Trials:
    """Asks again.

    Attributes:
        slots: places for all trials together.
        deadline_s: for one of them.
    """

    ledger: Ledger
    verifier: Verifier
    intake: Intake
    slots: Slots
    deadline_s: float

    async def of(self, identity: str, arm: str = "", change: PromptChange | None = None) -> Trial:
        """Ask about the event of a verdict again.

        Args:
            identity: of the verdict.
            arm: to ask; "" is the one that the policy asks first.
            change: what to ask instead of what the alert type asks.

        Raises:
            NotFound: there is no such verdict, or no such arm.
            NotRepeatable: the event cannot be made again.
            ArmNotUsable: the arm's servers are known to fail.
            Overloaded: no place is free.
        """
        record = await find_verdict(self.ledger, identity)
        with self.place():
            return Trial(await self.ask(record, arm, change), record)

    async def ask(
        self, record: VerdictRecord, arm: str, change: PromptChange | None = None
    ) -> Verdict:
        """Ask, when a place is taken; raises as `of` does."""
        event = event_of(record, self.intake)
        self.require(arm)
        config = await self.verifier.prompts.find(event.category)
        if change is not None:
            config = change.applied(config or AlertConfig(event.category, change.user))
        return await self.verifier.rehearse(event, arm=arm, config=config, within_s=self.deadline_s)

    def require(self, arm: str) -> None:
        """Refuse an arm that cannot be asked; "" can.

        Raises:
            NotFound: there is no such arm.
            ArmNotUsable: its servers are known to fail.
        """
        if not arm:
            return
        arms = self.verifier.switchboard.current.arms
        if arm not in arms:
            raise NotFound(f"There is no arm '{arm}'; there are {', '.join(sorted(arms))}.")
        vitals = arms[arm].vitals
        if vitals.is_down:
            trouble = "; ".join(it.trouble for it in vitals.endpoints if it.trouble)
            raise ArmNotUsable(f"The servers of arm '{arm}' fail: {trouble}")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place while the context lasts.

        Raises:
            Overloaded: on entering, when none is free.
        """
        if not self.slots.take(1):
            variable = variable_of("trials.max_in_flight")
            raise Overloaded(f"All places for trials are taken ({variable}). Ask in a moment.")
        try:
            yield
        finally:
            self.slots.give_back()
