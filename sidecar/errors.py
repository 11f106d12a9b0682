"""Every way in which a request or a verification can fail: one tree and one table.

SidecarError
├── SettingsError               the configuration is wrong; the process does not start
├── DeliveryError               a sink did not take an entry; the outbox tries again
│   └── DeliveryRefused         a sink never will; straight to the dead letters
├── ReviewRefused               refused by the Event Reviewer API, in its own codes
├── RequestError                refused at a door; nothing was accepted
│   ├── Unauthenticated         no API key where one is needed, or an unknown one
│   ├── Forbidden               the caller may not do this
│   ├── RateLimited             the caller asks more often than its key may
│   ├── InvalidRequest          wrong shape or value; carries one Issue per field
│   ├── MalformedPayload        a protobuf body that is not such a message
│   ├── UnknownCategory         on-demand request for an alert type without a prompt
│   ├── BodyTooLarge
│   ├── NotFound
│   ├── AlreadyExists
│   ├── VersionConflict         somebody else changed it since it was read
│   ├── ArmNotUsable            an arm that shall answer cannot, or serves the wrong model
│   ├── Overloaded              the backlog is full; come back later
│   ├── StoreUnavailable        the ledger cannot be written (disk full, closed)
│   ├── RtviUnavailable         RT-VLM is not configured, not reached, or refuses
│   ├── RtviStreamConflict      it has another camera under this sensor's id
│   ├── RtviStreamNotReadable   it cannot read the camera's stream
│   ├── RtviInvalidResponse     it opened a stream and does not say which
│   ├── RealtimeOff             realtime rules are switched off
│   ├── ReplayInProgress        rules cannot be changed while all are given to RT-VLM again
│   ├── ReplayInFlight          that is being done already
│   ├── IncidentsUnavailable    no Elasticsearch to read incidents from
│   ├── IncidentQueryFailed     it cannot be read
│   ├── ExtraMissing            the answer needs a library that is not installed
│   ├── NotRepeatable           the event of a verdict cannot be asked about again
│   ├── MediaGone               the clip of a verdict, or its frames, are no longer to be had
│   └── MediaAway               they cannot be had at the moment
└── VerificationError           accepted, then no verdict could be reached
    ├── MediaError
    │   ├── NoMedia             the event names no media and no recorder is configured
    │   ├── EmptyMediaList      info.media_urls is not a non-empty list
    │   ├── RecordingNotFound, RecorderOverloaded, RecorderTimeout, RecorderUnavailable,
    │   │   RecorderRefused, RecorderWithoutUrl, RecorderFailed
    │   ├── MediaUnreachable, MediaTimeout, MediaForbidden, MediaMissing, MediaEmpty,
    │   │   MediaTooLarge, MediaTooLong, MediaTooManyPixels, MediaTruncated,
    │   │   MediaNotVideo, MediaWithoutVideo, MediaSingleFrame
    │   ├── MediaNotStored      the disk here has no room for it
    │   ├── DecoderCrashed      it ended two processes that decoded it
    ├── VlmError
    │   ├── VlmTimeout, VlmUnreachable, VlmServerError, VlmInvalidPayload, VlmBusy, VlmRefused
    ├── AnswerError
    │   ├── EmptyAnswer, TruncatedAnswer, UnparsableAnswer, ContradictoryAnswer
    │   ├── DegenerateAnswer    it repeats itself or is garbage
    │   ├── RefusedAnswer       the model says that it cannot or will not tell
    │   ├── UnsureAnswer        its confidence lies in the alert type's abstain band
    │   ├── FramesNotSeen       it is about fewer frames than were sent
    │   └── ParserPluginFailed
    ├── ArmsDisagree            arms that had to agree do not
    ├── NoPrompt                no prompt is configured for the event's category
    ├── ModelMismatch           the arm's server serves a model of another family
    ├── UnsupportedQuestion     this arm cannot answer this kind of alert
    ├── DeadlineExpired
    ├── ShedByLoad              not begun: it could not have been decided in time
    ├── Poisoned                the event stopped the process too often
    └── UnexpectedFailure       a defect of ours; the event still ends in a terminal state

`ROWS` has exactly one row for each leaf below RequestError and VerificationError. Codes, status
texts and error sources of the rows that VSS has are those of its Alert Bridge (services/alert,
enhance_alert_with_vlm.py, 3.2/3.3 line), because dashboards and agents match on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sidecar.redaction import redact


class Ack(StrEnum):
    """What a broker door does with the message after this failure."""

    ACK = "ack"
    DEAD_LETTER = "dead-letter"
    RETRY = "retry"


class ErrorSource(StrEnum):
    """Closed vocabulary of `info.errorSource`, as VSS writes it."""

    MEDIA = "media_download"
    PARSER = "pluggable_parser"
    SCHEMA = "vlm_schema"
    VLM = "vlm_api"


class MediaRoute(StrEnum):
    """How the media of an event is found; VSS words some failures differently for each."""

    DIRECT = "direct"
    LOCAL = "local"
    RECORDER = "recorder"


class SidecarError(Exception):
    """Root of the tree. `detail` is a sentence that tells the user what is wrong and what to do.

    Credentials and query strings of URLs are taken out of it here: whatever a part of the service
    says, its text may be shown to callers, published with a verdict, or logged.
    """

    def __init__(self, detail: str = "") -> None:
        self.detail = redact(detail)
        super().__init__(self.detail)


class SettingsError(SidecarError):
    """The configuration cannot be used."""


class DeliveryError(SidecarError):
    """A sink could not take an entry now."""


class DeliveryRefused(DeliveryError):
    """A sink refused an entry for good."""


class ReviewRefused(SidecarError):
    """A request to the Event Reviewer API fails.

    Args:
        status: of the HTTP answer.
        code: in the body, of VSS 2.4's vocabulary.
        detail: a sentence.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with a request: where, which rule, and a sentence."""

    field: str
    type: str
    message: str


class RequestError(SidecarError):
    """Refused before anything was accepted.

    Attributes:
        retry_after_s: when it makes sense to ask again, if ever.
    """

    retry_after_s = 1


class Unauthenticated(RequestError):
    """Nobody knows who calls."""


class Forbidden(RequestError):
    """The caller is known and may not do this."""


class RateLimited(RequestError):
    """The caller asks more often than it may."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class InvalidRequest(RequestError):
    """The body or a parameter has the wrong shape or value."""

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        noun = "error" if len(issues) == 1 else "errors"
        super().__init__(f"{len(issues)} {noun}: " + "; ".join(i.message for i in issues))
        self.issues = issues


