"""What a prompt would have said about the latest events of its type, before it is published."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from sidecar.contract.info import info_of
from sidecar.core.trials import PromptChange, Trials
from sidecar.errors import NotFound, RequestError, row_of
from sidecar.model import AlertConfig, Outcome, Verdict, VerdictFilter, VerdictRecord
from sidecar.ports import Comparisons

_VERDICTS = (Outcome.CONFIRMED, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict, and the reason where there is none."""

    outcome: Outcome
    reason: str = ""

    def is_right(self, truth: bool | None) -> bool | None:
        """Tell whether it says what a label says; None when one of them does not tell."""
        if truth is None or self.outcome not in _VERDICTS:
            return None
        return (self.outcome is Outcome.CONFIRMED) == truth


@dataclass(frozen=True, slots=True)
class TriedClip:
    """What both prompts say about one event.

    Attributes:
        current: by the version in force.
        was_asked: whether the model had to be asked for that, because what was published is by
            another version or another arm.
        verdict: by the prompt that is tried.
        truth: what the label says; None without one.
    """

    record: VerdictRecord
    current: Said
    was_asked: bool
    verdict: Verdict
    truth: bool | None

    @property
    def tried(self) -> Said:
        """What the prompt that is tried says."""
        return said_in(self.verdict)

    @property
    def agrees(self) -> bool | None:
        """Whether both say the same; None when one of them gives no verdict."""
        outcomes = (self.current.outcome, self.tried.outcome)
        return outcomes[0] is outcomes[1] if all(it in _VERDICTS for it in outcomes) else None


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event that could not be asked about again."""

    record: VerdictRecord
    reason: str


@dataclass(frozen=True, slots=True)
class PromptTrial:
    """A prompt and the events to try it on.

    Attributes:
        config: the version in force.
        records: newest first.
        arm: to ask; "" is, for each event, the one whose verdict was published.
    """

    config: AlertConfig
    change: PromptChange
    records: Sequence[VerdictRecord]
    arm: str


@dataclass(frozen=True, slots=True)
class PromptTrials:
    """Tries prompts, one event after the other, in a place of the trials."""

    trials: Trials
    comparisons: Comparisons

    async def prepare(
        self, alert_type: str, change: PromptChange, *, last: int, arm: str = ""
    ) -> PromptTrial:
        """Find the events to try a prompt on.

        Raises:
            NotFound: there is no such alert type or arm.
            ArmNotUsable: the arm is known to be down.
        """
        config = await self.trials.verifier.prompts.find(alert_type)
        if config is None:
            raise NotFound(f"Alert config '{alert_type}' not found")
        self.trials.require(arm)
        spellings = dict.fromkeys((config.alert_type, config.alert_type.lower(), alert_type))
        found = [
            record
            for spelling in spellings
            for record in await self.trials.ledger.query(
                VerdictFilter(category=spelling), limit=last
            )
        ]
        newest = sorted(found, key=lambda record: record.seq, reverse=True)[:last]
        return PromptTrial(config, change, newest, arm)

    async def run(self, trial: PromptTrial) -> AsyncGenerator[TriedClip | Skipped]:
        """Ask about each event; the caller holds a place of the trials."""
        for record in trial.records:
            try:
                yield await self._try(trial, record)
            except RequestError as error:
                yield Skipped(record, error.detail)

    async def _try(self, trial: PromptTrial, record: VerdictRecord) -> TriedClip:
        arms = self.trials.verifier.switchboard.current.arms
        arm = trial.arm or (record.arm if record.arm in arms else "")
        verdict = await self.trials.ask(record, arm, trial.change)
        current = _published(record, trial.config, verdict.arm)
        was_asked = current is None
        if current is None:
            current = said_in(await self.trials.ask(record, verdict.arm))
        event = await self.comparisons.find(record.key)
        truth = event.label.truth if event and event.label else None
        return TriedClip(record, current, was_asked, verdict, truth)


def said_in(verdict: Verdict) -> Said:
    """Return what a verdict says."""
    return Said(verdict.outcome, row_of(verdict.error).reason if verdict.error else "")


def _published(record: VerdictRecord, config: AlertConfig, arm: str) -> Said | None:
    """Return what was published, if it is by this version and arm."""
    version = str(info_of(record.document).get("sidecarPromptVersion", "")).rpartition("@")[2]
    is_same = version == str(config.version) and record.arm == arm
    return Said(record.outcome, record.reason) if is_same else None
