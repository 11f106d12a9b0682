"""What verdicts wrote into `info`, read back. Every value there is a string."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


def info_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `info` of a document; empty where there is none."""
    info = document.get("info")
    return info if isinstance(info, Mapping) else {}


def read_list(text: object) -> Sequence[Mapping[str, Any]]:
    """Read a JSON list of objects; empty when it is none."""
    found = _json(text)
    is_list = isinstance(found, list) and all(isinstance(it, dict) for it in found)
    return found if is_list else ()


def read_stages(text: object) -> Sequence[tuple[str, int]]:
    """Read a JSON list of names and milliseconds; empty when it is none."""
    match _json(text):
        case [*pairs]:
            return [(name, ms) for pair in pairs for name, ms in _pair(pair)]
    return ()


def read_number(text: object) -> float | None:
    """Read a number; None when it is none."""
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_whole(text: object) -> int | None:
    """Read a whole number; None when it is none."""
    number = read_number(text)
    return None if number is None else int(number)


def _pair(pair: object) -> Sequence[tuple[str, int]]:
    match pair:
        case [str(name), int(ms)]:
            return ((name, ms),)
    return ()


def _json(text: object) -> Any:
    try:
        return orjson.loads(str(text))
    except orjson.JSONDecodeError:
        return None
