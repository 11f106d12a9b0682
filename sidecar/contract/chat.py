"""What an OpenAI client asks: a chat-completions body becomes a Chat. Pure: no I/O.

The big parts of a body, its base64 media, are looked at but never copied or validated as models.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from sidecar.contract.body import validate
from sidecar.errors import InvalidRequest, Issue
from sidecar.model import MediaType

MAX_MESSAGES: Final = 100  # as RT-VLM
MAX_MEDIA: Final = 128
MAX_CHOICES: Final = 8
MAX_TOKENS: Final = 2**31

_SYSTEM: Final = frozenset({"system", "developer"})
_SPEAKERS: Final = {"user": "User", "assistant": "Assistant"}
_ROLES: Final = _SYSTEM | _SPEAKERS.keys()
_MEDIA: Final = {"image_url": MediaType.IMAGE, "video_url": MediaType.VIDEO}
_JSON: Final = re.compile(r"\bjson\b", re.IGNORECASE)
_NO_JSON: Final = re.compile(r"\b(?:no|not|without|never)\s+(?:\w+\s+){0,3}json\b", re.IGNORECASE)
_JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})
_UNSUPPORTED: Final = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"}
    | {"logprobs", "top_logprobs", "prompt_logprobs", "echo", "best_of", "use_beam_search"}
    | {"modalities", "audio", "enable_audio", "prediction", "web_search_options"}
    | {"store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"}
    # newer vLLMs ignore these without a word
    | {"guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend"}
    # of vLLM, for its operator alone: which servers it talks to, and how prompts are written
    | {"kv_transfer_params", "vllm_xargs", "chat_template"}
    # of RT-VLM: files, chunks and live streams of its own
    | {"id", "chunk_duration", "chunk_overlap_duration", "media_info", "url_headers", "api_type"}
)
"""Fields whose answer would need more than a text, or that mean nothing here."""


class ChatMode(StrEnum):
    """OWN_TEXT: the model's. VERDICT: a text that VSS's strict parsers read."""

    OWN_TEXT = "pass"
    VERDICT = "verdict"


class StreamOptions(BaseModel):
    """`stream_options` of a request."""

    include_usage: bool | None = False


class ChatOptions(BaseModel):
    """The fields of a request beside `messages`; further ones are kept in `model_extra`.

    The frame fields are those of vLLM and NIM (`media_io_kwargs`, `mm_processor_kwargs`), of
    RT-VLM (`num_frames_per_second_or_fixed_frames_chunk`, `vlm_input_*`), and plain ones.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    model: str | None = ""
    n: int | None = Field(default=1, ge=1, le=MAX_CHOICES)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=0, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=0, le=MAX_TOKENS)
    seed: int | None = Field(default=None, ge=-(2**62), le=2**62)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    enable_reasoning: bool | None = None
    media_io_kwargs: dict[str, Any] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    num_frames: int | None = None
    fps: float | None = None
    num_frames_per_second_or_fixed_frames_chunk: float | None = None
    use_fps_for_chunking: bool | None = False
    vlm_input_width: int | None = Field(default=None, ge=0, le=8192)
    vlm_input_height: int | None = Field(default=None, ge=0, le=8192)


@dataclass(frozen=True, slots=True)
class FrameWish:
    """Which frames of a video the client wants to be seen; None leaves it to the arm.

    Attributes:
        count: frames in all.
        fps: frames per second.
        clip_pixels: of all frames together.
        frame_pixels: of each frame.
    """

    count: int | None = None
    fps: float | None = None
    clip_pixels: int | None = None
    frame_pixels: int | None = None

    @property
    def is_sized(self) -> bool:
        """Whether the pictures have to be made smaller."""
        return self.clip_pixels is not None or self.frame_pixels is not None


@dataclass(frozen=True, slots=True)
class Chat:
    """One question of an OpenAI client.

    Attributes:
        model: as the client named it, a mode's suffix included; "" when it named none.
        system: text of all system messages.
        user: text of the user's message; of several turns, one line or more for each.
        media: URLs, data URIs included; several only for pictures.
        params: decoding options that were given, by the names of VSS's VlmParams.
        frames: which frames it wants to be seen.
        extra: further fields, to be passed on where the server takes them.
        dropped: names of fields that no server is sent.
        wants_json: whether the answer was asked for as JSON.
        is_strict: whether a schema says which keys it has.
    """

    model: str
    system: str
    user: str
    media: tuple[str, ...] = ()
    media_type: MediaType = MediaType.IMAGE
    params: Mapping[str, Any] | None = None
    frames: FrameWish = FrameWish()
    extra: Mapping[str, Any] | None = None
    dropped: tuple[str, ...] = ()
    count: int = 1
    stream: bool = False
    include_usage: bool = False
    wants_json: bool = False
    is_strict: bool = False


def parse_chat(body: Mapping[str, Any]) -> Chat:
    """Read a request.

    Raises:
        InvalidRequest: a field has the wrong type or value, or there is nothing to answer.
    """
    options = validate(ChatOptions, {k: v for k, v in body.items() if k != "messages"})
    system, turns, media = _read_messages(body.get("messages"))
    urls, kind = _one_kind(media)
    frames, unused = _read_frames(options)
    given = {
        name: value for name, value in (options.model_extra or {}).items() if value is not None
    }
    user = _as_text(turns)
    form = str((options.response_format or {}).get("type"))
    if options.response_format and form != "text":
        given["response_format"] = options.response_format
    return Chat(
        model=options.model or "",
        system=system,
        user=user,
        media=urls,
        media_type=kind,
        params=_read_params(options),
        frames=frames,
        extra={name: value for name, value in given.items() if name not in _UNSUPPORTED},
        dropped=(*(name for name in given if name in _UNSUPPORTED), *unused),
        count=options.n or 1,
        stream=bool(options.stream),
        include_usage=bool(options.stream_options and options.stream_options.include_usage),
        wants_json=form in _JSON_FORMATS or asks_for_json(f"{system}\n{user}"),
        is_strict=form == "json_schema",
    )


