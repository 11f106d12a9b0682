"""Servers that accept, refuse and answer as the known model servers do, without a model.

What each does comes from vLLM's sources and changelogs, measured runs of vLLM 0.32, the NIM and
RT-VLM documentation of VSS 3.3, and issues reported against them. Token counts are real: the clip
is opened, thinned as the server's loader would, and counted by the Qwen3-VL rule.
"""

import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

from aiohttp import web

from sidecar.dialect import ReasoningField, StructuredForm

PLAIN_ANSWER: Final = "No person is to be seen."
_TEXT_TOKENS: Final = 27
_STAMP_TOKENS: Final = 8
_PIXELS_PER_TOKEN_SIDE: Final = 32
_MIN_FRAMES: Final = 4

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flavour:
    """How one kind of server behaves.

    Attributes:
        paths: answer with 200, beside the API's own.
        model: the id served.
        version: told by `/version`; "" when there is no such path.
        reasoning: fields of a message that carry reasoning; empty when it is inline.
        parses_reasoning: a plain answer is taken for reasoning and `content` is null, as vLLM's
            qwen3 parser does, unless the request says `enable_thinking: false`.
        media_options: `media_io_kwargs` and `mm_processor_kwargs` are accepted.
        structured: constraints that bind; others are ignored with status 200.
        loader_fps: frames per second that the server samples; 0 shows the first frame only.
        max_images: more `image_url` parts are answered with 422.
        logprobs: are returned when asked for.
    """

    paths: tuple[str, ...]
    model: str
    version: str = ""
    reasoning: tuple[ReasoningField, ...] = ()
    parses_reasoning: bool = False
    media_options: bool = True
    structured: tuple[StructuredForm, ...] = (
        StructuredForm.STRUCTURED_OUTPUTS,
        StructuredForm.RESPONSE_FORMAT,
    )
    loader_fps: float = 2.0
    max_images: int = 999
    logprobs: bool = True


_FORMAT_ONLY: Final = (StructuredForm.RESPONSE_FORMAT,)
_OLD, _NEW = ReasoningField.REASONING_CONTENT, ReasoningField.REASONING
_REASON2: Final = "nvidia/Cosmos-Reason2-8B"
_NANO: Final = "nvidia/Cosmos3-Nano"

FLAVOURS: Final[Mapping[str, Flavour]] = {
    "vllm-0.11": Flavour(
        ("/health",), _REASON2, "0.11.0", reasoning=(_OLD,), structured=_FORMAT_ONLY
    ),
    "vllm-0.13": Flavour(("/health",), _REASON2, "0.13.0", reasoning=(_NEW, _OLD)),
    "vllm-0.26": Flavour(("/health",), _NANO, "0.26.0", reasoning=(_NEW,)),
    "vllm-0.32": Flavour(("/health",), _NANO, "0.32.0", reasoning=(_NEW,), media_options=False),
    "vllm-0.32-parser": Flavour(
        ("/health",),
        _REASON2,
        "0.32.0",
        reasoning=(_NEW,),
        media_options=False,
        parses_reasoning=True,
    ),
    "nim": Flavour(
        ("/v1/health/ready", "/v1/health/live", "/v1/metadata"),
        "nvidia/cosmos3-nano-reasoner",
        structured=_FORMAT_ONLY,
        loader_fps=4.0,
        max_images=5,
    ),
    "rt-vlm": Flavour(
        ("/v1/ready", "/v1/live", "/v1/health/ready"),
        "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
        structured=(),
        loader_fps=0.0,
        logprobs=False,
    ),
    "sglang": Flavour(
        ("/health", "/get_server_info"), _NANO, reasoning=(_OLD,), structured=_FORMAT_ONLY
    ),
}


