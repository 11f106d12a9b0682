"""A whole density session: runs, their records, and what they say together."""

import platform
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import Literal

from sidecar import __version__
from sidecar.density.driver import Conditions, Target, run_load
from sidecar.density.judge import Observed, judge
from sidecar.density.media import Media
from sidecar.density.records import Kept, keep_run, read_latencies
from sidecar.density.search import PLANNING, Bracket, search
from sidecar.density.statistics import paired_difference
from sidecar.density.summary import Density, Paired, Report, Run
from sidecar.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the targets that are compared, and how its events get their clips."""

    target: Target
    media: Media


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session does.

    Attributes:
        arms: asked by turns.
        conditions: of all runs.
        streams: offered as they are; None looks for the largest number.
        seed: of the first run.
        repeats: seeds of each fixed number.
        answers: whether verdicts can be compared with known ones.
        folder: where records go.
        note: called with each run when it is over.
        begin: called with a target's name and what is known of its search, before it begins.
    """

    arms: Sequence[Arm]
    conditions: Conditions
    streams: int | None
    seed: int
    repeats: int
    answers: Literal["known", "any"]
    folder: Path
    note: Callable[[str, Run], None] = lambda _target, _run: None
    begin: Callable[[str, Bracket], None] = lambda _target, _known: None


@dataclass(frozen=True, slots=True)
class Session:
    """What came out of it: the report, and each target's last run as it was, for plots."""

    report: Report
    shown: dict[str, Observed]


async def hold_session(plan: Plan) -> Session:
    """Carry a plan out.

    Raises:
        SettingsError: the folder cannot be written, or a target cannot be reached.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out: cannot write {plan.folder}: {error.strerror}.") from None
    shown: dict[str, Observed] = {}
    paired: list[Paired] = []
    for arm in plan.arms:
        await arm.media.open()
    try:
        if plan.streams is None:
            found = [await _look_for(plan, arm, shown) for arm in plan.arms]
        else:
            found, paired = await _offer(plan, plan.streams, shown)
    finally:
        for arm in plan.arms:
            await arm.media.close()
    report = Report(
        created=datetime.now(UTC),
        version=__version__,
        machine=f"{platform.platform()}, {cpu_count()} cores, Python {platform.python_version()}",
        scenario=plan.conditions.scenario,
        speed=plan.conditions.speed,
        answers=plan.answers,
        found=found,
        paired=paired,
    )
    return Session(report, shown)


async def _look_for(plan: Plan, arm: Arm, shown: dict[str, Observed]) -> Density:
    scenario = plan.conditions.scenario
    quick = replace(plan, conditions=replace(plan.conditions, stops_early=True))
    known = Bracket()
    plan.begin(arm.target.name, known)
    probe = _probing(quick, arm, shown)
    per_minute = scenario.offered_per_s(1) * 60
    return await search(probe, arm.target.name, scenario.search, per_minute, plan.seed, known)


async def _offer(
    plan: Plan, streams: int, shown: dict[str, Observed]
) -> tuple[list[Density], list[Paired]]:
    """Offer the same events to all arms by turns, once for each seed."""
    runs: dict[str, list[Run]] = {arm.target.name: [] for arm in plan.arms}
    kept: dict[str, list[Kept]] = {name: [] for name in runs}
    for number in range(plan.repeats):
        turn = plan.arms if number % 2 == 0 else list(reversed(plan.arms))
        for arm in turn:
            name = arm.target.name
            plan.begin(name, Bracket())
            probe = _probing(plan, arm, shown, kept[name])
            runs[name].append(await probe(streams, plan.seed + number))
    per_minute = plan.conditions.scenario.offered_per_s(streams) * 60
    found = [_fixed(name, streams, per_minute, its) for name, its in runs.items()]
    return found, _pair(kept)


def _fixed(name: str, streams: int, per_minute: float, runs: list[Run]) -> Density:
    passed = sum(it.passed for it in runs)
    failed = [it for it in runs if not it.passed]
    return Density(
        target=name,
        streams=None,
        planning=int(streams * PLANNING) if passed == len(runs) else None,
        per_minute=per_minute,
        failed_at=streams if failed else None,
        binding=failed[0].binding if failed else [],
        confirmed=passed,
        confirming=len(runs),
        runs=runs,
    )


def _probing(
    plan: Plan, arm: Arm, shown: dict[str, Observed], kept: list[Kept] | None = None
) -> Callable[[int, int], Awaitable[Run]]:
    async def probe(streams: int, seed: int) -> Run:
        conditions = plan.conditions
        if len(plan.arms) > 1 and arm is plan.arms[0]:  # a bare server; the sidecar is watched
            conditions = replace(conditions, watched_pid=0)
        observed = await run_load(arm.target, arm.media, conditions, streams, seed)
        where = keep_run(plan.folder, arm.target.name, observed)
        if kept is not None:
            kept.append(where)
        run = judge(observed)
        if run.passed or arm.target.name not in shown:
            shown[arm.target.name] = observed
        plan.note(arm.target.name, run)
        return run

    return probe


def _pair(kept: dict[str, list[Kept]]) -> list[Paired]:
    """Compare every target with the first, event by event."""
    (reference, its), *others = kept.items()
    paired = []
    for name, theirs in others:
        pairs = [
            (first[number], second[number])
            for a, b in zip(its, theirs, strict=True)
            for first, second in [(read_latencies(a.samples), read_latencies(b.samples))]
            for number in sorted(first.keys() & second.keys())
        ]
        difference = paired_difference(pairs)
        if difference is not None:
            paired.append(
                Paired(
                    reference=reference,
                    target=name,
                    median_s=difference.median,
                    low_s=difference.low,
                    high_s=difference.high,
                    pairs=difference.pairs,
                )
            )
    return paired
