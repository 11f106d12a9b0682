"""The arms, and which of them is in force; and which sinks get a verdict.

What is in force changes as a whole, between events.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.bell import Bell, Ring
from sidecar.core.choosing import Facts, Plan, choose
from sidecar.core.vitals import Vitals
from sidecar.model import EventKind, ModelProfile, Origin, SamplePlan, Sampling, VerifyEvent
from sidecar.policy import Policy
from sidecar.ports import VlmAdapter, VlmBackend


@dataclass(frozen=True, slots=True)
class Arm:
    """One model behind the contract: its habits, its server, and how to use it.

    Attributes:
        impatient: the same backend for when another arm could answer: it does not wait for a
            server that is away.
        vitals: what is known of its servers.
        timeout_s: for one completion, retries included.
    """

    name: str
    adapter: VlmAdapter
    backend: VlmBackend
    impatient: VlmBackend
    vitals: Vitals
    plan: SamplePlan
    sampling: Sampling
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Routing:
    """The arms and the policy in force. An event keeps the one that it was begun with.

    Attributes:
        arms: all that the settings name.
        policy: which of them answers; it names no others.
        families: the profiles of all adapters that an arm could have, by the adapters' names.
        version: of the choice of arms; 0 before it was stored.
    """

    arms: Mapping[str, Arm]
    policy: Policy
    families: Mapping[str, ModelProfile]
    version: int = 0

    @property
    def lead(self) -> Arm:
        """The arm that answers an event of which nothing is known."""
        return self.arms[self.policy.lead]

    def plan(self, facts: Facts) -> Plan:
        """Return who is asked about an event."""
        return choose(self.policy, facts)

    def first(self, facts: Facts) -> Arm:
        """Return the arm that is asked first, for doors that ask only one."""
        return self.in_turn(facts)[0]

    def in_turn(self, facts: Facts) -> tuple[Arm, ...]:
        """Return the arms of the plan and its fallback, for doors that ask until one answers."""
        plan = self.plan(facts)
        return tuple(self.arms[name] for name in (*plan.arms, *plan.fallback))


class Switchboard:
    """Holds the routing in force for everybody who asks an arm. For one event loop.

    Args:
        routing: in force at first.
    """

    def __init__(self, routing: Routing) -> None:
        self._current = routing
        self._changes = Bell()

    @property
    def current(self) -> Routing:
        """The routing in force. Take it once for each event."""
        return self._current

    def install(self, routing: Routing) -> None:
        """Put another one in force; what was begun with the old one is finished with that."""
        self._current = routing
        self._changes.ring()

    def listen(self) -> Ring:
        """Return the ring of the next change."""
        return self._changes.listen()


class ArmsInForce:
    """A part that works when an event can be answered: by the leading arm, or by a fallback.

    Args:
        switchboard: tells which arms these are.
    """

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def ping(self) -> str:
        """Return "" when one of them works now, else what is wrong with the leading arm."""
        routing = self._switchboard.current
        problem = await routing.lead.backend.ping()
        for name in routing.policy.fallback if problem else ():
            if not await routing.arms[name].backend.ping():
                return ""
        return problem

    async def close(self) -> None:
        """Do nothing: the arms belong to whoever made them."""


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
