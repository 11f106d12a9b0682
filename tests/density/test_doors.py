"""Short loads on a whole service, by every door at the same time."""

import asyncio
from collections.abc import Sequence

import pytest
from density.conftest import Deployed
from density.targets import scenario

from sidecar.density.doors.choosing import choose_target
from sidecar.density.driver import Conditions, run_load
from sidecar.density.judge import judge
from sidecar.density.media import NoClips
from sidecar.density.summary import Check, Run
from sidecar.errors import SettingsError

pytestmark = pytest.mark.density


async def _offer(door: str, sink: str = "") -> Run:
    target = choose_target(door, sink, api_key="", timeout_s=50, knows_answers=door[:4] != "grpc")
    conditions = Conditions(scenario(), speed=4.0, lead_s=0.1)
    return judge(await run_load(target, NoClips(), conditions, streams=4, seed=1))


async def test_every_door_accounts_for_every_event(deployed: Deployed) -> None:
    """Each event ends once at its sink, all sensors are served, and no backlog grows.

    gRPC hands clips over, not their URLs; the mock finds the answer in the URL.
    """
    offered = (
        (deployed.http,),
        (deployed.grpc,),
        (deployed.kafka, deployed.kafka),
        (deployed.redis, deployed.http),
        (deployed.http, deployed.redis),
    )
    runs = await asyncio.gather(*(_offer(*urls) for urls in offered))

    for urls, run in zip(offered, runs, strict=True):
        told = f"{urls}: {run.checks}"
        assert run.accounting.offered == run.accounting.verified > 44, told
        assert 0 == run.accounting.missing == run.accounting.duplicates, told
        assert {True} == {_passed(run.checks, it) for it in ("accounting", "fairness")}, told
        assert _passed(run.checks, "stability"), told
        assert _passed(run.checks, "quality") is (None if urls[0][:4] == "grpc" else True), told


def _passed(checks: Sequence[Check], name: str) -> bool | None:
    [check] = [it for it in checks if it.name == name]
    return check.passed


@pytest.mark.parametrize(
    ("door", "sink", "told"),
    [
        ("ftp://x:1", "", "--door: 'ftp://x:1' does not begin with one of http://"),
        ("localhost:9080", "", "--door: 'localhost:9080' does not begin"),
        ("grpc://x:1", "http://x:2", "a gRPC door gives the verdict itself"),
        ("http://x:1", "grpc://x:2", "verdicts are read from http://"),
    ],
)
def test_a_wrong_place_is_told(door: str, sink: str, told: str) -> None:
    """With what to write instead."""
    with pytest.raises(SettingsError, match=told):
        choose_target(door, sink, api_key="", timeout_s=1, knows_answers=False)


@pytest.mark.parametrize(
    "door", ["http://127.0.0.1:9", "redis://127.0.0.1:9", "grpc://127.0.0.1:9"]
)
async def test_a_place_where_nobody_is_is_told(door: str) -> None:
    """Before anything is offered."""
    target = choose_target(door, "", api_key="", timeout_s=1, knows_answers=False)
    with pytest.raises(SettingsError, match=r"No sidecar|Redis does not|No gRPC|cannot be read"):
        await target.open(lambda _name, _end: None)
