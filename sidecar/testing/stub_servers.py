"""Servers that accept, refuse and answer as the known model servers do, without a model."""

import re
from math import log
from typing import Any, Final

from aiohttp import web

from sidecar.dialect import StructuredForm
from sidecar.testing.stub_flavours import FLAVOURS, Flavour, MediaOptions
from sidecar.testing.stub_media import (
    Body,
    image_tokens,
    open_clip,
    parts_of,
    rt_vlm_frames,
    rt_vlm_size,
    video_tokens,
    vllm_frames,
)
from sidecar.testing.stub_refusals import refuse

__all__ = ["FLAVOURS", "Flavour", "MediaOptions", "StubServer"]

_THOUGHT: Final = "<think>\nThe picture is grey.\n</think>\n\n"
_TEMPLATE_TOKENS: Final = 13
_TOKEN: Final = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")
"""About what a Qwen vocabulary makes a token of."""


class StubServer:
    """Serves one flavour on 127.0.0.1.

    Args:
        flavour: how to behave.

    Attributes:
        requests: bodies of all chat requests, the refused ones too, oldest first.
        refusals: what the refused ones were told, oldest first.
    """

    def __init__(self, flavour: Flavour) -> None:
        self._flavour = flavour
        self._runner: web.AppRunner | None = None
        self.requests: list[Body] = []
        self.refusals: list[str] = []

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
        refusal = refuse(self._flavour, body)
        if refusal is not None:
            self.refusals.append(refusal.message)
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response(_completion(self._flavour, body))


def _completion(flavour: Flavour, body: Body) -> dict[str, Any]:
    text, is_bound = _answer_text(body, flavour)
    if flavour.is_rt_vlm and body.get("enable_reasoning"):
        text = _THOUGHT + text
    choice: dict[str, Any] = {
        "index": 0,
        "message": _message(flavour, body, text, is_bound=is_bound),
        "finish_reason": "stop",
    }
    if flavour.logprobs and body.get("logprobs"):
        choice["logprobs"] = {"content": _scored(text)}
    count = _rt_vlm_tokens(body) if flavour.is_rt_vlm else _vision_tokens(flavour, body)
    usage = {"prompt_tokens": _text_tokens(body) + count, "completion_tokens": 1}
    return {"model": flavour.model, "choices": [choice], "usage": usage}


def _message(flavour: Flavour, body: Body, text: str, *, is_bound: bool) -> dict[str, Any]:
    thinks = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    message.update({field.value: None for field in flavour.reasoning})
    if flavour.parses_reasoning and thinks:
        # A constraint binds only after </think>, which never comes here.
        message["content"] = None
        message[flavour.reasoning[0].value] = flavour.plain_answer if is_bound else text
    return message


def _answer_text(body: Body, flavour: Flavour) -> tuple[str, bool]:
    """Give the answer, and whether a constraint shaped it."""
    forms = flavour.structured
    choices = (body.get("structured_outputs") or {}).get("choice")
    if choices and StructuredForm.STRUCTURED_OUTPUTS in forms:
        return str(choices[0]), True
    response_format = body.get("response_format") or {}
    if response_format.get("choices") and StructuredForm.CHOICE_FORMAT in forms:
        return str(response_format["choices"][0]), True
    schema = (response_format.get("json_schema") or {}).get("schema") or {}
    if schema.get("enum") and StructuredForm.RESPONSE_FORMAT in forms:
        return f'"{schema["enum"][0]}"', True
    return flavour.plain_answer, False


def _text_tokens(body: Body) -> int:
    contents = [message["content"] for message in body["messages"]]
    texts = [content for content in contents if isinstance(content, str)]
    texts += [part["text"] for part in parts_of(body, "text")]
    return _TEMPLATE_TOKENS + sum(len(_TOKEN.findall(text)) for text in texts)


def _scored(text: str) -> list[Body]:
    """Score an answer's word, a token of its own: four to one against the other word."""
    word = text.strip('"')
    other = {"yes": "no", "no": "yes"}.get(word, "other")
    before, after = text.split(word, 1)
    scored = [_token((before, 1.0))] if before else []
    scored.append(_token((word, 0.8), (other, 0.2)))
    return [*scored, _token((after, 1.0))] if after else scored


def _token(*alternatives: tuple[str, float]) -> Body:
    """Write a token and its alternatives with their probabilities."""
    listed = [{"token": text, "logprob": log(share)} for text, share in alternatives]
    return {**listed[0], "top_logprobs": listed}


def _vision_tokens(flavour: Flavour, body: Body) -> int:
    """Count all clips and pictures of the request."""
    obeyed = body if flavour.media_options is MediaOptions.OBEYED else {}
    count = sum(image_tokens(part) for part in parts_of(body, "image_url"))
    for part in parts_of(body, "video_url"):
        clip = open_clip(part)
        frames = vllm_frames(clip, obeyed, flavour.loader_fps)
        count += video_tokens(frames, clip.width, clip.height)
    return count


def _rt_vlm_tokens(body: Body) -> int:
    """Count the first clip, or without one the first picture."""
    videos = parts_of(body, "video_url")
    if videos:
        return video_tokens(rt_vlm_frames(open_clip(videos[0]), body), *rt_vlm_size(body))
    return video_tokens(1, *rt_vlm_size(body)) if parts_of(body, "image_url") else 0
