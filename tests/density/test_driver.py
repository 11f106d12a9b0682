"""The load generator: open loop, exact accounting."""

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from density.targets import FakeTarget, OneAtATime, at_once, offer, rightly, scenario

from sidecar.density.account import VERIFIED, Accounts, End, Ending
from sidecar.density.driver import Conditions, OnEnd, run_load
from sidecar.density.events import Event
from sidecar.density.judge import Observed, judge
from sidecar.density.media import NoClips
from sidecar.density.records import keep_run, read_latencies

SHORT = {"warm_up_s": 0, "measure_s": 60, "events": 20, "give_up_s": 50}


async def _run(target: FakeTarget, streams: int = 4, **sections: object) -> Observed:
    """Run a minute and ten seconds of a board in less than one second."""
    loaded = scenario(window={**SHORT, **sections.pop("window", {})}, **sections)  # type: ignore[dict-item]
    return await run_load(target, NoClips(), Conditions(loaded, 100.0, lead_s=0.05), streams, 1)


async def test_every_event_is_offered_once_under_a_name_of_its_own() -> None:
    """And the target is closed in the end."""
    target = FakeTarget()
    observed = await _run(target)
    run = judge(observed)

    assert len(target.seen) == len({it.name for it in target.seen}) == run.accounting.offered
    assert run.accounting.verified == run.accounting.offered
    assert not target.is_open


async def test_latency_counts_from_the_scheduled_time() -> None:
    """A server that hangs once is seen in all events that were due meanwhile, not in one."""
    hung = asyncio.Event()

    async def hang(_event: Event, _on_end: OnEnd) -> End:
        if not hung.is_set():
            asyncio.get_running_loop().call_later(0.5, hung.set)
            await hung.wait()
        return VERIFIED

    observed = await _run(FakeTarget(hang))
    late = [it for it in observed.measured if (it.latency_s or 0) > 10]

    assert 100 < len(late)
    assert 40 < max(it.latency_s or 0 for it in late)


async def test_load_does_not_wait_for_answers() -> None:
    """A server that does half of what is offered gets all of it, and its backlog is seen."""
    observed = await _run(FakeTarget(OneAtATime(0.02)), streams=1)
    run = judge(observed)

    assert run.per_s_offered == pytest.approx(1.0, abs=0.4)
    assert "stability" in run.binding
    assert "p90" in run.binding
    assert run.slope_per_s > 0.2


async def test_refused_and_failed_events_end_with_their_reasons() -> None:
    """They are accounted for, and late for the promise."""
    ends = [End(Ending.SHED, "overloaded"), End(Ending.FAILED, "vlm_timeout"), VERIFIED]

    async def in_turn(event: Event, _on_end: OnEnd) -> End:
        return ends[int(event.name.split("-")[2]) % 3]

    run = judge(await _run(FakeTarget(in_turn)))
    accounting = run.accounting
    ended = accounting.verified + accounting.shed["overloaded"] + accounting.failed["vlm_timeout"]

    assert ended == accounting.offered
    assert {"p90", "shed"} <= set(run.binding)
    assert "accounting" not in run.binding


async def test_an_event_without_an_end_breaks_the_accounting() -> None:
    """After it was waited for; so does one that ends twice."""

    async def forget(event: Event, on_end: OnEnd) -> None:
        if not event.name.endswith("0-no"):
            on_end(event.name, VERIFIED)
            on_end(event.name, VERIFIED)

    observed = await _run(FakeTarget(forget))
    run = judge(observed)
    missing = sum(it.name.endswith("0-no") for it in observed.accounts.samples)

    assert 0 < missing == run.accounting.missing
    assert run.accounting.duplicates == run.accounting.offered - missing
    assert "accounting" in run.binding


async def test_ends_that_are_nobodys_are_counted() -> None:
    """A stream of verdicts carries those of others too; they change nothing."""

    async def with_stranger(event: Event, on_end: OnEnd) -> End:
        on_end("somebody-else", VERIFIED)
        return await at_once(event, on_end)

    run = judge(await _run(FakeTarget(with_stranger)))

    assert run.accounting.strangers == run.accounting.offered
    assert "accounting" not in run.binding


async def test_mixed_up_answers_are_seen() -> None:
    """About half of the events are to be confirmed, so that saying yes to all is not right."""

    async def yes(_event: Event, _on_end: OnEnd) -> End:
        return replace(VERIFIED, confirmed=True)

    right, wrong = [judge(await _run(FakeTarget(answer))) for answer in (rightly, yes)]

    assert 1.0 == right.agreement
    assert "quality" not in right.binding
    assert wrong.agreement == pytest.approx(0.5, abs=0.15)
    assert "quality" in wrong.binding


async def test_a_defect_of_a_target_ends_the_run() -> None:
    """Instead of a report about something else."""

    async def break_down(_event: Event, _on_end: OnEnd) -> End:
        raise ZeroDivisionError

    target = FakeTarget(break_down)
    with pytest.raises(ZeroDivisionError):
        await _run(target)
    assert not target.is_open


async def test_a_run_that_cannot_pass_any_more_is_stopped() -> None:
    """What was offered by then is accounted for."""
    loaded = scenario(window=SHORT | {"measure_s": 2000})
    conditions = Conditions(loaded, speed=100.0, stops_early=True, lead_s=0.05)

    async def refuse(_event: Event, _on_end: OnEnd) -> End:
        return End(Ending.SHED, "overloaded")

    observed = await run_load(FakeTarget(refuse), NoClips(), conditions, 40, 1)
    run = judge(observed)

    assert run.stopped_early
    assert not run.passed
    assert observed.window[1] < 1000
    assert run.accounting.offered == run.accounting.shed["overloaded"]


async def test_every_sample_is_kept(tmp_path: Path) -> None:
    """As JSON lines, and their latencies as an HdrHistogram log that its reader reads."""
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogReader

    observed = await _run(FakeTarget(OneAtATime(0.001)))
    kept = keep_run(tmp_path, "fake", observed)
    again = keep_run(tmp_path, "fake", observed)
    latencies = read_latencies(kept.samples)
    total = HdrHistogram(1, 3_600_000_000, 3)
    reader = HistogramLogReader(str(kept.histogram), total)
    while reader.add_next_interval_histogram(total) is not None:
        pass
    longest = max(latencies.values())
    reader.close()

    assert len(latencies) == len(observed.accounts.samples) == total.get_total_count()
    assert total.get_max_value() / 1e6 == pytest.approx(longest, rel=0.01)
    assert again.samples != kept.samples
    assert orjson.dumps(judge(observed).model_dump(mode="json"))


def test_accounts_take_the_first_end_only() -> None:
    """A second one is counted, and changes neither kind nor time."""
    accounts = Accounts("00000000")
    sample = accounts.take(offer(0, 1.0))
    accounts.end(sample.name, VERIFIED, 3.0)
    accounts.end(sample.name, End(Ending.FAILED, "late"), 9.0)

    assert 2.0 == sample.latency_s
    assert sample.is_verified
    assert 1 == accounts.duplicates.total()
    assert 0 == accounts.open
