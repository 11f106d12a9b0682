"""What `grpc_health_probe -addr=TARGET [-service=NAME]` does, down to its exit statuses.

0: SERVING, 2: no connection, 3: the call failed, 4: another status. Source: its README,
github.com/grpc-ecosystem/grpc-health-probe.
"""

import argparse
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

SERVING, NOT_CONNECTED, FAILED, NOT_SERVING = 0, 2, 3, 4


def probe(target: str, service: str, timeout_s: float) -> int:
    """Return the exit status."""
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            return NOT_CONNECTED
        try:
            answer = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout_s)
        except grpc.RpcError:
            return FAILED
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    sys.stdout.write(f"status: {status}\n")
    return SERVING if status == "SERVING" else NOT_SERVING


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-addr", required=True)
    parser.add_argument("-service", default="")
    parser.add_argument("-connect-timeout", type=float, default=20.0)
    options = parser.parse_args()
    sys.exit(probe(options.addr, options.service, options.connect_timeout))
