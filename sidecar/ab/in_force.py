"""The arms of a running service: `sidecar ab use`, `promote`, `gate`, `status`, and so on.

They work on the ledger's store, as the service does; it follows within a second.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import orjson
import typer
import uvloop
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.audit import of_command
from sidecar.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sidecar.ab.promoting import Promoting
    from sidecar.core.arms import Arms
    from sidecar.core.choosing import Facts
    from sidecar.core.comparing import Comparing
    from sidecar.model import VerifyEvent
    from sidecar.parts import Store
    from sidecar.policy import ArmChoice, Policy
    from sidecar.settings import Settings

EXIT_UNKNOWN: Final = 4
MAX_EVENT_DEPTH: Final = 64

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_errors = Console(stderr=True)
_output = Console(soft_wrap=True)


def use(
    arm: Annotated[str, typer.Argument(help="The arm that answers everything.")] = "",
    *,
    policy: Annotated[
        str, typer.Option(help="A YAML file with a policy, or the name of one that comes with us.")
    ] = "",
    restore: Annotated[int, typer.Option(min=0, help="Version to put in force again.")] = 0,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    version: Annotated[
        int | None, typer.Option(help="Only when this version is in force now.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also when servers that would answer are away.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put an arm or a policy in force; events that were begun keep theirs.

    Exit status 2: refused, and what was in force stays so.
    """
    if sum(map(bool, (arm, policy, restore))) != 1:
        raise SettingsError("Name an arm, or give one of --policy and --restore.")

    async def choose() -> "ArmChoice":
        async with _opened() as it:
            wanted = await _wanted(it.arms, arm, policy, restore)
            by = of_command(reason or (f"version {restore} again" if restore else ""))
            return await it.arms.choose(wanted, by, version=version, force=force)

    choice = _run(choose())
    if as_json:
        _print_json(_choice(choice))
    else:
        _output.print(f"Version {choice.version} is in force: {escape(_summary(choice))}.")


def status(as_json: AsJson = False) -> None:
    """Tell which arms are in force, who chose them, and whether each can work."""
    from sidecar.doors.arms import show_arm

    async def look() -> dict[str, Any]:
        async with _opened() as it:
            states = await it.arms.states()
            return {
                **_choice(it.arms.current),
                "arms": [show_arm(state).model_dump() for state in states],
            }

    found = _run(look())
    if as_json:
        _print_json(found)
        return
    told = f"Version {found['version']}, by {found['actor']} at {found['chosenAt']}"
    _output.print(escape(f"{told}: {found['reason'] or 'no reason given'}"))
    policy = yaml.safe_dump(found["policy"], sort_keys=False, allow_unicode=True)
    _output.print(policy, markup=False)
    table = Table("arm", "adapter", "model", "part", "problem")
    for state in found["arms"]:
        part = next((name for name in ("lead", "answers", "shadow") if state[name]), "")
        cells = (state["name"], state["adapter"], state["model"], part, state["problem"])
        table.add_row(*map(escape, cells))
    _output.print(table)


def history(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, as_json: AsJson = False
) -> None:
    """List what was in force, newest first."""

    async def read() -> "list[ArmChoice]":
        async with _opened() as it:
            return list(await it.arms.history(limit=limit))

    choices = _run(read())
    if as_json:
        _print_json({"choices": [_choice(choice) for choice in choices]})
        return
    table = Table("version", "at", "by", "in force", "reason")
    for it in choices:
        at = it.chosen_at.isoformat(timespec="seconds")
        table.add_row(f"{it.version}", at, *map(escape, (it.actor, _summary(it), it.reason)))
    _output.print(table)


