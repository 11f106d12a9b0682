"""The values inside the service. All frozen; times are aware datetimes or seconds as float."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sidecar.dialect import ServerDialect
from sidecar.errors import MediaRoute, VerificationError

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return _EMPTY


class EventKind(StrEnum):
    """Which schema an event follows: nv.Incident or nv.Behavior (which VSS calls alert)."""

    INCIDENT = "incident"
    ALERT = "alert"


class Origin(StrEnum):
    """What an event was submitted for.

    PIPELINE: the alert pipeline. ON_DEMAND: one verification of media that it names. REVIEW: a
    review as VSS 2.4 has it; such an event brings its prompt, and its document has a layout of its
    own (`contract.bridge`).
    """

    PIPELINE = "pipeline"
    ON_DEMAND = "ondemand"
    REVIEW = "review"


class MediaType(StrEnum):
    """What the media of an event shows."""

    VIDEO = "video"
    IMAGE = "image"


class Anchor(StrEnum):
    """Which part of a long event a recorder's clip shows."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class Outcome(StrEnum):
    """Wire value of `info.verdict`, as VSS writes it; NONE is a description without a verdict."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    FAILED = "verification-failed"
    NONE = ""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """The media that an event asks to be looked at.

    Attributes:
        route: where it comes from.
        type: video or image.
        refs: URLs (direct) or file paths (local), at least one; empty for the recorder.
    """

    route: MediaRoute
    type: MediaType = MediaType.VIDEO
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyEvent:
    """One event to verify.

    Attributes:
        key: the verdict key; the same key is never decided twice.
        id: the identity that the submitter knows.
        fingerprint: VSS's document `Id` (hex HMAC-SHA1); shared by the updates of one incident.
        raw: the JSON object as it came, unknown fields included. Never mutated.
        attempt: how often the event was taken up, this time included; starts at 1.
        cohort: shared by the updates of one event; "" for on-demand requests, which have none.
        supersedes: key of the verdict on the same event that this one's replaces; "" for none.
    """

    key: str
    id: str
    fingerprint: str
    kind: EventKind
    origin: Origin
    raw: Mapping[str, Any]
    sensor_id: str
    category: str
    timestamp: datetime
    end: datetime
    media: MediaRequest
    object_ids: tuple[str, ...] = ()
    attempt: int = 1
    cohort: str = ""
    supersedes: str = ""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What to draw on the frames of a clip that are shown about `time_s` seconds after its start.

    Attributes:
        boxes: places in the upright picture; their labels are written beside them.
    """

    time_s: float
    boxes: "tuple[Box, ...]"


@dataclass(frozen=True, slots=True)
class Clip:
    """Media that was found and may be read.

    Attributes:
        paths: local files, at least one unless `urls` are passed through to the model's server.
        urls: where the media came from, parallel to `paths` for downloads; empty for local files.
        source: URL written to `info.videoSource`; "" when there is none to show.
        total: how many items the event named; more than `len(paths)` when some were left out.
        start: when the recording begins, by the recorder's own word where it says so, else as asked
            for; None when nobody knows.
        span: seconds from and to which the file is shown; None shows all of it.
        overlays: what to draw on its frames, by time.
    """

    type: MediaType
    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    source: str = ""
    total: int = 1
    start: datetime | None = None
    span: tuple[float, float] | None = None
    overlays: tuple[Overlay, ...] = ()


