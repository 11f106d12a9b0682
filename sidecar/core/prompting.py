"""Fill an event's values into a prompt, once, as data. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sidecar.model import AlertConfig, Prompt, VerifyEvent

VALUE_LIMIT: Final = 512
"""Characters of one value; a prompt is not the place for more, and an attacker's best lever."""

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")
_MARKUP: Final = str.maketrans("<>", "()")


def fill_prompt(config: AlertConfig, event: VerifyEvent, default_system: str) -> Prompt:
    """Build the prompt of one event from its alert type.

    `{field.path}` becomes the event's value; missing ones become `<missing:field.path>`, and the
    items of a list are joined by commas, as VSS does. Each value is written as a quoted string
    with angle brackets replaced, so that text from a camera system can neither close the
    quotation nor form a chat-template token, and is never expanded again.
    """
    return Prompt(
        alert_type=config.alert_type,
        user=_fill(config.prompt, event.raw),
        system=_fill(config.system_prompt or default_system, event.raw),
        version=config.version,
        vlm_params=config.vlm_params,
        output_category=config.output_category,
    )


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
