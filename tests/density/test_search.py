"""The search for the largest number of streams."""

from collections.abc import Callable

import pytest

from sidecar.density.scenario import Search
from sidecar.density.search import Bracket, search
from sidecar.density.summary import Accounting, Density, Fairness, Latency, Run

NO_TIMES = Latency(mean=None, p50=None, p90=None, p95=None, p99=None, longest=None)


def a_run(streams: int, seed: int, passed: bool) -> Run:
    return Run(
        streams=streams,
        seed=seed,
        window=(0, 1),
        measured=0,
        per_s_offered=0,
        per_s_verified=0,
        latency=NO_TIMES,
        noisy_latency=None,
        slope_per_s=0,
        in_system_at_end=0,
        sent_late_p99=0,
        agreement=None,
        accounting=Accounting(
            offered=0, verified=0, failed={}, shed={}, missing=0, duplicates=0, strangers=0
        ),
        fairness=Fairness(jain=None, lowest_share=None, highest_share=None, starved=[]),
        checks=[],
        passed=passed,
        binding=[] if passed else ["p95"],
        stopped_early=False,
    )


async def _search(passes: Callable[[int, int], bool], **how: float) -> Density:
    async def probe(streams: int, seed: int) -> Run:
        return a_run(streams, seed, passes(streams, seed))

    settings = Search.model_validate({"start": 4, "most": 1024, "resolution": 0} | how)
    return await search(probe, "fake", settings, 4.5, 1, Bracket())


@pytest.mark.parametrize("most", [*range(1, 20), 47, 64, 65, 127, 1023])
async def test_the_maximum_is_found_exactly(most: int) -> None:
    """In no more runs than doubling and bisection need, and three that confirm."""
    found = await _search(lambda streams, _: streams <= most)

    assert most == found.streams
    assert most + 1 == found.failed_at
    assert ["p95"] == found.binding
    assert 3 == found.confirmed == found.confirming
    assert len(found.runs) <= 2 * most.bit_length() + 5
    assert found.per_minute == pytest.approx(most * 4.5)


async def test_nothing_passes() -> None:
    """Then the maximum is none, and nothing is confirmed."""
    found = await _search(lambda _streams, _seed: False)

    assert 0 == found.streams == found.confirming
    assert 1 == found.failed_at


async def test_everything_passes() -> None:
    """Then the largest number that was asked for is it, and nothing bound it."""
    found = await _search(lambda _streams, _seed: True, most=100)

    assert 100 == found.streams
    assert found.failed_at is None
    assert [] == found.binding


async def test_a_number_that_only_one_seed_passes_is_no_maximum() -> None:
    """The search goes on below it, until all seeds agree."""
    found = await _search(lambda streams, seed: streams <= (40 if seed == 1 else 33))

    assert 33 == found.streams
    assert 34 == found.failed_at
    assert 3 == found.confirmed


async def test_a_coarse_search_is_shorter() -> None:
    """And never tells more than it saw."""
    fine = await _search(lambda streams, _: streams <= 700)
    coarse = await _search(lambda streams, _: streams <= 700, resolution=0.1)

    assert len(coarse.runs) < len(fine.runs)
    assert coarse.streams is not None
    assert coarse.failed_at is not None
    assert coarse.streams <= 700 < coarse.failed_at
    assert coarse.failed_at - coarse.streams <= 0.1 * coarse.failed_at