@dataclass(frozen=True, slots=True)
class Footage:
    """A clip whose size is known.

    Attributes:
        duration_s: 0.0 for pictures.
        width, height: pixels of a frame.
    """

    clip: Clip
    duration_s: float = 0.0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that was uploaded, or a local one that was named.

    Attributes:
        id: UUID.
        name: without folders.
        size: in bytes.
        path: where it lies.
        camera_id: "" when none was given.
    """

    id: str
    name: str
    size: int
    media_type: MediaType
    path: Path
    camera_id: str = ""


class EvidenceForm(StrEnum):
    """How a model gets to see a clip: one small MP4, JPEG frames, or the clip's own URL."""

    VIDEO = "video"
    FRAMES = "frames"
    URL = "url"


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """How many pixels and frames of a clip to show to a model.

    Attributes:
        fps: frames per second to sample, at most.
        max_frames: frames in all; longer clips are sampled more thinly.
        max_pixels: sum over all frames of width x height after resizing.
        align: width and height are multiples of this many pixels.
        written_fps: rate to write the MP4 at when the server would thin a clip of its true rate
            (form VIDEO); None keeps the true rate.
        max_images: pictures that the server takes in one request (form FRAMES, and images of any
            form); fewer are sent then than asked for. None: any number.
    """

    form: EvidenceForm
    fps: float
    max_frames: int
    max_pixels: int
    align: int = 32
    written_fps: float | None = None
    max_images: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled picture: JPEG bytes and its time in seconds from the start of the clip."""

    timestamp_s: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class KeptFrames:
    """Small pictures of what a model was shown of one event.

    Attributes:
        frames: some of those that it was shown, evenly chosen, in their order.
        start: when the clip begins; None when nobody knows.
        asked: how many the plan asked for; None when the server samples the clip.
        sent: how many it was shown.
        exact: whether these are the frames that it was shown, not the same clip decoded again.
    """

    frames: tuple[Frame, ...]
    start: datetime | None = None
    asked: int | None = None
    sent: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the model is shown.

    Attributes:
        frames: the pictures (form FRAMES); their times are exact presentation times.
        video: an MP4 that holds exactly the sampled frames at their true rate (form VIDEO).
        timestamps_s: times of the sampled frames in the clip, for both forms.
        urls: passed through to the model's server (form URL), which samples for itself.
        width, height: pixels of each frame; 0 when unknown (form URL).
        source_width, source_height: pixels of the clip's own frames as they are shown; 0 when
            unknown or when several pictures differ.
        duration_s: length of the clip; 0.0 for images and when unknown.
        frames_asked: how many frames the plan asks for; more than are sent when the server takes
            few pictures. None when the server samples the clip itself.
        stretch: seconds of `video` per second of the clip; above 1 where it was written slower.
    """

    form: EvidenceForm
    type: MediaType
    frames: tuple[Frame, ...] = ()
    video: bytes = b""
    timestamps_s: tuple[float, ...] = ()
    urls: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    source_width: int = 0
    source_height: int = 0
    duration_s: float = 0.0
    frames_asked: int | None = None
    stretch: float = 1.0

    @property
    def frames_sent(self) -> int | None:
        """How many frames the model was sent; None when its server samples the clip itself."""
        return None if self.form is EvidenceForm.URL else len(self.timestamps_s)


class AnswerShape(StrEnum):
    """What the answers about one alert type consist of.

    VERDICT: yes or no, alone, in prose or in JSON. DESCRIPTION: free text without a verdict.
    TIMELINE, BOXES, POINTS: JSON lists of what happens when, of what is where, and of where
    something moves; with a verdict when the answer has a verdict key beside the list.
    """

    VERDICT = "verdict"
    DESCRIPTION = "description"
    TIMELINE = "timeline"
    BOXES = "boxes"
    POINTS = "points"


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """How answers about one alert type are asked for and read.

    Attributes:
        shape: what they consist of.
        needs_json: whether only a verdict in JSON counts (VSS's `response_format: json`).
        verdict_field: dotted path to the verdict in a JSON answer; "" finds it by the usual names.
        verdict_mapping: what values of that field mean, by their lower-cased text; values that are
            not listed mean what they say.
        reasoning_fields: JSON fields to take the reasoning from, the first that is not empty; ()
            stands for the usual names.
        abstain: probabilities of "confirmed", from and to, between which no verdict is given; None
            gives one always.
        perspectives: what a chain of thought has to consider, each a phrase.
        parser: name that a custom parser module registered; "" reads answers as the adapter does.
        reasoned: whether the model was asked to think first. All of an answer that a server took
            for reasoning may then be a thought without an end.
    """

    shape: AnswerShape = AnswerShape.VERDICT
    needs_json: bool = False
    verdict_field: str = ""
    verdict_mapping: Mapping[str, str] = field(default_factory=_empty)
    reasoning_fields: tuple[str, ...] = ()
    abstain: tuple[float, float] | None = None
    perspectives: tuple[str, ...] = ()
    parser: str = ""
    reasoned: bool = False


PLAIN_RULES: Final = AnswerRules()
"""A verdict in any form."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The filled-in prompt of one event.

    Attributes:
        alert_type: the configuration entry that it comes from.
        version: of that entry; every edit makes a new one, starting at 1.
        vlm_params: overrides for this alert type, in the vocabulary of VSS's VlmParams.
        output_category: replaces `category` in the published document when set.
        rules: how its answers are asked for and read.
        segment_anchor: which part of the event to show; None leaves it to the recorder's settings.
        descriptions: what `analyticsModule.description` of the published document becomes, by the
            verdict; for others it stays.
    """

    alert_type: str
    user: str
    system: str = ""
    version: int = 1
    vlm_params: Mapping[str, Any] = field(default_factory=_empty)
    output_category: str = ""
    rules: AnswerRules = PLAIN_RULES
    segment_anchor: Anchor | None = None
    descriptions: Mapping[str, str] = field(default_factory=_empty)