class MalformedPayload(RequestError):
    """A protobuf body cannot be read."""


class UnknownCategory(RequestError):
    """No alert type is configured under this name."""


class BodyTooLarge(RequestError):
    """The request body is larger than the door allows."""


class NotFound(RequestError):
    """There is nothing under this name."""


class AlreadyExists(RequestError):
    """There is already something under this name."""


class VersionConflict(RequestError):
    """It was changed since the version that the request is about."""


class ArmNotUsable(RequestError):
    """An arm cannot be put in force: its server is away or serves another family's model."""


class Overloaded(RequestError):
    """Too much is waiting already."""


class StoreUnavailable(RequestError):
    """The ledger cannot be written, so nothing can be accepted."""


class RtviUnavailable(RequestError):
    """RT-VLM is not configured, cannot be reached, or refuses."""


class RtviStreamConflict(RequestError):
    """RT-VLM has the stream of another camera under this id."""


class RtviStreamNotReadable(RequestError):
    """RT-VLM cannot read the camera's stream."""


class RtviInvalidResponse(RequestError):
    """RT-VLM opened a stream and does not say under which id."""


class RealtimeOff(RequestError):
    """Realtime rules are switched off."""


class ReplayInProgress(RequestError):
    """Rules cannot be changed while all of them are given to RT-VLM again."""


class ReplayInFlight(RequestError):
    """Rules are being given to RT-VLM again already."""


class IncidentsUnavailable(RequestError):
    """There is no Elasticsearch to read incidents from."""


class IncidentQueryFailed(RequestError):
    """Elasticsearch cannot be read."""


