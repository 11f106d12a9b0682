"""A stand-in for `grpcurl -plaintext [-d JSON] TARGET list|SERVICE/METHOD`.

All that it knows of a service is what the service itself tells by reflection.
"""

import argparse
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

TIMEOUT_S = 20


def main() -> None:
    """Print the names of the services, or the answers of a method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-d", dest="data", default="{}")
    parser.add_argument("target")
    parser.add_argument("symbol")
    options = parser.parse_args()
    with grpc.insecure_channel(options.target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if options.symbol == "list":
            print(*sorted(database.get_services()), sep="\n")  # noqa: T201
            return
        for answer in call(channel, DescriptorPool(database), options.symbol, options.data):
            sys.stdout.write(f"{answer}\n")


def call(channel: grpc.Channel, pool: DescriptorPool, symbol: str, data: str) -> list[str]:
    """Call a method; returns its answers as JSON."""
    service, _, name = symbol.rpartition("/")
    method = pool.FindServiceByName(service).methods_by_name[name]
    asked, answered = map(GetMessageClass, (method.input_type, method.output_type))
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    stub = kind(
        f"/{symbol}",
        request_serializer=asked.SerializeToString,
        response_deserializer=answered.FromString,
    )
    answers = stub(Parse(data, asked()), timeout=TIMEOUT_S)
    return [MessageToJson(it) for it in (answers if method.server_streaming else [answers])]


if __name__ == "__main__":
    main()