class AnswerForm(StrEnum):
    """FREE: the prompt alone shapes the answer. CHOICE: the server may only say yes or no."""

    FREE = "free"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding options of a model; None leaves the server's default."""

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 1024
    seed: int | None = None
    answer: AnswerForm = AnswerForm.FREE
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that an adapter needs to write a request.

    Attributes:
        model: the id to ask for.
        dialect: what the server accepts; None when nobody asked it.
        plan: what to show; None leaves a clip's own URL to the habits of the server.
    """

    event: VerifyEvent
    prompt: Prompt
    evidence: Evidence
    sampling: Sampling
    model: str
    dialect: ServerDialect | None = None
    plan: SamplePlan | None = None


class Note(StrEnum):
    """What somebody who reads a verdict has to know about how it came about.

    TIMES_STRETCHED: the server thins clips, so it was shown a slowed-down one; times that the
        model itself reasons about are too long, those of a timeline are corrected.
    FEWER_IMAGES: the server takes fewer pictures in one request than the plan asks for.
    NOT_CONSTRAINED: the answer should have been a constrained choice, which the server cannot do.
    NO_CONFIDENCE: the alert type abstains in a band of confidence, and the answer came without one.
    FRAMES_UNKNOWN: the server does not tell how many frames the model saw.
    ASKED_AGAIN: the first answer was no verdict; the model was asked again.
    FELL_BACK: the arm that should answer could not; another one did.
    ESCALATED: an earlier arm was not sure, or the arms did not agree; another one decided.
    """

    TIMES_STRETCHED = "times_stretched"
    FEWER_IMAGES = "fewer_images"
    NOT_CONSTRAINED = "not_constrained"
    NO_CONFIDENCE = "no_confidence"
    FRAMES_UNKNOWN = "frames_unknown"
    ASKED_AGAIN = "asked_again"
    FELL_BACK = "fell_back"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat-completions body, and the evidence in it for backends that look at pixels.

    Attributes:
        notes: what the server cannot do of what was asked for.
        reasoned: whether it asks the model to think first.
        dialect: what it was written for; None fits every server.
    """

    body: Mapping[str, Any]
    evidence: Evidence
    notes: tuple[Note, ...] = ()
    reasoned: bool = False
    dialect: ServerDialect | None = None


_BROKEN_OFF: Final = frozenset({"length", "abort", "error", "repetition", "content_filter"})
"""Finish reasons of vLLM; the last is OpenAI's."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A completion as the server gave it.

    Attributes:
        content: `message.content`; None when the server left it null.
        reasoning: `message.reasoning` or `reasoning_content`; None when absent.
        finish_reason: "stop", "length", ...; "" when absent.
        model: the id that the server says answered.
        prompt_tokens: from `usage`; None when absent.
        completion_tokens: from `usage`; None when absent.
        top_logprobs: for each token of the completion, thinking included, the natural logarithms
            of the probabilities of the token itself (first) and of its alternatives; empty when
            absent.
    """

    content: str | None
    reasoning: str | None = None
    finish_reason: str = "stop"
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    top_logprobs: tuple[Mapping[str, float], ...] = ()

    @property
    def text(self) -> str:
        """The content; where that is blank, the reasoning, for which a parser took the answer."""
        return self.content if self.content and not self.content.isspace() else self.reasoning or ""

    @property
    def is_cut(self) -> bool:
        """Whether the server broke the answer off."""
        return self.finish_reason in _BROKEN_OFF


