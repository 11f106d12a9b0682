"""How many events are worked on at the same time: what the servers do, and what is prepared for it.

The only number of places that there is: doors, dispatcher and scheduler all go by it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sidecar.core.routing import Arm, Routing, Switchboard
from sidecar.core.slots import Slots
from sidecar.policy import Cascade, Vote

_AHEAD: Final = 2.0
"""Events whose clips are prepared while others are asked about, before anything is known."""
_STEP: Final = 0.25
"""By how much an event that ends changes that."""
_ENOUGH_WAITING: Final = 1
"""Prepared events that wait for a server keep it busy; more only hold memory."""


class Places(Slots):
    """Follows the limits of the arms in force. For one event loop.

    A place is held from an event's taking up to its verdict, most of which is not the model's time
    where a recorder is slow. So there are as many places as the servers turn into throughput, and
    as many more as it takes that they do not wait: more while a server has room and every place is
    taken, fewer while prepared events wait for one, or clips for their decoder.

    Args:
        switchboard: tells which arms answer.
        most: there are never more.
        undecoded: tells how many clips wait to be decoded.
    """

    def __init__(
        self, switchboard: Switchboard, most: int, undecoded: Callable[[], int] = lambda: 0
    ) -> None:
        super().__init__(most)
        self._switchboard = switchboard
        self._most = most
        self._undecoded = undecoded
        self._ahead = _AHEAD

    @property
    def total(self) -> int:
        """How many places there are now, from 1 on."""
        limit = sum(arm.vitals.limit for arm in _asked_first(self._switchboard.current))
        return max(1, min(self._most, limit + int(self._ahead)))

    def end(self) -> None:
        """Free the place of an event that was worked on, and learn from how things stand."""
        vitals = [arm.vitals for arm in _asked_first(self._switchboard.current)]
        waiting = sum(it.waiting for it in vitals) + self._undecoded()
        have_room = sum(it.in_flight for it in vitals) < sum(it.limit for it in vitals)
        if waiting > _ENOUGH_WAITING:
            self._ahead = max(0.0, self._ahead - _STEP)
        elif have_room and self.free <= 0:
            self._ahead = min(float(self._most), self._ahead + _STEP)
        self.give_back()


def _asked_first(routing: Routing) -> Iterator[Arm]:
    """Yield the arms that the rules in force ask first; for one that is down, who stands in."""
    names: dict[str, None] = {}
    for rule in routing.policy.rules:
        in_turn = isinstance(rule.use, Cascade | Vote)
        names |= dict.fromkeys(rule.use.arms[:1] if in_turn else rule.use.arms)
    standing_in = [routing.arms[name] for name in routing.policy.fallback]
    found: dict[str, Arm] = {}
    for name in names:
        arm = routing.arms[name]
        if arm.vitals.is_down:
            arm = next((it for it in standing_in if not it.vitals.is_down), arm)
        found[arm.name] = arm
    yield from found.values()
