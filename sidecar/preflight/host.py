"""What can be told about this machine without rights and without changing anything.

Everything is read from files below a root, which tests set up; sources of the advice are in
`sidecar/hw/facts.yaml`.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.hw.facts import Machine
from sidecar.preflight.result import Result, Status

GIB: Final = 1024**3
_CACHE_SHARE: Final = 0.25
"""Of the memory in the page cache, from which on it is worth a word where servers look at what is
free and not at what is available."""
_LEAST_FREE_GIB: Final = 2.0
_OTHER_MACHINE: Final = 0.15
"""What the firmware keeps for itself differs; more than this, and it is another machine."""
_DISK_WARNING_GIB: Final = 5.0
_DISK_ERROR_GIB: Final = 0.5
_DROP_CACHES: Final = "sync; echo 3 | sudo tee /proc/sys/vm/drop_caches"


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the machine in GiB, as /proc/meminfo tells."""

    total: float
    available: float
    free: float
    cached: float
    swap_used: float


def read_memory(root: Path) -> Memory | None:
    """Read /proc/meminfo; None where there is none."""
    file = root / "proc/meminfo"
    if not file.exists():
        return None
    sizes = {
        name: int(size) * 1024 / GIB
        for name, size in re.findall(r"^(\w+):\s+(\d+) kB", file.read_text(), re.MULTILINE)
    }
    used = sizes.get("SwapTotal", 0.0) - sizes.get("SwapFree", 0.0)
    return Memory(
        total=sizes.get("MemTotal", 0.0),
        available=sizes.get("MemAvailable", 0.0),
        free=sizes.get("MemFree", 0.0),
        cached=sizes.get("Cached", 0.0),
        swap_used=used,
    )


def check_memory(
    memory: Memory | None, machine: Machine | None, shares: Mapping[str, float], *, is_serving: bool
) -> Iterator[Result]:
    """Compare what is available with what the model's servers will take.

    Args:
        memory: of the machine.
        machine: what it is; None when it is not known.
        shares: of the memory, by the name of the model.
        is_serving: whether the servers run already, so that their memory is taken.
    """
    name = "memory"
    if memory is None:
        yield Result(name, Status.SKIPPED, "There is no /proc/meminfo here.")
        return
    shown = f"{memory.available:.1f} of {memory.total:.1f} GiB available"
    if machine is not None and machine.unified:
        yield from _other_machine(memory, machine)
    if memory.available < _LEAST_FREE_GIB:
        yield Result(name, Status.ERROR, f"{shown}; the sidecar alone needs {_LEAST_FREE_GIB:g}.")
        return
    if machine is None or not machine.unified or is_serving:
        yield Result(name, Status.OK, f"{shown}.")
        return
    needed = sum(shares.values()) * memory.total
    who = " and ".join(shares) or "no model"
    if memory.available < needed:
        text = (
            f"{shown}, and {who} will take {needed:.1f}: stop what else runs, or lower "
            "..._GPU_MEMORY_UTILIZATION (sidecar hw plan)."
        )
        yield Result(name, Status.ERROR, text)
    else:
        yield Result(name, Status.OK, f"{shown}; {who} will take {needed:.1f}.")
    if memory.cached > _CACHE_SHARE * memory.total:
        text = (
            f"{memory.cached:.1f} GiB are in the page cache, and vLLM counts what is free: "
            f"{memory.free:.1f}. Before it starts: {_DROP_CACHES}"
        )
        yield Result("page cache", Status.WARNING, text)


def _other_machine(memory: Memory, machine: Machine) -> Iterator[Result]:
    expected = machine.memory_gib.value
    if abs(memory.total - expected) > _OTHER_MACHINE * expected:
        text = (
            f"{memory.total:.1f} GiB in all, and {machine.title} has {expected:g}: name this "
            "machine's profile (--hw, HW_PROFILE)."
        )
        yield Result("machine", Status.WARNING, text)