class ExtraMissing(RequestError):
    """What was asked for needs libraries of an extra that is not installed."""


class NotRepeatable(RequestError):
    """What is known of the event of a verdict is not enough to ask about it again."""


class MediaGone(RequestError):
    """The clip or the frames of a verdict are no longer to be had."""


class MediaAway(RequestError):
    """The clip of a verdict cannot be had at the moment."""


class VerificationError(SidecarError):
    """An accepted event ends without a verdict.

    Args:
        detail: the variable part of the status text.
        code: replaces the row's code where the other side's status is passed on.
    """

    def __init__(self, detail: str = "", *, code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code


class MediaError(VerificationError):
    """The media of the event cannot be had or used."""


class NoMedia(MediaError): ...


class EmptyMediaList(MediaError): ...


class RecordingNotFound(MediaError): ...


class RecorderOverloaded(MediaError): ...


class RecorderTimeout(MediaError): ...


class RecorderUnavailable(MediaError): ...


class RecorderRefused(MediaError): ...


class RecorderWithoutUrl(MediaError): ...


class RecorderFailed(MediaError): ...


class MediaUnreachable(MediaError): ...


class MediaTimeout(MediaError): ...


class MediaForbidden(MediaError): ...


class MediaMissing(MediaError): ...


class MediaEmpty(MediaError): ...


class MediaTooLarge(MediaError): ...


class MediaTooLong(MediaError): ...


class MediaTooManyPixels(MediaError): ...


class MediaTruncated(MediaError): ...


class MediaNotVideo(MediaError): ...


class MediaWithoutVideo(MediaError): ...


class MediaSingleFrame(MediaError): ...


class MediaNotStored(MediaError): ...


class DecoderCrashed(MediaError): ...


class VlmError(VerificationError):
    """The model's server did not answer with a completion. `detail` is the root cause."""


class VlmTimeout(VlmError): ...


class VlmUnreachable(VlmError): ...


class VlmServerError(VlmError):
    """It failed.

    Attributes:
        is_full: it said that it has too much to do, or is not ready (status 503).
    """

    def __init__(self, detail: str = "", *, code: int | None = None, is_full: bool = False) -> None:
        super().__init__(detail, code=code)
        self.is_full = is_full


class VlmInvalidPayload(VlmError): ...


class VlmBusy(VlmError): ...


class VlmRefused(VlmError): ...


class AnswerError(VerificationError):
    """The model answered, but the answer is not a verdict."""


class EmptyAnswer(AnswerError): ...


class TruncatedAnswer(AnswerError): ...


class UnparsableAnswer(AnswerError): ...


class ContradictoryAnswer(AnswerError): ...


class DegenerateAnswer(AnswerError): ...


class RefusedAnswer(AnswerError): ...


class UnsureAnswer(AnswerError): ...


class FramesNotSeen(AnswerError): ...


class ParserPluginFailed(AnswerError): ...


class ArmsDisagree(VerificationError): ...


class NoPrompt(VerificationError): ...


class ModelMismatch(VerificationError): ...


class UnsupportedQuestion(VerificationError): ...


class DeadlineExpired(VerificationError): ...


class ShedByLoad(VerificationError): ...


class Poisoned(VerificationError): ...


class UnexpectedFailure(VerificationError): ...


@dataclass(frozen=True, slots=True)
class Wording:
    """Code and status text that VSS writes for a failure; `{detail}` is filled in."""

    code: int
    status: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one kind of failure means at every border.

    Attributes:
        reason: our closed vocabulary: `error` in HTTP bodies, `info.sidecarReason` in verdicts.
        wording: code (HTTP status of a refusal, `info.verificationResponseCode` of a verdict) and
            status text (`message` of a refusal, `info.verificationResponseStatus` of a verdict).
        grpc: name of the gRPC status code.
        retryable: whether the same work may succeed a moment later.
        ack: what a broker door does with the message.
        source: `info.errorSource`; None for refusals, which write no info.
        metric: label of `alert_bridge_verification_failures_total`, in VSS's vocabulary.
        by_route: wordings that differ by the route of the media.
    """

    reason: str
    wording: Wording
    grpc: str
    retryable: bool = False
    ack: Ack = Ack.ACK
    source: ErrorSource | None = None
    metric: str = "unknown"
    by_route: Mapping[MediaRoute, Wording] = field(default_factory=lambda: MappingProxyType({}))

    def worded(self, error: VerificationError, route: MediaRoute) -> Wording:
        """Return code and status text for `error`, whose media came by `route`."""
        wording = self.by_route.get(route, self.wording)
        code = wording.code if error.code is None else error.code
        return Wording(code, wording.status.replace("{detail}", error.detail))


def _refusal(reason: str, http: int, grpc: str, *, retryable: bool = False) -> Row:
    ack = Ack.RETRY if retryable else Ack.DEAD_LETTER
    return Row(reason, Wording(http, "{detail}"), grpc, retryable=retryable, ack=ack)


_UNREACHABLE: Final = Wording(400, "Video URL could not be validated or was unreachable")


def _media(
    reason: str, code: int, metric: str = "url_validation", *, retryable: bool = False
) -> Row:
    """Build the row of a clip that cannot be used: VSS has one wording for each remote route."""
    return Row(
        reason,
        Wording(code, "{detail}"),
        "FAILED_PRECONDITION",
        retryable=retryable,
        source=ErrorSource.MEDIA,
        metric=metric,
        by_route=MappingProxyType(
            {MediaRoute.RECORDER: _UNREACHABLE, MediaRoute.DIRECT: Wording(502, "{detail}")}
        ),
    )


def _recorder(reason: str, code: int, status: str, metric: str, *, retryable: bool = True) -> Row:
    return Row(
        reason,
        Wording(code, status),
        "UNAVAILABLE" if retryable else "NOT_FOUND",
        retryable=retryable,
        source=ErrorSource.MEDIA,
        metric=metric,
    )


def _vlm(
    reason: str,
    wording: tuple[int, str],
    grpc: str,
    *,
    retryable: bool,
    metric: str,
    direct: tuple[int, str] | None = None,
) -> Row:
    return Row(
        reason,
        Wording(*wording),
        grpc,
        retryable=retryable,
        source=ErrorSource.VLM,
        metric=metric,
        by_route=MappingProxyType({MediaRoute.DIRECT: Wording(*direct)} if direct else {}),
    )


def _answer(reason: str, status: str) -> Row:
    """Build the row of an unusable answer, which VSS words by route."""
    return Row(
        reason,
        Wording(500, status),
        "INTERNAL",
        source=ErrorSource.SCHEMA,
        metric="vlm_parse_failure",
        by_route=MappingProxyType(
            {
                MediaRoute.DIRECT: Wording(500, "VLM response parsing failed: {detail}"),
                MediaRoute.LOCAL: Wording(500, "Incorrect VLM response schema"),
            }
        ),
    )


_NOT_COMPLETED: Final = "Video verification could not be completed, {detail}"
_NOT_VALID: Final = "VLM response failed validation, {detail}"

ROWS: Final[Mapping[type[SidecarError], Row]] = MappingProxyType(
    {
        Unauthenticated: _refusal("unauthenticated", 401, "UNAUTHENTICATED"),
        Forbidden: _refusal("forbidden", 403, "PERMISSION_DENIED"),
        RateLimited: _refusal("rate_limited", 429, "RESOURCE_EXHAUSTED", retryable=True),
        InvalidRequest: _refusal("validation_failed", 422, "INVALID_ARGUMENT"),
        MalformedPayload: _refusal("invalid_payload", 400, "INVALID_ARGUMENT"),
        UnknownCategory: _refusal("unknown_category", 400, "INVALID_ARGUMENT"),
        BodyTooLarge: _refusal("body_too_large", 413, "INVALID_ARGUMENT"),
        NotFound: _refusal("not_found", 404, "NOT_FOUND"),
        AlreadyExists: _refusal("already_exists", 409, "ALREADY_EXISTS"),
        VersionConflict: _refusal("version_conflict", 409, "ABORTED"),
        ArmNotUsable: _refusal("arm_not_usable", 409, "FAILED_PRECONDITION"),
        Overloaded: _refusal("overloaded", 503, "RESOURCE_EXHAUSTED", retryable=True),
        StoreUnavailable: _refusal("store_unavailable", 503, "UNAVAILABLE", retryable=True),
        RtviUnavailable: _refusal("rtvi_vlm_unavailable", 502, "UNAVAILABLE", retryable=True),
        RtviStreamConflict: _refusal("rtvi_stream_conflict", 409, "ALREADY_EXISTS"),
        RtviStreamNotReadable: _refusal("rtvi_stream_not_readable", 502, "FAILED_PRECONDITION"),
        RtviInvalidResponse: _refusal("rtvi_invalid_response", 502, "INTERNAL"),
        RealtimeOff: _refusal("realtime_disabled", 501, "UNIMPLEMENTED"),
        ReplayInProgress: _refusal("replay_in_progress", 503, "UNAVAILABLE", retryable=True),
        ReplayInFlight: _refusal("replay_in_flight", 409, "ALREADY_EXISTS"),
        IncidentsUnavailable: _refusal("elasticsearch_unavailable", 503, "UNIMPLEMENTED"),
        IncidentQueryFailed: _refusal("elasticsearch_query_failed", 500, "UNAVAILABLE"),
        ExtraMissing: _refusal("extra_missing", 501, "UNIMPLEMENTED"),
        NotRepeatable: _refusal("not_repeatable", 409, "FAILED_PRECONDITION"),
        MediaGone: _refusal("media_gone", 404, "NOT_FOUND"),
        MediaAway: _refusal("media_away", 503, "UNAVAILABLE", retryable=True),
        NoMedia: Row(
            "no_media",
            Wording(400, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.MEDIA,
            metric="url_validation",
        ),
        EmptyMediaList: Row(
            "empty_media_list",
            Wording(400, "media_urls is required and must be a non-empty list"),
            "INVALID_ARGUMENT",
            source=ErrorSource.MEDIA,
            metric="url_validation",
        ),
        RecordingNotFound: _recorder(
            "vst_not_found",
            404,
            "No video recording found for the requested time",
            "vst_not_found",
            retryable=False,
        ),
        RecorderOverloaded: _recorder(
            "vst_overloaded", 503, "VST service overloaded", "vst_overloaded"
        ),
        RecorderTimeout: _recorder("vst_timeout", 504, "VST request timed out", "vst_timeout"),
        RecorderUnavailable: _recorder(
            "vst_unavailable", 503, "VST service unavailable", "vst_unavailable"
        ),
        RecorderRefused: _recorder(
            "vst_client_error",
            400,
            "VST request error (HTTP {detail})",
            "vst_client_error",
            retryable=False,
        ),
        RecorderWithoutUrl: _recorder(
            "vst_no_url",
            502,
            "VST returned response without video URL",
            "vst_server_error",
            retryable=False,
        ),
        RecorderFailed: _recorder(
            "vst_unknown", 500, "VST error: could not retrieve video", "vst_unknown"
        ),
        MediaUnreachable: _media("media_unreachable", 400, retryable=True),
        MediaTimeout: _media("media_timeout", 504, retryable=True),
        MediaForbidden: _media("media_forbidden", 403),
        MediaMissing: _media("media_missing", 404),
        MediaEmpty: _media("media_empty", 422),
        MediaTooLarge: _media("media_too_large", 413),
        MediaTooLong: _media("media_too_long", 413),
        MediaTooManyPixels: _media("media_too_many_pixels", 413),
        MediaTruncated: _media("media_truncated", 422),
        MediaNotVideo: _media("media_not_video", 415),
        MediaWithoutVideo: _media("media_without_video", 422),
        MediaSingleFrame: _media("media_single_frame", 422),
        MediaNotStored: Row(
            "media_not_stored",
            Wording(500, _NOT_COMPLETED),
            "UNAVAILABLE",
            retryable=True,
            source=ErrorSource.MEDIA,
        ),
        DecoderCrashed: _media("decoder_crashed", 422),
        VlmTimeout: _vlm(
            "vlm_timeout",
            (504, "VLM request timed out, {detail}"),
            "DEADLINE_EXCEEDED",
            retryable=True,
            metric="vlm_timeout",
            direct=(504, "VLM service timeout"),
        ),
        VlmUnreachable: _vlm(
            "vlm_connection_error",
            (503, "Failed to connect to VLM service, {detail}"),
            "UNAVAILABLE",
            retryable=True,
            metric="vlm_connection_error",
            direct=(503, "Failed to connect to VLM service"),
        ),
        VlmServerError: _vlm(
            "vlm_server_error",
            (500, "VLM service internal error, {detail}"),
            "UNAVAILABLE",
            retryable=True,
            metric="vlm_server_error",
            direct=(500, "VLM service internal error"),
        ),
        VlmInvalidPayload: _vlm(
            "vlm_invalid_payload",
            (422, "Invalid VLM request payload, {detail}"),
            "FAILED_PRECONDITION",
            retryable=False,
            metric="vlm_invalid_payload",
            direct=(422, "VLM request invalid"),
        ),
        VlmBusy: _vlm(
            "vlm_busy",
            (500, _NOT_COMPLETED),
            "RESOURCE_EXHAUSTED",
            retryable=True,
            metric="unknown",
        ),
        VlmRefused: _vlm(
            "vlm_refused",
            (500, _NOT_COMPLETED),
            "FAILED_PRECONDITION",
            retryable=False,
            metric="unknown",
            direct=(400, "VLM bad request"),
        ),
        EmptyAnswer: _answer(
            "empty_answer",
            "VLM returned an empty response, the model produced no output for this video. {detail}",
        ),
        TruncatedAnswer: _answer("truncated_answer", _NOT_VALID),
        UnparsableAnswer: _answer("unparsable_answer", _NOT_VALID),
        ContradictoryAnswer: _answer("contradictory_answer", _NOT_VALID),
        DegenerateAnswer: _answer("degenerate_answer", _NOT_VALID),
        RefusedAnswer: _answer("refused_answer", _NOT_VALID),
        UnsureAnswer: Row(
            "unverified",
            Wording(500, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.VLM,
        ),
        FramesNotSeen: Row(
            "frames_not_seen",
            Wording(500, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.VLM,
        ),
        ParserPluginFailed: Row(
            "parser_failed",
            Wording(500, "Pluggable parser failed: {detail}"),
            "INTERNAL",
            source=ErrorSource.PARSER,
            metric="vlm_parse_failure",
        ),
        ArmsDisagree: Row(
            "arms_disagree",
            Wording(500, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.VLM,
        ),
        NoPrompt: Row(
            "no_prompt",
            Wording(404, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.SCHEMA,
            metric="no_prompt",
        ),
        ModelMismatch: Row(
            "model_mismatch",
            Wording(500, "{detail}"),
            "FAILED_PRECONDITION",
            source=ErrorSource.VLM,
        ),
        UnsupportedQuestion: Row(
            "unsupported_question",
            Wording(501, "{detail}"),
            "UNIMPLEMENTED",
            source=ErrorSource.SCHEMA,
            metric="unknown",
        ),
        DeadlineExpired: Row(
            "deadline_expired",
            Wording(503, "{detail}"),
            "DEADLINE_EXCEEDED",
            retryable=True,
            source=ErrorSource.VLM,
            metric="vlm_timeout",
        ),
        ShedByLoad: Row(
            "overloaded",
            Wording(503, "{detail}"),
            "RESOURCE_EXHAUSTED",
            retryable=True,
            source=ErrorSource.VLM,
            metric="vlm_timeout",
        ),
        Poisoned: Row(
            "poisoned",
            Wording(500, _NOT_COMPLETED),
            "INTERNAL",
            source=ErrorSource.VLM,
            metric="unknown",
        ),
        UnexpectedFailure: Row(
            "unexpected",
            Wording(500, _NOT_COMPLETED),
            "INTERNAL",
            source=ErrorSource.VLM,
            metric="unknown",
        ),
    }
)


def row_of(error: RequestError | VerificationError) -> Row:
    """Return the table row of `error`."""
    return ROWS[type(error)]
