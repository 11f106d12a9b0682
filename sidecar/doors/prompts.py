"""Routes about the prompts of alert types: versions, publishing, going back, trying."""

from collections.abc import AsyncGenerator, Collection
from contextlib import ExitStack, aclosing
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from sidecar.audit import Attribution
from sidecar.contract.prompt_trial import (
    ClipLine,
    SaidLine,
    SkippedLine,
    SummaryLine,
    TriedLine,
)
from sidecar.contract.prompts import (
    PromptListResponse,
    PromptResponse,
    PromptVersionsResponse,
    PublishRequest,
    RollbackRequest,
    TryPromptRequest,
    apply_publication,
    write_prompt,
    write_prompts,
    write_versions,
)
from sidecar.contract.verdict import ErrorResponse, stamp
from sidecar.core.prompt_trials import PromptTrial, PromptTrials, Skipped, TriedClip
from sidecar.doors.alert_config import require_parser
from sidecar.doors.callers import By
from sidecar.doors.trials import change_of
from sidecar.errors import InvalidRequest, Issue, NotFound
from sidecar.model import MAX_SEQ, AlertConfig
from sidecar.ports import PromptBook

NDJSON: Final = "application/x-ndjson"
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}
_CONFLICT: Final[dict[int | str, dict[str, Any]]] = {409: {"model": ErrorResponse}, **_MISSING}
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {NDJSON: {}}, "description": "An event on each line, a summary on the last."},
    **_CONFLICT,
}

IfMatch = Annotated[
    str | None,
    Header(max_length=64, description="The version that was seen in force, as in `ETag`."),
]


def add_prompt_routes(
    router: APIRouter, prompts: PromptBook, trials: PromptTrials, parsers: Collection[str]
) -> None:
    """Add the routes to those below `/api/v1`.

    Args:
        router: of the API.
        prompts: where alert types are kept.
        trials: try prompts.
        parsers: names of the custom parsers that an alert type may ask for.
    """

    async def known(alert_type: str) -> AlertConfig:
        config = await prompts.find(alert_type)
        if config is None:
            raise NotFound(f"Alert config '{alert_type}' not found")
        return config

    @router.get("/prompts", tags=["prompts"])
    async def list_prompts() -> PromptListResponse:
        """List the alert types in force with their prompts."""
        return write_prompts(await prompts.list())

    @router.get("/prompts/{alert_type}", responses=_MISSING, tags=["prompts"])
    async def read_prompt(alert_type: str, response: Response) -> PromptResponse:
        """Read an alert type; `ETag` is its version."""
        return _tagged(await known(alert_type), response)

    @router.get("/prompts/{alert_type}/versions", responses=_MISSING, tags=["prompts"])
    async def list_versions(alert_type: str) -> PromptVersionsResponse:
        """List every version that there ever was, newest first."""
        versions = await prompts.versions(alert_type)
        if not versions:
            raise NotFound(f"Alert config '{alert_type}' not found")
        return write_versions(versions, await prompts.find(alert_type))

    @router.put("/prompts/{alert_type}", responses=_CONFLICT, tags=["prompts"])
    async def publish(
        alert_type: str,
        request: PublishRequest,
        by: By,
        response: Response,
        if_match: IfMatch = None,
    ) -> PromptResponse:
        """Put a new version in force. With `If-Match`, only on top of that version."""
        config = apply_publication(await known(alert_type), request)
        stored = await prompts.replace(config, by, expected=_expected(if_match))
        return _tagged(stored, response)

    @router.post("/prompts/{alert_type}/rollback", responses=_CONFLICT, tags=["prompts"])
    async def roll_back(
        alert_type: str,
        request: RollbackRequest,
        by: By,
        response: Response,
        if_match: IfMatch = None,
    ) -> PromptResponse:
        """Put what an earlier version said in force again, as a new version."""
        current = await known(alert_type)
        old = await _version(prompts, alert_type, request.version)
        # which part of an event is shown is up to the file alone
        config = replace(old, segment_anchor=current.segment_anchor)
        require_parser(config, parsers)
        told = Attribution(by.actor, by.reason or f"version {old.version} again")
        stored = await prompts.replace(config, told, expected=_expected(if_match))
        return _tagged(stored, response)

    @router.post(
        "/prompts/{alert_type}/try",
        response_class=StreamingResponse,
        responses=_LINES,
        tags=["prompts"],
    )
    async def try_prompt(alert_type: str, request: TryPromptRequest) -> StreamingResponse:
        """Ask about the latest events of a type again, with a prompt that is not published."""
        change = change_of(request.prompt)
        assert change is not None
        arm = request.arm or ""
        trial = await trials.prepare(alert_type, change, last=request.last, arm=arm)
        place = ExitStack()
        place.enter_context(trials.trials.place())
        return _Trial(_lines(trials, trial), place)


