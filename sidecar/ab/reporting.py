"""Make a report: read compared events, choose examples, get their pictures, write the page."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from sidecar.ab.columns import tabulate
from sidecar.ab.compare import summarise
from sidecar.ab.journal import read_compared
from sidecar.ab.offline import Offline, offline
from sidecar.ab.recorded import of_record, read_events
from sidecar.ab.report.examples import choose_disagreements, examples_of
from sidecar.ab.report.page import Material, write_html
from sidecar.ab.rules import GateRules
from sidecar.ab.summary import ArmSummary, Summary
from sidecar.ab.window import Window
from sidecar.compared import ComparedEvent, Label
from sidecar.contract.compared import join, merge, read_line, read_truth
from sidecar.contract.published import original
from sidecar.core.intake import Intake, kind_of
from sidecar.errors import MediaError, RequestError, SettingsError
from sidecar.model import EvidenceForm, SamplePlan, VerdictRecord, VerifyEvent
from sidecar.outside.clock import SystemClock
from sidecar.parts import build_store
from sidecar.redaction import redact
from sidecar.settings import Settings

LEDGER: Final = "ledger"
BASELINE: Final = "baseline"
"""Adapter of the arm that needs no GPU."""

_SHOWN: Final = SamplePlan(
    EvidenceForm.FRAMES, fps=30.0, max_frames=3, max_pixels=3 * 320 * 180, align=2
)
_MOST_PICTURE_BYTES: Final = 1_500_000
_CLIP_TIMEOUT_S: Final = 20.0
_HTTP_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to report.

    Attributes:
        source: a file of compared events, or the URL of a running sidecar.
        api_key: for a running sidecar; "" shows none.
        events: a file of recorded events, or `ledger`, to find clips by; "" asks a running
            sidecar, and shows no clips without one.
        labels: a file of labels; None takes those of the source.
        window: which events.
        reference: the arm to compare with; "" takes the one published most often.
        examples: disagreements to show.
        gpus: that arms have, by name; 1 where it is not told, none for the baseline.
        rules: of the promotion gate.
    """

    source: str
    events: str = ""
    labels: Path | None = None
    window: Window = field(default_factory=Window)
    reference: str = ""
    examples: int = 12
    gpus: Mapping[str, float] = field(default_factory=dict)
    rules: GateRules = field(default_factory=GateRules)
    api_key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a running sidecar is asked with."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


@dataclass(frozen=True, slots=True)
class Made:
    """A report.

    Attributes:
        unknown_labels: labels about events that are not there.
        html: "" when no page was asked for.
    """

    summary: Summary
    unknown_labels: int
    html: str = ""


async def make_report(settings: Settings, wanted: Wanted, *, page: bool) -> Made:
    """Make a report.

    Args:
        settings: where clips are found.
        wanted: what to report.
        page: whether to build the HTML page.

    Raises:
        SettingsError: the source cannot be read.
        InvalidRequest: it holds something else than compared events.
        NotFound: the reference answered none of the events.
    """
    events = [event async for event in _compared(wanted)]
    events, unknown = _labelled(events, wanted.labels)
    columns = tabulate(events)
    summary = summarise(columns, wanted.reference, wanted.rules)
    _tell_window(summary, wanted.window)
    if not page:
        return Made(summary, unknown)
    reference = summary.pairs[0].reference if summary.pairs else ""
    chosen = choose_disagreements(events, reference, wanted.examples)
    frames = await _pictures(settings, wanted, chosen) if chosen else {}
    material = Material(
        summary=summary,
        events=columns,
        created=SystemClock().now(),
        source=redact(wanted.source) if _is_url(wanted.source) else Path(wanted.source).name,
        examples=examples_of(chosen, frames),
        gpus={arm.name: _gpus(arm, wanted.gpus) for arm in summary.arms},
    )
    return Made(summary, unknown, write_html(material))


async def _compared(wanted: Wanted) -> AsyncIterator[ComparedEvent]:
    if not _is_url(wanted.source):
        for event in merge(read_compared(Path(wanted.source))):
            if wanted.window.has(event):
                yield event
        return
    url = f"{wanted.source.rstrip('/')}/api/v1/ab/comparisons"
    try:
        async with (
            aiohttp.ClientSession(
                timeout=_HTTP_TIMEOUT, read_bufsize=2**20, headers=wanted.headers
            ) as client,
            client.get(url, params=_query(wanted.window)) as answer,
        ):
            if not answer.ok:
                raise SettingsError(f"{url} answers {answer.status}: {await answer.text()}")
            async for line in answer.content:
                yield read_line(line, url)
    except (aiohttp.ClientError, TimeoutError) as error:
        cause = str(error) or type(error).__name__
        raise SettingsError(f"Cannot read {url}: {cause}") from error


