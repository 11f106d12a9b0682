"""`sidecar preflight`: whether the service will work here, before it is started."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.check import find_problems
from sidecar.errors import SettingsError
from sidecar.hw.facts import Facts, Machine, load_facts
from sidecar.observe.log import configure_logging
from sidecar.preflight.host import (
    check_clocks,
    check_disk,
    check_driver,
    check_memory,
    check_runtime,
    check_swap,
    read_memory,
)
from sidecar.preflight.result import Result, Status
from sidecar.preflight.services import ARMS, check_services, worst
from sidecar.settings import Settings
from sidecar.vss.loading import load_settings

EXIT_NOT_READY: Final = 6
_ROOT: Final = Path("/")
_GENERIC: Final = ("generic-gpu", "cpu-dev", "")
_COLOURS: Final = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.ERROR: "red",
    Status.SKIPPED: "dim",
}


def preflight(
    hw: Annotated[
        str, typer.Option(help="File in hw_envs without .env.", envvar="HW_PROFILE")
    ] = "",
    wait_s: Annotated[
        float,
        typer.Option(min=0, help="Wait so long for what is outside; then it is an error."),
    ] = 0.0,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say whether the service will work here. Needs no rights and changes nothing.

    Exit status 0: it will, maybe with warnings; 6: it will not; 3: the settings cannot be read.
    """
    settings = load_settings()
    configure_logging(settings.log)
    results = asyncio.run(_all(settings, hw, wait_s))
    verdict = worst(results)
    if as_json:
        shown = [asdict(result) for result in results]
        print(orjson.dumps({"status": verdict, "checks": shown}).decode())
    else:
        _print(results)
    if verdict is Status.ERROR or (strict and verdict is Status.WARNING):
        raise typer.Exit(EXIT_NOT_READY)


async def _all(settings: Settings, profile: str, wait_s: float) -> list[Result]:
    machine = _machine(load_facts(), profile)
    results = [it async for it in _settings_results(settings)]
    outside = await _outside(settings, wait_s)
    is_serving = any(it.name == ARMS and it.status is Status.OK for it in outside)
    return [*results, *_host(settings, machine, os.environ, is_serving=is_serving), *outside]


def _machine(facts: Facts, profile: str) -> Machine | None:
    machine = facts.machine_of(profile)
    if machine is None and profile not in _GENERIC:
        known = ", ".join(name for it in facts.machines.values() for name in it.profiles)
        raise SettingsError(f"--hw: there is no profile {profile!r}; known: {known}.")
    return machine


async def _settings_results(settings: Settings) -> AsyncIterator[Result]:
    """Yield what `sidecar check` finds, less what only explains; the arm is asked further on."""
    problems = [
        it
        for it in await find_problems(settings)
        if it.severity == "error" or (it.severity == "warning" and not _is_asked_later(it.setting))
    ]
    for problem in problems:
        status = Status.ERROR if problem.severity == "error" else Status.WARNING
        yield Result(problem.setting, status, problem.text)
    if not problems:
        yield Result("settings", Status.OK, "Nothing is wrong.")


def _is_asked_later(setting: str) -> bool:
    """Tell whether a problem is that of an arm's server, which may still come."""
    return re.fullmatch(r"arms\.[^.]+", setting) is not None


async def _outside(settings: Settings, wait_s: float) -> list[Result]:
    try:
        return await check_services(settings, wait_s)
    except SettingsError as error:
        return [Result("service", Status.ERROR, error.detail)]


def _host(
    settings: Settings, machine: Machine | None, env: Mapping[str, str], *, is_serving: bool
) -> Iterator[Result]:
    memory = read_memory(_ROOT)
    shares = _shares(settings, env)
    yield from check_memory(memory, machine, shares, is_serving=is_serving)
    yield from check_swap(memory, machine)
    yield from check_driver(_ROOT, machine)
    yield from check_clocks(_ROOT, machine)
    yield from check_runtime(_ROOT, machine)
    if not settings.ledger.redis.url.get_secret_value():
        yield check_disk("ledger disk", settings.ledger.path.parent)


def _shares(settings: Settings, env: Mapping[str, str]) -> dict[str, float]:
    """Read what share of the memory each server will take, as compose gives it to them."""
    names = settings.arms if env.get("VLM_PAIR") else (settings.ab.primary,)
    shares = {}
    for name in names:
        text = env.get(f"{name.upper().replace('-', '_')}_GPU_MEMORY_UTILIZATION", "")
        if text:
            shares[name] = float(text)
    return shares


def _print(results: Sequence[Result]) -> None:
    table = Table("", "what", "found")
    for result in results:
        colour = _COLOURS[result.status]
        table.add_row(f"[{colour}]{result.status}[/]", escape(result.name), escape(result.text))
    Console().print(table)
