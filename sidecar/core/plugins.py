"""Code that the user names in the settings: adapters, and the parsers of VSS's two plug-in ways.

The contracts are those of services/alert: schemas/vlm_responses.py for functions that a module
registers, schemas/pluggable_parser_runtime.py for the class that reads everything.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Literal, Protocol

import orjson
import structlog
from pydantic import BaseModel

from sidecar.contract.answers import BUILT_IN_FORMATS, explain_parser
from sidecar.contract.enrich import as_text
from sidecar.errors import EmptyAnswer, ParserPluginFailed, SettingsError, TruncatedAnswer
from sidecar.model import (
    AlertConfig,
    AnswerRules,
    ChatReply,
    ChatRequest,
    Finding,
    ModelProfile,
    Question,
)
from sidecar.ports import VlmAdapter
from sidecar.settings import AnswerSettings

_VERDICTS: Final = {"yes": True, "a": True, "no": False, "b": False}

_log = structlog.get_logger()


class ResponseParser(Protocol):
    """What VSS's `vlm.response_parser` names: a class without arguments, safe to share."""

    def parse(self, raw_response: str, /) -> object:
        """Turn the model's whole text into the dict that `info.vlm_response` shall hold."""
        ...


class VLMResponse(BaseModel):
    """What a registered function returns; name, fields and words are VSS's."""

    reasoning: str
    verdict: Literal["A", "B", "yes", "no", "YES", "NO", "Yes", "No"] | None = None
    description: str | None = None
    extra: dict[str, Any] | None = None


ParserFunction = Callable[[str, dict[str, Any] | None], object]
"""From the model's text and VSS's `json_parser` to a VLMResponse."""

_REGISTERED: Final[dict[str, ParserFunction]] = {}
"""By name. One for the process, as modules are: importing one again registers nothing."""


def register_parser(name: str, parser_fn: ParserFunction) -> None:
    """Let alert types name `parser_fn` as their `response_format`.

    Raises:
        ValueError: the name is that of a built-in format.
    """
    if name in BUILT_IN_FORMATS:
        raise ValueError(f"{name!r} is a built-in format; register the parser by another name.")
    _REGISTERED[name] = parser_fn


def load_object(name: str, setting: str) -> Any:
    """Import `package.module:ATTRIBUTE` (or `package.module.ATTRIBUTE`).

    Raises:
        SettingsError: says which half is wrong and which setting named it.
    """
    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name:
        raise SettingsError(f"{setting}: {name!r} must look like package.module:ATTRIBUTE.")
    module = _load_module(module_name, setting)
    if not hasattr(module, attribute):
        raise SettingsError(f"{setting}: {module_name!r} has no attribute {attribute!r}.")
    return getattr(module, attribute)


@dataclass(frozen=True, slots=True)
class Plugins:
    """The parsers that the settings name.

    Attributes:
        parser: reads every answer when it is set.
        functions: registered by the user's module, by name.
    """

    parser: ResponseParser | None = None
    functions: Mapping[str, ParserFunction] = field(default_factory=dict)

    def around(self, adapter: VlmAdapter) -> VlmAdapter:
        """Let the parsers read the adapter's answers, if it is a language model that gives them."""
        if not adapter.profile.is_vlm:
            return adapter
        if self.parser is not None:
            return PluggedParser(adapter, self.parser)
        return CustomParsers(adapter, self.functions)

    def check(self, configs: Sequence[AlertConfig]) -> None:
        """Make sure that every parser which an alert type names is there.

        Raises:
            SettingsError: names the alert type and what it may ask for.
        """
        for config in configs:
            problem = explain_parser(config.rules, self.functions) if config.rules else ""
            if problem:
                raise SettingsError(f"Alert type {config.alert_type!r}: {problem}")


def load_plugins(settings: AnswerSettings) -> Plugins:
    """Import what the settings name.

    Raises:
        SettingsError: it cannot be imported or has the wrong shape.
    """
    parser: ResponseParser | None = None
    functions: Mapping[str, ParserFunction] = {}
    if settings.custom_parser_module:
        functions = _load_functions(settings.custom_parser_module)
    if settings.response_parser:
        parser = _load_parser(settings.response_parser)
    if parser is not None and functions:
        _log.warning(
            "custom_parser_module_unused",
            reason="answers.response_parser reads every answer; unset one of the two",
        )
    return Plugins(parser, functions)


@dataclass(frozen=True, slots=True)
class _AroundAdapter:
    """An adapter that asks as it always does."""

    adapter: VlmAdapter

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


