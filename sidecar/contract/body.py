"""From the bytes of a request to a JSON object, with one clear error for each way to be wrong."""

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from sidecar.errors import InvalidRequest, Issue

Model = TypeVar("Model", bound=BaseModel)


def parse_json_object(body: bytes, max_depth: int) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        body: UTF-8 text.
        max_depth: levels of nesting that are allowed, the outermost object included.

    Raises:
        InvalidRequest: not JSON, not an object, or nested too deeply.
    """
    if not body.strip():
        raise _invalid("missing", "The request body is empty; send a JSON object.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid("json_invalid", _explain(body, error)) from None
    if not isinstance(value, dict):
        raise _invalid("json_object_expected", "The request body must be a JSON object.")
    if _is_deeper(value, max_depth):
        text = f"The JSON is nested deeper than {max_depth} levels; flatten it."
        raise _invalid("nesting_too_deep", text)
    return value


def validate(model: type[Model], raw: Mapping[str, Any]) -> Model:
    """Check a JSON object against a contract model.

    Raises:
        InvalidRequest: with one issue for each wrong field.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(issues_of(error)) from None


def issues_of(error: ValidationError) -> tuple[Issue, ...]:
    """Translate pydantic's findings."""
    return tuple(
        Issue(".".join(str(part) for part in found["loc"]) or "body", found["type"], found["msg"])
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _invalid(kind: str, message: str) -> InvalidRequest:
    return InvalidRequest((Issue("body", kind, message),))


def _explain(body: bytes, error: orjson.JSONDecodeError) -> str:
    around = body[max(error.pos - 1, 0) : error.pos + 8]
    if any(word in around for word in (b"NaN", b"Inf")):
        return f"NaN and Infinity are not JSON (line {error.lineno} column {error.colno})."
    return f"The request body is not valid JSON: {error}."


def _is_deeper(value: object, max_depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(max_depth):
        level = [child for parent in level for child in _containers(parent)]
        if not level:
            return False
    return True


def _containers(parent: dict[str, Any] | list[Any]) -> list[Any]:
    if isinstance(parent, dict):
        parent = list(parent.values())
    return [child for child in parent if isinstance(child, dict | list)]
