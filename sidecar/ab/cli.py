"""`sidecar ab`: the commands that compare arms. What is heavy is imported by the command."""

from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import orjson
import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar.ab.in_force import COMMANDS
from sidecar.errors import SettingsError
from sidecar.settings import API_KEY_VARIABLE

if TYPE_CHECKING:
    from sidecar.ab.recorded import Recorded
    from sidecar.ab.scorers import Answered
    from sidecar.settings import Settings

ab = typer.Typer(help="Choose arms, compare them, and decide between them.", no_args_is_help=True)
for command in COMMANDS:
    ab.command()(command)

LEDGER: Final = "ledger"
EXIT_INTERRUPTED: Final = 130

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False)]

_errors = Console(stderr=True)
_output = Console(soft_wrap=True)


@ab.command()
def replay(
    source: Annotated[
        str, typer.Argument(help="File of recorded events, or `ledger` for those decided here.")
    ],
    *,
    arms: Annotated[str, typer.Option(help="Names, separated by commas.")],
    out: Annotated[Path, typer.Option(help="Where the answers go, as JSON lines.")] = Path(
        "compared.jsonl"
    ),
    in_flight: Annotated[
        int, typer.Option(min=0, help="Questions to each arm at a time; 0: as the settings say.")
    ] = 0,
    rate: Annotated[
        float, typer.Option(min=0, help="Questions to each arm per second, at most; 0: any.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Events, at most; 0: all.")] = 0,
    clips: Annotated[
        Path | None, typer.Option(help="Folder of clips that may be read besides.", exists=True)
    ] = None,
    alert_types: Annotated[
        Path | None, typer.Option(help="Prompts to ask with instead of those in force.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify recorded events again with several arms; nothing is published.

    Every answer is written down as it comes. After an interruption the same command goes on where
    it stopped, and asks again what failed in a way that may have passed.
    """
    names = [name.strip() for name in arms.split(",") if name.strip()]
    if not names or len(set(names)) != len(names):
        raise SettingsError("--arms: name each arm once, separated by commas.")
    settings = _with_clips(clips)
    limits = (in_flight or settings.verify.max_in_flight, rate)
    try:
        found = _run(_replay(settings, source, names, out, limits, limit, alert_types))
    except KeyboardInterrupt:
        _errors.print(f"Stopped. {out} keeps what was answered; the same command goes on.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print(found, as_json, "{asked} answers, {known} known before: {events} events in {out}")


@ab.command("import")
def import_benchmark(
    layout: Annotated[
        Literal["vantage", "safe-unsafe"], typer.Argument(help="What the folder holds.")
    ],
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Events for `replay`.")] = Path("events.jsonl"),
    alert_types: Annotated[
        Path, typer.Option(help="Its questions, for `replay --alert-types`.")
    ] = Path("alert_types.json"),
    as_json: AsJson = False,
) -> None:
    """Turn a downloaded benchmark into recorded events with their truth."""
    _need_extra()
    from sidecar.ab.safe_unsafe import read_safe_unsafe
    from sidecar.ab.vantage import read_vantage

    found = read_vantage(folder) if layout == "vantage" else read_safe_unsafe(folder)
    found.write(out, alert_types)
    facts = {
        "events": len(found.items),
        "labelled": sum(it.truth is not None for it in found.items),
        "alertTypes": len(found.prompts),
        "missingClips": len(found.missing),
        "out": str(out),
    }
    text = "{events} events in {out}, {labelled} with their truth; {missingClips} clips are missing"
    _print(facts, as_json, text)


@ab.command("export")
def export_benchmark(
    layout: Annotated[Literal["vantage"], typer.Argument(help="What to write.")],
    compared: Annotated[Path, typer.Argument(help="File that `replay` wrote.", exists=True)],
    arm: Annotated[str, typer.Option(help="Whose answers.")],
    out: Annotated[Path, typer.Option(help="Where to.")] = Path("event_verification.jsonl"),
    as_verdicts: Annotated[
        bool, typer.Option("--as-verdicts", help="Write Yes or No instead of the model's words.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write an arm's answers as a benchmark wants them submitted."""
    _need_extra()
    del layout  # the only one
    from sidecar.ab.journal import read_compared
    from sidecar.ab.vantage import submission
    from sidecar.contract.compared import merge

    lines = list(submission(merge(read_compared(compared)), arm, as_verdicts=as_verdicts))
    if not lines:
        raise SettingsError(f"{compared} holds no answer of arm {arm!r}.")
    _write(out, b"".join(lines).decode())
    _print({"answers": len(lines), "out": str(out)}, as_json, "{answers} answers in {out}")


@ab.command()
def score(
    answers: Annotated[Path, typer.Argument(help="Answers as JSON lines.", exists=True)],
    task: Annotated[
        Literal["yes-no", "choice", "json", "thinking"], typer.Option(help="How to score them.")
    ] = "yes-no",
    adapter: Annotated[str, typer.Option(help="Whose reading of yes and no is ours.")] = "reason2",
    as_json: AsJson = False,
) -> None:
    """Score answers of a model as benchmarks do, and for yes and no as the sidecar reads them too.

    Each line has `answer` (or `conversations`, as in a submission), `truth`, and where they apply
    `style` of the prompt and `reasoning`.
    """
    _need_extra()
    found = _scores(_read_answers(answers), task, adapter)
    if as_json:
        _output.print(orjson.dumps(found).decode(), markup=False, highlight=False)
        return
    table = Table("score", "value", "95 % interval", "answers", title=str(answers))
    for name, value in found.items():
        table.add_row(name, *_cells(value))
    _output.print(table)


@ab.command()
def report(
    source: Annotated[
        str, typer.Argument(help="File that `replay` wrote, or the URL of a running sidecar.")
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    events: Annotated[
        str, typer.Option(help="Recorded events, or `ledger`, to show frames of their clips.")
    ] = "",
    clips: Annotated[
        Path | None, typer.Option(help="Folder of clips that may be read besides.", exists=True)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels as JSON lines: `id` or `key`, and `truth`.")
    ] = None,
    reference: Annotated[str, typer.Option(help="Arm to compare the others with.")] = "",
    since: Annotated[datetime | None, typer.Option("--from", help="Events from, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Events up to, UTC.")] = None,
    sensor: Annotated[str, typer.Option(help="Events of this sensor only.")] = "",
    alert_type: Annotated[str, typer.Option(help="Events of this category only.")] = "",
    margin: Annotated[
        float, typer.Option(min=0.1, max=50, help="Points that a candidate may be worse.")
    ] = 2.0,
    min_labelled: Annotated[int, typer.Option(min=0, help="Labels that the gate needs.")] = 300,
    gpus: Annotated[str, typer.Option(help="Of arms, as NAME=COUNT, separated by commas.")] = "",
    api_key: Annotated[
        str, typer.Option(envvar=API_KEY_VARIABLE, help="For a running sidecar; scope read.")
    ] = "",
    examples: Annotated[int, typer.Option(min=0, max=100, help="Disagreements to show.")] = 12,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown for a pull request.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a comparison found: a page with its plots, Markdown, or JSON."""
    _need_extra()
    from sidecar.ab.report.page import write_markdown
    from sidecar.ab.reporting import Wanted, make_report
    from sidecar.ab.rules import GateRules
    from sidecar.ab.window import Window

    wanted = Wanted(
        source=source,
        events=events,
        labels=labels,
        window=Window(_as_utc(since), _as_utc(until), sensor, alert_type),
        reference=reference,
        examples=examples,
        gpus=_read_gpus(gpus),
        rules=GateRules(margin=margin / 100, min_labelled=min_labelled),
        api_key=api_key,
    )
    made = _run(make_report(_with_clips(clips), wanted, page=out is not None))
    if made.unknown_labels:
        _errors.print(f"{made.unknown_labels} labels are about events that are not there.")
    if out is not None:
        _write(out, made.html)
        _errors.print(f"The report is in {out}.")
    if as_json:
        _output.print(made.summary.model_dump_json(by_alias=True), markup=False, highlight=False)
    elif markdown:
        _output.print(write_markdown(made.summary), markup=False, highlight=False)
    else:
        for pair in made.summary.pairs:
            _output.print(f"[bold]{escape(pair.candidate)} beside {escape(pair.reference)}[/]")
            for sentence in pair.conclusion:
                _output.print(f"- {escape(sentence)}", highlight=False)


async def _replay(
    settings: "Settings",
    source: str,
    names: list[str],
    out: Path,
    limits: tuple[int, float],
    limit: int,
    alert_types: Path | None,
) -> Mapping[str, Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from sidecar.ab.journal import Journal
    from sidecar.ab.offline import offline
    from sidecar.ab.replay import Replay
    from sidecar.outside.clock import SystemClock

    events = await _recorded(settings, source, limit)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with offline(settings, alert_types) as service:
        arms = await service.arms(names, *limits)
        with Journal(out) as journal, Progress(*columns, console=_errors) as progress:
            bars: dict[str, Any] = {}
            work = Replay(journal, SystemClock(), lambda arm, _: progress.advance(bars[arm]))
            todo = work.missing(events, arms)
            for name, waiting in todo.items():
                bars[name] = progress.add_task(
                    name, total=len(events), completed=len(events) - len(waiting)
                )
            await work.run(todo, arms)
            compared = journal.compact()
    asked = sum(map(len, todo.values()))
    known = len(events) * len(names) - asked
    return {"asked": asked, "known": known, "events": compared, "out": str(out)}


async def _recorded(settings: "Settings", source: str, limit: int) -> "list[Recorded]":
    """Read all events before the first is asked about, so that a wrong line costs nothing."""
    from sidecar.ab.offline import ledger_events
    from sidecar.ab.recorded import read_events
    from sidecar.model import VerdictFilter
    from sidecar.outside.clock import SystemClock

    if source == LEDGER:
        return [it async for it in ledger_events(settings.ledger, VerdictFilter(), limit)]
    events = list(read_events(_read_lines(Path(source)), source, SystemClock().now()))
    return events[:limit] if limit else events


def _read_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error


def _read_gpus(text: str) -> dict[str, float]:
    found = {}
    for part in filter(None, (it.strip() for it in text.split(","))):
        name, _, count = part.partition("=")
        try:
            found[name] = float(count)
        except ValueError:
            raise SettingsError(f"--gpus: {part!r} must look like reason2=1.") from None
    return found


def _as_utc(moment: datetime | None) -> datetime | None:
    """Take a time without a zone for one of UTC, as the option says."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error


def _need_extra() -> None:
    from sidecar.ab.extra import require_extra

    require_extra()


def _with_clips(clips: Path | None) -> "Settings":
    from sidecar.vss.loading import load_settings

    settings = load_settings()
    if clips is None:
        return settings
    roots = (*settings.media.allowed_roots, clips.resolve())
    media = settings.media.model_copy(update={"allowed_roots": roots})
    return settings.model_copy(update={"media": media})


def _read_answers(path: Path) -> "list[Answered]":
    from sidecar.ab.scorers import Answered

    found = []
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            text = row["conversations"][-1]["value"] if "conversations" in row else row["answer"]
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
            raise SettingsError(f"{path}:{number}: needs `answer` or `conversations`.") from None
        truth = row.get("truth", "")
        known = {True: "yes", False: "no", None: ""}.get(truth, str(truth))
        style, reasoning = str(row.get("style", "")), str(row.get("reasoning") or "")
        found.append(Answered(str(text or ""), known, style, reasoning))
    if not found:
        raise SettingsError(f"{path} holds no answers.")
    return found


def _scores(answers: "list[Answered]", task: str, adapter: str) -> dict[str, Any]:
    from dataclasses import asdict

    from sidecar.ab import scorers
    from sidecar.core.plugins import load_object
    from sidecar.vss.loading import load_settings

    if task == "json":
        return {"valid JSON": asdict(scorers.score_json(answers))}
    if task == "choice":
        right, unreadable = scorers.score_choice(answers)
        return {"exact match": asdict(right), "chooses nothing": asdict(unreadable)}
    if task == "thinking":
        styles = scorers.score_thinking(answers)
        return {f"thinks, {name or 'any prompt'}": asdict(it) for name, it in styles.items()}
    name = load_settings().adapters.get(adapter, adapter)
    rules = {
        "first word": scorers.first_word,
        adapter: scorers.by_adapter(load_object(name, "--adapter")),
    }
    return {
        f"{key} ({rule})": value
        for rule, read in rules.items()
        for key, value in asdict(scorers.score_yes_no(answers, read)).items()
    }


def _cells(value: Any) -> tuple[str, str, str]:
    if not isinstance(value, Mapping):
        return ("" if value is None else f"{value:.4f}", "", "")
    if value["value"] is None:
        return ("", "", str(value["n"]))
    interval = f"{value['low']:.4f} to {value['high']:.4f}" if value["low"] is not None else ""
    return (f"{value['value']:.4f}", interval, str(value["n"]))


def _print(facts: Mapping[str, Any], as_json: bool, text: str) -> None:
    line = orjson.dumps(facts).decode() if as_json else text.format(**facts)
    _output.print(line, markup=False, highlight=False)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)
