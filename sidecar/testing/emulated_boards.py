"""What a board, a model and a precision make of a request: speeds and costs for the emulator.

Physics where it is known (operations from the sizes of the layers, bytes from the weights, peaks
from data sheets) and a few numbers fitted to published tables: which share of its peak a board
reaches, and what its processors take for a clip. docs/emulator.md lists them with their error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sidecar.core.plugins import load_object
from sidecar.errors import NotFound, SettingsError
from sidecar.hw.facts import Architecture, Fact, Facts, Source, load_facts
from sidecar.hw.memory import GIB, count_parameters, kv_bytes_per_token
from sidecar.hw.plan import Wish, make_plan
from sidecar.testing.emulator import Job, Speed

_FILE: Final = Path(__file__).parent / "emulator.yaml"
_FIT: Final = Path(__file__).parent / "emulator_fit.json"
_TERA: Final = 1e12
_GIGA: Final = 1e9
_PATCHES: Final = 4
"""Patches that the vision encoder merges into one token: 2 x 2."""
_ALIASES: Final = {"reason2-8b": "reason2", "cosmos-reason2": "reason2"}
_Number = Annotated[Fact, BeforeValidator(lambda it: Fact(*it) if isinstance(it, list) else it)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Board(_Entry):
    """Peaks of a board; `shared_with_cv_fps` when detection runs on the same GPU."""

    peak_tflops: Mapping[str, _Number]
    memory_gbs: _Number
    shared_with_cv_fps: _Number | None = None


class Stack(_Entry):
    """A server around the engine; without `sequences` the board's own."""

    workers: _Number
    step_tokens: _Number
    sequences: _Number | None = None


class AlertFlow(_Entry):
    """How VSS verifies an alert (seconds, frames/s, pixels)."""

    seconds: _Number
    fps: _Number
    pixels: _Number
    camera_fps: _Number
    in_flight: _Number
    timeout_s: _Number
    tries: _Number
    beside_model_s: _Number


class EmulatorFacts(_Entry):
    """The numbers of `emulator.yaml`."""

    sources: Mapping[str, Source]
    boards: Mapping[str, Board]
    other_boards: Mapping[str, Board]
    stacks: Mapping[str, Stack]
    alert: AlertFlow

    def board(self, name: str) -> Board:
        """Return a board.

        Raises:
            NotFound: there is none of that name; names those there are.
        """
        if name not in self.boards:
            raise NotFound(f"--hw: {name!r} cannot be emulated. Known: {', '.join(self.boards)}.")
        return self.boards[name]


@dataclass(frozen=True, slots=True)
class BoardFit:
    """Fitted numbers of one board.

    Attributes:
        efficiency: share of the peak that prompts reach, by precision (0..1).
        bandwidth: share of the memory's bandwidth that answers reach (0..1).
        decode_s: seconds of a worker to decode a million pixels.
        prepare_s: seconds of a worker to prepare a thousand vision tokens.
        request_s: seconds of a worker that every request takes.
        cv_weight: slowdown at the load at which detection alone would fill a shared GPU (0..1).
    """

    efficiency: Mapping[str, float]
    bandwidth: float
    decode_s: float
    prepare_s: float
    request_s: float
    cv_weight: float


