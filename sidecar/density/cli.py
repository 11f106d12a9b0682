"""`sidecar density`: the command. What is heavy is imported when it is needed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.errors import SettingsError
from sidecar.settings import API_KEY_VARIABLE

if TYPE_CHECKING:
    from sidecar.density.driver import Live
    from sidecar.density.search import Bracket
    from sidecar.density.session import Plan, Session
    from sidecar.density.summary import Density, Run

EXIT_BROKEN_PROMISE: Final = 7
NOTHING: Final = "\N{EN DASH}"

_errors = Console(stderr=True)
_output = Console(soft_wrap=True)

ClipsFrom = Literal["auto", "inline", "serve", "file", "none"]


def density(
    scenario: Annotated[
        str, typer.Argument(help="Name of a scenario of the package, or a JSON file.")
    ] = "vss-alert-verification",
    *,
    door: Annotated[
        str,
        typer.Option(help="Where events go in: http://, grpc://, kafka:// or redis://HOST:PORT."),
    ] = "",
    sink: Annotated[
        str, typer.Option(help="Where verdicts come out; the door's own by default.")
    ] = "",
    direct: Annotated[
        str, typer.Option(help="A model's server with /v1, asked without a sidecar.")
    ] = "",
    policy: Annotated[
        Literal["none", "static"],
        typer.Option(help="static: before --direct, the policy of VSS's Alert Bridge."),
    ] = "none",
    streams: Annotated[
        int, typer.Option(min=0, help="Offer so many; 0: as the scenario says, or search.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the times of the events.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Seeds, with a fixed number.")] = 1,
    speed: Annotated[
        float, typer.Option(min=0.01, help="Seconds of the board in one of the wall.")
    ] = 1.0,
    answers: Annotated[
        Literal["any", "known"],
        typer.Option(help="known: a mock gives the answer that an event's id tells."),
    ] = "any",
    clips: Annotated[
        ClipsFrom, typer.Option(help="How clips get there; auto: as the door needs.")
    ] = "auto",
    serve_clips: Annotated[
        str, typer.Option(help="http://HOST:PORT of this driver, as those who fetch clips see it.")
    ] = "",
    clips_dir: Annotated[
        Path | None, typer.Option(help="Folder of --clips file, of its own.")
    ] = None,
    clips_seen_as: Annotated[
        Path | None, typer.Option(help="The same folder, as the server sees it.")
    ] = None,
    model: Annotated[str, typer.Option(help="For --direct; the server's first by default.")] = "",
    api_key: Annotated[str, typer.Option(envvar=API_KEY_VARIABLE, help="For HTTP and gRPC.")] = "",
    timeout_s: Annotated[
        float, typer.Option(min=0.1, help="Of one call that waits for its answer.")
    ] = 120.0,
    watch_pid: Annotated[
        int, typer.Option(min=0, help="Process whose CPU per verdict is told.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the report and the samples.")] = Path(
        "density-report"
    ),
    show_list: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Find out how many streams a deployment carries at a promised latency, and what binds.

    Events come in open loop and count from their scheduled times. With --door and --direct the same
    events go to both, and the difference is told. Exit status 7: a fixed number was offered, and
    the promise was not kept.
    """
    if show_list:
        _list_scenarios(as_json)
        return
    from sidecar.density.extra import require_extra

    require_extra()
    from sidecar.density.arms import Wanted, choose_arms
    from sidecar.density.driver import Conditions
    from sidecar.density.scenario import load_scenario
    from sidecar.density.session import Plan

    loaded = load_scenario(scenario)
    fixed = streams or loaded.streams
    wanted = Wanted(
        door=door,
        sink=sink,
        direct=direct,
        policy=policy,
        knows_answers=answers == "known",
        clips=clips,
        serve_clips=serve_clips,
        clips_dir=clips_dir,
        clips_seen_as=clips_seen_as,
        model=model,
        api_key=api_key,
        timeout_s=timeout_s,
        speed=speed,
    )
    arms = choose_arms(wanted, loaded)
    if len(arms) > 1 and fixed is None:
        raise SettingsError("--door and --direct together need --streams: pairs of the same load.")
    conditions = Conditions(loaded, speed, watched_pid=watch_pid)
    session = _hold(Plan(arms, conditions, fixed, seed, repeats, answers, out))
    _tell(session, out, as_json)
    if fixed is not None and not all(it.passed for one in session.report.found for it in one.runs):
        raise typer.Exit(EXIT_BROKEN_PROMISE)