class StubServer:
    """Serves one flavour on 127.0.0.1.

    Args:
        flavour: how to behave.
    """

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._runner: web.AppRunner | None = None
        self.requests: list[Body] = []

    async def start(self, port: int = 0) -> str:
        """Listen; returns the URL including `/v1`. Port 0 takes a free one."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        for path in self._flavour.paths:
            app.router.add_get(path, self._tell_ready)
        if self._flavour.version:
            app.router.add_get("/version", self._tell_version)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{site.port}/v1"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self._flavour.model}]})

    async def _tell_ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})

    async def _tell_version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": self._flavour.version})

    async def _complete(self, request: web.Request) -> web.Response:
        body: Body = await request.json()
        self.requests.append(body)
        refusal = self._refusal(body)
        if refusal is not None:
            return refusal
        flavour = self._flavour
        text, is_bound = _answer_text(body, flavour.structured)
        choice: dict[str, Any] = {
            "index": 0,
            "message": self._message(body, text, is_bound=is_bound),
            "finish_reason": "stop",
        }
        if flavour.logprobs and body.get("logprobs"):
            choice["logprobs"] = {"content": [_scored(text)]}
        prompt_tokens = _TEXT_TOKENS + _vision_tokens(body, flavour)
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1}
        return web.json_response({"model": flavour.model, "choices": [choice], "usage": usage})

    def _refusal(self, body: Body) -> web.Response | None:
        if body.get("model") != self._flavour.model:
            return _error(404, f"The model `{body.get('model')}` does not exist.", "NotFoundError")
        options = {"media_io_kwargs", "mm_processor_kwargs"} & body.keys()
        if options and not self._flavour.media_options:
            text = "Per-request mm_processor_kwargs are disabled by default"
            return _error(400, text, "BadRequestError")
        images = sum(part["type"] == "image_url" for part in _parts(body))
        if images > self._flavour.max_images:
            text = f"At most {self._flavour.max_images} image(s) may be provided in one prompt."
            return _error(422, text, "UnprocessableEntityError")
        return None

    def _message(self, body: Body, text: str, *, is_bound: bool) -> dict[str, Any]:
        flavour = self._flavour
        thinks = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        message.update({field.value: None for field in flavour.reasoning})
        if flavour.parses_reasoning and thinks:
            # A constraint binds only after </think>, which never comes here.
            message["content"] = None
            message[flavour.reasoning[0].value] = PLAIN_ANSWER if is_bound else text
        return message


def _answer_text(body: Body, forms: Sequence[StructuredForm]) -> tuple[str, bool]:
    """Give the answer, and whether a constraint shaped it."""
    choices = (body.get("structured_outputs") or {}).get("choice")
    if choices and StructuredForm.STRUCTURED_OUTPUTS in forms:
        return str(choices[0]), True
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    if schema.get("enum") and StructuredForm.RESPONSE_FORMAT in forms:
        return f'"{schema["enum"][0]}"', True
    return PLAIN_ANSWER, False


def _scored(text: str) -> Body:
    """Score the first token of an answer: four to one against the other word."""
    word = text.strip('"')
    other = {"yes": "no", "no": "yes"}.get(word, "other")
    alternatives = [{"token": word, "logprob": log(0.8)}, {"token": other, "logprob": log(0.2)}]
    return {**alternatives[0], "top_logprobs": alternatives}


def _vision_tokens(body: Body, flavour: Flavour) -> int:
    asked = (body.get("media_io_kwargs") or {}).get("video", {}).get("fps")
    fps = asked if asked and flavour.loader_fps else flavour.loader_fps
    urls = [part["video_url"]["url"] for part in _parts(body) if part["type"] == "video_url"]
    return sum(_clip_tokens(b64decode(url.partition(",")[2]), fps) for url in urls)


def _clip_tokens(mp4: bytes, fps: float) -> int:
    """Count the tokens of a clip as vLLM's Qwen3-VL loader and processor do."""
    import av

    with av.open(io.BytesIO(mp4)) as container:
        stream = container.streams.video[0]
        total, rate = stream.frames, float(stream.average_rate or 1)
        size = stream.width * stream.height
    frames = min(max(int(total / rate * fps), _MIN_FRAMES), total) if fps else 1
    grids = -(-frames // 2)
    return int(grids * (size // _PIXELS_PER_TOKEN_SIDE**2 + _STAMP_TOKENS))


def _parts(body: Body) -> list[Body]:
    contents = [message["content"] for message in body["messages"]]
    return [part for content in contents if isinstance(content, list) for part in content]


def _error(status: int, message: str, kind: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status)
