"""What the core needs from the outside. Protocols only; `sidecar.app` chooses who fulfils them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sidecar.audit import Attribution, AuditEntry
from sidecar.compared import ComparedEvent, ComparedFilter, Label
from sidecar.dialect import ServerDialect
from sidecar.errors import RequestError
from sidecar.model import (
    NO_RULES,
    Accepted,
    AlertConfig,
    Anchor,
    AnswerRules,
    ArmAnswer,
    ChatReply,
    ChatRequest,
    Clip,
    DeadLetter,
    Drop,
    Evidence,
    FilterRules,
    Finding,
    Footage,
    Frame,
    IncidentPage,
    IncidentQuery,
    Journey,
    KeptFrames,
    LeftOut,
    MediaType,
    ModelProfile,
    Offer,
    OutboxEntry,
    OutboxLevels,
    Overlay,
    Question,
    RealtimeRule,
    SamplePlan,
    StoredEvent,
    StoredFile,
    VerdictFilter,
    VerdictRecord,
    VerifyEvent,
)
from sidecar.policy import ArmChoice, Promotion


class Part(Protocol):
    """Anything that can be asked whether it works, and closed."""

    async def ping(self) -> str:
        """Return "" when the part can work now, else a sentence that says what is wrong."""
        ...

    async def close(self) -> None:
        """Release what the part holds. Safe to call twice."""
        ...


class VlmAdapter(Protocol):
    """The habits of one model family. Pure: no I/O, no state."""

    @property
    def profile(self) -> ModelProfile:
        """Facts about the family."""
        ...

    def build_request(self, question: Question) -> ChatRequest:
        """Write the request.

        Raises:
            UnsupportedQuestion: the family cannot answer this kind of alert.
        """
        ...

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Tell from the reply how many frames the model saw; None when it does not show."""
        ...

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read the answer by the rules of its alert type.

        Raises:
            AnswerError: the answer is not a verdict.
        """
        ...


class VlmBackend(Part, Protocol):
    """A server, or an engine in this process, that completes chats."""

    async def model(self) -> str:
        """Return the id to put into requests.

        Raises:
            VlmError: the server does not tell.
        """
        ...

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        """Return what the server accepts; None when there is no server to ask.

        Args:
            stale: what it is known to accept no longer; it is asked again unless that happened.

        Raises:
            VlmError: it cannot be asked.
        """
        ...

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat within `timeout_s`.

        Raises:
            VlmError: no completion came.
        """
        ...


class ClipSource(Part, Protocol):
    """Finds the media of an event."""

    def open(
        self, event: VerifyEvent, *, download: bool, anchor: Anchor | None = None
    ) -> AbstractAsyncContextManager[Clip]:
        """Give the clip; temporary files live until the context ends.

        Args:
            event: whose media to find.
            download: False when the model's server fetches the URL itself. The URL is checked
                all the same.
            anchor: which part of the event to show; None leaves it to the recorder's settings.

        Raises:
            MediaError: on entering, when there is no usable clip.
        """
        ...


class FileLookup(Protocol):
    """Tells where a recorder keeps its files."""

    async def path_of(self, file_id: str) -> str:
        """Return the path of a file, as the recorder's own folder or an absolute one begins.

        Raises:
            MediaError: it does not tell.
        """
        ...


class FrameSampler(Protocol):
    """Turns clips into evidence."""

    async def sample(self, clip: Clip, plan: SamplePlan) -> Evidence:
        """Decode and sample.

        Raises:
            MediaError: the clip cannot be decoded within the limits.
        """
        ...


class MediaTypes(Protocol):
    """Tells what media files are."""

    async def type_of(self, path: Path, kind: MediaType) -> str:
        """Return the media type of a file, such as `video/mp4`, by its content.

        Raises:
            MediaError: it is no such medium.
        """
        ...


