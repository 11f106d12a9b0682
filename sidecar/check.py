"""What is wrong with the settings, before the service is started with them."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.arms import build_routing, gate_rules
from sidecar.core.api_keys import KeyRing
from sidecar.core.families import check_family
from sidecar.core.gate import find_exposures, is_loopback
from sidecar.core.plugins import load_plugins
from sidecar.core.prompting import build_default_rules
from sidecar.core.routing import Arm, Routing
from sidecar.errors import ModelMismatch, SettingsError, StoreUnavailable, VlmError
from sidecar.observe.metrics import PrometheusMeter
from sidecar.outside.alert_defaults import load_alert_defaults
from sidecar.outside.clock import SystemClock
from sidecar.outside.policy_file import load_policy
from sidecar.outside.prompts import load_alert_types
from sidecar.parts import build_store, missing_extras
from sidecar.settings import LedgerSettings, SecuritySettings, Settings, variable_of
from sidecar.vss.loading import find_vss_config


@dataclass(frozen=True, slots=True)
class Problem:
    """An error stops the service from starting; a warning is worth a thought; a note is to know."""

    severity: Literal["error", "warning", "note"]
    setting: str
    text: str


async def find_problems(settings: Settings) -> list[Problem]:
    """Look at every setting that can be wrong, and ask the arms of the policy what they serve."""
    problems = [
        *(await _ledger_problems(settings.ledger)),
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
        gate_rules(settings.ab.gate)
        routing = build_routing(settings, plugins, PrometheusMeter(), SystemClock())
    except SettingsError as error:
        return [*problems, _problem_of(error)]
    return [*problems, *(await _arm_problems(routing))]


def _problem_of(error: SettingsError) -> Problem:
    setting, _, text = error.detail.partition(": ")
    return Problem("error", setting, text)


async def _ledger_problems(settings: LedgerSettings) -> list[Problem]:
    if settings.redis.url.get_secret_value():
        return await _redis_problems(settings)
    folder = next(parent for parent in settings.path.absolute().parents if parent.exists())
    if os.access(folder, os.W_OK):
        return []
    return [Problem("error", "ledger.path", f"{folder} is not writable.")]


async def _redis_problems(settings: LedgerSettings) -> list[Problem]:
    """Ask the server what it would lose."""
    name = "ledger.redis.url"
    try:
        store = build_store(settings, SystemClock())
    except SettingsError as error:
        return [_problem_of(error)]
    try:
        found = [*(await store.ledger.risks()), await store.ledger.ping()]
    except StoreUnavailable as error:
        found = [error.detail]
    for part in store.owned:
        await part.close()
    return [Problem("warning", name, text) for text in found if text]


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
    yield from map(_problem_of, find_exposures(settings))
    yield from _key_problems(settings.security)
    networks = ", ".join(map(str, settings.security.trusted_networks))
    if networks:
        text = f"Callers from {networks} need no key and may do everything. Name few."
        yield Problem("warning", "security.trusted_networks", text)
    doors = [("http", settings.http.host, settings.http.tls.cert)]
    if settings.grpc.enabled:
        doors.append(("grpc", settings.grpc.host, settings.grpc.tls.cert))
    for door, host, cert in doors:
        if not is_loopback(host) and cert is None:
            variable = variable_of(f"{door}.tls.cert")
            text = f"Keys and events reach {host} unencrypted. Set {variable}."
            yield Problem("warning", f"{door}.tls", text)
    if settings.metrics.enabled and not is_loopback(settings.metrics.host):
        text = f"Whoever reaches {settings.metrics.host} reads the metrics; they ask for no key."
        yield Problem("note", "metrics.host", text)


def _key_problems(security: SecuritySettings) -> Iterator[Problem]:
    try:
        KeyRing(security)
    except SettingsError as error:
        yield _problem_of(error)


def _deadline_problems(settings: Settings) -> Iterator[Problem]:
    deadline_s = settings.verify.deadline_s
    with suppress(SettingsError):  # which `build_routing` tells about
        for name in load_policy(settings.ab, settings.arms).answering:
            timeout_s = settings.arms[name].timeout_s
            if timeout_s > deadline_s:
                text = (
                    f"{timeout_s:g} s is longer than verify.deadline_s ({deadline_s:g} s), which "
                    "ends the verification first."
                )
                yield Problem("warning", f"arms.{name}.timeout_s", text)


def _vss_problems() -> Iterator[Problem]:
    """Tell what becomes of VSS's configuration, when there is one."""
    config = find_vss_config()
    for remark in config.remarks if config else ():
        yield Problem(remark.severity, remark.key, remark.text)


async def _arm_problems(routing: Routing) -> list[Problem]:
    try:
        return [
            problem
            for name in routing.policy.named
            async for problem in _served_problems(routing, routing.arms[name])
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
