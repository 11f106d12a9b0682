"""Whether models fit on a machine together and keep up with a load. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.errors import SettingsError
from sidecar.hw.facts import Capacity, Facts, Machine
from sidecar.hw.memory import Need, need_of
from sidecar.settings import variable_of

HEADROOM: Final = 0.15
"""Of a machine's capacity to keep free; VSS's docs/performance-rt-vlm.mdx advises 10 to 15 %."""
_REPEATABLE: Final = 0.02
"""Two runs of one load differ by so much; less is no difference."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to serve, and how much of it.

    Attributes:
        models: names and precisions.
        context: tokens of a request; None takes the machine's.
        sequences: requests at the same time; None takes the machine's.
        kv: precision of the KV cache.
        streams: cameras; 0 asks nothing about the load.
        per_minute: events to verify of each camera.
    """

    machine: str
    models: Sequence[tuple[str, str]]
    context: int | None = None
    sequences: int | None = None
    kv: str = "bf16"
    streams: int = 0
    per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class Served:
    """One model of a plan.

    Attributes:
        share: of the machine's memory to give to its server, rounded up to 0.01.
    """

    model: str
    precision: str
    artefact: str
    need: Need
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How the models fit.

    Attributes:
        budget: memory that all servers may take together, in GiB.
        refusals: why this cannot work; empty when it can.
        remarks: what to know when it does.
        advice: what to do instead.
        environment: for compose, by variable.
    """

    machine: Machine
    served: Sequence[Served]
    context: int
    sequences: int
    budget: float
    refusals: Sequence[str]
    remarks: Sequence[str]
    advice: Sequence[str]
    environment: Mapping[str, str]

    @property
    def total(self) -> float:
        """Memory of all servers together, in GiB."""
        return sum(it.need.total for it in self.served)

    @property
    def weights(self) -> float:
        """Memory of all weights together, in GiB."""
        return sum(it.need.weights for it in self.served)


def parse_models(text: str) -> list[tuple[str, str]]:
    """Read `reason2:fp8,cosmos3-nano:nvfp4`; without a precision it is bf16.

    Raises:
        SettingsError: the text names no model, or one twice.
    """
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    models = [(name, precision or "bf16") for name, _, precision in pairs]
    if not models:
        raise SettingsError("--models: name models, such as reason2:fp8,cosmos3-nano:nvfp4.")
    if len({name for name, _ in models}) < len(models):
        raise SettingsError("--models: a model stands there twice.")
    return models


def make_plan(facts: Facts, wish: Wish) -> Plan:
    """Compute a plan.

    Raises:
        NotFound: there is no such machine or model.
        SettingsError: a model has no artefact in the precision.
    """
    machine = facts.machine(wish.machine)
    usual = machine.context if len(wish.models) == 1 else machine.shared_context
    context = wish.context or round(usual.value)
    sequences = wish.sequences or round(machine.sequences.value)
    served = [
        _serve(
            facts,
            machine,
            model,
            precision,
            need_of(facts, model, precision, context=context, sequences=sequences, kv=wish.kv),
        )
        for model, precision in wish.models
    ]
    budget = machine.memory_gib.value * machine.most_share.value
    misfits = list(_misfits(facts, wish, machine, served))
    overflow = list(_overflow(machine, served, budget))
    late = list(_late(facts, wish))
    return Plan(
        machine=machine,
        served=served,
        context=context,
        sequences=sequences,
        budget=budget,
        refusals=[*misfits, *overflow, *late],
        remarks=list(_remarks(facts, wish, machine)),
        advice=list(_advice(served, misfits, overflow, late)),
        environment=_environment(wish, served, context, sequences),
    )


def _serve(facts: Facts, machine: Machine, model: str, precision: str, need: Need) -> Served:
    share = math.ceil(need.total / machine.memory_gib.value * 100) / 100
    return Served(model, precision, facts.model(model).artefacts[precision], need, share)


def _misfits(facts: Facts, wish: Wish, machine: Machine, served: Sequence[Served]) -> Iterator[str]:
    """Say which model cannot run on the machine at all."""
    for it in served:
        least = facts.precisions[it.precision].from_capability.value
        if machine.capability.value < least:
            yield (
                f"{it.model} in {it.precision}: needs compute capability {least:g}, and "
                f"{machine.title} has {machine.capability.value:g}."
            )
        for refused in facts.model(it.model).refused:
            if wish.machine in refused.machines:
                yield f"{it.model}: {refused.text} ({facts.sources[refused.source].at})."


