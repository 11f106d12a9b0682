"""Looks for the largest number of streams that keeps the promise."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sidecar.density.scenario import Search
from sidecar.density.summary import Density, Run

PLANNING: float = 0.85
"""Of the largest number: what to plan with. Near the knee, tails swing from run to run."""

Probe = Callable[[int, int], Awaitable[Run]]
"""Runs so many streams with a seed."""


@dataclass(slots=True)
class Bracket:
    """What is known so far: `low` passed (0: nothing did), `high` failed (None: nothing did)."""

    low: int = 0
    high: int | None = None
    runs: list[Run] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.low} … {self.high if self.high is not None else '?'}"


async def search(
    probe: Probe, target: str, how: Search, per_minute: float, seed: int, known: Bracket
) -> Density:
    """Double until the first failure, bisect, and confirm with other seeds.

    When a confirming seed fails, the number is not the maximum: it counts as failed, and the search
    goes on below it.

    Args:
        probe: runs one load.
        target: its name in the report.
        how: where to begin and how fine to look.
        per_minute: events of one stream.
        seed: of the search; those that confirm follow it.
        known: is kept up to date while the search goes on.
    """
    await _double(probe, how, seed, known)
    confirmed = 0
    while True:
        await _bisect(probe, how, seed, known)
        if not known.low:
            break
        confirmed = await _confirm(probe, how, seed, known)
        if confirmed == how.confirm:
            break
        known.high, known.low = known.low, _best_below(known)
    failing = next((it for it in reversed(known.runs) if not it.passed), None)
    return Density(
        target=target,
        streams=known.low,
        planning=int(known.low * PLANNING),
        per_minute=known.low * per_minute,
        failed_at=known.high,
        binding=failing.binding if failing and known.high is not None else [],
        confirmed=confirmed,
        confirming=how.confirm if known.low else 0,
        runs=known.runs,
    )


async def _double(probe: Probe, how: Search, seed: int, known: Bracket) -> None:
    streams = how.start
    while known.high is None:
        if await _try(probe, streams, seed, known):
            if streams == how.most:
                return
            streams = min(streams * 2, how.most)


async def _bisect(probe: Probe, how: Search, seed: int, known: Bracket) -> None:
    while known.high is not None:
        step = max(1, int(known.high * how.resolution))
        if known.high - known.low <= step:
            return
        await _try(probe, (known.low + known.high) // 2, seed, known)


async def _confirm(probe: Probe, how: Search, seed: int, known: Bracket) -> int:
    """Run other seeds; ends with the first that fails."""
    for number in range(how.confirm):
        run = await probe(known.low, seed + number + 1)
        known.runs.append(run)
        if not run.passed:
            return number
    return how.confirm


async def _try(probe: Probe, streams: int, seed: int, known: Bracket) -> bool:
    run = await probe(streams, seed)
    known.runs.append(run)
    if run.passed:
        known.low = max(known.low, streams)
    else:
        known.high = streams if known.high is None else min(known.high, streams)
    return run.passed


def _best_below(known: Bracket) -> int:
    """Return the largest number that passed and has not failed since."""
    assert known.high is not None, "a seed has just failed there"
    passed = (it.streams for it in known.runs if it.passed and it.streams < known.high)
    return max(passed, default=0)
