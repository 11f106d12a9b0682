"""Fill an event's values into a prompt, once, as data. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
from pydantic import ValidationError

from sidecar.contract.answers import AnswerBody, explain_parser, read_answer
from sidecar.contract.body import issues_of
from sidecar.errors import SettingsError
from sidecar.model import AlertConfig, AnswerRules, Prompt, VerifyEvent
from sidecar.settings import AnswerSettings

VALUE_LIMIT: Final = 512
"""Characters of one value; a prompt is not the place for more, and an attacker's best lever."""

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")
_MARKUP: Final = str.maketrans("<>", "()")


def fill_prompt(
    config: AlertConfig, event: VerifyEvent, default_system: str, default_rules: AnswerRules
) -> Prompt:
    """Build the prompt of one event from its alert type.

    `{field.path}` becomes the event's value; missing ones become `<missing:field.path>`, and the
    items of a list are joined by commas, as VSS does. Each value is written as a quoted string
    with angle brackets replaced, so that text from a camera system can neither close the
    quotation nor form a chat-template token, and is never expanded again.

    Args:
        config: the alert type.
        event: whose values are filled in.
        default_system: system prompt of alert types without their own.
        default_rules: how answers about alert types without rules of their own are read.
    """
    return Prompt(
        alert_type=config.alert_type,
        user=_fill(config.prompt, event.raw),
        system=_fill(config.system_prompt or default_system, event.raw),
        version=config.version,
        vlm_params=config.vlm_params,
        output_category=config.output_category,
        rules=default_rules if config.rules is None else config.rules,
        segment_anchor=config.segment_anchor,
    )


def build_default_rules(settings: AnswerSettings, parsers: Collection[str]) -> AnswerRules:
    """Read how answers about alert types without rules of their own are read.

    Args:
        settings: what the user wants.
        parsers: names of the custom parsers that are there.

    Raises:
        SettingsError: names the setting that is wrong.
    """
    json_parser = {
        "verdict_field": settings.json_verdict_field or None,
        "verdict_mapping": settings.json_verdict_mapping,
        "reasoning_fields": settings.json_reasoning_fields or None,
    }
    answer = {"response_format": settings.response_format, "json_parser": json_parser}
    try:
        rules = read_answer(AnswerBody.model_validate(answer))
    except ValidationError as error:
        problems = (
            f"answers.{issue.field.replace('json_parser.', 'json_')}: {issue.message}"
            for issue in issues_of(error)
        )
        raise SettingsError("; ".join(problems)) from None
    problem = explain_parser(rules, parsers)
    if problem:
        raise SettingsError(f"answers.response_format: {problem}")
    return rules


def _fill(template: str, raw: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: _value(raw, found[1]), template)


def _value(raw: Mapping[str, Any], path: str) -> str:
    node: Any = raw
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return f"<missing:{path}>"
        node = node[name]
    return _quote(node)


def _quote(value: object) -> str:
    if isinstance(value, list):
        value = ",".join(_plain(item) for item in value)
    shown = _plain(value)[:VALUE_LIMIT].translate(_MARKUP)
    return orjson.dumps(shown).decode()


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