def check_swap(memory: Memory | None, machine: Machine | None) -> Iterator[Result]:
    """Warn where the GPU's memory can be swapped out."""
    if memory is None or machine is None or not machine.unified:
        return
    if memory.swap_used > _LEAST_FREE_GIB / 2:
        text = (
            f"{memory.swap_used:.1f} GiB are swapped out, on a machine whose GPU uses the same "
            "memory: models slow down. Stop what else runs, then: sudo swapoff -a"
        )
        yield Result("swap", Status.WARNING, text)
    else:
        yield Result("swap", Status.OK, "Hardly anything is swapped out.")


def check_driver(root: Path, machine: Machine | None) -> Iterator[Result]:
    """Compare the driver's version with the oldest that VSS supports on the machine."""
    name = "driver"
    if machine is None:
        return
    file = root / "proc/driver/nvidia/version"
    found = re.search(r"\b(\d{3}\.[\d.]+)\b", file.read_text()) if file.exists() else None
    if found is None:
        yield Result(name, Status.SKIPPED, "NVIDIA's driver is not to be seen from here.")
    elif machine.driver and _version(found[1]) < _version(machine.driver.least):
        text = f"{found[1]} is older than {machine.driver.least}, which {machine.title} needs."
        yield Result(name, Status.WARNING, text)
    else:
        yield Result(name, Status.OK, found[1])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part)


def check_clocks(root: Path, machine: Machine | None) -> Iterator[Result]:
    """Tell whether the clocks of a board that resets them are pinned to their highest."""
    if machine is None or not machine.clocks_reset:
        return
    name = "clocks"
    folders = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq"))
    pinned = [_reads_the_same(folder, "scaling_min_freq", "scaling_max_freq") for folder in folders]
    if not pinned:
        yield Result(name, Status.SKIPPED, "The clocks are not to be seen from here.")
    elif all(pinned):
        yield Result(name, Status.OK, "Pinned to their highest.")
    else:
        text = "Not pinned: sudo nvpmodel -m 0 once, then sudo jetson_clocks after each boot."
        yield Result(name, Status.WARNING, text)


def _reads_the_same(folder: Path, one: str, other: str) -> bool:
    return (folder / one).read_text() == (folder / other).read_text()


def check_runtime(root: Path, machine: Machine | None) -> Iterator[Result]:
    """Tell whether Docker knows NVIDIA's container runtime."""
    name = "container runtime"
    if machine is None:
        return
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        yield Result(name, Status.SKIPPED, "This is a container; run it on the host to be told.")
        return
    places = ("usr/bin/nvidia-ctk", "usr/local/bin/nvidia-ctk")
    if any((root / place).exists() for place in places):
        yield Result(name, Status.OK, "The NVIDIA Container Toolkit is installed.")
    else:
        text = "nvidia-ctk is missing: install the NVIDIA Container Toolkit, 1.17.8 or newer."
        yield Result(name, Status.WARNING, text)


def check_disk(name: str, folder: Path) -> Result:
    """Compare the space that is left where something is kept.

    Args:
        name: what is kept.
        folder: where; the nearest folder above it counts while it does not exist.
    """
    there = next(it for it in (folder, *folder.absolute().parents) if it.exists())
    free_gib = shutil.disk_usage(there).free / GIB
    return judge_disk(name, there, free_gib)


def judge_disk(name: str, folder: Path, free_gib: float) -> Result:
    """Say whether so much space is enough; the ledger takes nothing any more on a full disk."""
    shown = f"{free_gib:.1f} GiB are free in {folder}"
    if free_gib < _DISK_ERROR_GIB:
        text = f"{shown}: make room, or set another place."
        return Result(name, Status.ERROR, text)
    if free_gib < _DISK_WARNING_GIB:
        text = f"{shown}, less than {_DISK_WARNING_GIB:g}; events are refused when it is full."
        return Result(name, Status.WARNING, text)
    return Result(name, Status.OK, f"{shown}.")
