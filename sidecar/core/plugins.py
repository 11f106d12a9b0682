"""Code that the user names in the settings: adapters, and VSS's pluggable response parsers."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from sidecar.errors import ParserPluginFailed, SettingsError
from sidecar.model import ChatReply, ChatRequest, Finding, ModelProfile, Question
from sidecar.ports import VlmAdapter


class ResponseParser(Protocol):
    """What VSS's `vlm.response_parser` names: a class without arguments, safe to share."""

    def parse(self, raw: str) -> object:
        """Turn the model's whole text into the dict that `info.vlm_response` shall hold."""
        ...


def load_object(name: str, setting: str) -> Any:
    """Import `package.module:ATTRIBUTE` (or `package.module.ATTRIBUTE`).

    Raises:
        SettingsError: says which half is wrong and which setting named it.
    """
    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name:
        raise SettingsError(f"{setting}: {name!r} must look like package.module:ATTRIBUTE.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SettingsError(f"{setting}: cannot import {module_name!r}: {error}.") from error
    if not hasattr(module, attribute):
        raise SettingsError(f"{setting}: {module_name!r} has no attribute {attribute!r}.")
    return getattr(module, attribute)


@dataclass(frozen=True, slots=True)
class PluggedParser:
    """An adapter whose answers are read by the user's parser instead.

    The parser's dict goes to `info.vlm_response` whole; its `verdict` is the verdict when it says
    yes or no. Source: services/alert, schemas/pluggable_parser_runtime.py.
    """

    adapter: VlmAdapter
    parser: ResponseParser

    @property
    def profile(self) -> ModelProfile:
        """Facts about the family behind it."""
        return self.adapter.profile

    def build_request(self, question: Question) -> ChatRequest:
        """Write the request as the adapter does."""
        return self.adapter.build_request(question)

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Count as the adapter does."""
        return self.adapter.frames_seen(request, reply)

    def parse_reply(self, reply: ChatReply) -> Finding:
        """Read the answer.

        Raises:
            ParserPluginFailed: the parser raised, or returned something else than a dict.
        """
        parsed = self._parsed(reply.content or reply.reasoning or "")
        said = str(parsed.get("verdict", "")).strip().lower()
        return Finding(
            confirmed={"yes": True, "no": False}.get(said),
            reasoning=None,
            description=None,
            extra={"vlm_response": orjson.dumps(parsed, default=str).decode()},
        )

    def _parsed(self, text: str) -> Mapping[str, Any]:
        try:
            parsed = self.parser.parse(text)
        except Exception as error:
            raise ParserPluginFailed(f"{type(error).__name__}: {error}") from error
        if not isinstance(parsed, dict):
            kind = type(parsed).__name__
            raise ParserPluginFailed(f"TypeError: parse() must return a dict, not {kind}")
        return parsed
