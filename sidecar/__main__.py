"""The command line."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import orjson
import typer
import uvloop
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sidecar import __version__
from sidecar.ab.cli import ab
from sidecar.audit import of_command
from sidecar.cli_keys import keys
from sidecar.cli_replay import replay_shed
from sidecar.contract.body import parse_json_object
from sidecar.contract.bridge import is_bridge_alert
from sidecar.contract.enrich import document_of
from sidecar.core.intake import kind_of
from sidecar.density.cli import density
from sidecar.errors import NotFound, SettingsError, SidecarError, VerificationError, row_of
from sidecar.hw.commands import hw
from sidecar.model import AnswerRules, ChatReply, Finding, Verdict
from sidecar.preflight.commands import preflight
from sidecar.redaction import redact
from sidecar.settings import (
    FILE_VARIABLE,
    AbSettings,
    LogSettings,
    RedisLedgerSettings,
    Settings,
)
from sidecar.vss.loading import describe_settings, load_settings, log_remarks

EXIT_DEFECT: Final = 1
EXIT_FAILED_VERIFICATION: Final = 4
EXIT_WRONG_USE: Final = 2
EXIT_NO_START: Final = 3
MAX_EVENT_DEPTH: Final = 64
SWITCH_INTERVAL_S: Final = 0.0005
"""The event loop and the ledger's threads hand the interpreter to each other several times an
event; Python's default of 5 ms would make each wait that long for its turn."""

cli = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dead_letters = typer.Typer(help="Deliveries that were given up.", no_args_is_help=True)
cli.add_typer(dead_letters, name="dead-letters")
cli.command("replay-shed")(replay_shed)
cli.add_typer(ab, name="ab")
cli.add_typer(hw, name="hw")
cli.command()(preflight)
cli.command()(density)
cli.add_typer(keys, name="keys")

_errors = Console(stderr=True)
_output = Console(soft_wrap=True)

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="YAML file with settings.", exists=True)
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


