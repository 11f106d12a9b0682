"""Servers in containers, for tests that also run against the parts that this machine has."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

ELASTICSEARCH = "elasticsearch:9.1.4"
KAFKA = "confluentinc/cp-kafka:7.9.0"
REDIS = "redis:8"
START_TIMEOUT_S = 120.0


@contextmanager
def elasticsearch_container() -> Iterator[str]:
    """Run Elasticsearch and give its URL."""
    _require_docker()
    from testcontainers.core.container import DockerContainer

    container = (
        DockerContainer(ELASTICSEARCH)
        .with_env("discovery.type", "single-node")
        .with_env("xpack.security.enabled", "false")
        .with_env("ES_JAVA_OPTS", "-Xms512m -Xmx512m")
        .with_exposed_ports(9200)
    )
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(9200)}"
        _wait_for(url)
        yield url


@contextmanager
def kafka_container() -> Iterator[str]:
    """Run a Kafka broker and give its `bootstrap.servers`."""
    _require_docker()
    from testcontainers.kafka import KafkaContainer

    with KafkaContainer(KAFKA).with_kraft() as container:
        yield container.get_bootstrap_server()


@contextmanager
def redis_container() -> Iterator[str]:
    """Run Redis and give its URL."""
    _require_docker()
    from testcontainers.redis import RedisContainer

    with RedisContainer(REDIS) as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        yield f"redis://{host}:{port}/0"


def _require_docker() -> None:
    pytest.importorskip("testcontainers", reason="testcontainers is not installed")
    try:
        subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no Docker daemon answers on this machine")


def _wait_for(url: str) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urlopen(url, timeout=1).close()
        except OSError:
            assert time.monotonic() < give_up, f"{url} did not come up"
            time.sleep(0.5)
        else:
            return
