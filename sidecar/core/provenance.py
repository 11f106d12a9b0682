"""Everything that is known of a verdict, put together for whoever asks where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.compared import ComparedEvent, Label
from sidecar.contract.info import info_of
from sidecar.core.comparing import event_of_record
from sidecar.core.past import find_verdict
from sidecar.model import AlertConfig, Journey, VerdictRecord
from sidecar.ports import Comparisons, Ledger, PromptBook


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a verdict.

    Attributes:
        compared: what each arm said about the event.
        labels: oldest first.
        asked: the version of the alert type that the verdict names; None when it names none, or
            one that is not known.
        current: the version that is in force; None when the alert type was deleted.
    """

    record: VerdictRecord
    journey: Journey
    compared: ComparedEvent
    labels: Sequence[Label]
    asked: AlertConfig | None
    current: AlertConfig | None


@dataclass(frozen=True, slots=True)
class Provenances:
    """Tells where verdicts come from."""

    ledger: Ledger
    comparisons: Comparisons
    prompts: PromptBook

    async def of(self, identity: str) -> Provenance:
        """Put together what is known.

        Raises:
            NotFound: there is no verdict under this identity.
        """
        record = await find_verdict(self.ledger, identity)
        asked, current = await self._prompts(record)
        return Provenance(
            record,
            await self.ledger.journey(record.seq),
            await self.comparisons.find(record.key) or event_of_record(record),
            await self.comparisons.labels_of(record.key),
            asked,
            current,
        )

    async def _prompts(
        self, record: VerdictRecord
    ) -> tuple[AlertConfig | None, AlertConfig | None]:
        named = str(info_of(record.document).get("sidecarPromptVersion", ""))
        alert_type, _, version = named.rpartition("@")
        if not alert_type:
            return None, await self.prompts.find(record.category)
        current = await self.prompts.find(alert_type)
        if current is not None and str(current.version) == version:
            return current, current
        versions = await self.prompts.versions(alert_type)
        return next((it for it in versions if str(it.version) == version), None), current