def _query(window: Window) -> dict[str, str]:
    given = {
        "from": window.since.isoformat() if window.since else "",
        "to": window.until.isoformat() if window.until else "",
        "sensor": window.sensor_id,
        "alertType": window.category,
    }
    return {name: value for name, value in given.items() if value}


def _labelled(events: list[ComparedEvent], path: Path | None) -> tuple[list[ComparedEvent], int]:
    """Lay the labels of a file over the events; tells how many are about other events."""
    if path is None:
        return events, 0
    labels: dict[str, Label] = {}
    now = SystemClock().now()
    for number, line in enumerate(_read_lines(path), start=1):
        if line.strip():
            identity, label = read_truth(line, f"{path}:{number}", now)
            labels[identity] = label
    found = []
    used: set[str] = set()
    for event in events:
        name = event.key if event.key in labels else event.id
        if name in labels:
            used.add(name)
            event = join(event, _only(event, labels[name]))  # noqa: PLW2901 - the same, labelled
        found.append(event)
    return found, len(labels) - len(used)


def _only(event: ComparedEvent, label: Label) -> ComparedEvent:
    return ComparedEvent(
        event.key, event.id, event.sensor_id, event.category, event.timestamp, (), label
    )


async def _pictures(
    settings: Settings, wanted: Wanted, chosen: Sequence[ComparedEvent]
) -> Mapping[str, Sequence[str]]:
    """Return frames of the clips that are at hand, as data URLs, up to a number of bytes in all."""
    keys = [event.key for event in chosen]
    async with _known_events(settings, wanted, keys) as known, offline(settings, None) as service:
        found: dict[str, Sequence[str]] = {}
        room = _MOST_PICTURE_BYTES
        for key in keys:
            urls = await _frames(service, known[key]) if key in known else ()
            size = sum(map(len, urls))
            if size > room:
                break
            found[key], room = urls, room - size
        return found


async def _frames(service: Offline, event: VerifyEvent) -> Sequence[str]:
    verifier = service.app.verifier
    with suppress(MediaError, TimeoutError):
        async with (
            asyncio.timeout(_CLIP_TIMEOUT_S),
            verifier.clips.open(event, download=True) as clip,
        ):
            evidence = await verifier.asker.sampler.sample(clip, _SHOWN)
            return [_data_url(frame.jpeg) for frame in evidence.frames[: _SHOWN.max_frames]]
    return ()


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@asynccontextmanager
async def _known_events(
    settings: Settings, wanted: Wanted, keys: Sequence[str]
) -> AsyncGenerator[Mapping[str, VerifyEvent]]:
    """Find the events of these keys, as far as they are known."""
    if wanted.events == LEDGER:
        yield await _from_ledger(settings, keys)
    elif wanted.events:
        path = Path(wanted.events)
        lines = await asyncio.to_thread(_read_lines, path)
        now = SystemClock().now()
        events = {it.event.key: it.event for it in read_events(lines, str(path), now)}
        yield {key: events[key] for key in keys if key in events}
    elif _is_url(wanted.source):
        yield await _from_service(wanted, keys)
    else:
        yield {}


async def _from_ledger(settings: Settings, keys: Sequence[str]) -> Mapping[str, VerifyEvent]:
    store = build_store(settings.ledger, SystemClock(), exclusive=False)
    found = {}
    try:
        for key in keys:
            record = await store.ledger.lookup(key)
            if isinstance(record, VerdictRecord):
                with suppress(RequestError):
                    found[key] = of_record(record).event
    finally:
        for part in store.owned:
            await part.close()
    return found


async def _from_service(wanted: Wanted, keys: Sequence[str]) -> Mapping[str, VerifyEvent]:
    found = {}
    async with aiohttp.ClientSession(timeout=_HTTP_TIMEOUT, headers=wanted.headers) as client:
        for key in keys:
            address = f"{wanted.source.rstrip('/')}/api/v1/verdicts/{quote(key, safe='')}"
            with suppress(aiohttp.ClientError, TimeoutError, RequestError):
                async with client.get(address) as answer:
                    body: dict[str, Any] = await answer.json() if answer.ok else {}
                if isinstance(body.get("event"), dict):
                    raw = original(body["event"])
                    found[key] = Intake().read(raw, kind_of(raw))
    return found


def _read_lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error


def _tell_window(summary: Summary, window: Window) -> None:
    given = _query(window)
    summary.start, summary.end = given.get("from", ""), given.get("to", "")
    summary.sensor, summary.alertType = window.sensor_id, window.category


def _gpus(arm: ArmSummary, told: Mapping[str, float]) -> float:
    return told.get(arm.name, 0.0 if arm.adapters == [BASELINE] else 1.0)


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))
