"""Cameras in front of an emulated server: what policies make of more than it can do."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.settings import SchedulingSettings
from sidecar.testing.emulated_boards import alert_shape, emulate
from sidecar.testing.emulated_pipeline import (
    End,
    Policy,
    Run,
    SchedulerPolicy,
    StaticPolicy,
    random_cameras,
    run_pipeline,
    steady_cameras,
)
from sidecar.testing.emulator import Job, Speed, serve_closed

SPEED = Speed(
    workers=1,
    tflops=40.0,
    weights_s=0.01,
    kv_token_s=1e-7,
    token_tflop=0.014,
    kv_tokens=400_000,
    sequences=4,
    step_tokens=8192,
)
JOB = Job(front_s=0.1, prompt_tokens=2000, tflop=40.0)
"""One a second at most."""


def _run(policy: Policy, arrivals: list[tuple[float, str]], until: float = math.inf) -> Run:
    return run_pipeline(SPEED, lambda _: JOB, policy, arrivals, until=until)


def test_within_capacity_both_policies_answer_everything() -> None:
    """At 80 % of what the server can do nothing is refused and no line grows."""
    arrivals = steady_cameras(8, 6.0, 600.0)
    for policy in (StaticPolicy(4, 5.0, 2), SchedulerPolicy(SchedulingSettings(deadline_s=30), 4)):
        run = _run(policy, arrivals)

        assert (480, 480) == (run.came, len(run.verdicts()))
        assert max(it.seconds for it in run.ended) < 5.0


def test_a_fixed_line_grows_with_the_length_of_the_run() -> None:
    """10 % more than the server can do: the mean is that of half the run's excess, as it lasts."""
    means = []
    for seconds in (1800.0, 3600.0):
        run = _run(StaticPolicy(4), steady_cameras(11, 6.0, seconds))
        means.append(sum(it.seconds for it in run.ended) / len(run.ended))

    assert pytest.approx(2.0, rel=0.1) == means[1] / means[0]
    assert pytest.approx(3600 * 0.1 / 2, rel=0.1) == means[1]


def test_a_run_can_be_stopped_with_its_backlog() -> None:
    """What has not ended then is counted, and nothing is lost."""
    run = _run(StaticPolicy(4), steady_cameras(20, 6.0, 100.0), until=100.0)

    assert run.came == len(run.ended) + run.waiting
    assert 90 < run.waiting < 110


def test_timeouts_of_a_full_server_are_tried_once_more() -> None:
    """Of eight at a time 2.5 s is too little for each; after two tries an event is given up."""
    run = _run(StaticPolicy(8, timeout_s=2.5, tries=2), steady_cameras(20, 6.0, 100.0, spread=0.0))

    assert run.came == len(run.ended)
    assert run.count(End.TIMED_OUT) > 0
    assert run.count(End.SHED) == run.count(End.LATE) == 0


def test_our_scheduler_ends_every_event_by_its_deadline() -> None:
    """At three times what the server can do, with a verdict or a reason; the line stays short."""
    run = _run(
        SchedulerPolicy(SchedulingSettings(deadline_s=30), 2), random_cameras(30, 6.0, 1800.0, 1)
    )

    assert run.came == len(run.ended)
    assert all(it.seconds <= 30.001 for it in run.ended)
    assert run.count(End.SHED) > run.count(End.LATE)
    assert len(run.verdicts()) > 0.9 * 1800
    assert run.longest_line < 60


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_14_streams_on_an_emulated_spark(precision: str) -> None:
    """VSS's policy falls behind for as long as it runs; ours keeps deadlines and the board busy.

    At least 95 % of what the board can do become verdicts in time; detection shares its GPU.
    """
    spark = emulate("dgx-spark", "cosmos3-nano", precision, cv_streams=14)
    job, arrivals = spark.job(alert_shape()), random_cameras(14, 4.73, 3600.0, 1)
    theirs = run_pipeline(spark.speed, lambda _: job, StaticPolicy(4, 5.0, 2), arrivals)
    policy = SchedulerPolicy(SchedulingSettings(deadline_s=30), 4)
    ours = run_pipeline(spark.speed, lambda _: job, policy, arrivals)
    closed = serve_closed(spark.speed, job, 4, 404)
    rate = 400 / (closed[-1].at - closed[3].at)

    assert max(it.seconds for it in theirs.ended) > 100.0
    assert ours.came == len(ours.ended)
    assert all(it.seconds <= 30.001 for it in ours.ended)
    assert len(ours.verdicts()) >= 0.95 * min(rate * 3600.0, ours.came)


def test_a_noisy_camera_does_not_slow_the_others() -> None:
    """One at a hundred times the rate of nine others costs them two questions' time at most.

    First come, first served makes them wait for minutes.
    """
    quiet = random_cameras(9, 3.0, 900.0, 2)
    noisy = sorted([*quiet, *((at, "noisy") for at, _ in random_cameras(1, 300.0, 900.0, 3))])
    settings_ = SchedulingSettings(deadline_s=60)
    alone = _slowest_of_others(_run(SchedulerPolicy(settings_, 2), quiet))
    ours = _slowest_of_others(_run(SchedulerPolicy(settings_, 2), noisy))
    theirs = _slowest_of_others(_run(StaticPolicy(2), noisy))

    assert ours < alone + 2 * 2.0
    assert theirs > 100.0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 20),
    st.floats(0.5, 20.0),
    st.integers(0, 100),
    st.integers(1, 6),
    st.floats(0.5, 60.0),
    st.booleans(),
)
def test_every_event_ends_once(
    streams: int, per_minute: float, seed: int, in_flight: int, limit_s: float, is_ours: bool
) -> None:
    """Whatever the load, policy and limits."""
    arrivals = random_cameras(streams, per_minute, 120.0, seed)
    run = _run(_policy(is_ours, limit_s, in_flight), arrivals)

    assert sorted(it.came for it in run.ended) == [at for at, _ in arrivals]
    assert run.waiting == 0
    assert _run(_policy(is_ours, limit_s, in_flight), arrivals).ended == run.ended


def test_spread_tells_how_much_cameras_coincide() -> None:
    """0: all at once; 1: evenly over the interval."""
    assert {0.0} == {at for at, _ in steady_cameras(4, 6.0, 10.0, spread=0.0)}
    assert [0.0, 2.5, 5.0, 7.5] == [at for at, _ in steady_cameras(4, 6.0, 10.0)]
    assert 4 * 6 == len(steady_cameras(4, 6.0, 60.0))


def _policy(is_ours: bool, limit_s: float, in_flight: int) -> Policy:
    if is_ours:
        return SchedulerPolicy(SchedulingSettings(deadline_s=limit_s), in_flight)
    return StaticPolicy(in_flight, limit_s, 2)


def _slowest_of_others(run: Run) -> float:
    waits = sorted(it.seconds for it in run.ended if it.sensor != "noisy")
    return waits[int(0.95 * (len(waits) - 1))]
