"""A mock model that gives each event of a density run the answer that the event's name tells."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.density.names import answer_in
from sidecar.testing.mock_vlm import ScriptedAnswer

_LONGEST: Final = 4096
"""Longer texts are media, in which nothing is looked for."""


def known_answer(body: Mapping[str, Any]) -> ScriptedAnswer:
    """Answer a chat; yes when it is about no such event."""
    found = next(filter(None, map(answer_in, _texts(body))), None)
    return ScriptedAnswer(found or "yes")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) <= _LONGEST:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