class _Trial(StreamingResponse):
    """Holds a place of the trials until everything is told, or its reader has gone."""

    def __init__(self, lines: AsyncGenerator[bytes], place: ExitStack) -> None:
        super().__init__(lines, media_type=NDJSON, headers={"X-Accel-Buffering": "no"})
        self._lines = lines
        self._place = place

    async def __call__(self, *asgi: Any) -> None:
        with self._place:
            async with aclosing(self._lines):
                await super().__call__(*asgi)


async def _lines(trials: PromptTrials, trial: PromptTrial) -> AsyncGenerator[bytes]:
    of = len(trial.records)
    summary = SummaryLine(version=trial.config.version, of=of)
    done = 0
    async with aclosing(trials.run(trial)) as clips:
        async for clip in clips:
            done += 1
            line = _skipped(clip, done, of) if isinstance(clip, Skipped) else _clip(clip, done, of)
            summary.count(line)
            yield _line(line)
    yield _line(summary)


def _line(line: BaseModel) -> bytes:
    return line.model_dump_json().encode() + b"\n"


def _clip(clip: TriedClip, done: int, of: int) -> ClipLine:
    record, tried = clip.record, clip.tried
    finding = clip.verdict.finding
    return ClipLine(
        done=done,
        of=of,
        id=record.id,
        verdictKey=record.key,
        sensorId=record.sensor_id,
        timestamp=stamp(record.timestamp),
        arm=clip.verdict.arm,
        current=SaidLine(
            verdict=clip.current.outcome.value,
            reason=clip.current.reason,
            source="asked" if clip.was_asked else "published",
        ),
        tried=TriedLine(
            verdict=tried.outcome.value,
            reason=tried.reason,
            confidence=finding.confidence if finding else None,
            latencyMs=clip.verdict.latency_ms,
        ),
        agrees=clip.agrees,
        label=clip.truth,
        currentRight=clip.current.is_right(clip.truth),
        triedRight=tried.is_right(clip.truth),
    )


def _skipped(clip: Skipped, done: int, of: int) -> SkippedLine:
    record = clip.record
    return SkippedLine(done=done, of=of, id=record.id, verdictKey=record.key, reason=clip.reason)


def _tagged(config: AlertConfig, response: Response) -> PromptResponse:
    response.headers["ETag"] = f'"{config.version}"'
    return write_prompt(config)


async def _version(prompts: PromptBook, alert_type: str, version: int) -> AlertConfig:
    for config in await prompts.versions(alert_type):
        if config.version == version:
            return config
    raise NotFound(f"Alert config '{alert_type}' has no version {version}.")


def _expected(if_match: str | None) -> int | None:
    """Read the version out of an `If-Match`; None takes whatever is in force."""
    text = (if_match or "*").strip()
    if text == "*":
        return None
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and int(number) <= MAX_SEQ):
        message = 'If-Match names a version, such as "3", as ETag did.'
        raise InvalidRequest((Issue("header.if-match", "version", message),))
    return int(number)