def _hold(plan: "Plan") -> "Session":
    """Carry a plan out under a bar that shows the current estimate."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from sidecar.density.session import hold_session

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_errors) as progress:
        bar = progress.add_task("", total=1.0)
        current: dict[str, Any] = {"target": "", "known": None}

        def begin(target: str, known: "Bracket") -> None:
            current.update(target=target, known=known)

        def tell(live: "Live") -> None:
            known = f" · maximum in {current['known']}" if plan.streams is None else ""
            p95 = NOTHING if live.p95 is None else f"{live.p95:.2f} s"
            text = (
                f"{current['target']} · {live.streams} streams, seed {live.seed} · p95 {p95} · "
                f"{live.in_system} in the system{known}"
            )
            progress.update(bar, description=text, completed=live.done)

        def note(target: str, run: "Run") -> None:
            told = "[green]kept[/]" if run.passed else f"[red]broken[/]: {', '.join(run.binding)}"
            progress.console.print(
                f"{target}: {run.streams} streams, seed {run.seed}: {told}", highlight=False
            )

        conditions = replace(plan.conditions, tell=tell)
        return uvloop.run(
            hold_session(replace(plan, conditions=conditions, note=note, begin=begin))
        )


def _tell(session: "Session", out: Path, as_json: bool) -> None:
    report = session.report
    from sidecar.density.report.page import write_html, write_markdown

    (out / "report.json").write_text(report.model_dump_json(indent=2), "utf-8")
    (out / "report.md").write_text(write_markdown(report), "utf-8")
    (out / "report.html").write_text(write_html(session), "utf-8")
    if as_json:
        _output.print(report.model_dump_json(), markup=False, highlight=False)
        return
    for found in report.found:
        _output.print(_table(found))
    for pair in report.paired:
        _output.print(
            f"{pair.target} takes {pair.median_s * 1000:+.1f} ms longer than {pair.reference} "
            f"(median of {pair.pairs} pairs, 95 % interval {pair.low_s * 1000:+.1f} to "
            f"{pair.high_s * 1000:+.1f} ms)",
            highlight=False,
        )
    _errors.print(f"The report and the samples are in {out}.")


def _table(found: "Density") -> Table:
    title = found.target
    if found.streams is not None:
        title += f": {found.streams} streams at the promise"
    table = Table(
        "streams", "seed", "events", "p50", "p95", "p99", "verdicts/s", "promise", title=title
    )
    for run in found.runs:
        times = (run.latency.p50, run.latency.p95, run.latency.p99)
        table.add_row(
            str(run.streams),
            str(run.seed),
            str(run.measured),
            *(NOTHING if it is None else f"{it:.2f} s" for it in times),
            f"{run.per_s_verified:.2f}",
            "kept" if run.passed else escape("broken: " + ", ".join(run.binding)),
        )
    return table


def _list_scenarios(as_json: bool) -> None:
    from sidecar.density.scenario import load_scenario, scenario_names

    found = [load_scenario(name) for name in scenario_names()]
    if as_json:
        shown = {it.name: it.model_dump(mode="json") for it in found}
        _output.print(orjson.dumps(shown).decode(), markup=False, highlight=False)
        return
    table = Table("scenario", "streams", "what it offers and promises")
    for it in found:
        table.add_row(it.name, str(it.streams or "search"), escape(it.about))
    _output.print(table)
