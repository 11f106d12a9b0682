"""Parsers that the user brings along."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.baseline import ADAPTER as BASELINE
from sidecar.core.plugins import Plugins, load_object, load_plugins, register_parser
from sidecar.errors import (
    AnswerError,
    EmptyAnswer,
    ParserPluginFailed,
    SettingsError,
    TruncatedAnswer,
)
from sidecar.model import (
    AlertConfig,
    AnswerRules,
    ChatReply,
    ChatRequest,
    EvidenceForm,
    Finding,
    ModelProfile,
    Question,
    SamplePlan,
)
from sidecar.settings import AnswerSettings

# As a user of VSS writes one: names come from VSS's own package.
TAGGED = """
import re
from typing import Dict, Optional

from schemas.vlm_responses import VLMResponse, register_parser


def parse(text: str, json_config: Optional[Dict] = None) -> VLMResponse:
    found = re.search("<v>(.*)</v>(.*)", text)
    if not found:
        raise ValueError("no <v> in the answer")
    return VLMResponse.model_validate({"verdict": found[1], "reasoning": found[2].strip()})


def count(text, json_config):
    return VLMResponse(reasoning="", verdict=None, extra={"cars": {"red": 2}, "all": 3})


def show_config(text, json_config):
    return VLMResponse(reasoning=repr(json_config))


register_parser("tagged", parse)
register_parser("count", count)
register_parser("config", show_config)
register_parser("dict", lambda text, json_config: {"verdict": "YES"})
"""

SCENE = """
import schemas.base_response_parser
from schemas.base_response_parser import BaseResponseParser


class Scene(BaseResponseParser):
    def parse(self, raw_response: str) -> dict:
        return {"verdict": raw_response, "risk": "high"}


class Broken(schemas.base_response_parser.BaseResponseParser):
    def parse(self, raw_response):
        raise KeyError(raw_response)


class Listed:
    def parse(self, raw):
        return [raw]


class Unfinished:
    pass


class Demanding:
    def __init__(self, key):
        pass
"""


class EchoAdapter:
    """Takes every answer for a confirmation in its own words."""

    profile = ModelProfile("echo", ("",), SamplePlan(EvidenceForm.FRAMES, 1, 1, 4096))

    def build_request(self, question: Question) -> ChatRequest:
        return ChatRequest({"model": question.model}, question.evidence)

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        del request
        return reply.prompt_tokens

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        return Finding(True, f"{reply.content} {rules.shape}")


@pytest.fixture(scope="module", autouse=True)
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put modules of a user on Python's path."""
    folder = tmp_path_factory.mktemp("parsers")
    broken = "from schemas.vlm_responses import register_parser\nregister_parser('json', print)"
    for name, text in {"tagged": TAGGED, "scene": SCENE, "greedy": broken, "typo": "1/0"}.items():
        (Path(folder) / f"users_{name}.py").write_text(text, "utf-8")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def plugged(**settings: str) -> Plugins:
    return load_plugins(AnswerSettings.model_validate(settings))


def read(parser: str, reply: ChatReply | str, **rules: Any) -> Finding:
    """Read an answer by a function of the user's module."""
    adapter = plugged(custom_parser_module="users_tagged").around(EchoAdapter())
    reply = ChatReply(reply) if isinstance(reply, str) else reply
    return adapter.parse_reply(reply, AnswerRules(parser=parser, **rules))


def read_all(parser: str, reply: ChatReply) -> Finding:
    """Read an answer by a class of the user's module."""
    adapter = plugged(response_parser=f"users_scene.{parser}").around(EchoAdapter())
    return adapter.parse_reply(reply, AnswerRules(parser="tagged"))


@pytest.mark.parametrize(
    ("word", "confirmed"), [("YES", True), ("yes", True), ("A", True), ("No", False), ("B", False)]
)
def test_unchanged_parser_of_vss_reads_the_verdict(word: str, confirmed: bool) -> None:
    """A module written for VSS is imported as it is, and its words become our finding."""
    assert read("tagged", f"<v>{word}</v> 赤い車") == Finding(confirmed, "赤い車", "")


def test_extra_of_a_parser_becomes_strings() -> None:
    """What it returns besides goes to `info`, where every value is a string."""
    finding = read("count", "three cars")

    assert (finding.confirmed, dict(finding.extra)) == (None, {"cars": '{"red":2}', "all": "3"})


def test_parser_is_handed_the_json_configuration() -> None:
    """VSS hands over its `json_parser`; None when nothing is set."""
    config = read("config", "?", verdict_field="v", verdict_mapping={"true": "YES"})

    assert config.reasoning == "{'verdict_field': 'v', 'verdict_mapping': {'true': 'YES'}}"
    assert read("config", "?").reasoning == "None"


def test_answer_in_the_reasoning_field_is_read_too() -> None:
    """Newer servers leave the content null; VSS's server gave both in one text."""
    reply = ChatReply(None, reasoning="<v>NO</v>")

    assert read("tagged", reply).confirmed is False
    assert read_all("Scene", ChatReply("\n\n", reasoning="Yes")).confirmed is True


def test_alert_types_without_a_parser_are_read_by_the_adapter() -> None:
    """The user's functions are for those who ask for them; requests stay the adapter's."""
    adapter = plugged(custom_parser_module="users_tagged").around(EchoAdapter())

    assert adapter.parse_reply(ChatReply("hm"), AnswerRules()) == Finding(True, "hm verdict")
    assert adapter.profile.name == "echo"


