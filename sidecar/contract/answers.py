"""How answers are read, on the wire: the key `answer` of an alert type.

The key is an extension of ours. Its `response_format` and `json_parser` have the names and defaults
of VSS's `vlm` section (services/alert, schemas/vlm_responses.py), which VSS has only once for all
alert types.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from sidecar.model import AnswerRules, AnswerShape

BUILT_IN_FORMATS: Final = frozenset({"auto", "cosmos-reason", "cr1", "cr2", "cr3", "json", "other"})
"""Formats that no custom parser may be named like."""
JSON_VERDICT_FIELD: Final = "prediction_answer"
JSON_REASONING_FIELDS: Final = ("reasoning", "thinking", "explanation", "video_description")

_WORDS: Final = {"TRUE": "YES", "FALSE": "NO"}


def _verdict_word(value: object) -> str:
    word = str(value).strip().upper()
    return _WORDS.get(word, word)


def _lower_keys(value: object) -> object:
    """VSS compares by lower-cased text, and YAML reads an unquoted `true` as a boolean."""
    if not isinstance(value, Mapping):
        return value
    return {str(key).strip().lower(): meaning for key, meaning in value.items()}


def _check_band(band: tuple[float, float]) -> tuple[float, float]:
    if band[0] >= band[1]:
        raise ValueError("the first number must be below the second")
    return band


Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Band = Annotated[tuple[Probability, Probability], AfterValidator(_check_band)]
VerdictWord = Annotated[Literal["YES", "NO", "A", "B"], BeforeValidator(_verdict_word)]
VerdictMapping = Annotated[
    dict[str, VerdictWord], Field(max_length=50), BeforeValidator(_lower_keys)
]
FieldPath = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
FormatName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonParserBody(_Body):
    """VSS's `json_parser`: where a JSON answer holds verdict and reasoning."""

    verdict_field: FieldPath | None = None
    verdict_mapping: VerdictMapping | None = None
    reasoning_fields: Annotated[tuple[FieldPath, ...], Field(max_length=20)] | None = None


class AnswerBody(_Body):
    """How answers about one alert type are asked for and read; absent and null are defaults."""

    shape: AnswerShape | None = None
    response_format: FormatName | None = None
    json_parser: JsonParserBody | None = None
    abstain: Band | None = None
    perspectives: Annotated[tuple[Phrase, ...], Field(max_length=20)] | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        shape = _shape(self)
        if self.response_format == "other" and shape is not AnswerShape.DESCRIPTION:
            raise ValueError(
                f"response_format 'other' reads no verdict: leave out shape '{shape.value}', or "
                "take the format 'auto'"
            )
        if shape is AnswerShape.DESCRIPTION and (self.abstain or self.response_format == "json"):
            raise ValueError(
                "a description has no verdict: leave out abstain and response_format 'json'"
            )
        return self


def read_answer(body: AnswerBody) -> AnswerRules:
    """Read the rules; what the body leaves out is as VSS has it for the format."""
    given = body.json_parser or JsonParserBody()
    name = body.response_format or "auto"
    field, fields = _json_defaults(needs_json=name == "json")
    return AnswerRules(
        shape=_shape(body),
        needs_json=name == "json",
        verdict_field=field if given.verdict_field is None else given.verdict_field,
        verdict_mapping=MappingProxyType(dict(given.verdict_mapping or {})),
        reasoning_fields=fields if given.reasoning_fields is None else given.reasoning_fields,
        abstain=body.abstain,
        perspectives=body.perspectives or (),
        parser="" if name in BUILT_IN_FORMATS else name,
    )


def write_answer(rules: AnswerRules) -> dict[str, Any]:
    """Show rules as JSON that `read_answer` reads back into the same; defaults are left out."""
    shown: dict[str, Any] = {
        "shape": rules.shape.value,
        "response_format": rules.parser or ("json" if rules.needs_json else "auto"),
    }
    json_parser = _write_json_parser(rules)
    if json_parser:
        shown["json_parser"] = json_parser
    if rules.abstain:
        shown["abstain"] = list(rules.abstain)
    if rules.perspectives:
        shown["perspectives"] = list(rules.perspectives)
    return shown


def explain_parser(rules: AnswerRules, known: Collection[str]) -> str:
    """Return "" when the rules' custom parser is among the `known` ones, else what is wrong."""
    if not rules.parser or rules.parser in known:
        return ""
    names = ", ".join(sorted(BUILT_IN_FORMATS | set(known)))
    return (
        f"response_format {rules.parser!r} is not known; take one of {names}, or name the module "
        "that registers it in SIDECAR_ANSWERS__CUSTOM_PARSER_MODULE."
    )


def _shape(body: AnswerBody) -> AnswerShape:
    is_other = body.response_format == "other"
    return body.shape or (AnswerShape.DESCRIPTION if is_other else AnswerShape.VERDICT)


def _json_defaults(*, needs_json: bool) -> tuple[str, tuple[str, ...]]:
    return (JSON_VERDICT_FIELD, JSON_REASONING_FIELDS) if needs_json else ("", ())


def _write_json_parser(rules: AnswerRules) -> dict[str, Any]:
    field, fields = _json_defaults(needs_json=rules.needs_json)
    shown: dict[str, Any] = {}
    if rules.verdict_field != field:
        shown["verdict_field"] = rules.verdict_field
    if rules.verdict_mapping:
        shown["verdict_mapping"] = dict(rules.verdict_mapping)
    if rules.reasoning_fields != fields:
        shown["reasoning_fields"] = list(rules.reasoning_fields)
    return shown
