"""Our .proto files against VSS's descriptors, byte by byte."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from nv_wire import SCHEMA, sample

from sidecar.pb.nv import ext_pb2, schema_pb2

ROOT = Path(__file__).parents[2]


def _descriptors(named: Mapping[str, Descriptor]) -> Iterator[Descriptor]:
    for descriptor in named.values():
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from _descriptors(descriptor.nested_types_by_name)


FILES = (schema_pb2.DESCRIPTOR, ext_pb2.DESCRIPTOR)
MESSAGES = {
    descriptor.full_name: descriptor
    for file in FILES
    for descriptor in _descriptors(file.message_types_by_name)
}


def test_the_schema_has_vss_messages_and_fields_and_no_others() -> None:
    """A field that VSS does not know would be lost there, one that it has would be lost here."""
    ours = {name: set(it.fields_by_name) for name, it in MESSAGES.items()}

    assert {f"nv.{name}": set(fields) for name, fields in SCHEMA.items()} == ours


@pytest.mark.parametrize("name", SCHEMA)
def test_every_field_is_read_by_its_number_and_type(name: str) -> None:
    """Bytes that were put together from VSS's field numbers give each value under its name."""
    body, shown = sample(name)
    message = GetMessageClass(MESSAGES[f"nv.{name}"])()
    message.ParseFromString(body)

    assert shown == MessageToDict(message)


@pytest.mark.parametrize("name", SCHEMA)
def test_every_field_is_written_by_its_number_and_type(name: str) -> None:
    """The bytes that we send are those that VSS's reader expects, packed numbers included."""
    body, _ = sample(name)
    message = GetMessageClass(MESSAGES[f"nv.{name}"])()
    message.ParseFromString(body)

    assert body == message.SerializeToString(deterministic=True)


def test_picture_formats_have_vss_numbers() -> None:
    """The one enum, complete."""
    formats = dict(schema_pb2.ImageFormat.items())

    assert {"RAW": 0, "JPG": 1, "JPEG": 2, "PNG": 3} == formats


def test_the_generated_modules_are_current() -> None:
    """Somebody who edits a .proto file and forgets `make gen` is told so."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is a development dependency")
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout)