@dataclass(frozen=True, slots=True)
class Interval:
    """Something that happens in the clip; times in seconds from its start."""

    start_s: float
    end_s: float
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in the picture, 0..1 per axis from the top left corner, x1 <= x2 and y1 <= y2.

    Attributes:
        is_clipped: whether the model named a place outside of the picture.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    is_clipped: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A point in the picture, 0..1 per axis from the top left corner.

    Attributes:
        is_clipped: whether the model named a place outside of the picture.
    """

    x: float
    y: float
    label: str = ""
    is_clipped: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What an answer says, the same for every model.

    Attributes:
        confirmed: whether the event is in the picture; None when the answer only describes.
        reasoning: the model's thinking; "" when it gave none, None when a plug-in parser leaves it
            out of `info`.
        description: prose beside the verdict; "" when there is none, None as above.
        confidence: probability of the verdict, 0..1; None when unknown.
        extra: further strings for `info`, where the key is not taken yet.
        timeline, boxes, points: what an answer of that shape lists; None for other shapes.
    """

    confirmed: bool | None
    reasoning: str | None = ""
    description: str | None = ""
    confidence: float | None = None
    extra: Mapping[str, str] = field(default_factory=_empty)
    timeline: tuple[Interval, ...] | None = None
    boxes: tuple[Box, ...] | None = None
    points: tuple[Point, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model, for the record.

    Attributes:
        text: `content` as the server gave it.
        reasoning: as the server gave it apart from the content.
        reason: why it is no verdict, a reason of the error table; "" for the answer that counts.
    """

    text: str
    reasoning: str = ""
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VisionFacts:
    """How a model family turns pixels into tokens.

    The defaults are those of the Qwen3-VL line: `preprocessor_config.json` and
    `video_preprocessor_config.json` of the Cosmos-Reason2 and Cosmos 3 checkpoints. The defaults of
    transformers' classes differ.

    Attributes:
        context_tokens: the longest context that the model was made for; servers often allow less.
        patch: pixels along the side of one patch.
        merge: patches along the side of one token.
        temporal_patch: frames of a video that share one grid of tokens.
        video_shortest_edge, video_longest_edge: least and most pixels of all frames of a video
            together; the names are those of the checkpoints.
        image_shortest_edge, image_longest_edge: least and most pixels of one picture.
    """

    context_tokens: int
    patch: int = 16
    merge: int = 2
    temporal_patch: int = 2
    video_shortest_edge: int = 4_096
    video_longest_edge: int = 25_165_824
    image_shortest_edge: int = 65_536
    image_longest_edge: int = 16_777_216

    @property
    def token_side(self) -> int:
        """Pixels along the side of one token."""
        return self.patch * self.merge


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Facts about one model family.

    Attributes:
        name: of the adapter.
        match: fragments of the model ids that belong to the family, as `core.families` compares
            them; "" matches every id.
        plan: what to show it by default.
        cot_suffix: appended to the prompt to ask for reasoning; "" when it cannot reason.
        is_vlm: False for arms that do not understand language.
        vision: what pixels cost; None when it is not known, and then nothing is concluded from the
            tokens that a server counts.
    """

    name: str
    match: tuple[str, ...]
    plan: SamplePlan
    cot_suffix: str = ""
    is_vlm: bool = True
    vision: VisionFacts | None = None


class Role(StrEnum):
    """Why an arm was asked about an event.

    PRIMARY: its answer was published. SHADOW: beside the published answer, off its path.
    FALLBACK: another arm could not answer. CASCADE: an earlier arm was unsure or disagreed with.
    VOTE: one of several that had to agree. REPLAY: offline, about a recorded event.
    """

    PRIMARY = "primary"
    SHADOW = "shadow"
    FALLBACK = "fallback"
    CASCADE = "cascade"
    VOTE = "vote"
    REPLAY = "replay"


class Stage(StrEnum):
    """What is reached on the way to a verdict.

    CLIP: the media were found. SHOWN: what the model sees was made of them. ANSWERED: it said
    something, maybe for the second time.
    """

    CLIP = "clip"
    SHOWN = "shown"
    ANSWERED = "answered"


class LeftOut(StrEnum):
    """Why an arm was not asked while others could be.

    DOWN: its servers were seen to fail. TOO_SLOW: the time that is left would not do.
    """

    DOWN = "down"
    TOO_SLOW = "too_slow"


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """What one arm made of one event.

    Attributes:
        key: verdict key of the event.
        arm: name of the arm; `model` the id that its server told.
        outcome: `confirmed`, `rejected`, or `verification-failed` with its `reason`, one of the
            error table.
        is_published: whether this is the answer that the event's verdict carries.
        confidence: probability of the verdict, 0..1; None when unknown.
        latency_ms: from being asked to the finding, decoding included.
        prompt_tokens, completion_tokens: as the server counted them; None when it does not tell.
        text: the answer in the model's own words, shortened.
    """

    key: str
    arm: str
    model: str
    adapter: str
    role: Role
    outcome: Outcome
    decided_at: datetime
    latency_ms: int
    reason: str = ""
    is_published: bool = False
    confidence: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    frames_asked: int | None = None
    frames_seen: int | None = None
    prompt_version: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an event ended: a finding, or the error that prevented one.

    Attributes:
        freestyle: VSS's direct-media mode without a verdict: `finding.description` is the whole
            answer and `info.verdict` is not written.
        frames_asked: how many frames the model should see; None when its server samples the clip.
        frames_seen: what the model is known to have seen; None when the server does not tell.
        evidence: what the model was shown.
        answers: what it said, the answer that counts last.
        notes: what a reader of the verdict has to know.
        latency_ms: from taking the event up to the verdict.
        rule: of the policy, by which arms were asked; "" when nobody was.
        heard: what each arm said, in the order in which they were asked.
        left_out: arms that were not asked though their turn had come, each with the reason why.
        stages: what was reached when, in ms since the event was taken up.
        document: what to publish where that is not the event with its `info`; None: it is.
        shared_with: key of the event that was looked at in its place, as it asked the same at the
            same time; "" when this one was.
    """

    event: VerifyEvent
    arm: str
    adapter: str
    decided_at: datetime
    latency_ms: int
    finding: Finding | None = None
    error: VerificationError | None = None
    model: str = ""
    prompt: Prompt | None = None
    clip: Clip | None = None
    frames_asked: int | None = None
    frames_seen: int | None = None
    evidence: Evidence | None = None
    answers: tuple[Answer, ...] = ()
    notes: tuple[Note, ...] = ()
    freestyle: bool = False
    rule: str = ""
    heard: tuple[ArmAnswer, ...] = ()
    left_out: tuple[tuple[str, LeftOut], ...] = ()
    stages: tuple[tuple[Stage, int], ...] = ()
    document: Mapping[str, Any] | None = None
    shared_with: str = ""

    @property
    def outcome(self) -> Outcome:
        """The wire value of the verdict."""
        if self.finding is None:
            return Outcome.FAILED
        if self.finding.confirmed is None or self.freestyle:
            return Outcome.NONE
        return Outcome.CONFIRMED if self.finding.confirmed else Outcome.REJECTED


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An accepted event as the ledger keeps it, enough to build the VerifyEvent again.

    Attributes:
        position: in the order of acceptance; 0 where it was not asked for.
    """

    key: str
    kind: EventKind
    origin: Origin
    raw: Mapping[str, Any]
    attempt: int = 1
    position: int = field(default=0, compare=False)


MAX_SEQ: Final = 2**63 - 1
"""What a ledger counts to."""


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A committed verdict.

    Attributes:
        seq: position in the order of commits; grows by at least 1 for each verdict.
        reason: why the verification failed; "" for verdicts.
        document: the enriched event, as published.
    """

    key: str
    id: str
    fingerprint: str
    kind: EventKind
    sensor_id: str
    category: str
    outcome: Outcome
    reason: str
    arm: str
    timestamp: datetime
    decided_at: datetime
    document: Mapping[str, Any]
    seq: int = 0


class Drop(StrEnum):
    """The filter that dropped an event."""

    UNFINISHED = "unfinished"
    END_TIME_DELTA = "end_time_delta"
    DEDUP = "dedup"
    RATE_LIMIT = "rate_limit"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Limit:
    """How soon after the latest accepted event of a cohort the next one is dropped.

    Attributes:
        closer_s: only when their ends are closer than this; None drops it whatever its end.
    """

    drop: Drop
    within_s: float
    closer_s: float | None = None


@dataclass(frozen=True, slots=True)
class FilterRules:
    """What the ledger compares an event with before it accepts it.

    Attributes:
        limits: of its cohort, in the order in which they are tried.
        protect_s: it is dropped when the latest verdict on its fingerprint is `confirmed` and
            younger than this; 0 is off.
    """

    limits: tuple[Limit, ...] = ()
    protect_s: float = 0.0


NO_RULES: Final = FilterRules()


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that the ledger is asked to accept.

    Attributes:
        rules: what may drop it.
        claim: take it up in the same breath when it is new, as `claim` would.
    """

    event: VerifyEvent
    rules: FilterRules = NO_RULES
    claim: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """The latest accepted event of a cohort: its end, and when it was accepted."""

    end: datetime
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why an event was not accepted.

    Attributes:
        mark: the event that it repeats.
        confirmed_at: when what it repeats was confirmed.
    """

    by: Drop
    mark: Mark | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The ledger's answer to an `Offer`.

    Attributes:
        is_new: whether it was stored now.
        verdict: of a known key that was decided.
        dropped: why it was not stored; None for new and for known keys.
    """

    key: str
    is_new: bool
    verdict: VerdictRecord | None = None
    dropped: Dropped | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A message of a broker.

    Attributes:
        kind: what it must hold, told by where it was found.
        value: as it came; b"" when there is none.
        origin: where it was found, such as `mdx-incidents[2]@1234`.
        key: as it came.
        extra: what else came with it: the headers of Kafka, all fields of a Redis stream's entry.
        lag_s: from being published to being read; None when the broker does not tell.
    """

    kind: EventKind
    value: bytes
    origin: str
    key: bytes | None = None
    extra: tuple[tuple[str, bytes], ...] = ()
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that will never be an event.

    Attributes:
        reason: of the error table.
        cause: a sentence that says what is wrong with the record.
    """

    record: Record
    reason: str
    cause: str


@dataclass(frozen=True, slots=True)
class VerdictFilter:
    """Which verdicts to list; None and "" mean any. Times compare with the event's timestamp."""

    sensor_id: str = ""
    category: str = ""
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One verdict on its way to one sink.

    Attributes:
        attempts: deliveries that failed so far.
        last_error: of the latest of them.
    """

    id: int
    sink: str
    record: VerdictRecord
    attempts: int = 0
    last_error: str = ""


class DeliveryState(StrEnum):
    """WAITING: to be delivered, at once or again. DEAD: given up."""

    WAITING = "waiting"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one verdict fares on its way to one sink. What was delivered is forgotten."""

    sink: str
    state: DeliveryState
    attempts: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class OutboxLevels:
    """How much is to be delivered.

    Attributes:
        waiting: deliveries to be made, by sink, without those that wait for another one about the
            same event; sinks with none may be left out.
        dead: deliveries that were given up.
    """

    waiting: Mapping[str, int] = field(default_factory=_empty)
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Journey:
    """What the ledger knows of an event beside its verdict.

    Attributes:
        accepted_at: None when that was not written down.
        deliveries: that are still to be made, or were given up.
    """

    accepted_at: datetime | None = None
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """One alert type: its prompts and overrides. Times are aware; `version` starts at 1.

    Attributes:
        rules: how its answers are read; None leaves it to the settings.
        segment_anchor: which part of an event a recorder's clip shows; None leaves it to the
            settings.
    """

    alert_type: str
    prompt: str
    system_prompt: str = ""
    enrichment_prompt: str = ""
    vlm_params: Mapping[str, Any] = field(default_factory=_empty)
    output_category: str = ""
    rules: AnswerRules | None = None
    segment_anchor: Anchor | None = None
    version: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Result of asking one part whether it can work.

    Attributes:
        problem: "" when it can, else a sentence that says what is wrong.
        required: whether the service is ready only when this part works.
    """

    part: str
    problem: str = ""
    required: bool = True


class RuleStatus(StrEnum):
    """Whether RT-VLM works on a realtime rule: not yet, yes, or no longer."""

    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RealtimeRule:
    """A rule that RT-VLM watches a live stream by.

    Attributes:
        id: UUID.
        fields: what was asked for, in the vocabulary of VSS's RealtimeAlertRequest, credentials of
            the camera included; defaults are filled in.
        stream_id: of the stream in RT-VLM; "" before there is one.
        request_id: of the captions in RT-VLM; "" when it did not tell.
        camera_id: of the camera event that the rule comes from; "" for rules of the API.
        label: `rule_id` in the file of always-on rules; "" for rules of the API.
        revision: grows by 1 with every change; starts at 1.
    """

    id: str
    fields: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    status: RuleStatus = RuleStatus.PENDING
    stream_id: str = ""
    request_id: str = ""
    camera_id: str = ""
    label: str = ""
    revision: int = 1


@dataclass(frozen=True, slots=True)
class IncidentQuery:
    """Which published incidents to read; "" and None stand for any.

    Attributes:
        since, until: both inclusive; compared with an incident's `timestamp`.
        confirmed_chunks: only what RT-VLM confirmed in one chunk of a live stream.
    """

    sensor_id: str = ""
    category: str = ""
    since: datetime | None = None
    until: datetime | None = None
    confirmed_chunks: bool = False


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Documents, newest first, and how many there are in all."""

    documents: tuple[Mapping[str, Any], ...]
    total: int
