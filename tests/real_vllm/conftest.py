"""Servers for the tests in this folder."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from real_vllm.server import VllmServer, find_python, run_vllm


@pytest.fixture(scope="session")
def vllm_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VllmServer]]:
    """Both models on two ports, by the names of their arms."""
    python = find_python()
    if python is None:
        pytest.skip("no vLLM: run tests/real_vllm/install.sh, or set VLLM_PYTHON")
    families = {"reason2": "reason2", "cosmos3-nano": "cosmos3"}
    with ExitStack() as running:
        starting = {
            arm: running.enter_context(run_vllm(python, family, tmp_path_factory.mktemp(family)))
            for arm, family in families.items()
        }
        yield {arm: server.wait() for arm, server in starting.items()}
