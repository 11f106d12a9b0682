"""What is wrong with the settings, before the service is started with them."""

import ipaddress
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.core.families import check_family
from sidecar.core.plugins import load_plugins
from sidecar.core.prompting import build_default_rules
from sidecar.core.routing import Arm, Routing
from sidecar.errors import ModelMismatch, SettingsError, VlmError
from sidecar.observe.metrics import PrometheusMeter
from sidecar.outside.alert_defaults import load_alert_defaults
from sidecar.outside.clock import SystemClock
from sidecar.outside.prompts import load_alert_types
from sidecar.parts import build_routing, missing_extras
from sidecar.settings import Settings
from sidecar.vss.loading import find_vss_config


@dataclass(frozen=True, slots=True)
class Problem:
    """An error stops the service from starting; a warning is worth a thought; a note is to know."""

    severity: Literal["error", "warning", "note"]
    setting: str
    text: str


async def find_problems(settings: Settings) -> list[Problem]:
    """Look at every setting that can be wrong, and ask the primary arm what it serves."""
    problems = [
        *_ledger_problems(settings.ledger.path),
        *_prompt_problems(settings.prompts.alert_type_config),
        *_default_problems(settings.bridge.request_defaults),
        *_media_problems(settings),
        *_exposure_problems(settings),
        *_deadline_problems(settings),
        *_vss_problems(),
        *(_problem_of(error) for error in missing_extras(settings)),
    ]
    try:
        plugins = load_plugins(settings.answers)
        build_default_rules(settings.answers, plugins.functions)
        routing = build_routing(settings, plugins, PrometheusMeter(), SystemClock())
    except SettingsError as error:
        return [*problems, _problem_of(error)]
    return [*problems, *(await _arm_problems(routing))]


def _problem_of(error: SettingsError) -> Problem:
    setting, _, text = error.detail.partition(": ")
    return Problem("error", setting, text)


def _ledger_problems(path: Path) -> Iterator[Problem]:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(folder, os.W_OK):
        yield Problem("error", "ledger.path", f"{folder} is not writable.")


def _prompt_problems(path: Path | None) -> Iterator[Problem]:
    if path is None:
        return
    try:
        load_alert_types(path)
    except SettingsError as error:
        yield Problem("error", "prompts.alert_type_config", error.detail)


def _default_problems(path: Path | None) -> Iterator[Problem]:
    try:
        load_alert_defaults(path)
    except SettingsError as error:
        yield _problem_of(error)


def _media_problems(settings: Settings) -> Iterator[Problem]:
    for root in settings.media.allowed_roots:
        if not root.is_dir():
            yield Problem("warning", "media.allowed_roots", f"{root} is not a folder.")


def _exposure_problems(settings: Settings) -> Iterator[Problem]:
    host = settings.http.host
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        text = f"{host} is reachable from other machines, and the API has no authentication."
        yield Problem("warning", "http.host", text)


def _deadline_problems(settings: Settings) -> Iterator[Problem]:
    arm = settings.arms.get(settings.ab.primary)
    if arm and arm.timeout_s > settings.verify.deadline_s:
        text = (
            f"{arm.timeout_s:g} s is longer than verify.deadline_s "
            f"({settings.verify.deadline_s:g} s), which ends the verification first."
        )
        yield Problem("warning", f"arms.{settings.ab.primary}.timeout_s", text)


def _vss_problems() -> Iterator[Problem]:
    """Tell what becomes of VSS's configuration, when there is one."""
    config = find_vss_config()
    for remark in config.remarks if config else ():
        yield Problem(remark.severity, remark.key, remark.text)


async def _arm_problems(routing: Routing) -> list[Problem]:
    try:
        return [
            problem async for problem in _served_problems(routing, routing.arms[routing.primary])
        ]
    finally:
        for arm in routing.arms.values():
            await arm.backend.close()


async def _served_problems(routing: Routing, arm: Arm) -> AsyncIterator[Problem]:
    trouble = await arm.backend.ping()
    if trouble:
        yield Problem("warning", f"arms.{arm.name}", trouble)
        return
    try:
        model = await arm.backend.model()
        check_family(model, arm.name, arm.adapter.profile, routing.families)
    except VlmError as error:
        yield Problem("warning", f"arms.{arm.name}", error.detail)
    except ModelMismatch as error:
        yield Problem("error", f"arms.{arm.name}.adapter", error.detail)