def promote(
    candidate: Annotated[str, typer.Argument(help="The arm that shall answer.")] = "",
    *,
    reference: Annotated[
        str, typer.Option(help="The arm whose events it shall answer; by default the leading one.")
    ] = "",
    stop: Annotated[
        bool, typer.Option("--stop", help="End the promotion; what was before is in force again.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    as_json: AsJson = False,
) -> None:
    """Compare an arm with the one that answers, until it may take over its events, or not.

    With SIDECAR_AB__GATE__ACTS the service gives it its share step by step, and takes it back when
    something breaks; else it only recommends. Exit status 2: refused, nothing changed.
    """
    from sidecar.ab.extra import require_extra

    require_extra()
    if bool(candidate) == stop:
        raise SettingsError("Name the arm to promote, or give --stop.")

    async def change() -> "ArmChoice":
        async with _opened() as it:
            by = of_command(reason)
            if stop:
                return await it.promoting.stop(by)
            return await it.promoting.start(candidate, by, reference=reference)

    choice = _run(change())
    if as_json:
        _print_json(_choice(choice))
    else:
        _output.print(f"Version {choice.version} is in force: {escape(_summary(choice))}.")


def gate(as_json: AsJson = False) -> None:
    """Tell where the promotion of an arm stands, and what the evidence says now."""
    from sidecar.ab.extra import require_extra
    from sidecar.doors.promotion import show_gate

    require_extra()

    async def look() -> Mapping[str, Any]:
        async with _opened() as it:
            return show_gate(it.promoting, await it.promoting.look())

    found = _run(look())
    if as_json:
        _print_json(found)
        return
    promotion, looked = found["promotion"], found["look"]
    if promotion is None:
        _output.print("No arm is being promoted; `sidecar ab promote ARM` begins it.")
        return
    stage = promotion["stage"] if looked["stage"] == "observing" else looked["stage"]
    names = f"{promotion['candidate']} for {promotion['reference']}"
    _output.print(escape(f"{names}: {stage}, {promotion['share']:.0%} of the events."))
    _output.print(escape(looked["words"]))
    table = Table("condition", "holds", "")
    for it in looked["checks"]:
        holds = "broken" if it["breached"] else "yes" if it["passed"] else "not yet"
        table.add_row(it["name"], holds, escape(it["words"]))
    _output.print(table)


def explain(
    event: Annotated[Path, typer.Argument(help="File with the event's JSON.", exists=True)],
    policy: Annotated[
        str, typer.Option(help="A policy to try instead of the one in force, as for `use`.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Tell which arms would be asked about an event, by which rule and why. Nothing is asked."""
    from sidecar.contract.body import parse_json_object
    from sidecar.core.choosing import choose, describe_plan
    from sidecar.core.intake import Intake, kind_of

    raw = parse_json_object(event.read_bytes(), MAX_EVENT_DEPTH)

    async def look() -> "tuple[Policy, int, Facts]":
        settings = _settings()
        read = Intake(settings.vst.ignore_event_media).read(raw, kind_of(raw))
        in_force, version, facts = await _in_force(settings, read)
        return (_policy(policy, settings) if policy else in_force), version, facts

    chosen, version, facts = _run(look())
    plan = describe_plan(choose(chosen, facts), facts, 0 if policy else version)
    if as_json:
        _print_json(plan)
        return
    table = Table("", "", title=f"{event.name}, version {plan.pop('version')}")
    shown = {**plan.pop("facts"), **plan}
    for name, value in shown.items():
        if value not in (None, "", []) and name != "status":
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(name, escape(words))
    _output.print(table)


def label(
    file: Annotated[
        Path, typer.Argument(help="JSON lines: `id` or `key`, and `truth`.", exists=True)
    ],
    labeller: Annotated[
        str, typer.Option(help="Says what lines say that name nobody; by default the user.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Say whether what was alerted on happened, for many events at once.

    Exit status 4: some are about events without a verdict; the others were taken.
    """
    from sidecar.contract.labels import read_labels
    from sidecar.outside.clock import SystemClock

    name = labeller or of_command("").actor
    labels = read_labels(file.read_bytes(), name, SystemClock().now())

    async def take() -> list[str]:
        async with _opened() as it:
            return list(await it.comparing.label_all(labels))

    unknown = _run(take())
    told = {"labelled": len(labels) - len(unknown), "unknown": unknown}
    if as_json:
        _print_json(told)
    else:
        _output.print(f"{told['labelled']} labels taken.")
        for identity in unknown:
            _errors.print(f"There is no verdict on {escape(identity)}.")
    if unknown:
        raise typer.Exit(EXIT_UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The arms and comparisons of a store."""

    arms: "Arms"
    comparing: "Comparing"
    promoting: "Promoting"
    store: "Store"


@asynccontextmanager
async def _opened(settings: "Settings | None" = None) -> AsyncGenerator[_Opened]:
    """Open the store of a service that may run."""
    from prometheus_client import CollectorRegistry

    from sidecar.arms import build_promoting, build_routing
    from sidecar.core.arms import Arms
    from sidecar.core.comparing import Comparing
    from sidecar.core.plugins import load_plugins
    from sidecar.core.routing import Switchboard
    from sidecar.observe.ab_metrics import PrometheusArmsMeter
    from sidecar.observe.metrics import PrometheusMeter
    from sidecar.outside.clock import SystemClock
    from sidecar.parts import build_store

    settings, clock = settings or _settings(), SystemClock()
    plugins = load_plugins(settings.answers)
    routing = build_routing(settings, plugins, PrometheusMeter(), clock)
    meter = PrometheusArmsMeter(CollectorRegistry(), routing.arms)
    store = build_store(settings.ledger, clock, exclusive=False)
    try:
        arms = Arms(Switchboard(routing), store.arm_log, clock, meter)
        await arms.follow()
        comparing = Comparing(store.ledger, store.comparisons, clock, meter)
        promoting = build_promoting(settings.ab.gate, arms, store.comparisons, clock)
        yield _Opened(arms, comparing, promoting, store)
    finally:
        for arm in routing.arms.values():
            await arm.backend.close()
        for part in store.owned:
            await part.close()


async def _wanted(arms: "Arms", arm: str, policy: str, restore: int) -> "Policy":
    from sidecar.outside.policy_file import read_policy_file
    from sidecar.policy import Policy

    if restore:
        return (await arms.past(restore)).policy
    return read_policy_file(policy) if policy else Policy.only(arm)


def _policy(name: str, settings: "Settings") -> "Policy":
    from sidecar.outside.policy_file import load_policy
    from sidecar.settings import AbSettings

    return load_policy(AbSettings(policy_file=name), settings.arms)


async def _in_force(settings: "Settings", event: "VerifyEvent") -> "tuple[Policy, int, Facts]":
    """Return the policy in force, its version, and the facts that it goes by."""
    from sidecar.core.choosing import facts_of
    from sidecar.core.prompting import fill_prompt
    from sidecar.model import PLAIN_RULES, AlertConfig
    from sidecar.outside.policy_file import load_policy
    from sidecar.outside.prompts import SHIPPED_ALERT_TYPES, key_of, load_alert_types

    def facts(config: AlertConfig | None) -> "Facts":
        prompt = None if config is None else fill_prompt(config, event, "", PLAIN_RULES)
        return facts_of(event, prompt)

    if settings.ledger.redis.url.get_secret_value() or settings.ledger.path.is_file():
        async with _opened(settings) as it:
            config = await it.store.prompts.find(event.category)
            return it.arms.current.policy, it.arms.current.version, facts(config)
    known = load_alert_types(settings.prompts.alert_type_config or SHIPPED_ALERT_TYPES)
    named = (it for it in known if key_of(it.alert_type) == key_of(event.category))
    return load_policy(settings.ab, settings.arms), 0, facts(next(named, None))


def _choice(choice: "ArmChoice") -> dict[str, Any]:
    from sidecar.contract.arms import write_choice

    return write_choice(choice)


def _summary(choice: "ArmChoice") -> str:
    policy = choice.policy
    if policy.sole:
        return policy.sole
    count = len(policy.rules)
    shadow = f", shadow {policy.shadow.arm}" if policy.shadow else ""
    if choice.promotion:
        shadow += f", promotion of {choice.promotion.candidate}: {choice.promotion.stage.value}"
    rules = "1 rule" if count == 1 else f"{count} rules"
    return f"{rules} over {', '.join(policy.answering)}{shadow}"


def _settings() -> "Settings":
    from sidecar.vss.loading import load_settings

    return load_settings()


def _print_json(value: Any) -> None:
    _output.print(orjson.dumps(value).decode(), markup=False, highlight=False)


def _run(work: "Coroutine[Any, Any, T]") -> T:
    return uvloop.run(work)


COMMANDS: Final[tuple[Callable[..., None], ...]] = (
    use,
    promote,
    gate,
    status,
    history,
    explain,
    label,
)
