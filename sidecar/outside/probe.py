"""Finding a server's dialect by about twenty small requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from sidecar.contract.openai import failure_from_body, model_ids
from sidecar.dialect import FrameControl, ReasoningField, ServerDialect, StructuredForm
from sidecar.errors import VlmServerError
from sidecar.outside.probe_chat import Body, Outcome, ProbeChat, together
from sidecar.outside.probe_media import (
    CLIP_FPS,
    CLIP_FRAMES,
    FEWER_IMAGES,
    HEIGHT,
    MANY_IMAGES,
    THIN_FPS,
    THIN_FRAMES,
    WIDTHS,
    Ruler,
    Tokens,
    image,
    images_seen,
    long_video,
    named_limit,
    short_video,
)
from sidecar.outside.vlm_errors import failure

_WORDS: Final = ("azure", "crimson")
"""Words that no model answers by itself to the probe's question."""
_TOP_LOGPROBS: Final = 20
"""The most that vLLM gives by default; adapters ask for as many."""
_READY_PATHS: Final = (
    ("/v1/ready", "rt-vlm"),
    ("/v1/health/ready", "nim"),
    ("/health", "vllm"),
)
_INFO_PATHS: Final = ("/version", "/v1/version", "/get_server_info")
_NO_THINKING: Final[Body] = {"chat_template_kwargs": {"enable_thinking": False}}
_SCHEMA: Final = {"type": "string", "enum": _WORDS}
_CONSTRAINTS: Final[Mapping[StructuredForm, Body]] = {
    StructuredForm.STRUCTURED_OUTPUTS: {"structured_outputs": {"choice": _WORDS}},
    StructuredForm.CHOICE_FORMAT: {"response_format": {"type": "choice", "choices": _WORDS}},
    StructuredForm.RESPONSE_FORMAT: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "word", "schema": _SCHEMA, "strict": True},
        }
    },
}
"""The best first, where several bind."""

Fields = Callable[[int], Body]
"""Makes request fields for a clip of that width."""


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What happens to clips; the names are those of `ServerDialect`."""

    takes_video: bool = False
    media_options: bool = False
    loader_fps: float | None = None
    frames: FrameControl = FrameControl.NONE


@dataclass(frozen=True, slots=True)
class Weighed:
    """What came of one clip in two widths: whether it was accepted, and its tokens if counted."""

    accepted: bool
    tokens: Tokens | None


async def probe_dialect(
    url: str, api_key: str, timeout_s: float, *, model: str = ""
) -> ServerDialect:
    """Find the dialect of an endpoint.

    A request that makes the server fail counts as refused, if it then answers a plain one.

    Args:
        url: including `/v1`.
        api_key: sent as a bearer token when not "".
        timeout_s: for each request.
        model: to ask; "" for the first that the server lists.

    Raises:
        VlmError: the server does not answer in time, serves no model, or refuses a plain question.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        return await _probe(ProbeChat(url.rstrip("/"), session, timeout_s, model))


async def _probe(chat: ProbeChat) -> ServerDialect:
    models = await _models(chat)
    chat.model = chat.model or models[0]
    server, version, ready_path = await _identify(chat)
    plain = await chat.ask_plainly()
    clips = await _clips(chat, plain)
    max_images = await _max_images(chat, plain)
    structured, thinking_switch = await _structured(chat)
    scored = await chat.ask(logprobs=True, top_logprobs=_TOP_LOGPROBS, max_tokens=1)
    if chat.broke_down:
        await chat.ask_plainly()
    return ServerDialect(
        server=server,
        version=version,
        models=models,
        ready_path=ready_path,
        takes_video=clips.takes_video,
        max_images=max_images,
        loader_fps=clips.loader_fps,
        frames=clips.frames,
        media_options=clips.media_options,
        structured=structured,
        thinking_switch=thinking_switch,
        reasoning=_reasoning_field(plain.message),
        content_is_null=plain.message.get("content") is None,
        logprobs=scored.has_logprobs,
    )


async def _models(chat: ProbeChat) -> tuple[str, ...]:
    answer = await chat.get(f"{chat.url}/models")
    if answer.status != HTTPStatus.OK:
        raise failure(answer.status, answer.body)
    models = model_ids(answer.body)
    if not models:
        raise VlmServerError(f"NoModel: {chat.url}/models lists no model")
    return models


async def _identify(chat: ProbeChat) -> tuple[str, str, str]:
    """Return the server's kind, its version, and the path that tells when it is ready."""
    root = chat.url.removesuffix("/v1")
    paths = [*_INFO_PATHS, *(path for path, _ in _READY_PATHS)]
    answers = await together(chat.get(root + path) for path in paths)
    there = {
        path: answer.body
        for path, answer in zip(paths, answers, strict=True)
        if answer.status == HTTPStatus.OK
    }
    release = there.get("/v1/version", {}).get("release")
    version = str(there.get("/version", {}).get("version") or release or "")
    if "/get_server_info" in there:
        return "sglang", version, "/health"
    for path, server in _READY_PATHS:
        if path in there:
            is_known = server != "vllm" or "/version" in there
            return server if is_known else "unknown", version, path
    return "unknown", version, ""