@dataclass(frozen=True, slots=True)
class PluggedParser(_AroundAdapter):
    """An adapter whose answers are read by the user's class instead.

    Its dict goes to `info.vlm_response` whole; its `verdict` is the verdict when it says yes or no.
    """

    parser: ResponseParser

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read the answer, whatever the rules.

        Raises:
            ParserPluginFailed: the parser raised, or returned something else than a dict.
            EmptyAnswer: there is nothing to read.
            TruncatedAnswer: the parser found a verdict in an answer that was cut off.
        """
        del rules
        text = _text_of(reply)
        with _users_code():
            parsed = self.parser.parse(text)
        if not isinstance(parsed, dict):
            kind = type(parsed).__name__
            raise ParserPluginFailed(f"TypeError: parse() must return a dict, not {kind}")
        said = str(parsed.get("verdict", "")).strip().lower()
        return _finished(
            reply,
            Finding(
                confirmed={"yes": True, "no": False}.get(said),
                reasoning=None,
                description=None,
                extra={"vlm_response": orjson.dumps(parsed, default=str).decode()},
            ),
        )


@dataclass(frozen=True, slots=True)
class CustomParsers(_AroundAdapter):
    """An adapter whose answers about some alert types are read by the user's functions."""

    functions: Mapping[str, ParserFunction]

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read the answer by the function that the rules name, else as the adapter does.

        Raises:
            ParserPluginFailed: the function is unknown, raised, or returned no VLMResponse.
            AnswerError: the answer is not a verdict.
        """
        if not rules.parser:
            return self.adapter.parse_reply(reply, rules)
        function = self.functions.get(rules.parser)
        if function is None:
            raise ParserPluginFailed(explain_parser(rules, self.functions))
        text = _text_of(reply)
        with _users_code():
            response = function(text, _json_config(rules))
        if not isinstance(response, VLMResponse):
            kind = type(response).__name__
            raise ParserPluginFailed(f"TypeError: it must return a VLMResponse, not {kind}")
        return _finished(reply, _to_finding(response))


def _to_finding(response: VLMResponse) -> Finding:
    return Finding(
        confirmed=None if response.verdict is None else _VERDICTS[response.verdict.lower()],
        reasoning=response.reasoning,
        description=response.description or "",
        extra={key: as_text(value) for key, value in (response.extra or {}).items()},
    )


def _json_config(rules: AnswerRules) -> dict[str, Any] | None:
    """Write VSS's `json_parser`, which every function is handed; None when nothing is set."""
    config = {
        "verdict_field": rules.verdict_field,
        "verdict_mapping": dict(rules.verdict_mapping),
        "reasoning_fields": list(rules.reasoning_fields),
    }
    return {key: value for key, value in config.items() if value} or None


def _text_of(reply: ChatReply) -> str:
    """Return what VSS hands to parsers, also where a newer server puts it all into `reasoning`."""
    if not reply.text.strip():
        raise EmptyAnswer(f"finish_reason was {reply.finish_reason!r}.")
    return reply.text


def _finished(reply: ChatReply, finding: Finding) -> Finding:
    """Let a description pass that was cut off, but no verdict: parsers are not told of the cut."""
    if finding.confirmed is not None and reply.is_cut:
        raise TruncatedAnswer("the answer was cut off before its end. Raise max_tokens.")
    return finding


@contextmanager
def _users_code() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ParserPluginFailed(f"{type(error).__name__}: {error}") from error


def _load_functions(module: str) -> Mapping[str, ParserFunction]:
    with _vss_modules():
        _load_module(module, "answers.custom_parser_module")
    if not _REGISTERED:
        raise SettingsError(
            f"answers.custom_parser_module: {module!r} does not call register_parser(name, "
            "function) when it is imported."
        )
    return dict(_REGISTERED)


def _load_parser(name: str) -> ResponseParser:
    setting = "answers.response_parser"
    with _vss_modules():
        parser_class = load_object(name, setting)
    try:
        parser: ResponseParser = parser_class()
    except Exception as error:
        raise SettingsError(
            f"{setting}: {name}() failed: {type(error).__name__}: {error}."
        ) from error
    if not callable(getattr(parser, "parse", None)):
        raise SettingsError(f"{setting}: {name} has no method parse(raw: str) -> dict.")
    return parser


def _load_module(name: str, setting: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(f"{setting}: cannot import {name!r}: {error}.") from error
    except Exception as error:
        raise SettingsError(
            f"{setting}: {name!r} failed while it was imported: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _vss_modules() -> Iterator[None]:
    """Let a module be imported that takes its names from VSS's package `schemas`."""
    package = ModuleType("schemas")
    responses = ModuleType("schemas.vlm_responses")
    parsers = ModuleType("schemas.base_response_parser")
    vars(package).update(__path__=[], vlm_responses=responses, base_response_parser=parsers)
    vars(responses).update(VLMResponse=VLMResponse, register_parser=register_parser)
    vars(parsers).update(BaseResponseParser=ResponseParser)
    shown = {module.__name__: module for module in (package, responses, parsers)}
    hidden = {name: sys.modules[name] for name in shown if name in sys.modules}
    sys.modules.update(shown)
    try:
        yield
    finally:
        for name in shown:
            del sys.modules[name]
        sys.modules.update(hidden)
