"""What a preflight says about a machine, from the files that it reads."""

from pathlib import Path

import pytest

from sidecar.hw.facts import load_facts
from sidecar.preflight.host import (
    check_clocks,
    check_disk,
    check_driver,
    check_memory,
    check_runtime,
    check_swap,
    judge_disk,
    read_memory,
)
from sidecar.preflight.result import Result, Status

SPARK = load_facts().machine("dgx-spark")
THOR = load_facts().machine("agx-thor")
H100 = load_facts().machine("h100")
GIB_KB = 1024 * 1024


def machine_with(root: Path, **gib: float) -> Path:
    (root / "proc").mkdir(exist_ok=True)
    lines = [f"{name}: {round(size * GIB_KB):>10} kB" for name, size in gib.items()]
    (root / "proc/meminfo").write_text("\n".join(lines) + "\n")
    return root


def spark_with(root: Path, **changes: float) -> Path:
    usual = {"MemTotal": 121.7, "MemFree": 90.0, "MemAvailable": 110.0, "Cached": 10.0}
    return machine_with(root, **(usual | {"SwapTotal": 16.0, "SwapFree": 16.0} | changes))


def statuses(results: list[Result]) -> dict[str, Status]:
    return {it.name: it.status for it in results}


def test_enough_available_memory_is_well(tmp_path: Path) -> None:
    """What counts is what is available, not what is free."""
    memory = read_memory(spark_with(tmp_path, MemFree=20.0, MemAvailable=110.0))
    found = list(check_memory(memory, SPARK, {"reason2": 0.35}, is_serving=False))

    assert statuses(found) == {"memory": Status.OK}
    assert "reason2 will take 42.6" in found[0].text


def test_too_little_memory_for_both_models_is_an_error(tmp_path: Path) -> None:
    """The shares of all servers count together, and the way out is named."""
    memory = read_memory(spark_with(tmp_path, MemAvailable=50.0))
    shares = {"reason2": 0.23, "cosmos3-nano": 0.23}
    found = list(check_memory(memory, SPARK, shares, is_serving=False))

    assert statuses(found) == {"memory": Status.ERROR}
    assert "GPU_MEMORY_UTILIZATION" in found[0].text


def test_memory_that_the_server_has_already_taken_is_not_missed(tmp_path: Path) -> None:
    """When the model answers, its memory is no longer available, and need not be."""
    memory = read_memory(spark_with(tmp_path, MemAvailable=50.0))
    found = list(check_memory(memory, SPARK, {"reason2": 0.7}, is_serving=True))

    assert statuses(found) == {"memory": Status.OK}


def test_a_full_page_cache_is_a_warning_with_the_command_to_empty_it(tmp_path: Path) -> None:
    """Only advice: nothing is changed here."""
    memory = read_memory(spark_with(tmp_path, Cached=60.0, MemFree=40.0))
    found = list(check_memory(memory, SPARK, {"reason2": 0.35}, is_serving=False))

    assert statuses(found)["page cache"] is Status.WARNING
    assert "drop_caches" in found[-1].text


def test_a_gpu_with_memory_of_its_own_asks_nothing_of_the_hosts(tmp_path: Path) -> None:
    """Only the sidecar's own memory must be there."""
    memory = read_memory(machine_with(tmp_path, MemTotal=64, MemAvailable=30, MemFree=1, Cached=50))
    found = list(check_memory(memory, H100, {"reason2": 0.7}, is_serving=False))

    assert statuses(found) == {"memory": Status.OK}


def test_a_machine_without_memory_left_is_an_error(tmp_path: Path) -> None:
    """Whatever it is."""
    memory = read_memory(machine_with(tmp_path, MemTotal=8, MemAvailable=1, MemFree=1, Cached=0))

    assert statuses(list(check_memory(memory, None, {}, is_serving=False)))["memory"] == "error"


def test_the_profile_of_another_machine_is_noticed(tmp_path: Path) -> None:
    """Shares of 122 GiB mean something else on 24."""
    memory = read_memory(machine_with(tmp_path, MemTotal=24, MemAvailable=23, MemFree=20, Cached=1))
    found = statuses(list(check_memory(memory, SPARK, {}, is_serving=False)))

    assert found["machine"] is Status.WARNING


def test_no_meminfo_is_skipped(tmp_path: Path) -> None:
    """On a developer's own machine."""
    assert read_memory(tmp_path) is None
    assert statuses(list(check_memory(None, SPARK, {}, is_serving=False))) == {"memory": "skipped"}


@pytest.mark.parametrize(("free", "status"), [(16.0, "ok"), (8.0, "warning")])
def test_swapped_memory_on_a_unified_machine_is_a_warning(
    tmp_path: Path, free: float, status: str
) -> None:
    """The GPU uses the same memory."""
    memory = read_memory(spark_with(tmp_path, SwapFree=free))

    assert statuses(list(check_swap(memory, SPARK))) == {"swap": status}
    assert not list(check_swap(memory, H100))


@pytest.mark.parametrize(
    ("version", "status"),
    [("580.159.03", "ok"), ("580.95.05", "ok"), ("575.57.08", "warning"), ("", "skipped")],
)
def test_an_old_driver_is_a_warning(tmp_path: Path, version: str, status: str) -> None:
    """Compared number by number; one that cannot be seen is skipped."""
    if version:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        text = f"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  {version}  Release\n"
        (tmp_path / "proc/driver/nvidia/version").write_text(text)

    assert statuses(list(check_driver(tmp_path, SPARK))) == {"driver": status}
    assert not list(check_driver(tmp_path, None))


@pytest.mark.parametrize(
    ("least", "status"), [("2601000", "ok"), ("972000", "warning"), ("", "skipped")]
)
def test_clocks_that_are_not_pinned_are_a_warning_on_thor(
    tmp_path: Path, least: str, status: str
) -> None:
    """jetson_clocks makes the least frequency the highest."""
    for number in range(2) if least else ():
        folder = tmp_path / f"sys/devices/system/cpu/cpu{number}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_min_freq").write_text(least)
        (folder / "scaling_max_freq").write_text("2601000")

    assert statuses(list(check_clocks(tmp_path, THOR))) == {"clocks": status}
    assert not list(check_clocks(tmp_path, SPARK))


@pytest.mark.parametrize(
    ("file", "status"),
    [("usr/bin/nvidia-ctk", "ok"), ("", "warning"), (".dockerenv", "skipped")],
)
def test_the_container_runtime_is_looked_for_on_the_host(
    tmp_path: Path, file: str, status: str
) -> None:
    """Inside a container nobody can tell."""
    if file:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()

    assert statuses(list(check_runtime(tmp_path, SPARK))) == {"container runtime": status}


@pytest.mark.parametrize(("free", "status"), [(100, "ok"), (3, "warning"), (0.1, "error")])
def test_a_disk_that_fills_up_is_told_in_time(tmp_path: Path, free: float, status: str) -> None:
    """A full disk stops the ledger, which stops everything."""
    assert judge_disk("ledger disk", tmp_path, free).status == status


def test_the_disk_of_a_folder_that_is_yet_to_be_made_is_that_of_the_one_above(
    tmp_path: Path,
) -> None:
    """Nothing is made by looking."""
    found = check_disk("ledger disk", tmp_path / "a" / "b")

    assert str(tmp_path) in found.text
    assert not (tmp_path / "a").exists()