async def _clips(chat: ProbeChat, plain: Outcome) -> ClipFacts:
    """Find out how many frames are seen without options, and whether options change that."""
    clip, short = await _weigh(chat, (long_video, _no_fields), (short_video, _no_fields))
    if not clip.accepted:
        return ClipFacts()
    whole, thin = await _weigh(
        chat, (long_video, _media_options(CLIP_FPS)), (long_video, _media_options(THIN_FPS))
    )
    if clip.tokens is None or short.tokens is None:
        return ClipFacts(takes_video=True, media_options=whole.accepted)
    ruler = Ruler(plain.tokens, short.tokens)
    if _is_obeyed(ruler, whole, thin):
        frames = FrameControl.MEDIA_IO_KWARGS
    else:
        frames = await _own_frame_fields(chat, ruler)
    return ClipFacts(
        takes_video=True,
        media_options=whole.accepted,
        loader_fps=ruler.loader_fps(clip.tokens),
        frames=frames,
    )


async def _own_frame_fields(chat: ProbeChat, ruler: Ruler) -> FrameControl:
    whole, thin = await _weigh(
        chat, (long_video, _frame_fields(CLIP_FRAMES)), (long_video, _frame_fields(THIN_FRAMES))
    )
    return FrameControl.FRAME_FIELDS if _is_obeyed(ruler, whole, thin) else FrameControl.NONE


async def _weigh(chat: ProbeChat, *clips: tuple[Callable[[int], Body], Fields]) -> list[Weighed]:
    """Send each clip with its fields in both widths, all at the same time."""
    outcomes = await together(
        chat.ask(video(width), max_tokens=1, **fields(width))
        for video, fields in clips
        for width in WIDTHS
    )
    return [_weighed(*pair) for pair in zip(outcomes[::2], outcomes[1::2], strict=True)]


def _weighed(narrow: Outcome, wide: Outcome) -> Weighed:
    accepted = narrow.is_answer and wide.is_answer
    is_counted = accepted and narrow.tokens and wide.tokens
    return Weighed(accepted, Tokens(narrow.tokens, wide.tokens) if is_counted else None)


def _is_obeyed(ruler: Ruler, whole: Weighed, thin: Weighed) -> bool:
    """Tell whether as many frames were seen as were asked for, all of them and some of them."""
    if whole.tokens is None or thin.tokens is None:
        return False
    seen = ruler.frames(thin.tokens)
    return ruler.frames(whole.tokens) == CLIP_FRAMES and THIN_FRAMES <= seen <= THIN_FRAMES + 1


def _no_fields(_width: int) -> Body:
    return {}


def _media_options(fps: int) -> Fields:
    """Ask vLLM's loader for a rate, and its processor not to thin a clip that came whole."""
    fields = {
        "media_io_kwargs": {"video": {"fps": fps}},
        "mm_processor_kwargs": {"do_sample_frames": False},
    }
    return lambda _width: fields


def _frame_fields(frames: int) -> Fields:
    """Ask RT-VLM for so many frames of the clip's own size."""
    return lambda width: {
        "num_frames_per_second_or_fixed_frames_chunk": frames,
        "use_fps_for_chunking": False,
        "vlm_input_width": width,
        "vlm_input_height": HEIGHT,
    }


async def _max_images(chat: ProbeChat, plain: Outcome) -> int:
    one, many = await _send_images(chat, 1, MANY_IMAGES)
    if not one.is_answer:
        return 0
    if many.is_answer:
        return images_seen(MANY_IMAGES, many.tokens, one.tokens, plain.tokens)
    _, text = failure_from_body(many.body)
    named = named_limit(text, MANY_IMAGES)
    if named is not None:
        return named
    fewer = await _send_images(chat, *FEWER_IMAGES)
    accepted = zip(FEWER_IMAGES, fewer, strict=True)
    seen = (
        images_seen(count, answer.tokens, one.tokens, plain.tokens)
        for count, answer in accepted
        if answer.is_answer
    )
    return max(seen, default=1)


async def _send_images(chat: ProbeChat, *counts: int) -> list[Outcome]:
    return await together(chat.ask(*[image()] * count, max_tokens=1) for count in counts)


async def _structured(chat: ProbeChat) -> tuple[StructuredForm, bool]:
    """Ask for words that only a constraint can bring about, first with thinking switched off."""
    for extra in (_NO_THINKING, _no_fields(0)):
        answers = await together(
            chat.ask(**constraint, **extra) for constraint in _CONSTRAINTS.values()
        )
        for form, answer in zip(_CONSTRAINTS, answers, strict=True):
            if str(answer.message.get("content")).strip().strip('"') in _WORDS:
                return form, bool(extra)
    return StructuredForm.NONE, False


def _reasoning_field(message: Mapping[str, Any]) -> ReasoningField:
    for name in (ReasoningField.REASONING, ReasoningField.REASONING_CONTENT):
        if name.value in message:
            return name
    return ReasoningField.INLINE
