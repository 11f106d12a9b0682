"""Protobuf messages as JSON objects: what `json_format.MessageToDict` gives, several times as fast.

Defaults are written out (`always_print_fields_with_no_presence`). What each field of a message
needs is looked up once and not for every message. Messages with fields that JSON has no plain form
for (single precision, enums, bytes, 64-bit integers) are left to protobuf. Types that contain
themselves cannot be written; NvSchema has none.
"""

from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

Write = Callable[[Any], Any]

_PLAIN: Final = frozenset(
    {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_INT32}
)
_WRITTEN: Final = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_MESSAGE})
_TIMESTAMP: Final = "google.protobuf.Timestamp"


def to_json_object(message: Message) -> dict[str, Any]:
    """Write a message.

    Raises:
        ValueError: a time lies outside of the calendar.
        SerializeToJsonError: a part that is left to protobuf cannot be written.
    """
    written: dict[str, Any] = _writer_of(message.DESCRIPTOR)(message)
    return written


@cache
def _writer_of(descriptor: Descriptor) -> Write:
    """Put together the writer of a message type."""
    if descriptor.full_name == _TIMESTAMP:
        return lambda message: message.ToJsonString()
    if not all(map(_is_known, descriptor.fields)):
        return lambda message: MessageToDict(message, always_print_fields_with_no_presence=True)
    written_by = [(it, _value_writer(it)) for it in descriptor.fields]
    always = [(it.json_name, it.name, by) for it, by in written_by if not it.has_presence]
    when_set = [(it.json_name, it.name, by) for it, by in written_by if it.has_presence]

    def write(message: Any) -> dict[str, Any]:
        written = {}
        for json_name, name, write_value in always:
            value = getattr(message, name)
            written[json_name] = value if write_value is None else write_value(value)
        for json_name, name, write_value in when_set:
            if message.HasField(name):
                value = getattr(message, name)
                written[json_name] = value if write_value is None else write_value(value)
        return written

    return write


def _is_known(field: FieldDescriptor) -> bool:
    entry = _entry_of(field)
    if entry is not None:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        return key.type == value.type == FieldDescriptor.TYPE_STRING
    return field.type in _PLAIN or field.type in _WRITTEN


def _entry_of(field: FieldDescriptor) -> Descriptor | None:
    """Return the type of a map's entries; None for other fields."""
    kind = field.message_type
    return kind if kind is not None and kind.GetOptions().map_entry else None


def _value_writer(field: FieldDescriptor) -> Write | None:
    """Return what writes the value of a field; None when it is written as it is."""
    if _entry_of(field) is not None:
        return dict
    one: Write | None = None
    if field.message_type is not None:
        one = _writer_of(field.message_type)
    elif field.type == FieldDescriptor.TYPE_DOUBLE:
        one = _write_double
    if not field.is_repeated:
        return one
    return list if one is None else lambda values: [one(value) for value in values]


def _write_double(value: float) -> float | str:
    """Write a number; JSON has none that is not finite."""
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