def asks_for_json(text: str) -> bool:
    """Tell whether a prompt asks for JSON."""
    return bool(_JSON.search(text)) and not _NO_JSON.search(text)


def _read_params(options: ChatOptions) -> dict[str, Any]:
    known = {
        "temperature": options.temperature,
        "top_p": options.top_p or None,
        # 0 means the server's default, as in VSS
        "max_tokens": options.max_completion_tokens or options.max_tokens or None,
        "seed": options.seed,
        "enable_reasoning": options.enable_reasoning,
    }
    return {name: value for name, value in known.items() if value is not None}


def _read_messages(
    messages: object,
) -> tuple[str, list[tuple[str, str]], list[tuple[MediaType, str]]]:
    """Return the system text, the turns as (role, text), and the media in their order."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise _wrong("messages", f"must be a list of 1 to {MAX_MESSAGES} messages")
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    media: list[tuple[MediaType, str]] = []
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, Mapping):
            raise _wrong(where, "must be an object with `role` and `content`")
        role = message.get("role")
        text = "\n".join(_read_content(message.get("content"), where, media))
        if not isinstance(role, str) or role not in _ROLES:
            raise _wrong(f"{where}.role", "must be system, developer, user or assistant")
        if role in _SYSTEM:
            system.append(text)
        else:
            turns.append((role, text))
    if not any(role == "user" for role, _ in turns):
        raise _wrong("messages", "must contain a message of the user")
    return "\n".join(system), turns, media


def _read_content(content: object, where: str, media: list[tuple[MediaType, str]]) -> Iterator[str]:
    """Yield the texts of one message, and collect its media."""
    if content is None or isinstance(content, str):
        yield content or ""
        return
    if not isinstance(content, Sequence):
        raise _wrong(f"{where}.content", "must be a string or a list of parts")
    for index, part in enumerate(content):
        here = f"{where}.content.{index}"
        kind = str(part.get("type")) if isinstance(part, Mapping) else ""
        if kind == "text" and isinstance(part.get("text"), str):
            yield part["text"]
        elif kind in _MEDIA:
            media.append((_MEDIA[kind], _url_of(part.get(kind), here, kind)))
        else:
            raise _wrong(here, "must be a part of type text, image_url or video_url")


def _url_of(value: object, where: str, kind: str) -> str:
    """Return the URL of a part, which NVIDIA's samples also write as a bare string."""
    url = value.get("url") if isinstance(value, Mapping) else value
    if not isinstance(url, str) or not url.strip():
        raise _wrong(f"{where}.{kind}", "must be an object with `url`, or a URL")
    return url.strip()


def _one_kind(media: list[tuple[MediaType, str]]) -> tuple[tuple[str, ...], MediaType]:
    kinds = {kind for kind, _ in media}
    urls = tuple(url for _, url in media)
    if len(kinds) > 1 or (MediaType.VIDEO in kinds and len(urls) > 1):
        raise _wrong("messages", "may hold one video, or pictures, but not both")
    if len(urls) > MAX_MEDIA:
        raise _wrong("messages", f"may hold at most {MAX_MEDIA} pictures")
    return urls, next(iter(kinds), MediaType.IMAGE)


def _as_text(turns: list[tuple[str, str]]) -> str:
    """Write the user's text; several turns as RT-VLM does, each behind its speaker's name."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n".join(f"{_SPEAKERS[role]}: {text}" for role, text in turns)


def _read_frames(options: ChatOptions) -> tuple[FrameWish, tuple[str, ...]]:
    """Translate every dialect's options about frames; returns what has no translation too."""
    media_io, processor = options.media_io_kwargs or {}, options.mm_processor_kwargs or {}
    video, size = _object(media_io, "video"), _object(processor, "size")
    chunk, is_rate = (
        options.num_frames_per_second_or_fixed_frames_chunk,
        options.use_fps_for_chunking,
    )
    width, height = options.vlm_input_width, options.vlm_input_height
    wish = FrameWish(
        count=_count(options.num_frames, video.get("num_frames"), None if is_rate else chunk),
        fps=_rate(options.fps, video.get("fps"), processor.get("fps"), chunk if is_rate else None),
        clip_pixels=_count(size.get("longest_edge")),
        frame_pixels=width * height if width and height else None,
    )
    unused = (
        *(f"media_io_kwargs.{name}" for name in media_io if name != "video"),
        *(f"media_io_kwargs.video.{name}" for name in video if name not in {"num_frames", "fps"}),
        *(f"mm_processor_kwargs.{name}" for name in processor if name not in {"size", "fps"}),
        *(f"mm_processor_kwargs.size.{name}" for name in size if name != "longest_edge"),
    )
    return wish, unused


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(*values: object) -> int | None:
    """Return the first whole number above 0; 0 and -1 leave it to the server in all dialects."""
    rate = _rate(*values)
    return None if rate is None else max(int(rate), 1)


def _rate(*values: object) -> float | None:
    numbers = (v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    return next((float(number) for number in numbers if number > 0), None)


def _wrong(field: str, message: str) -> InvalidRequest:
    return InvalidRequest((Issue(field, "value_error", f"`{field}` {message}."),))