@cli.callback()
def _common(
    settings: SettingsFile = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    del version  # printed before anything else is looked at
    if settings is not None:
        os.environ[FILE_VARIABLE] = str(settings)
    from sidecar.observe.log import configure_logging

    # what commands print on standard output is theirs alone
    configure_logging(LogSettings(level="warning", format="console"))


@cli.command()
def serve(as_json: AsJson = False) -> None:
    """Run the service until it is told to stop."""
    from sidecar.app import serve as run_service
    from sidecar.check import find_problems
    from sidecar.observe.log import configure_logging

    settings = load_settings()
    log = settings.log.model_copy(update={"format": "json"}) if as_json else settings.log
    configure_logging(log)
    log_remarks()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if not _run(run_service(settings, partial(find_problems, settings))):
        raise typer.Exit(EXIT_DEFECT)


@cli.command()
def verify(
    event: Annotated[Path, typer.Argument(help="File with the event's JSON; - reads stdin.")],
    media: Annotated[
        Path | None, typer.Option(help="Verify this file instead of the event's media.")
    ] = None,
    arm: Annotated[str, typer.Option(help="Arm to ask instead of the primary.")] = "",
    as_json: AsJson = False,
) -> None:
    """Verify one event here and now; nothing is stored or published.

    Prints the enriched event. Exit status 0: a verdict; 4: verification-failed.
    """
    raw = parse_json_object(_read(event), MAX_EVENT_DEPTH)
    if media:
        raw = _with_media(raw, media)
    with tempfile.TemporaryDirectory() as folder:
        verdict = _run(_verify_once(_for_one_event(Path(folder), media, arm), raw))
    document = document_of(verdict)
    print(_dumps(document, indent=not as_json))
    if verdict.error is not None:
        raise typer.Exit(EXIT_FAILED_VERIFICATION)


@cli.command()
def check(as_json: AsJson = False) -> None:
    """Print the settings in force, where each came from, and what is wrong with them.

    Exit status 0: the service can start; 2: it cannot.
    """
    from sidecar.check import find_problems

    settings = load_settings()
    leaves = describe_settings(settings)
    problems = _run(find_problems(settings))
    if as_json:
        shown = [
            {
                "name": it.name,
                "variable": it.variable,
                "value": _plain(it.value),
                "origin": it.origin,
            }
            for it in leaves
        ]
        print(_dumps({"settings": shown, "problems": [asdict(it) for it in problems]}))
    else:
        table = Table("setting", "value", "from", title="Settings in force")
        for it in leaves:
            style = "" if it.origin == "default" else "bold"
            table.add_row(it.name, escape(str(_plain(it.value))), it.origin, style=style)
        _output.print(table)
        for problem in problems:
            colour = "red" if problem.severity == "error" else "yellow"
            text = escape(f"{problem.setting}: {problem.text}")
            _output.print(f"[{colour}]{problem.severity}[/] {text}")
        if not problems:
            _output.print("[green]Nothing is wrong.[/]")
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(EXIT_WRONG_USE)


@cli.command()
def parse(
    adapter: Annotated[str, typer.Option(help="Adapter whose answer it is, such as reason2.")],
    answer: Annotated[
        str,
        typer.Option(help="The alert type's `answer` object, as JSON; the settings' by default."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Read a model's answer from stdin and print the normalised finding as JSON.

    Stdin is the raw answer, or a whole chat-completion JSON. Exit status 0 also for a failure:
    its reason is in the key `failure`.
    """
    del as_json  # the output is JSON either way
    from sidecar.core.plugins import load_object, load_plugins
    from sidecar.core.prompting import build_default_rules

    settings = load_settings()
    plugins = load_plugins(settings.answers)
    name = settings.adapters.get(adapter, adapter)
    parser = plugins.around(load_object(name, "--adapter"))
    rules = (
        _rules_from(answer, plugins.functions)
        if answer
        else build_default_rules(settings.answers, plugins.functions)
    )
    try:
        found = _finding_json(parser.parse_reply(_reply_from(sys.stdin.buffer.read()), rules))
    except VerificationError as error:
        found = _finding_json(Finding(None), failure=row_of(error).reason, detail=error.detail)
    print(_dumps(found))


@cli.command()
def probe(
    url: Annotated[str, typer.Argument(help="Endpoint including /v1.")],
    api_key: Annotated[str, typer.Option(help="Sent as a bearer token.")] = "",
    timeout_s: Annotated[float, typer.Option(min=0.1, help="For each request.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Find out what a model's server accepts and how it answers, by asking it."""
    from sidecar.core.dialect_text import describe_dialect
    from sidecar.outside.probe import probe_dialect

    with _errors.status(f"Asking {redact(url)}"):
        dialect = _run(probe_dialect(url, api_key, timeout_s))
    described = describe_dialect(dialect)
    if as_json:
        meaning = {fact.name: fact.meaning for fact in described}
        print(_dumps({**asdict(dialect), "meaning": meaning}))
        return
    table = Table("fact", "value", "what it means", title=url, show_lines=True)
    for fact in described:
        table.add_row(fact.name, fact.value, fact.meaning)
    _output.print(table)


@cli.command("mock-vlm")
def mock_vlm(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    model: Annotated[str, typer.Option(help="Model id to serve.")] = "nvidia/cosmos-reason2-8b",
    latency_ms: Annotated[float, typer.Option(min=0, help="Mean answer time.")] = 0.0,
    latency_sd_ms: Annotated[float, typer.Option(min=0, help="Its standard deviation.")] = 0.0,
    answers: Annotated[
        Path | None, typer.Option(help="JSON list of scripted answers, used in turn.", exists=True)
    ] = None,
    personality: Annotated[
        Path | None, typer.Option(help="JSON of known events and error rates.", exists=True)
    ] = None,
    known_answers: Annotated[
        bool, typer.Option("--known-answers", help="Answer density events as their ids tell.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random latency.")] = 0,
    board: Annotated[
        str, typer.Option("--hw", help="Answer as fast as this board would, such as dgx-spark.")
    ] = "",
    precision: Annotated[str, typer.Option(help="Of the weights on the board.")] = "bf16",
    stack: Annotated[
        str, typer.Option(help="Server around the engine: rtvi-vlm or vllm.")
    ] = "rtvi-vlm",
    speed: Annotated[float, typer.Option(help="Divides every time of the board.")] = 1.0,
    cv_streams: Annotated[
        int, typer.Option(min=0, help="Cameras that detection follows on the same GPU.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Serve an OpenAI-compatible model that answers from a script, for tests and load runs."""
    from sidecar.testing.emulated_server import engine_for
    from sidecar.testing.known_answers import known_answer
    from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer, answers_from_json
    from sidecar.testing.personality import personality_from_json

    if known_answers and (personality or answers):
        raise SettingsError("--known-answers goes with neither --personality nor --answers.")
    choose = personality_from_json(personality.read_text()) if personality else None
    options = MockVlmOptions(
        model_id=model,
        latency_ms=latency_ms,
        latency_sd_ms=latency_sd_ms,
        answers=answers_from_json(answers.read_text()) if answers else (ScriptedAnswer(),),
        choose=known_answer if known_answers else choose,
        engine=engine_for(board, model, precision, stack, speed, cv_streams),
        seed=seed,
    )

    async def run() -> None:
        server = MockVlm(options)
        url = await server.start(host, port)
        print(_dumps({"url": url, "model": model}) if as_json else f"{model} at {url}", flush=True)
        await asyncio.Event().wait()

    _run(run())


@dead_letters.command("list")
def list_dead_letters(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, as_json: AsJson = False
) -> None:
    """List deliveries that were given up, oldest first."""
    entries = _run(_with_ledger(lambda ledger: ledger.dead_letters(limit=limit)))
    if as_json:
        shown = [
            {
                "id": entry.id,
                "sink": entry.sink,
                "verdictKey": entry.record.key,
                "attempts": entry.attempts,
                "error": entry.last_error,
            }
            for entry in entries
        ]
        print(_dumps({"deadLetters": shown, "count": len(shown)}))
        return
    table = Table("id", "sink", "event", "attempts", "last error")
    for entry in entries:
        table.add_row(
            str(entry.id), entry.sink, entry.record.id, str(entry.attempts), entry.last_error
        )
    _output.print(table if entries else "There are no dead letters.")


@dead_letters.command("replay")
def replay_dead_letters(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids to deliver again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Deliver all again.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    as_json: AsJson = False,
) -> None:
    """Schedule deliveries again; the running service picks them up within a second."""
    if not ids and not everything:
        raise SettingsError("Name the ids to replay, or give --all.")
    by = of_command(reason)
    count = _run(_with_ledger(lambda ledger: ledger.replay(ids or None, by)))
    print(_dumps({"scheduled": count}) if as_json else f"{count} scheduled.")


async def _with_ledger(visit: Any) -> Any:
    from sidecar.outside.clock import SystemClock
    from sidecar.parts import build_store

    store = build_store(load_settings().ledger, SystemClock(), exclusive=False)
    try:
        return await visit(store.ledger)
    finally:
        for part in store.owned:
            await part.close()


def _for_one_event(folder: Path, media: Path | None, arm: str) -> Settings:
    """Take the user's settings, with a ledger that is thrown away."""
    settings = load_settings()
    nowhere = {"path": folder / "ledger.db", "redis": RedisLedgerSettings()}
    ledger = settings.ledger.model_copy(update=nowhere)
    sections: dict[str, Any] = {"ledger": ledger}
    if arm:
        sections["ab"] = AbSettings(primary=arm)
    here: dict[str, Any] = {"decode_processes": 0}  # one clip is decoded before one would start
    if media:
        here["allowed_roots"] = (*settings.media.allowed_roots, media.resolve().parent)
    sections["media"] = settings.media.model_copy(update=here)
    return settings.model_copy(update=sections)


def _with_media(raw: dict[str, Any], media: Path) -> dict[str, Any]:
    if is_bridge_alert(raw):
        return {**raw, "video_path": str(media.resolve())}
    info = raw.get("info")
    kept = dict(info) if isinstance(info, Mapping) else {}
    kept.pop("media_urls", None)
    return {**raw, "info": {**kept, "video_path": str(media.resolve())}}


async def _verify_once(settings: Settings, raw: dict[str, Any]) -> Verdict:
    from sidecar.app import build

    app = build(settings)
    try:
        await app.prepare()
        event = app.service.intake.read(raw, kind_of(raw))
        with _errors.status(f"Asking {settings.ab.primary}"):
            return await app.decider.verify(event)
    finally:
        await app.close()


def _reply_from(text: bytes) -> ChatReply:
    """Take a chat completion as such, and anything else as the raw answer."""
    from sidecar.contract.openai import reply_from_completion

    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict) and "choices" in body:
        return reply_from_completion(body)
    return ChatReply(content=text.decode(errors="replace"))


def _rules_from(text: str, parsers: Collection[str]) -> AnswerRules:
    """Read the `answer` object of an alert type."""
    from sidecar.contract.answers import AnswerBody, explain_parser, read_answer

    try:
        rules = read_answer(AnswerBody.model_validate_json(text))
    except ValidationError as error:
        issues = error.errors(include_url=False, include_input=False)
        found = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in issues)
        raise SettingsError(f"--answer: {found}") from None
    problem = explain_parser(rules, parsers)
    if problem:
        raise SettingsError(f"--answer: {problem}")
    return rules


def _finding_json(
    finding: Finding, *, failure: str | None = None, detail: str = ""
) -> dict[str, Any]:
    verdict = {True: "confirmed", False: "rejected", None: None}[finding.confirmed]
    shown: dict[str, Any] = {
        "verdict": "verification-failed" if failure else verdict,
        "reasoning": finding.reasoning,
        "description": finding.description,
        "confidence": finding.confidence,
        "failure": failure,
        "extra": dict(finding.extra),
    }
    lists = {
        name: [asdict(item) for item in items]
        for name in ("timeline", "boxes", "points")
        if (items := getattr(finding, name)) is not None
    }
    shown.update(lists)
    return {**shown, "detail": detail} if failure else shown


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"Cannot read {path}: {error.strerror}.") from error


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return [redact(str(item)) for item in value]
    if isinstance(value, int | float | bool | None):
        return value
    return redact(str(value))


def _dumps(value: object, *, indent: bool = False) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error is one sentence, not a traceback.

    Args:
        arguments: instead of the process's own.
    """
    try:
        cli(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except SidecarError as error:
        _errors.print(f"[red]error[/] {escape(error.detail)}", highlight=False, soft_wrap=True)
        sys.exit(EXIT_NO_START if isinstance(error, SettingsError) else EXIT_WRONG_USE)


if __name__ == "__main__":
    main()
