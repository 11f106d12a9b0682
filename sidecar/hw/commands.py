"""`sidecar hw`: what is known about machines, and whether models fit on them."""

from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.hw.facts import Capacity, Fact, Facts, load_facts
from sidecar.hw.plan import Plan, Wish, make_plan, parse_models

EXIT_DOES_NOT_FIT: Final = 5

hw = typer.Typer(help="Machines: what is known about them, and what fits.", no_args_is_help=True)
_output = Console(soft_wrap=True)
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@hw.command("list")
def list_machines(as_json: _AsJson = False) -> None:
    """List the machines that are known."""
    facts = load_facts()
    if as_json:
        _print({name: it.model_dump() for name, it in facts.machines.items()})
        return
    table = Table("machine", "", "memory GiB", "for servers", "profiles in hw_envs")
    for name, it in facts.machines.items():
        budget = it.memory_gib.value * it.most_share.value
        kind = "unified" if it.unified else "GPU"
        size = f"{it.memory_gib.value:g} {kind}"
        table.add_row(name, it.title, size, f"{budget:.1f}", ", ".join(it.profiles))
    _output.print(table)


@hw.command("show")
def show_machine(
    machine: Annotated[str, typer.Argument(help="As `hw list` names it.")], as_json: _AsJson = False
) -> None:
    """Show what is known about a machine, and where that is written."""
    facts = load_facts()
    known = facts.machine(machine)
    runs = [it for it in facts.capacities if it.machine == machine]
    if as_json:
        _print({**known.model_dump(), "runs": [it.model_dump() for it in runs]})
        return
    table = Table("fact", "value", "source", title=known.title)
    for name in type(known).model_fields:
        value = getattr(known, name)
        if isinstance(value, Fact):
            table.add_row(name, f"{value.value:g}", escape(_source(facts, value.source)))
    _output.print(table)
    for run in runs:
        kept = "kept up" if run.keeps_up else "fell behind"
        _output.print(
            f"{_scope(run)}, {run.model} {run.precision}: {run.per_second:.2f} "
            f"verifications/s, {run.e2e_s:g} s each, {kept}"
        )
    for warning in known.warnings:
        _output.print(
            f"[yellow]warning[/] {escape(warning.text)} ({_source(facts, warning.source)})"
        )


@hw.command("plan")
def plan_models(
    machine: Annotated[str, typer.Option("--hw", help="As `hw list` names it.")],
    models: Annotated[str, typer.Option(help="Such as reason2:fp8,cosmos3-nano:nvfp4.")],
    streams: Annotated[int, typer.Option(min=0, help="Cameras.")] = 0,
    rate: Annotated[float, typer.Option(min=0, help="Events a minute of each camera.")] = 0.0,
    context: Annotated[int, typer.Option(min=0, help="Tokens of a request; 0: usual.")] = 0,
    sequences: Annotated[int, typer.Option(min=0, help="Requests at once; 0: usual.")] = 0,
    kv: Annotated[str, typer.Option(help="Precision of the KV cache: bf16 or fp8.")] = "bf16",
    as_json: _AsJson = False,
) -> None:
    """Say whether models fit on a machine together, and print the environment to use.

    Exit status 0: they do; 5: they do not.
    """
    wish = Wish(
        machine=machine,
        models=parse_models(models),
        context=context or None,
        sequences=sequences or None,
        kv=kv,
        streams=streams,
        per_minute=rate,
    )
    plan = make_plan(load_facts(), wish)
    if as_json:
        _print(_plan_json(plan))
    else:
        _print_plan(plan)
    if plan.refusals:
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _print_plan(plan: Plan) -> None:
    title = f"{plan.machine.title}, {plan.sequences} requests of {plan.context} tokens at once, GiB"
    table = Table("model", "precision", "weights", "KV", "vision", "engine", "all", title=title)
    for it in plan.served:
        need = it.need
        sizes = (need.weights, need.kv, need.vision, need.engine, need.total)
        table.add_row(it.model, it.precision, *(f"{size:.1f}" for size in sizes))
    table.add_section()
    table.add_row("all servers", "", f"{plan.weights:.1f}", "", "", "", f"{plan.total:.1f}")
    table.add_row("may take", "", "", "", "", "", f"{plan.budget:.1f}")
    table.add_row("left in all", *[""] * 5, f"{plan.machine.memory_gib.value - plan.total:.1f}")
    _output.print(table)
    for colour, word, texts in (
        ("red", "refused", plan.refusals),
        ("yellow", "remark", plan.remarks),
        ("cyan", "advice", plan.advice),
    ):
        for text in texts:
            _output.print(f"[{colour}]{word}[/] {escape(text)}")
    if not plan.refusals:
        for name, value in plan.environment.items():
            _output.print(f"{name}={value}", highlight=False, markup=False)


def _plan_json(plan: Plan) -> dict[str, Any]:
    models = [
        {
            "model": it.model,
            "precision": it.precision,
            "weightsGib": it.need.weights,
            "kvGib": it.need.kv,
            "visionGib": it.need.vision,
            "engineGib": it.need.engine,
            "totalGib": it.need.total,
            "share": it.share,
        }
        for it in plan.served
    ]
    return {
        "fits": not plan.refusals,
        "models": models,
        "weightsGib": plan.weights,
        "totalGib": plan.total,
        "budgetGib": plan.budget,
        "refusals": list(plan.refusals),
        "remarks": list(plan.remarks),
        "advice": list(plan.advice),
        "environment": dict(plan.environment) if not plan.refusals else {},
    }


def _scope(run: Capacity) -> str:
    return f"{run.streams} streams" if run.scope == "pipeline" else "the model's server alone"


def _source(facts: Facts, key: str) -> str:
    return facts.sources[key].at


def _print(value: object) -> None:
    print(orjson.dumps(value).decode())