class Fit(_Entry):
    """What docs/fit_emulator.py found.

    Attributes:
        numbers: fitted; `board.what`, or `what` for those that all boards share.
        assumed: names of those that no published row tells.
        left_out: what a row is predicted to be by a fit without it, by row.
        error: relative errors by kind of row, as docs/emulator.md states them.
    """

    numbers: Mapping[str, float]
    assumed: tuple[str, ...] = ()
    left_out: Mapping[str, float] = Field(default={})
    error: Mapping[str, Mapping[str, float]] = Field(default={})

    def of_board(self, board: str) -> BoardFit:
        """Return the numbers of one board; what is not its own is shared or the H100's."""
        known = self.numbers
        return BoardFit(
            efficiency={it: known.get(f"{board}.{it}", 0.0) for it in ("bf16", "fp8", "nvfp4")},
            bandwidth=known.get(f"{board}.bandwidth", known.get("h100.bandwidth", 1.0)),
            decode_s=known.get(f"{board}.decode", 0.0),
            prepare_s=known.get(f"{board}.prepare", known["prepare"]),
            request_s=known["request"],
            cv_weight=known.get("cv_weight", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request brings.

    Attributes:
        decoded_mpixels: millions of pixels of all frames that are decoded.
        vision_tokens: of all its media.
        grid_tokens: of those that the vision encoder looks at together: one picture, or the frames
            of a video that share a grid.
        text_tokens: all others.
        answer_tokens: 1 at least.
    """

    decoded_mpixels: float
    vision_tokens: int
    grid_tokens: int
    text_tokens: int
    answer_tokens: int = 1


@dataclass(frozen=True, slots=True)
class Emulated:
    """A model on a board: sizes of the model, speed of its server, numbers of its front end."""

    architecture: Architecture
    speed: Speed
    fit: BoardFit

    def job(self, shape: Shape) -> Job:
        """Return what a request costs here."""
        front_s = (
            self.fit.request_s
            + shape.decoded_mpixels * self.fit.decode_s
            + shape.vision_tokens / 1000 * self.fit.prepare_s
        )
        tokens = max(1, shape.vision_tokens + shape.text_tokens)
        tflop = tflop_of(self.architecture, shape)
        return Job(front_s, tokens, tflop, max(1, shape.answer_tokens))


@cache
def load_emulator() -> EmulatorFacts:
    """Read the facts that come with the emulator."""
    return EmulatorFacts.model_validate(yaml.safe_load(_FILE.read_text("utf-8")))


@cache
def load_fit() -> Fit:
    """Read the fitted numbers."""
    return Fit.model_validate(orjson.loads(_FIT.read_bytes()))


def find_model(facts: Facts, name: str) -> str:
    """Return the name in hw/facts.yaml of a model that is given by name or by checkpoint.

    Raises:
        NotFound: there is no such model, or its sizes are not published.
    """
    sized = {key: it for key, it in facts.models.items() if it.architecture}
    lowered = _ALIASES.get(name.lower(), name.lower())
    for key, model in sized.items():
        if lowered in {key, *(it.lower() for it in model.artefacts.values())}:
            return key
    raise NotFound(f"--model: {name!r} cannot be emulated. Known: {', '.join(sized)}.")


def emulate(
    hw: str, model: str, precision: str, *, stack: str = "rtvi-vlm", cv_streams: int = 0
) -> Emulated:
    """Build what stands for a model on a board.

    Args:
        hw: the board.
        model: name or checkpoint.
        precision: of the weights.
        stack: the server around the engine.
        cv_streams: cameras that detection on the same GPU follows, where it is shared.

    Raises:
        NotFound: there is no such board or model; names those there are.
        SettingsError: no such precision or stack, or the model does not fit on the board.
    """
    known, facts = load_emulator(), load_facts()
    known.board(hw)
    name = find_model(facts, model)
    if precision not in facts.model(name).artefacts:
        choices = ", ".join(facts.model(name).artefacts)
        raise SettingsError(f"--precision: {name} has no {precision!r}. Known: {choices}.")
    if stack not in known.stacks:
        raise SettingsError(f"--stack: {stack!r} is unknown. Known: {', '.join(known.stacks)}.")
    plan = make_plan(facts, Wish(hw, [(name, precision)]))
    if plan.refusals:
        raise SettingsError(" ".join([*plan.refusals, *plan.advice]))
    need = plan.served[0].need
    architecture = facts.model(name).architecture
    assert architecture is not None
    free_gib = plan.budget - need.weights - need.vision - need.engine
    return build(
        load_fit(),
        hw,
        precision,
        known.stacks[stack],
        architecture=architecture,
        weights_gib=need.weights,
        kv_tokens=int(free_gib * GIB / kv_bytes_per_token(architecture.text)),
        sequences=round(facts.machine(hw).sequences.value),
        cv_streams=cv_streams,
    )


def build(
    fit: Fit,
    hw: str,
    precision: str,
    stack: Stack,
    *,
    architecture: Architecture,
    weights_gib: float,
    kv_tokens: int,
    sequences: int,
    cv_streams: int = 0,
) -> Emulated:
    """Turn peaks and shares of them into speeds.

    Args:
        fit: the shares.
        hw: a board, one of those that are not offered included.
        precision: of the weights.
        stack: the server around the engine.
        architecture: of the model.
        weights_gib: of the model in this precision.
        kv_tokens: that fit beside it.
        sequences: at the same time, unless the stack says otherwise.
        cv_streams: cameras that detection follows on the same GPU, where it is shared.
    """
    known = load_emulator()
    board, own = {**known.boards, **known.other_boards}[hw], fit.of_board(hw)
    left = _left_by_detection(board, own, cv_streams * known.alert.camera_fps.value)
    bytes_per_s = board.memory_gbs.value * _GIGA * own.bandwidth * left
    speed = Speed(
        workers=round(stack.workers.value),
        tflops=board.peak_tflops[precision].value * own.efficiency[precision] * left,
        weights_s=weights_gib * GIB / bytes_per_s,
        kv_token_s=kv_bytes_per_token(architecture.text) / bytes_per_s,
        token_tflop=2 * count_parameters(architecture).linear / _TERA,
        kv_tokens=kv_tokens,
        sequences=round(stack.sequences.value) if stack.sequences else sequences,
        step_tokens=round(stack.step_tokens.value),
    )
    return Emulated(architecture, speed, own)


def tflop_of(architecture: Architecture, shape: Shape) -> float:
    """Count the operations for a prompt, in trillions: two for each weight and token.

    Attention of the language model looks back only, that of the vision encoder at one grid.
    """
    text, vision = architecture.text, architecture.vision
    tokens = shape.vision_tokens + shape.text_tokens
    linear = 2 * count_parameters(architecture).linear * tokens
    attention = 2 * text.layers * text.heads * text.head_dim * tokens**2
    patches = _PATCHES * shape.vision_tokens
    layer = 4 * vision.hidden**2 + 2 * vision.hidden * vision.intermediate
    looking = 4 * vision.hidden * _PATCHES * shape.grid_tokens
    merged = _PATCHES * vision.hidden
    merging = 2 * vision.mergers * (merged**2 + merged * text.hidden)
    seen = patches * vision.layers * (2 * layer + looking) + shape.vision_tokens * merging
    return (linear + attention + seen) / _TERA


def video_shape(
    width: int,
    height: int,
    frames: int,
    *,
    text_tokens: int,
    answer_tokens: int = 1,
    decoded_frames: int = 0,
    pixels: int | None = None,
) -> Shape:
    """Return the shape of a request about a video, by the arithmetic of the 8B models' adapter.

    Args:
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        frames: that the model sees.
        text_tokens: of the prompt, the times of frames left out.
        answer_tokens: of the answer.
        decoded_frames: of the file; 0 when frames come decoded.
        pixels: budget of the whole clip when the request sets one.
    """
    across, down, tokens = _video_tokens(width, height, frames, pixels)
    grids = -(-max(frames, 1) // _vision_facts().temporal_patch)
    return Shape(
        decoded_mpixels=decoded_frames * width * height / 1e6,
        vision_tokens=tokens,
        grid_tokens=across * down,
        text_tokens=text_tokens + grids * _stamp_tokens(),
        answer_tokens=answer_tokens,
    )


def image_shape(sizes: list[tuple[int, int]], text_tokens: int, answer_tokens: int = 1) -> Shape:
    """Return the shape of a request about pictures of some (width, height) in pixels."""
    count = _arithmetic("image_tokens")
    tokens = [count(width, height, _vision_facts()) for width, height in sizes]
    decoded = sum(width * height for width, height in sizes) / 1e6
    largest = max(tokens, default=0)
    marks = 2 * len(sizes)
    return Shape(decoded, sum(tokens), largest, text_tokens + marks, answer_tokens)


def alert_shape(answer_tokens: int = 1) -> Shape:
    """Return the shape of VSS's question about an alert: a 1080p clip of 10 s at 4 frames/s."""
    alert = load_emulator().alert
    seconds = alert.seconds.value
    return video_shape(
        1920,
        1080,
        round(seconds * alert.fps.value),
        text_tokens=150,
        answer_tokens=answer_tokens,
        decoded_frames=round(seconds * alert.camera_fps.value),
        pixels=round(alert.pixels.value),
    )


def _left_by_detection(board: Board, fit: BoardFit, frames_per_s: float) -> float:
    """Return the share of a GPU that detection on the same one leaves (0..1)."""
    if board.shared_with_cv_fps is None:
        return 1.0
    return 1 - fit.cv_weight * min(1.0, frames_per_s / board.shared_with_cv_fps.value)


def _video_tokens(width: int, height: int, frames: int, pixels: int | None) -> tuple[int, int, int]:
    """Return the tokens across and down one grid, and of the whole video."""
    facts = _vision_facts()
    if pixels is not None:
        facts = replace(facts, video_longest_edge=pixels)
    wide, high = _arithmetic("fit_to_budget")(width, height, frames, facts)
    across, down = wide // facts.token_side, high // facts.token_side
    return across, down, _arithmetic("vision_tokens")(width, height, frames, facts)


def _stamp_tokens() -> int:
    """Tokens of the time before each grid, and of its two marks."""
    return int(_arithmetic("_STAMP_TOKENS")) + int(_arithmetic("_MARK_TOKENS"))


@cache
def _vision_facts() -> Any:
    return load_object("adapters.cosmos_reason2:PROFILE", "the emulator").vision


@cache
def _arithmetic(name: str) -> Any:
    """Return something of the adapters' token arithmetic, which is found by name."""
    return load_object(f"adapters._tokens:{name}", "the emulator")
