"""There are as many places as the servers of the arms in force turn into throughput, and a few."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from sidecar.core.places import Places
from sidecar.core.routing import Arm, Routing, Switchboard
from sidecar.core.vitals import Breaker, EndpointVitals, Vitals
from sidecar.policy import Policy

CASCADE = {"kind": "cascade", "arms": ["a", "b"]}
VOTE = {"kind": "vote", "arms": ["b", "a"]}
HALVES = {"kind": "weighted", "weights": {"a": 50, "b": 50}}


def _arms(limits: Mapping[str, Sequence[int]]) -> dict[str, Arm]:
    """Return arms with so many endpoints, each with its limit."""
    nothing = cast("Any", None)
    found = {}
    for name, each in limits.items():
        vitals = Vitals([EndpointVitals(name, limit=limit) for limit in each])
        found[name] = Arm(name, nothing, nothing, nothing, vitals, nothing, nothing, 60.0)
    return found


def _places(arms: Mapping[str, Arm], use: Any = "a", most: int = 64, undecoded: int = 0) -> Places:
    policy = Policy.model_validate({"rules": [{"use": use}], "fallback": ["c"]})
    return Places(Switchboard(Routing(arms, policy, {})), most, lambda: undecoded)


@pytest.mark.parametrize(
    ("use", "expected"),
    [("a", 14), (CASCADE, 14), (VOTE, 5), (HALVES, 17)],
    ids=["one", "cascade", "vote", "shares"],
)
def test_they_follow_the_arms_that_are_asked_first(use: Any, expected: int) -> None:
    """Of all endpoints together, and two more for events that are prepared meanwhile."""
    arms = _arms({"a": [8, 4], "b": [3], "c": [1]})

    assert expected == _places(arms, use).total


def test_an_endpoint_that_fails_does_not_count() -> None:
    """When all of an arm fail, those of who stands in for it do."""
    arms = _arms({"a": [8, 4], "b": [3], "c": [1]})
    places, endpoints = _places(arms), arms["a"].vitals.endpoints
    found = [places.total]
    for endpoint in endpoints:
        endpoint.breaker = Breaker.OPEN
        found.append(places.total)

    assert [14, 6, 3] == found


def test_there_are_never_more_than_the_cap_and_never_none() -> None:
    """The cap is `verify.max_in_flight`."""
    assert 10 == _places(_arms({"a": [64], "c": [1]}), most=10).total
    assert 1 == _places(_arms({"a": [0], "c": [1]}), most=1).total


def test_places_that_are_taken_stay_taken_when_there_are_fewer() -> None:
    """Nothing is begun until enough of them are free again."""
    arms = _arms({"a": [8], "c": [1]})
    places = _places(arms)
    granted = places.take()
    arms["a"].vitals.endpoints[0].limit = 2

    assert (10, -6, 0) == (granted, places.free, places.take())
    places.give_back(7)
    assert (1, 1, 0) == (places.free, places.take(), places.take())


def test_more_events_are_prepared_while_a_server_has_room() -> None:
    """As with a slow recorder: events hold places, and few of them are being answered."""
    arms = _arms({"a": [4], "c": [1]})
    places = _places(arms, most=12)
    found = []
    for _ in range(100):
        places.take()
        arms["a"].vitals.endpoints[0].in_flight = 1
        places.end()
        found.append(places.total)

    assert (6, 12) == (found[0], found[-1])
    assert found == sorted(found)


def test_fewer_are_prepared_while_they_only_wait() -> None:
    """For the server, or for a decoder."""
    for at_server, undecoded in ((5, 0), (0, 5)):
        arms = _arms({"a": [4], "c": [1]})
        places = _places(arms, undecoded=undecoded)
        arms["a"].vitals.endpoints[0].waiting = at_server
        for _ in range(100):
            places.take()
            places.end()

        assert 4 == places.total


def test_without_demand_nothing_changes() -> None:
    """A quiet service learns nothing about how much it could do."""
    places = _places(_arms({"a": [4], "c": [1]}))
    for _ in range(100):
        places.take(1)
        places.end()

    assert 6 == places.total
