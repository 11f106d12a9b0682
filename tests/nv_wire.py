"""A protobuf encoder of a few lines, so that the tests do not ask protobuf whether it is right.

`nvschema.txt` holds every message of NvSchema as `field=number type`, written down from VSS's
descriptors and not from our .proto files.
"""

import base64
import struct
from pathlib import Path
from typing import Any

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
Fields = dict[str, tuple[int, str]]


def read_schema() -> dict[str, Fields]:
    """Read the table: message -> field -> number and type."""
    lines = Path(__file__).with_name("nvschema.txt").read_text("utf-8").splitlines()
    return {name: _fields(rest) for name, _, rest in (line.partition(": ") for line in lines)}


def _fields(text: str) -> Fields:
    pairs = (part.partition("=") for part in text.split("; "))
    split = ((name, rest.partition(" ")) for name, _, rest in pairs)
    return {name: (int(number), kind) for name, (number, _, kind) in split}


SCHEMA = read_schema()
SCALARS: dict[str, tuple[int, Any, Any]] = {
    "string": (DELIMITED, "höhe", b"h\xc3\xb6he"),
    "bytes": (DELIMITED, base64.b64encode(b"\x00\xff").decode(), b"\x00\xff"),
    "double": (FIXED64, 0.1, struct.pack("<d", 0.1)),
    "float": (FIXED32, 0.1, struct.pack("<f", 0.1)),
    "int32": (VARINT, -5, -5),
    "bool": (VARINT, True, 1),
    "ImageFormat": (VARINT, "PNG", 3),
}
"""type -> wire type, JSON value, what stands on the wire"""


def varint(value: int) -> bytes:
    """Encode an integer, negative ones in 64-bit two's complement."""
    value &= (1 << 64) - 1
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def record(number: int, wire_type: int, content: int | bytes) -> bytes:
    """Encode one field."""
    tag = varint(number << 3 | wire_type)
    if isinstance(content, int):
        return tag + varint(content)
    return tag + (varint(len(content)) if wire_type == DELIMITED else b"") + content


def text(number: int, value: str) -> bytes:
    """Encode a string field."""
    return record(number, DELIMITED, value.encode())


def message(number: int, *parts: bytes) -> bytes:
    """Encode a message field."""
    return record(number, DELIMITED, b"".join(parts))


def entries(number: int, values: dict[str, str]) -> bytes:
    """Encode a map of strings, its keys in order."""
    return b"".join(message(number, text(1, key), text(2, values[key])) for key in sorted(values))


def time(number: int, seconds: int, nanos: int = 0) -> bytes:
    """Encode a google.protobuf.Timestamp field."""
    parts = (record(field, VARINT, it) for field, it in ((1, seconds), (2, nanos)) if it)
    return message(number, *parts)


def sample(name: str) -> tuple[bytes, dict[str, Any]]:
    """Build a message with every field set, and the JSON object that it must be read as."""
    fields = SCHEMA[name]
    built = {field: _field(number, kind, name) for field, (number, kind) in fields.items()}
    return b"".join(it[0] for it in built.values()), {field: it[1] for field, it in built.items()}


def _field(number: int, kind: str, owner: str) -> tuple[bytes, Any]:
    if kind.startswith("repeated "):
        return _repeated(number, kind.removeprefix("repeated "), owner)
    if kind == "map<string,string>":
        values = {"a": "1", "b": owner}
        return entries(number, values), values
    if kind == "Timestamp":
        return time(number, 1_700_000_000, 5_000_000), "2023-11-14T22:13:20.005Z"
    if kind in SCALARS:
        wire_type, shown, content = SCALARS[kind]
        return record(number, wire_type, content), shown
    content, shown = sample(kind)
    return record(number, DELIMITED, content), shown


def _repeated(number: int, kind: str, owner: str) -> tuple[bytes, list[Any]]:
    """Encode two values: numbers packed, as proto3 writes them, all else one by one."""
    wire_type, shown, content = SCALARS.get(kind, (DELIMITED, None, b""))
    if wire_type == DELIMITED:
        item, shown = _field(number, kind, owner)
        return item * 2, [shown] * 2
    packed = varint(content) if isinstance(content, int) else content
    return record(number, DELIMITED, packed * 2), [shown] * 2
