"""Which arm answers an event. Pure functions over (event, arms)."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.model import ModelProfile, SamplePlan, Sampling, VerifyEvent
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