@pytest.mark.parametrize(
    ("parser", "text", "message"),
    [
        ("tagged", "hm", "ValueError: no <v> in the answer"),
        ("tagged", "<v>maybe</v>", "ValidationError: .*'maybe'"),
        ("dict", "?", "TypeError: it must return a VLMResponse, not dict"),
        ("gone", "?", "'gone' is not known; take one of .*, tagged, or"),
    ],
)
def test_failing_function_is_no_verdict(parser: str, text: str, message: str) -> None:
    """Whatever the user's code does, it ends as its own failure."""
    with pytest.raises(ParserPluginFailed) as failed:
        read(parser, text)

    assert all(part in failed.value.detail for part in message.split(".*"))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ChatReply("<v>YES</v>", finish_reason="length"), TruncatedAnswer),
        (ChatReply("<v>YES</v>", finish_reason="content_filter"), TruncatedAnswer),
        (ChatReply(" ", finish_reason="stop"), EmptyAnswer),
        (ChatReply(None, finish_reason="length"), EmptyAnswer),
    ],
)
def test_no_verdict_from_half_an_answer(reply: ChatReply, expected: type[AnswerError]) -> None:
    """A parser cannot see that the answer was cut off, so its verdict does not count then."""
    with pytest.raises(expected):
        read("tagged", reply)


def test_description_may_be_cut_off() -> None:
    """There is no verdict in it to get wrong."""
    assert read("count", ChatReply("cars", finish_reason="length")).confirmed is None


def test_class_reads_every_answer() -> None:
    """Its whole dict is for `info.vlm_response`, and the rules do not matter."""
    finding = read_all("Scene", ChatReply("Yes"))

    assert finding == Finding(
        True, None, None, extra={"vlm_response": '{"verdict":"Yes","risk":"high"}'}
    )
    assert read_all("Scene", ChatReply("a dock")).confirmed is None


@pytest.mark.parametrize(
    ("parser", "message"),
    [("Broken", "KeyError: 'hm'"), ("Listed", r"TypeError: parse\(\) must return a dict")],
)
def test_failing_class_is_no_verdict(parser: str, message: str) -> None:
    """Its error is worded as VSS words it."""
    with pytest.raises(ParserPluginFailed, match=message):
        read_all(parser, ChatReply("hm"))


def test_class_wins_over_functions_with_a_warning() -> None:
    """As in VSS; both set is most likely an oversight."""
    with capture_logs() as logs:
        plugins = plugged(response_parser="users_scene.Scene", custom_parser_module="users_tagged")
    finding = plugins.around(EchoAdapter()).parse_reply(
        ChatReply("<v>NO</v>"), AnswerRules(parser="tagged")
    )

    assert ["custom_parser_module_unused"] == [entry["event"] for entry in logs]
    assert "vlm_response" in finding.extra


def test_arms_without_a_language_model_keep_their_own_reading() -> None:
    """The baseline's answers are no model's text."""
    assert plugged(response_parser="users_scene.Scene").around(BASELINE) is BASELINE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"custom_parser_module": "no_such_module"}, "module: cannot import 'no_such_module'"),
        ({"custom_parser_module": "users_typo"}, "'users_typo' failed while .*ZeroDivisionError"),
        ({"custom_parser_module": "users_greedy"}, "'json' is a built-in format"),
        ({"response_parser": "Scene"}, "answers.response_parser: 'Scene' must look like"),
        ({"response_parser": "users_scene.Nobody"}, "has no attribute 'Nobody'"),
        ({"response_parser": "users_scene.Unfinished"}, "has no method parse"),
        ({"response_parser": "users_scene.Demanding"}, r"Demanding\(\) failed: TypeError"),
    ],
)
def test_plugin_that_cannot_be_used_stops_the_start(settings: dict[str, str], message: str) -> None:
    """The error names the setting and the trouble."""
    with pytest.raises(SettingsError, match=message):
        plugged(**settings)


def test_vss_package_is_there_only_while_parsers_are_imported() -> None:
    """Nothing else in the process finds a package `schemas` that is not installed."""
    plugged(custom_parser_module="users_tagged", response_parser="users_scene.Scene")

    assert "schemas.vlm_responses" not in sys.modules
    assert importlib.util.find_spec("schemas") is None


def test_alert_types_may_name_only_parsers_that_are_there() -> None:
    """A typing error is found at the start and not with the first event."""
    plugins = plugged(custom_parser_module="users_tagged")
    known = AlertConfig("cars", "?", rules=AnswerRules(parser="count"))
    plugins.check([known, AlertConfig("fire", "?")])

    with pytest.raises(SettingsError, match=r"Alert type 'fire': .*'xml' is not known"):
        plugins.check([known, AlertConfig("fire", "?", rules=AnswerRules(parser="xml"))])


def test_built_in_formats_cannot_be_overridden() -> None:
    """As in VSS."""
    with pytest.raises(ValueError, match="'auto' is a built-in format"):
        register_parser("auto", print)


def test_adapter_is_loaded_by_either_spelling() -> None:
    """`package.module:ATTRIBUTE` and `package.module.ATTRIBUTE` are the same."""
    assert load_object("adapters.baseline:ADAPTER", "a") is BASELINE
    assert load_object("adapters.baseline.ADAPTER", "a") is BASELINE
