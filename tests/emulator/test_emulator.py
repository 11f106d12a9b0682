"""The queueing model of a model's server: nothing is lost, nothing is faster than it can be."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.testing.emulator import (
    Emulator,
    Finished,
    Job,
    Speed,
    TooLarge,
    serve_closed,
    serve_open,
)

SPEED = Speed(
    workers=2,
    tflops=100.0,
    weights_s=0.01,
    kv_token_s=1e-7,
    token_tflop=0.014,
    kv_tokens=20_000,
    sequences=4,
    step_tokens=2048,
)
JOB = Job(front_s=0.2, prompt_tokens=2000, tflop=40.0)

jobs = st.builds(
    Job,
    front_s=st.floats(0.0, 2.0),
    prompt_tokens=st.integers(1, 15_000),
    tflop=st.floats(0.0, 200.0),
    answer_tokens=st.integers(1, 20),
)
speeds = st.builds(
    Speed,
    workers=st.integers(1, 4),
    tflops=st.floats(10.0, 1000.0),
    weights_s=st.floats(0.0, 0.1),
    kv_token_s=st.floats(0.0, 1e-6),
    token_tflop=st.floats(0.0, 0.02),
    kv_tokens=st.integers(15_020, 60_000),
    sequences=st.integers(1, 8),
    step_tokens=st.integers(1, 8192),
)
arrivals = st.lists(st.tuples(st.floats(0.0, 20.0), jobs), max_size=20).map(
    lambda found: sorted(found, key=lambda it: it[0])
)


def test_a_lone_request_takes_its_front_end_and_its_prompt() -> None:
    """0.2 s to prepare, 40 trillion operations at 100 a second."""
    (finished,) = serve_open(SPEED, [(1.0, JOB)])

    assert pytest.approx(0.6) == finished.seconds
    assert finished.first_at == finished.at


def test_each_further_token_of_an_answer_reads_the_weights_and_the_context() -> None:
    """Ten more tokens take ten steps, bound by the memory."""
    (finished,) = serve_open(SPEED, [(0.0, replace(JOB, answer_tokens=11))])

    context = sum(2000 + written for written in range(1, 11)) * 1e-7
    assert pytest.approx(10 * 0.01 + context) == finished.at - finished.first_at


def test_a_long_prompt_shares_its_steps_with_answers() -> None:
    """A step has room for the running answer first, so that a new prompt only slows it down."""
    answering = Job(0.0, 100, 1.0, answer_tokens=200)
    newcomer = Job(0.0, 6144, 120.0)
    alone, *_ = serve_open(SPEED, [(0.0, answering)])
    first, second = serve_open(SPEED, [(0.0, answering), (0.5, newcomer)])

    assert ["1", "0"] == [first.key, second.key]
    assert pytest.approx(alone.at + 1.2, abs=0.15) == second.at


def test_the_front_end_binds_when_it_is_slower_than_the_gpu() -> None:
    """Two workers of 0.5 s make 4 a second, whatever the GPU could do."""
    ended = serve_closed(replace(SPEED, tflops=1e4), replace(JOB, front_s=0.5), 16, 100)

    assert pytest.approx(4.0, rel=0.05) == 84 / (ended[-1].at - ended[15].at)


def test_the_cache_limits_how_many_run() -> None:
    """Of contexts that fill half the cache each, two run at the same time."""
    emulator = Emulator(replace(SPEED, step_tokens=30_000))
    for number in range(5):
        emulator.submit(str(number), Job(0.0, 9_999, 100.0))
    assert ["0"] == [it.key for it in emulator.advance(1.5)]

    state = emulator.state
    assert (0, 2, 2, 1.0) == (state.in_front, state.waiting, state.running, state.kv_usage)


def test_what_never_fits_is_refused() -> None:
    """A context longer than the whole cache would wait for ever."""
    with pytest.raises(TooLarge, match="20001 tokens of context, and the cache holds 20000"):
        Emulator(SPEED).submit("a", Job(0.0, 20_000, 1.0))


def test_a_cancelled_request_gives_its_place_to_the_next() -> None:
    """Wherever it was: in line, in the front end, waiting or running."""
    emulator = Emulator(replace(SPEED, workers=1, sequences=1))
    for key in "abcd":
        emulator.submit(key, JOB)
    list(emulator.advance(0.45))  # a runs, b waits, c is prepared, d stands in line
    assert all(emulator.cancel(key) for key in "abc")
    assert not emulator.cancel("a")

    assert ["d"] == [it.key for it in emulator.advance(math.inf)]
    assert (0, 0, 0, 0.0) == (
        emulator.state.in_front,
        emulator.state.waiting,
        emulator.state.running,
        emulator.state.kv_usage,
    )


@settings(max_examples=60, deadline=None)
@given(speeds, arrivals, st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 19)), max_size=5))
def test_every_request_is_somewhere(
    speed: Speed, coming: list[tuple[float, Job]], cancels: list[tuple[float, int]]
) -> None:
    """At every moment: those that came are in front, waiting, running, answered or cancelled."""
    emulator, answered, came, cancelled = Emulator(speed), 0, 0, 0
    steps = [(at, 0, job) for at, job in coming] + [(at, 1, key) for at, key in cancels]
    for at, kind, what in sorted(steps, key=lambda it: (it[0], it[1])):
        answered += len(list(emulator.advance(at)))
        if kind == 0:
            emulator.submit(str(came), what)
            came += 1
        else:
            cancelled += emulator.cancel(str(what))
        state = emulator.state
        held = state.in_front + state.waiting + state.running
        assert came == held + answered + cancelled
        assert 0 <= state.kv_usage <= 1
        assert state.running <= speed.sequences
    answered += len(list(emulator.advance(math.inf)))
    assert came == answered + cancelled


@settings(max_examples=40, deadline=None)
@given(speeds, arrivals)
def test_the_same_load_takes_the_same_time(speed: Speed, coming: list[tuple[float, Job]]) -> None:
    """There is no chance in it, and it does not matter how often one looks."""
    once = serve_open(speed, coming)
    emulator, looked = Emulator(speed), []
    for number, (at, job) in enumerate(coming):
        while (first := emulator.next_at()) is not None and first <= at:
            looked += emulator.advance(first)
        looked += emulator.advance(at)
        emulator.submit(str(number), job)
    while (first := emulator.next_at()) is not None:
        looked += emulator.advance(first)

    assert once == looked


@settings(max_examples=40, deadline=None)
@given(speeds, arrivals)
def test_nothing_is_faster_than_physics(speed: Speed, coming: list[tuple[float, Job]]) -> None:
    """No request beats its own work, and all together none beat the workers and the GPU."""
    ended = serve_open(speed, coming)
    by_number = {int(it.key): it for it in ended}
    for number, (at, job) in enumerate(coming):
        least = job.front_s + job.tflop / speed.tflops + (job.answer_tokens - 1) * speed.weights_s
        assert by_number[number].at >= at + least - 1e-6
        assert by_number[number].since == at
    if coming:
        first, last = coming[0][0], max(it.at for it in ended)
        assert last >= first + sum(job.front_s for _, job in coming) / speed.workers - 1e-6
        assert last >= first + sum(job.tflop for _, job in coming) / speed.tflops - 1e-6


@settings(max_examples=40, deadline=None)
@given(speeds, arrivals, st.floats(1.1, 20.0))
def test_a_machine_that_is_faster_in_everything_is_faster_by_as_much(
    speed: Speed, coming: list[tuple[float, Job]], times: float
) -> None:
    """All times divided by a number leave the same order, and every end divided by it."""
    quicker = replace(
        speed,
        tflops=speed.tflops * times,
        weights_s=speed.weights_s / times,
        kv_token_s=speed.kv_token_s / times,
    )
    sooner = [(at / times, replace(job, front_s=job.front_s / times)) for at, job in coming]
    slow = sorted(serve_open(speed, coming), key=_number)
    fast = sorted(serve_open(quicker, sooner), key=_number)

    # two ends at one moment may be told apart by rounding, which shifts a step
    assert pytest.approx(sum(it.at for it in slow) / times, rel=0.05, abs=0.05) == sum(
        it.at for it in fast
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.0, 20.0), min_size=1, max_size=20).map(sorted),
    st.floats(1.0, 10.0),
    st.integers(0, 3),
)
def test_more_speed_or_more_workers_never_end_a_load_later(
    times: list[float], faster: float, more: int
) -> None:
    """For equal requests: a work-conserving server's last answer comes no later."""
    plain = replace(SPEED, weights_s=0.0)
    better = replace(plain, tflops=plain.tflops * faster, workers=plain.workers + more)
    coming = [(at, JOB) for at in times]

    assert _last(serve_open(better, coming)) <= _last(serve_open(plain, coming)) + 1e-6


@settings(max_examples=60, deadline=None)
@given(jobs, st.integers(1, 5000), st.floats(0.0, 100.0), st.floats(0.0, 3.0), st.integers(0, 50))
def test_a_request_that_is_larger_takes_no_less_time(
    job: Job, tokens: int, tflop: float, front_s: float, answer: int
) -> None:
    """Alone, and in whatever it is larger."""
    larger = Job(
        job.front_s + front_s, job.prompt_tokens, job.tflop + tflop, job.answer_tokens + answer
    )
    roomy = replace(SPEED, kv_tokens=100_000)
    (small,) = serve_open(roomy, [(0.0, job)])
    (large,) = serve_open(roomy, [(0.0, larger)])
    assert large.seconds >= small.seconds - 1e-9

    prompt = larger.prompt_tokens + tokens
    grown = larger.tflop * prompt / larger.prompt_tokens
    longer = replace(larger, prompt_tokens=prompt, tflop=grown)
    (longest,) = serve_open(roomy, [(0.0, longer)])
    assert longest.seconds >= large.seconds - 1e-9


def _last(ended: list[Finished]) -> float:
    return max(it.at for it in ended)


def _number(finished: Finished) -> int:
    return int(finished.key)