def _overflow(machine: Machine, served: Sequence[Served], budget: float) -> Iterator[str]:
    total = sum(it.need.total for it in served)
    if total > budget:
        yield (
            f"{' and '.join(it.model for it in served)} need {total:.1f} GiB, and servers may take "
            f"{budget:.1f} GiB of {machine.memory_gib.value:g} GiB."
        )


def _late(facts: Facts, wish: Wish) -> Iterator[str]:
    """Say which model is known not to keep up with the load."""
    load = wish.streams * wish.per_minute / 60
    for model, precision in wish.models if load else ():
        over = [it for it in _runs(facts, wish, model, precision) if not it.keeps_up]
        top = max((it.per_second for it in over), default=math.inf)
        if load > top * (1 + _REPEATABLE):
            worst = max(over, key=lambda it: it.per_second)
            yield (
                f"{model} in {precision}: {load:.2f} verifications a second are more than the "
                f"{top:.2f} that {wish.machine} did when its backlog grew without end, "
                f"{worst.e2e_s:g} s on average ({facts.sources[worst.per_minute.source].at})."
            )


def _remarks(facts: Facts, wish: Wish, machine: Machine) -> Iterator[str]:
    for model, precision in wish.models:
        for warning in facts.model(model).warnings:
            if precision in warning.precisions:
                yield f"{model} in {precision}: {warning.text}."
        yield from _load_remarks(facts, wish, model, precision)
    for warning in machine.warnings:
        yield f"{machine.title}: {warning.text}."


def _load_remarks(facts: Facts, wish: Wish, model: str, precision: str) -> Iterator[str]:
    load = wish.streams * wish.per_minute / 60
    if not load:
        return
    runs = _runs(facts, wish, model, precision)
    if not any(it.scope == "pipeline" for it in runs):
        yield (
            f"{model} in {precision}: nobody has published how many verifications a second "
            f"{wish.machine} does; {load:.2f} are asked for. Measure it before you rely on it."
        )
        yield from (
            f"{model} in {precision}: its server alone did {it.per_second:.2f} requests a second "
            f"({facts.sources[it.per_minute.source].at})."
            for it in runs
        )
        return
    kept = max((it.per_second for it in runs if it.keeps_up), default=None)
    if kept is not None and load > kept * (1 - HEADROOM):
        yield (
            f"{model} in {precision}: {load:.2f} verifications a second leave less than "
            f"{HEADROOM:.0%} free of the {kept:.2f} that are known to work."
        )


def _runs(facts: Facts, wish: Wish, model: str, precision: str) -> list[Capacity]:
    key = (wish.machine, model, precision)
    return [it for it in facts.capacities if (it.machine, it.model, it.precision) == key]


def _advice(
    served: Sequence[Served], misfits: Sequence[str], overflow: Sequence[str], late: Sequence[str]
) -> Iterator[str]:
    if misfits or overflow:
        largest = max(served, key=lambda it: it.need.total)
        variable = variable_of(f"arms.{largest.model}.url")
        yield f"Serve {largest.model} on a second node, and set {variable} to its URL."
    if overflow:
        yield "Or take a lower precision, a shorter --context or fewer --sequences."
    if late:
        yield "Take a lower precision, send fewer events, or serve the model on more nodes."
    if len(served) > 1:
        yield "Start the servers one after another: each measures free memory while it starts."


def _environment(
    wish: Wish, served: Sequence[Served], context: int, sequences: int
) -> Mapping[str, str]:
    variables: dict[str, str] = {"HW_PROFILE": wish.machine}
    for it in served:
        prefix = it.model.upper().replace("-", "_")
        variables |= {
            f"{prefix}_MODEL": it.artefact,
            f"{prefix}_PRECISION": it.precision,
            f"{prefix}_GPU_MEMORY_UTILIZATION": f"{it.share:.2f}",
            f"{prefix}_MAX_MODEL_LEN": str(context),
            f"{prefix}_MAX_NUM_SEQS": str(sequences),
        }
    return {**variables, variable_of("verify.max_in_flight"): str(sequences)}
