"""What operators see and do beside the verdicts: which parts fulfil it."""

from collections.abc import Callable, Collection
from pathlib import Path

from sidecar.core.clip_loans import ClipLoans
from sidecar.core.comparing import Comparing
from sidecar.core.filmstrips import Filmstrips
from sidecar.core.past_clips import PastClips
from sidecar.core.prompt_trials import PromptTrials
from sidecar.core.provenance import Provenances
from sidecar.core.service import Service
from sidecar.core.slots import Slots
from sidecar.core.state import Reporter
from sidecar.core.trials import Trials
from sidecar.core.verify import Look, Verifier
from sidecar.doors.operators import Operators
from sidecar.outside.kept_frames import FolderFrames
from sidecar.outside.media_types import PyavMediaTypes
from sidecar.ports import Clock, FrameStore
from sidecar.settings import Settings


def frames_folder(settings: Settings) -> Path | None:
    """Return where pictures of what models saw are kept; None: nowhere.

    Replicas need a folder that all of them share, which only the settings can name.
    """
    is_shared = bool(settings.ledger.redis.url.get_secret_value())
    beside = None if is_shared else settings.ledger.path.parent / "frames"
    return settings.frames.dir or beside


def build_frame_store(settings: Settings, clock: Clock) -> FolderFrames:
    """Make what keeps pictures of what models saw."""
    return FolderFrames(frames_folder(settings), settings.frames, clock)


def afterwards(*takers: Callable[[Look], None]) -> Callable[[Look], None]:
    """Let several take what a committed verdict leaves to do, one after the other."""

    def take(look: Look) -> None:
        for taker in takers:
            taker(look)

    return take


def build_operators(
    settings: Settings,
    service: Service,
    comparing: Comparing,
    verifier: Verifier,
    frames: FrameStore,
    *,
    parsers: Collection[str],
    to_deliver: Callable[[], None],
    reporter: Reporter,
) -> Operators:
    """Make what the routes for operators ask.

    Args:
        settings: limits.
        service: knows the verdicts.
        comparing: knows what arms said about them.
        verifier: finds and shows their media.
        frames: keeps what models saw.
        parsers: names of the custom parsers.
        to_deliver: called when there is something to deliver.
        reporter: tells how the service does.
    """
    clips = PastClips(service.intake, service.prompts, verifier.clips)
    trials = Trials(
        service.ledger,
        verifier,
        service.intake,
        Slots(settings.trials.max_in_flight),
        settings.trials.deadline_s,
    )
    return Operators(
        provenances=Provenances(service.ledger, comparing.store, service.prompts),
        filmstrips=Filmstrips(
            ledger=service.ledger,
            store=frames,
            clips=clips,
            sampler=verifier.asker.sampler,
            switchboard=verifier.switchboard,
            clock=service.clock,
            most=settings.frames.per_event,
            width=settings.frames.width,
        ),
        loans=ClipLoans(service.ledger, clips),
        media_types=PyavMediaTypes(settings.media),
        trials=trials,
        prompts=service.prompts,
        prompt_trials=PromptTrials(trials, comparing.store),
        parsers=parsers,
        ledger=service.ledger,
        to_deliver=to_deliver,
        reporter=reporter,
    )
