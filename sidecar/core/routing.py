"""Which arm answers an event, and which sinks get the verdict. Pure functions of the event."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.model import EventKind, ModelProfile, Origin, SamplePlan, Sampling, VerifyEvent
from sidecar.ports import VlmAdapter, VlmBackend


@dataclass(frozen=True, slots=True)
class Arm:
    """One model behind the contract: its habits, its server, and how to use it.

    Attributes:
        timeout_s: for one completion, retries included.
    """

    name: str
    adapter: VlmAdapter
    backend: VlmBackend
    plan: SamplePlan
    sampling: Sampling
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Routing:
    """The arms in force and the one whose verdict is published.

    Attributes:
        families: the profiles of all adapters that an arm could have, by the adapters' names.
    """

    arms: Mapping[str, Arm]
    primary: str
    families: Mapping[str, ModelProfile]

    def choose(self, event: VerifyEvent) -> Arm:
        """Return the arm for an event."""
        del event
        return self.arms[self.primary]


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The names of the sinks, by what they take.

    Attributes:
        anything: take documents of every layout.
        nvschema: take those of VSS 3, which follow NvSchema.
        reviews: take those of VSS 2.4's bridge.
        incidents: take what became of an nv.Incident besides.
    """

    anything: tuple[str, ...] = ()
    nvschema: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()

    def sinks_of(self, event: VerifyEvent) -> tuple[str, ...]:
        """Return who gets the verdict on an event."""
        if event.origin is Origin.REVIEW:
            return (*self.anything, *self.reviews)
        also = self.incidents if event.kind is EventKind.INCIDENT else ()
        return (*self.anything, *self.nvschema, *also)
