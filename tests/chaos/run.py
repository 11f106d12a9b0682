"""Run the chaos suite by hand: `PYTHONPATH=tests python tests/chaos/run.py --seed 1 --minutes 5`.

Prints one account for each world; the exit status is 1 when a promise was broken.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from chaos.account import Account, settle
from chaos.driver import Driver
from chaos.faults import Chaos, heal
from chaos.offers import Book, OfferMaker
from chaos.world import World, file_world, shared_world

PER_SECOND: Final = 10.0
PATIENCE: Final = 3.0


class MakeWorld(Protocol):
    def __call__(self, folder: Path) -> AbstractAsyncContextManager[World]: ...


WORLDS: Final[dict[str, MakeWorld]] = {"file": file_world, "shared": shared_world}


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has shown.

    Attributes:
        seconds: how long faults happened.
        settled_s: how long it took afterwards until all was right and stayed so.
        happened: how often each fault came to its end.
        false_starts: last words of replicas that found no ledger to start with.
        crashes: last words of replicas that ended by themselves after they had listened.
    """

    world: str
    seed: int
    seconds: float
    settled_s: float
    account: Account
    happened: Counter[str]
    kills: int
    false_starts: tuple[str, ...]
    crashes: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return self.account.is_right and not self.crashes

    def __str__(self) -> str:
        others = Counter(self.happened)
        del others["replica killed"]
        faults = ", ".join(f"{name} {count}" for name, count in sorted(others.items()))
        lines = [
            (
                f"{self.world}; seed {self.seed}; {self.seconds:.0f} s of faults, "
                f"settled after {self.settled_s:.0f} s"
            ),
            f"  replicas killed         {self.kills}",
            f"  other faults            {others.total()} ({faults})",
            f"  starts given up         {len(self.false_starts)} (no ledger to begin with)",
            *self.account.lines(),
        ]
        if not self.is_right:
            lines += [f"BROKEN with seed {self.seed}:", *self.crashes, *self.account.complaints()]
        return "\n".join(lines)


async def run_world(
    which: str,
    seed: int,
    seconds: float,
    folder: Path,
    longest_s: float = 10.0,
    *,
    kills: int = 0,
    kinds: int = 0,
) -> Report:
    """Let faults happen in one world and take account.

    Args:
        which: a key of `WORLDS`.
        seed: of all choices.
        seconds: how long faults happen.
        folder: for the files of all processes.
        longest_s: length of the longest fault.
        kills: how many replicas have to be killed, and
        kinds: how many kinds of faults have to come to their end, before that is enough; on a slow
            machine it then takes longer, but no longer than `PATIENCE` times as long.
    """

    def is_enough() -> bool:
        return world.kills >= kills and len(chaos.happened) >= kinds

    book, name = Book(), f"{which} {seed}"
    async with WORLDS[which](folder) as world:
        chaos = Chaos(world, name, longest_s)
        maker = OfferMaker(f"{which}-{seed}", random.Random(name), world.clip, world.clip_url)
        doorways = world.doorways(random.Random(f"{name} doors"))
        driver = Driver(book, maker, doorways, random.Random(f"{name} offers"), PER_SECOND)
        driving, failing = asyncio.create_task(driver.run()), asyncio.create_task(chaos.run())
        begun = time.monotonic()
        await asyncio.wait({driving, failing}, timeout=seconds, return_when="FIRST_COMPLETED")
        while not (is_enough() or failing.done() or time.monotonic() > begun + PATIENCE * seconds):
            await asyncio.sleep(0.1)
        failed_s = time.monotonic() - begun
        await _cancel(failing)
        chaos.happened.update(filter(None, [await heal(world)]))
        healed_at = time.monotonic()
        await _cancel(driving)
        await driver.finish()
        account = await settle(world, book)
        settled_s = time.monotonic() - healed_at
    replicas = [*world.replicas, *world.retired]
    return Report(
        world=world.name,
        seed=seed,
        seconds=failed_s,
        settled_s=settled_s,
        account=account,
        happened=chaos.happened,
        kills=world.kills,
        false_starts=tuple(words for replica in replicas for words in replica.false_starts),
        crashes=tuple(words for replica in replicas for words in replica.crashes),
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task; a defect in it comes to light here."""
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result, Exception):
        raise result


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--minutes", type=float, default=5.0, help="for all worlds together")
    parser.add_argument("--world", choices=[*WORLDS, "all"], default="all")
    parser.add_argument("--keep", type=Path, help="folder for the logs of all processes")
    asked = parser.parse_args()
    worlds = list(WORLDS) if asked.world == "all" else [asked.world]
    seconds = asked.minutes * 60 / len(worlds)
    longest_s = min(30.0, seconds / 10)
    sys.stdout.write(f"seed {asked.seed}\n")
    sys.stdout.flush()
    all_right = True
    for which in worlds:
        with tempfile.TemporaryDirectory() as passing:
            folder = asked.keep / which if asked.keep else Path(passing)
            folder.mkdir(parents=True, exist_ok=True)
            report = asyncio.run(run_world(which, asked.seed, seconds, folder, longest_s))
        sys.stdout.write(f"{report}\n")
        sys.stdout.flush()
        all_right = all_right and report.is_right
    return 0 if all_right else 1


if __name__ == "__main__":
    sys.exit(main())
