"""From the command's options to what is asked, and how its events get their clips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from sidecar.density.doors.choosing import choose_target
from sidecar.density.doors.direct import DirectTarget
from sidecar.density.driver import Target
from sidecar.density.media import FiledClips, InlineClips, Media, NoClips, ServedClips
from sidecar.density.policy import StaticPolicy
from sidecar.density.scenario import Scenario
from sidecar.density.session import Arm
from sidecar.errors import SettingsError

STATIC_LIMIT: Final = 4
"""`async_io.max_vlm_concurrent` in VSS's profile for alerts."""
STATIC_TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

ClipsFrom = Literal["auto", "inline", "serve", "file", "none"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; times are seconds of the board.

    Attributes:
        door: URL of the sidecar's door; "" leaves it out.
        sink: URL where verdicts come out; "" is the door's own.
        direct: endpoint of a model's server; "" leaves it out.
        policy: what stands before it.
        knows_answers: a mock gives the answer that an event's id tells.
        clips: how clips get there.
        serve_clips: URL of this driver for those who fetch clips.
        clips_dir: folder of `clips` "file".
        clips_seen_as: the same folder as the server sees it.
        model: id for `direct`; "" asks the server.
        api_key: for all of them.
        timeout_s: of a call that waits for its answer.
        speed: seconds of the board in one of the wall.
    """

    door: str = ""
    sink: str = ""
    direct: str = ""
    policy: Literal["none", "static"] = "none"
    knows_answers: bool = False
    clips: ClipsFrom = "auto"
    serve_clips: str = ""
    clips_dir: Path | None = None
    clips_seen_as: Path | None = None
    model: str = ""
    api_key: str = ""
    timeout_s: float = 120.0
    speed: float = 1.0


def choose_arms(wanted: Wanted, scenario: Scenario) -> list[Arm]:
    """Build what is asked; the bare server first, as the reference of differences.

    Raises:
        SettingsError: nothing is asked, or options do not go together.
    """
    if not wanted.direct and not wanted.door:
        raise SettingsError(
            "Say what to load: --door http://localhost:9080 for a sidecar, "
            "--direct http://localhost:8000/v1 for a model's server, or both."
        )
    if wanted.policy != "none" and not wanted.direct:
        raise SettingsError("--policy stands before a model's server: it needs --direct.")
    arms = []
    if wanted.direct:
        arms.append(Arm(_direct(wanted, scenario), _media(wanted, scenario, wanted.direct, True)))
    if wanted.door:
        target = choose_target(
            wanted.door,
            wanted.sink,
            api_key=wanted.api_key,
            timeout_s=wanted.timeout_s / wanted.speed,
            knows_answers=wanted.knows_answers,
        )
        takes_files = wanted.door.startswith("grpc://")
        arms.append(Arm(target, _media(wanted, scenario, wanted.door, takes_files)))
    return arms


def _direct(wanted: Wanted, scenario: Scenario) -> Target:
    target = DirectTarget(
        wanted.direct,
        scenario.question,
        timeout_s=wanted.timeout_s / wanted.speed,
        model=wanted.model,
        api_key=wanted.api_key,
        knows_answers=wanted.knows_answers,
    )
    if wanted.policy == "none":
        return target
    return StaticPolicy(target, STATIC_LIMIT, STATIC_TIMEOUT_S / wanted.speed)


def _media(wanted: Wanted, scenario: Scenario, url: str, takes_files: bool) -> Media:
    clips = wanted.clips
    if clips == "auto":
        clips = "file" if wanted.clips_dir else "inline" if takes_files else "serve"
    if clips == "none":
        return NoClips()
    if clips == "inline":
        if not takes_files:
            raise SettingsError(
                "--clips inline: only gRPC doors and --direct take clips with the event. "
                "Use serve or file."
            )
        return InlineClips(scenario.clip)
    if clips == "file":
        if wanted.clips_dir is None:
            raise SettingsError("--clips file needs --clips-dir, a folder that the server shares.")
        return FiledClips(scenario.clip, wanted.clips_dir, wanted.clips_seen_as)
    served = wanted.serve_clips
    if not served:
        if urlsplit(url).hostname not in _LOOPBACK:
            raise SettingsError(
                "Say with --serve-clips http://HOST:PORT where the sidecar can fetch clips from "
                "this machine, or share a folder with --clips-dir."
            )
        served = "http://127.0.0.1:0"
    return ServedClips(scenario.clip, served)