class FrameStore(Protocol):
    """Keeps small pictures of what models were shown, for as long as there is room."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        ...

    async def keep(
        self, key: str, evidence: Evidence, start: datetime | None, *, exact: bool
    ) -> KeptFrames:
        """Shrink what a model was shown, and store it; a disk without room is no error.

        Args:
            key: of the event.
            evidence: of form FRAMES or VIDEO.
            start: when the clip begins; None when nobody knows.
            exact: whether this is what the model was shown.
        """
        ...

    async def find(self, key: str) -> KeptFrames | None:
        """Return what is kept for an event, or None."""
        ...

    async def narrow(self, jpeg: bytes, width: int) -> bytes:
        """Return a picture with at most `width` pixels in a row, as JPEG."""
        ...

    async def sweep(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        ...


class PromptBook(Part, Protocol):
    """The alert types and their prompts, versioned. Names match without regard to case."""

    async def seed(self, configs: Sequence[AlertConfig], *, override: bool) -> int:
        """Take alert types from a file; returns how many were changed.

        Args:
            configs: of the file.
            override: whether the file replaces what was edited since.

        Raises:
            StoreUnavailable: the book cannot be written.
        """
        ...

    async def find(self, alert_type: str) -> AlertConfig | None:
        """Return the newest version of an alert type, or None."""
        ...

    async def list(self) -> Sequence[AlertConfig]:
        """Return the newest version of every alert type, by name."""
        ...

    async def versions(self, alert_type: str) -> Sequence[AlertConfig]:
        """Return every version that there ever was, newest first; also of a deleted alert type."""
        ...

    async def create(self, config: AlertConfig, by: Attribution | None = None) -> AlertConfig:
        """Add an alert type as version 1, or as the next version of a deleted one.

        Args:
            config: the alert type.
            by: recorded in the audit trail together with the change, as below; None records
                nothing.

        Raises:
            AlreadyExists: there is one.
        """
        ...

    async def replace(
        self, config: AlertConfig, by: Attribution | None = None, *, expected: int | None = None
    ) -> AlertConfig:
        """Store a new version of an existing alert type.

        Args:
            config: the alert type.
            by: as above.
            expected: the version that must be in force; None takes any.

        Raises:
            NotFound: there is none.
            VersionConflict: another version is in force.
        """
        ...

    async def delete(self, alert_type: str, by: Attribution | None = None) -> None:
        """Retire an alert type; its versions stay for the verdicts that name them.

        Raises:
            NotFound: there is none.
        """
        ...


class Ledger(Part, Protocol):
    """Durable memory of what was accepted and how it ended.

    A method that writes returns only after the write would survive a crash and a power cut.
    """

    async def accept(
        self, event: VerifyEvent, *, claim: bool = False, rules: FilterRules = NO_RULES
    ) -> Accepted:
        """Store an event, or find that its key is known or that a rule drops it. Idempotent.

        A known key is never dropped. Only an event that is stored becomes the mark of its cohort,
        in the same transaction; one that is dropped leaves no trace.

        Args:
            event: what to store.
            claim: take it up in the same breath when it is new, as `claim` would.
            rules: what may drop it.

        Raises:
            Overloaded: the backlog is full.
            StoreUnavailable: the store cannot be written.
        """
        ...

    async def accept_all(self, offers: Sequence[Offer]) -> Sequence[Accepted | RequestError]:
        """Do for each what `accept` does, in their order, with one wait for the disk for all.

        Returns:
            An answer to each; where `accept` would raise, the error.

        Raises:
            StoreUnavailable: the store cannot be written; nothing is claimed.
        """
        ...

    async def risks(self) -> Sequence[str]:
        """Tell what outside of the service would lose accepted events, one sentence each.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        ...

    async def recover(self) -> int:
        """Take over at the start what an earlier process left undecided; returns how much.

        Raises:
            StoreUnavailable: the ledger cannot be written.
        """
        ...

    async def waiting(self, *, after: int, limit: int) -> Sequence[StoredEvent]:
        """List undecided events that nobody works on, oldest first, with `position` above `after`.

        Looking takes nothing: several replicas may see the same events. Positions only grow.
        """
        ...

    async def claim(self, keys: Sequence[str]) -> Sequence[StoredEvent]:
        """Take those of these events that nobody works on, oldest first.

        The attempt is counted before the work starts, so that an event which kills the process
        is known as such.
        """
        ...

    async def release(self, key: str) -> None:
        """Put a claimed event back undecided, without counting the attempt."""
        ...

    async def commit(self, record: VerdictRecord, sinks: Sequence[str]) -> VerdictRecord | None:
        """Store a verdict and its outbox entries in one transaction.

        Returns:
            The record with its `seq`, or None when the key was decided before (nothing changes).
        """
        ...

    async def lookup(self, identity: str) -> VerdictRecord | StoredEvent | None:
        """Find by submitted id, `Id` fingerprint or verdict key: the latest that carries it."""
        ...

    async def query(
        self, wanted: VerdictFilter, *, limit: int, before: int | None = None
    ) -> Sequence[VerdictRecord]:
        """List verdicts, newest first, with `seq` below `before`."""
        ...

    async def since(
        self, wanted: VerdictFilter, *, after: int, limit: int
    ) -> Sequence[VerdictRecord]:
        """List verdicts, oldest first, with `seq` above `after`."""
        ...

    async def last_seq(self) -> int:
        """Return the `seq` of the newest verdict; 0 when there is none."""
        ...

    async def journey(self, seq: int) -> Journey:
        """Tell of the event of a verdict when it was accepted, and how its deliveries fare."""
        ...

    async def backlog(self) -> int:
        """Return how many accepted events are undecided."""
        ...

    async def due(
        self,
        sink: str,
        now: datetime,
        limit: int,
        *,
        horizon: datetime | None = None,
        skip: Collection[int] = (),
    ) -> Sequence[OutboxEntry]:
        """List deliveries whose time has come, oldest first.

        Of several deliveries about one fingerprint only the oldest that is neither sent nor dead
        is listed, so that a sink gets them in the order of their commits.

        Args:
            sink: the name of a sink.
            now: deliveries that are scheduled up to this time are due.
            limit: how many to list at most.
            horizon: so are those that are scheduled for later than this, which nobody does: the
                clock was ahead.
            skip: ids of deliveries that the caller has in hand.
        """
        ...

    async def mark_sent(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget deliveries that succeeded."""
        ...

    async def mark_failed(self, entry: OutboxEntry, error: str, retry_at: datetime | None) -> None:
        """Schedule the next delivery, or make the entry a dead letter when `retry_at` is None."""
        ...

    async def dead_letters(self, *, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        """List deliveries that were given up, oldest first, with an id above `after`."""
        ...

    async def outbox_levels(self) -> OutboxLevels:
        """Return how much is to be delivered, and how much was given up."""
        ...

    async def replay(self, ids: Sequence[int] | None, by: Attribution | None = None) -> int:
        """Schedule dead letters again: those with these ids, or all. Returns how many.

        Args:
            ids: which ones; None is all.
            by: recorded in the audit trail together with the change; None records nothing.
        """
        ...


class AuditTrail(Protocol):
    """What was changed by whom, as durable as the ledger. Entries stay for ever.

    Changes of the prompt book, the rule book and dead letters are recorded by those, together with
    the change; this is for changes that are made elsewhere, and for reading.
    """

    async def append(self, entry: AuditEntry) -> AuditEntry:
        """Store an entry durably; returns it with its `seq`.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """List entries, newest first, with `seq` below `before`.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        ...


class Sink(Part, Protocol):
    """A place that verdicts are published to. Publishing the same verdict twice is harmless."""

    @property
    def name(self) -> str:
        """The name in the outbox."""
        ...

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        ...

    async def publish(self, entry: OutboxEntry) -> None:
        """Deliver one verdict.

        Raises:
            DeliveryError: not now.
            DeliveryRefused: never.
        """
        ...


class DeadLetters(Part, Protocol):
    """Where a broker's records go that can never be events."""

    async def put(self, letter: DeadLetter) -> None:
        """Store a letter durably, with the original bytes.

        Raises:
            ConnectionError: not now; says what to do.
        """
        ...


class Door(Part, Protocol):
    """A way in that reads for itself, such as from a broker."""

    async def run(self) -> None:
        """Read until cancelled; survives that its source is away."""
        ...


class InlineMedia(Part, Protocol):
    """Keeps media that come with their event as files, until the event is decided."""

    async def keep_clip(self, key: str, clip: bytes) -> str:
        """Store a video file durably and return its name for `info.video_path`.

        Args:
            key: of the event, or another name that nobody else uses.
            clip: the file.

        Raises:
            InvalidRequest: it is empty.
            BodyTooLarge: it is larger than events' media may be.
            Overloaded: too much is kept already.
            StoreUnavailable: it cannot be written.
        """
        ...

    async def keep_frames(self, key: str, frames: Sequence[Frame]) -> str:
        """Store JPEG pictures durably as one clip with their times, or as a picture.

        Raises:
            InvalidRequest: they are no JPEG pictures, too many, or not in the order of their times.
            BodyTooLarge, Overloaded, StoreUnavailable: as above.
        """
        ...

    async def forget(self, name: str, key: str) -> None:
        """Remove what was kept under a name for this key; what is not there is fine."""
        ...

    async def sweep(self, is_decided: Callable[[str], Awaitable[bool | None]]) -> None:
        """Remove what was kept for keys that are decided, or for long of unknown ones.

        Args:
            is_decided: tells it of a key; None when no event was accepted under it.
        """
        ...


class Meter(Protocol):
    """Counts and times what happens. Never raises."""

    def accepted(self, *, is_new: bool) -> None:
        """An event was stored, or found to be known."""
        ...

    def dropped(self, by: Drop) -> None:
        """A filter dropped an event."""
        ...

    def received(self, source: str, lag_s: float | None) -> None:
        """A broker door read a record that was published `lag_s` before."""
        ...

    def put_aside(self, source: str, reason: str) -> None:
        """A record of a broker became a dead letter."""
        ...

    def lost(self, source: str, records: int) -> None:
        """A broker dropped records before they could be stored."""
        ...

    def decided(self, outcome: str, metric: str, latency_s: float) -> None:
        """An event ended; `metric` is VSS's failure reason or ""."""
        ...

    def called_vlm(self, arm: str, seconds: float, *, ok: bool) -> None:
        """A model's server answered or failed."""
        ...

    def delivered(self, sink: str, *, ok: bool) -> None:
        """A sink took an entry or did not."""
        ...

    def frames_left_out(self, reason: str) -> None:
        """The pictures that a model was shown were not kept: `full` or `failed`."""
        ...

    def begun(self, waited_s: float) -> None:
        """Work on an event began, after it had waited in line."""
        ...

    def observe(self, *, backlog: int, queued: int, in_flight: int, places: int) -> None:
        """Levels of the moment."""
        ...


class Tracer(Protocol):
    """Tells where the time of one event went. Never raises."""

    def adopt(self, door: str, carrier: Mapping[str, str]) -> None:
        """Let what this task does from now on belong to its caller's trace.

        Args:
            door: by which the caller came.
            carrier: headers of the call; `traceparent` is read, if it is there.
        """
        ...

    def span(self, name: str, **facts: str) -> AbstractContextManager[None]:
        """Measure a step of what this task does."""
        ...

    def keep(self, key: str) -> None:
        """Let whoever takes the event up, or delivers its verdict, go on with this trace."""
        ...

    def resume(self, name: str, key: str, **facts: str) -> AbstractContextManager[None]:
        """Measure a step of an event that was accepted before, maybe in another task."""
        ...

    def carrier(self) -> Mapping[str, str]:
        """Return the headers that let somebody else go on with this trace; none without one."""
        ...

    async def close(self) -> None:
        """Send what is not sent yet."""
        ...


class ArmLog(Part, Protocol):
    """Every choice of arms, as durable as the ledger; the newest is in force."""

    async def latest(self) -> ArmChoice | None:
        """Return the newest choice; None when there was none.

        Raises:
            StoreUnavailable: it cannot be read, as of all methods here.
        """
        ...

    async def find(self, version: int) -> ArmChoice | None:
        """Return a choice, or None."""
        ...

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a `version` below `before`."""
        ...

    async def append(self, choice: ArmChoice, entry: AuditEntry | None = None) -> bool:
        """Store a choice if its `version` follows the newest one.

        Args:
            choice: the next one.
            entry: recorded in the audit trail together with it.

        Returns:
            False when somebody else was faster; nothing changes then.
        """
        ...


class Comparisons(Part, Protocol):
    """What arms said about the same events, and what people say about them."""

    async def record(self, events: Sequence[ComparedEvent]) -> None:
        """Store answers; those of arms that have answered about an event before replace the old.

        A power cut may take the latest back, the end of the process may not. Labels in the events
        are not stored.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def label(self, labels: Sequence[tuple[ComparedEvent, Label]]) -> None:
        """Store what people say, durably; earlier labels are kept and count no more.

        Args:
            labels: each with its event, which is stored with its answers if it is not there.
        """
        ...

    async def withdraw(self, label: Label, by: str, at: datetime) -> bool:
        """Take a label back, durably; the one before it counts again.

        Args:
            label: that counts, as far as the caller knows.
            by: who takes it back.
            at: when.

        Returns:
            False when another one counts by now; nothing changes then.
        """
        ...

    async def find(self, key: str) -> ComparedEvent | None:
        """Return an event with all answers, or None."""
        ...

    async def labels_of(self, key: str) -> Sequence[Label]:
        """Return every label of an event, oldest first, those that were taken back included."""
        ...

    async def disputes(self) -> int:
        """Return how many events arms gave different verdicts on that nobody labelled."""
        ...

    async def events(
        self, wanted: ComparedFilter, *, limit: int, before: int | None = None
    ) -> Sequence[ComparedEvent]:
        """List events, the latest stored first, with a `position` below `before`."""
        ...

    async def trim(self, *, keep: int, stored_before: datetime) -> int:
        """Forget some of the oldest events beyond `keep` or stored before a time.

        Events that somebody labelled stay. Returns how many were forgotten; 0 when none is left.
        """
        ...


class AccessMeter(Protocol):
    """Counts who is not let in. Never raises."""

    def refused(self, door: str, error: RequestError) -> None:
        """A caller was refused: unknown, without the scope, or too often."""
        ...


class RuleBook(Part, Protocol):
    """The realtime rules, as durable as the ledger."""

    async def list(self) -> Sequence[RealtimeRule]:
        """Return all rules, oldest first.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        ...

    async def find(self, rule_id: str) -> RealtimeRule | None:
        """Return a rule, or None."""
        ...

    async def put(self, rule: RealtimeRule, entry: AuditEntry | None = None) -> bool:
        """Store a rule if its `revision` follows the stored one, 1 if there is none.

        Args:
            rule: what to store.
            entry: joins the audit trail together with the change, if that is made.

        Returns:
            False when somebody else changed or deleted it in between; nothing changes then.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        ...

    async def delete(self, rule_id: str, entry: AuditEntry | None = None) -> bool:
        """Forget a rule; False when there was none, and then `entry` is not stored either."""
        ...


class LiveVlm(Part, Protocol):
    """RT-VLM: looks at live streams by itself and publishes what it finds."""

    async def streams(self) -> Mapping[str, str]:
        """Return the URL of every stream that it knows, "" where it does not tell, by id.

        Raises:
            RtviUnavailable: no answer came, as of all methods here.
        """
        ...

    async def add_stream(self, stream: Mapping[str, Any]) -> str:
        """Open a stream and return its id.

        Raises:
            RtviInvalidResponse: it was opened, but the answer names no id.
        """
        ...

    async def caption(self, request: Mapping[str, Any], accepted: Callable[[str], None]) -> None:
        """Let it look at a stream; returns when it ends that.

        Args:
            request: body of `generate_captions`.
            accepted: called once with the id of the request, "" where it tells none.
        """
        ...

    async def stop_captions(self, stream_id: str, request_id: str) -> None:
        """End one request, or all of the stream when `request_id` is ""."""
        ...

    async def delete_stream(self, stream_id: str) -> None:
        """Close a stream. One that is gone already is fine."""
        ...


class IncidentSearch(Part, Protocol):
    """Reads published incidents."""

    async def search(self, query: IncidentQuery, *, offset: int, limit: int) -> IncidentPage:
        """Return one page, newest first.

        Raises:
            IncidentQueryFailed: the index cannot be read.
        """
        ...


class ArmsMeter(Protocol):
    """Counts what arms do and say. Never raises."""

    def answered(self, answers: Sequence[ArmAnswer]) -> None:
        """Arms were asked about one event, for the verdict or beside it."""
        ...

    def compared(self, published: ArmAnswer, shadow: ArmAnswer) -> None:
        """A shadow answered about an event with a verdict."""
        ...

    def left_out(self, arm: str, reason: LeftOut) -> None:
        """An arm was not asked though its turn had come."""
        ...

    def shadow_spared(self, arm: str, reason: str) -> None:
        """A shadow was not asked, or could not be shown the event."""
        ...

    def lost(self, events: int) -> None:
        """Answers could not be kept for comparison."""
        ...

    def labelled(self, labels: int) -> None:
        """People said what events really were."""
        ...

    def chosen(self, version: int) -> None:
        """A choice of arms came into force."""
        ...

    def promoted(self, promotion: Promotion | None) -> None:
        """How far a promotion is; None: there is none."""
        ...

    def endpoint(
        self,
        arm: str,
        place: str,
        *,
        in_flight: int,
        waiting: int,
        limit: int,
        is_left_out: bool,
    ) -> None:
        """Levels of one of an arm's servers at the moment."""
        ...


class RealtimeMeter(Protocol):
    """Counts and times what happens to realtime rules and incidents. Never raises."""

    def rule_created(self) -> None:
        """A rule is stored and RT-VLM works on it."""
        ...

    def rule_failed(self, stage: str) -> None:
        """RT-VLM does not work on a rule, because of what this stage says."""
        ...

    def rule_deleted(self) -> None:
        """A rule was deleted."""
        ...

    def rules(self, *, followed: int, stored: int) -> None:
        """Levels: rules whose captions this process follows, and active rules in the store."""
        ...

    def replayed(self, *, succeeded: int, failed: int) -> None:
        """Rules were given to RT-VLM again."""
        ...

    def called_rtvi(self, method: str, seconds: float, *, ok: bool) -> None:
        """RT-VLM answered or failed."""
        ...

    def queried_incidents(self, seconds: float, *, ok: bool) -> None:
        """The index of incidents answered or failed."""
        ...

    def consolidated(
        self, *, chunks: int, events: int, splits: Mapping[str, int], seconds: float
    ) -> None:
        """Chunks were folded into events, which ended for these reasons."""
        ...


class Clock(Protocol):
    """Time, injected so that tests can hold it still."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class ReviewMedia(Protocol):
    """Finds what requests to the Event Reviewer API name by path."""

    def absolute(self, path: str) -> str:
        """Return the path from the folder that relative ones start from; "" stays ""."""
        ...

    async def find(self, path: str) -> Footage:
        """Find a clip and measure it.

        Raises:
            MediaError: there is no usable clip.
        """
        ...

    async def overlays(self, path: str, footage: Footage) -> Sequence[Overlay]:
        """Read the CV metadata about a clip.

        Raises:
            MediaError: there is no usable file.
        """
        ...


class FileStore(Protocol):
    """Files that clients upload, as durable as their folder."""

    async def add(
        self, content: BinaryIO, name: str, media_type: MediaType, camera_id: str
    ) -> StoredFile:
        """Copy a file.

        Raises:
            ReviewRefused: it is not such a medium, or there is no room.
        """
        ...

    async def link(self, path: str, media_type: MediaType, camera_id: str) -> StoredFile:
        """Take a file where it lies.

        Raises:
            ReviewRefused: it is not such a medium, or cannot be read.
        """
        ...

    async def list(self) -> Sequence[StoredFile]:
        """Return all files, oldest first."""
        ...

    async def find(self, file_id: str) -> StoredFile:
        """Return a file.

        Raises:
            ReviewRefused: there is none.
        """
        ...

    def use(self, file_id: str) -> AbstractAsyncContextManager[StoredFile]:
        """Keep a file from being deleted while the context lasts.

        Raises:
            ReviewRefused: on entering, when there is none.
        """
        ...

    async def measure(self, file: StoredFile) -> Footage:
        """Return a file as a clip.

        Raises:
            MediaError: it cannot be read any more.
        """
        ...

    async def delete(self, file_id: str) -> None:
        """Forget a file. One that was named stays where it lies.

        Raises:
            ReviewRefused: there is none, or it is in use.
        """
        ...


class ReviewMeter(Protocol):
    """Counts and times what happens at the Event Reviewer API. Never raises."""

    def pending(self, count: int) -> None:
        """So many requests are under way."""
        ...

    def processed(self) -> None:
        """A request about a file ended."""
        ...

    def shown(self, seconds: float) -> None:
        """A chunk was decoded."""
        ...

    def asked(self, seconds: float) -> None:
        """A model answered about a chunk, or failed."""
        ...

    def counted(self, input_tokens: int | None, output_tokens: int | None) -> None:
        """A server counted the tokens of an answer; None where it does not tell."""
        ...


class AudienceMeter(Protocol):
    """Counts who listens over WebSocket. Never raises."""

    def listening(self, count: int) -> None:
        """So many clients listen."""
        ...

    def turned_away(self) -> None:
        """A client found no place."""
        ...

    def dropped(self) -> None:
        """A client could not keep up."""
        ...
